use proptest::prelude::*;

use super::directives::{Directives, SyntaxError, quoted};
use super::*;

const RFC: Purpose = Purpose {
    realm: "elwood.innosoft.com",
    digest_uri: "imap/elwood.innosoft.com",
};

fn password<'p>(user: &'static str, password: &'p str) -> impl FnOnce(&str) -> Option<&'p str> {
    move |asked| (asked == user).then_some(password)
}

/// A server that has just challenged with a nonce of our choice.
fn challenged(purpose: Purpose, nonce: &str) -> (Server, Vec<u8>) {
    let mut server = Server::new(purpose);
    match server.challenge(nonce.to_owned()).unwrap() {
        Step::Challenge(challenge) => (server, challenge),
        other => panic!("{other:?}"),
    }
}

/// What an answer to the challenge of nonce `n` says, with parts of it replaced.
fn answer(replace: &[(&str, &str)]) -> Vec<u8> {
    let (_, challenge) = challenged(CLIENTS, "n");
    let mut client = Client::new(CLIENTS, "bob", "secret");
    let mut text = String::from_utf8(client.respond_with(&challenge, "c").unwrap()).unwrap();
    for (from, to) in replace {
        assert!(text.contains(from), "{text} has no {from}");
        text = text.replace(from, to);
    }
    text.into_bytes()
}

fn judged(token: &[u8]) -> Result<Step, Refused> {
    challenged(CLIENTS, "n")
        .0
        .step(token, password("bob", "secret"))
}

#[test]
fn the_example_of_the_rfc_comes_out_at_both_ends() {
    let (mut server, _) = challenged(RFC, "OA6MG9tEQGm2hh");
    let challenge = b"realm=\"elwood.innosoft.com\",nonce=\"OA6MG9tEQGm2hh\",qop=\"auth\",\
        algorithm=md5-sess,charset=utf-8";
    let mut client = Client::new(RFC, "chris", "secret");
    let response = client.respond_with(challenge, "OA6MHXh6VqTrRk").unwrap();
    assert_eq!(
        String::from_utf8(response.clone()).unwrap(),
        "charset=utf-8,username=\"chris\",realm=\"elwood.innosoft.com\",nonce=\"OA6MG9tEQGm2hh\",\
         nc=00000001,cnonce=\"OA6MHXh6VqTrRk\",digest-uri=\"imap/elwood.innosoft.com\",maxbuf=65536,\
         response=d388dad90d4bbd760a152321f2143af7,qop=auth"
    );
    let step = server.step(&response, password("chris", "secret")).unwrap();
    let token = b"rspauth=ea40f60335c427b5527b84dbabcdfffd".to_vec();
    assert_eq!(client.verify(&token), Ok(()));
    let user = "chris".to_owned();
    assert_eq!(step, Step::Authenticated { user, token });
}

#[test]
fn the_challenge_is_the_one_that_a_java_server_sends() {
    let mut server = Server::new(CLIENTS);
    let Ok(Step::Challenge(challenge)) = server.step(b"", |_| None) else {
        panic!("no challenge");
    };
    let challenge = String::from_utf8(challenge).unwrap();
    let nonce = challenge
        .strip_prefix("realm=\"zk-sasl-md5\",nonce=\"")
        .and_then(|rest| rest.strip_suffix("\",charset=utf-8,algorithm=md5-sess"));
    assert_eq!(nonce.map(str::len), Some(40), "{challenge}");
    let mut other = Server::new(CLIENTS);
    let again = other.step(b"an initial response", |_| None).unwrap();
    assert_ne!(again, Step::Challenge(challenge.into_bytes()));
}

#[test]
fn a_wrong_password_a_stranger_and_a_second_try_are_refused() {
    let user = "bob".to_owned();
    let mut server = challenged(CLIENTS, "n").0;
    let refused = server.step(&answer(&[]), password("bob", "other"));
    assert_eq!(refused, Err(Refused::WrongPassword(user.clone())));
    let again = server.step(&answer(&[]), password("bob", "secret"));
    assert_eq!(again, Err(Refused::OutOfTurn));
    let (mut server, _) = challenged(CLIENTS, "n");
    let stranger = server.step(&answer(&[]), |_| None);
    assert_eq!(stranger, Err(Refused::UnknownUser(user)));
    // Not even one who knows that strangers are computed with an empty password.
    let mut client = Client::new(CLIENTS, "bob", "");
    let (mut server, challenge) = challenged(CLIENTS, "n");
    let empty = client.respond_with(&challenge, "c").unwrap();
    assert!(server.step(&empty, |_| None).is_err());
}

#[test]
fn after_a_login_there_is_no_other() {
    let (mut server, _) = challenged(CLIENTS, "n");
    assert!(server.step(&answer(&[]), password("bob", "secret")).is_ok());
    for token in [answer(&[]), Vec::new()] {
        let again = server.step(&token, password("bob", "secret"));
        assert_eq!(again, Err(Refused::OutOfTurn));
    }
}

#[test]
fn a_token_that_is_too_long_is_refused_and_the_next_one_is_not() {
    let (mut server, _) = challenged(CLIENTS, "n");
    let long = server.step(&[b'a'; RESPONSE_BYTES_MAX + 1], |_| None);
    assert_eq!(long, Err(Refused::TooLong(RESPONSE_BYTES_MAX + 1)));
    assert!(server.step(&answer(&[]), password("bob", "secret")).is_ok());
    let mut client = Client::new(CLIENTS, "bob", "secret");
    let long = client.respond(&[b'a'; CHALLENGE_BYTES_MAX + 1]);
    assert_eq!(long, Err(Distrusted::TooLong(CHALLENGE_BYTES_MAX + 1)));
}

#[test]
fn what_does_not_fit_the_challenge_is_refused() {
    for (from, to, refused) in [
        (
            "charset=utf-8,",
            "charset=latin,",
            Refused::Unfit("charset"),
        ),
        ("username=\"bob\",", "", Refused::Unfit("username")),
        ("realm=\"zk-sasl-md5\",", "", Refused::Unfit("realm")),
        ("realm=\"zk-", "realm=\"zk.", Refused::Unfit("realm")),
        (",nonce=\"n\"", "", Refused::Unfit("nonce")),
        (",nonce=\"n\"", ",nonce=\"m\"", Refused::Unfit("nonce")),
        ("cnonce=\"c\",", "", Refused::Unfit("cnonce")),
        ("qop=auth", "qop=auth-int", Refused::Unfit("qop")),
        (
            "qop=auth",
            "qop=auth-conf,cipher=rc4",
            Refused::Unfit("qop"),
        ),
        (
            "uri=\"zookeeper",
            "uri=\"imap",
            Refused::Unfit("digest-uri"),
        ),
        (
            "nc=00000001",
            "nonce-count=2",
            Refused::Unfit("nonce-count"),
        ),
        (
            "nc=00000001",
            "nonce-count=x",
            Refused::NoNumber("nonce-count"),
        ),
        ("maxbuf=65536", "maxbuf=many", Refused::NoNumber("maxbuf")),
        ("response=", "x=", Refused::Unfit("response")),
        (
            "qop=auth",
            "qop=auth,QOP=auth",
            Refused::Syntax(SyntaxError::Repeated),
        ),
        (
            "cnonce=\"c\"",
            "cnonce=\"d\"",
            Refused::WrongPassword("bob".into()),
        ),
    ] {
        assert_eq!(judged(&answer(&[(from, to)])), Err(refused), "{from} {to}");
    }
}

#[test]
fn what_java_accepts_beyond_the_rfc_is_accepted() {
    for (from, to) in [
        ("charset=utf-8,", ""),
        ("qop=auth", "qop=\"auth\""),
        (",qop=auth", ""),
        ("maxbuf=65536,", ""),
        ("nc=00000001", "nc=00000007"),
        ("nc=00000001", "nonce-count=00000001"),
        ("username", "UserName"),
        (",", " , ,\t"),
        ("qop=auth", "qop = auth , unheard-of=1, unheard-of=2,"),
        (",qop=auth", ",cipher"),
    ] {
        let judged = judged(&answer(&[(from, to)]));
        assert!(
            matches!(judged, Ok(Step::Authenticated { .. })),
            "{to}: {judged:?}"
        );
    }
}

#[test]
fn the_address_of_a_service_may_be_written_in_capitals_and_counts_as_written() {
    let purpose = Purpose {
        digest_uri: "ZooKeeper/ZK-sasl-md5",
        ..CLIENTS
    };
    let (mut server, challenge) = challenged(CLIENTS, "n");
    let mut client = Client::new(purpose, "bob", "secret");
    let response = client.respond(&challenge).unwrap();
    let Ok(Step::Authenticated { token, .. }) = server.step(&response, password("bob", "secret"))
    else {
        panic!("refused");
    };
    assert_eq!(client.verify(&token), Ok(()));
}

#[test]
fn a_server_that_knows_no_password_or_offers_something_else_is_not_believed() {
    let mut client = Client::new(QUORUM, "learner", "secret");
    for (challenge, unfit) in [
        (&b"nonce=n"[..], "algorithm"),
        (b"nonce=n,algorithm=md5", "algorithm"),
        (b"algorithm=md5-sess", "nonce"),
        (b"nonce=n,algorithm=md5-sess,charset=latin", "charset"),
        (
            b"nonce=n,algorithm=md5-sess,qop=\"auth-int,auth-conf\"",
            "qop",
        ),
    ] {
        assert_eq!(client.respond(challenge), Err(Distrusted::Unfit(unfit)));
    }
    assert_eq!(client.verify(b"rspauth=0"), Err(Distrusted::NoProof));
    let offered = b"nonce=n,algorithm=md5-sess,qop=\"auth-conf, auth\"";
    client.respond_with(offered, "c").unwrap();
    for token in [
        &b""[..],
        b"rspauth=\"\"",
        b"rspauth=00000000000000000000000000000000",
        b"something=else",
    ] {
        assert_eq!(client.verify(token), Err(Distrusted::NoProof));
    }
}

#[test]
fn tokens_are_read_as_java_reads_them() {
    for (token, read) in [
        ("", Ok(vec![])),
        (" \r\n\t", Ok(vec![])),
        (",, ,", Ok(vec![])),
        ("a=b", Ok(vec![("a", "b")])),
        ("a=b,c=d", Ok(vec![("a", "b"), ("c", "d")])),
        ("a=b c=d", Ok(vec![("a", "b"), ("c", "d")])),
        ("a = \"b,=c\" , d=e", Ok(vec![("a", "b,=c"), ("d", "e")])),
        (r#"a="\"\\\q""#, Ok(vec![("a", "\"\\q")])),
        ("a=\"\"", Ok(vec![("a", "")])),
        ("a=,b=c", Ok(vec![("a", ""), ("b", "c")])),
        ("a==b", Ok(vec![("a", "=b")])),
        ("a=b\"c", Ok(vec![("a", "b\"c")])),
        ("a=b,c", Ok(vec![("a", "b"), ("c", "")])),
        ("a", Ok(vec![("a", "")])),
        ("a=", Err(SyntaxError::NoValue)),
        ("a= ", Err(SyntaxError::NoValue)),
        ("a,b=c", Err(SyntaxError::NoEquals)),
        ("a b=c", Err(SyntaxError::NoEquals)),
        ("a ", Err(SyntaxError::NoEquals)),
        ("=b", Err(SyntaxError::NoName)),
        ("a=\"b\"c", Err(SyntaxError::NoSeparator)),
        ("a=\"b", Err(SyntaxError::OpenQuote)),
        ("a=\"b\\", Err(SyntaxError::OpenQuote)),
        ("a=\"b\\\"", Err(SyntaxError::OpenQuote)),
    ] {
        let parsed = Directives::parse(token.as_bytes());
        let parsed = parsed.map(|directives| format!("{directives:?}"));
        let bytes = |text: &str| text.as_bytes().to_vec();
        let expected = read.map(|pairs| {
            let pairs = pairs.iter().map(|(key, value)| (bytes(key), bytes(value)));
            format!("Directives({:?})", pairs.collect::<Vec<_>>())
        });
        assert_eq!(parsed, expected, "{token:?}");
    }
}

proptest! {
    #[test]
    fn whoever_knows_the_password_is_let_in_and_nobody_else(
        user in "\\PC{1,40}|[a-z\"\\\\,=]{1,20}",
        password in any::<String>(),
        guess in any::<String>(),
    ) {
        let (mut server, challenge) = challenged(CLIENTS, "some/nonce+");
        let mut client = Client::new(CLIENTS, &user, &guess);
        let response = client.respond(&challenge).unwrap();
        let judged = server.step(&response, |asked| (asked == user).then_some(password.as_str()));
        match judged {
            Ok(Step::Authenticated { user: who, token }) => {
                prop_assert_eq!((who, &guess), (user.clone(), &password));
                prop_assert_eq!(client.verify(&token), Ok(()));
            }
            Err(Refused::WrongPassword(_)) => prop_assert_ne!(&guess, &password),
            other => prop_assert!(false, "{:?}", other),
        }
        let (mut server, challenge) = challenged(CLIENTS, "another");
        let mut client = Client::new(CLIENTS, &user, &password);
        let response = client.respond(&challenge).unwrap();
        let judged = server.step(&response, |asked| (asked == user).then_some(password.as_str()));
        prop_assert!(judged.is_ok());
    }

    #[test]
    fn no_token_brings_either_end_down_or_in(token in proptest::collection::vec(any::<u8>(), 0..5000)) {
        let judged = challenged(CLIENTS, "n").0.step(&token, |_| Some(""));
        prop_assert!(judged.is_err());
        let mut client = Client::new(QUORUM, "u", "p");
        let _ = client.respond(&token);
        prop_assert!(client.verify(&token).is_err());
    }

    #[test]
    fn tokens_that_look_like_tokens_bring_nobody_in(
        token in "((username|realm|nonce|cnonce|nc|qop|digest-uri|response|maxbuf|charset)[ =,]{0,2}[\"a-z0-9/\\\\-]{0,12}[, ]?){0,12}"
    ) {
        let judged = challenged(CLIENTS, "n").0.step(token.as_bytes(), |_| Some("secret"));
        prop_assert!(judged.is_err());
    }

    #[test]
    fn a_value_in_quotes_reads_as_it_was(value in proptest::collection::vec(any::<u8>(), 0..50)) {
        let token = [b"key=\"", &quoted(&value)[..], b"\""].concat();
        let read = Directives::parse(&token).unwrap();
        prop_assert_eq!(read.get("KEY"), Some(&value[..]));
    }
}
