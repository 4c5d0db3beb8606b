//! Four-letter words while there is no ensemble to attach to.

use outpost::report::NOT_SERVING;
use outpost::serve::four_letter::Word;

use crate::server::{NOBODY, Server, exchange};

fn all_words() -> String {
    format!("{NOBODY}4lw.commands.whitelist=*\n")
}

#[tokio::test]
async fn p8_a_server_that_does_not_serve_says_so_to_every_word_but_those_about_itself() {
    let server = Server::start(&all_words()).await;
    for word in Word::ALL {
        let letters = word.letters();
        let answer = match letters {
            "stmk" => exchange(server.clients, b"stmk\0\0\0\0\0\0\x01\x32").await,
            _ => server.word(letters).await,
        };
        match letters {
            "ruok" => assert_eq!(answer, "imok"),
            "isro" => assert_eq!(answer, "null"),
            "gtmk" | "stmk" => assert_eq!(answer, "306"),
            "envi" => assert!(
                answer.starts_with("Environment:\nzookeeper.version=3.9."),
                "{answer}"
            ),
            "hash" => assert_eq!(answer, NOT_SERVING),
            _ => assert_eq!(answer, format!("{NOT_SERVING}\n"), "{letters}"),
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn words_that_are_not_allowed_are_named_in_the_answer_and_strangers_get_none() {
    let server = Server::start(&format!("{NOBODY}4lw.commands.whitelist=ruok, isro\n")).await;
    assert_eq!(server.word("ruok").await, "imok");
    assert_eq!(server.word("isro").await, "null");
    assert_eq!(
        server.word("mntr").await,
        "mntr is not executed because it is not in the whitelist.\n"
    );
    assert_eq!(
        server.word("stmk").await,
        "stmk is not executed because it is not in the whitelist.\n",
        "without waiting for the mask"
    );
    assert_eq!(server.word("srvr").await, format!("{NOT_SERVING}\n"));
    for stranger in ["nope", "RUOK", "\0\0\0"] {
        let answer = match stranger.len() {
            4 => server.word(stranger).await,
            _ => exchange(server.clients, b"\xff\xf4\xff\xfd").await,
        };
        assert_eq!(answer, "", "{stranger}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_trace_mask_is_kept_even_when_it_comes_later_than_its_word() {
    let server = Server::start(&all_words()).await;
    let mut stream = tokio::net::TcpStream::connect(server.clients)
        .await
        .unwrap();
    stream.set_nodelay(true).unwrap();
    for part in [&b"st"[..], b"mk\0\0", b"\0\0\0\0\0\x07"] {
        tokio::io::AsyncWriteExt::write_all(&mut stream, part)
            .await
            .unwrap();
        // Words go another way, so the server has had a turn when one is answered.
        assert_eq!(server.word("ruok").await, "imok");
    }
    assert_eq!(crate::server::read_to_end(&mut stream).await, "7");
    assert_eq!(server.word("gtmk").await, "7");
    let (_, text) = server.get("/commands/gtmk").await;
    assert!(text.contains("\"tracemask\" : 7,"), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn p6_a_word_whose_rest_does_not_come_ends_like_a_connection_without_a_session() {
    let lines = format!("{}nio.sessionlessCnxnTimeout=200\n", all_words());
    let server = Server::start(&lines).await;
    assert_eq!(exchange(server.clients, b"stmk\0\0").await, "");
    assert_eq!(exchange(server.clients, b"ru").await, "");
    server.stop().await;
}
