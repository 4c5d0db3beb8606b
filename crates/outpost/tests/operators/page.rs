//! The status page, as text: what a browser makes of it is looked at in `tests/browser`.

use std::time::Duration;

use tokio::time::timeout;

use crate::attached::attached;
use crate::server::{LIMIT, NOBODY, Server, exchange};

async fn page(server: &Server, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\n\r\n");
    exchange(server.admin, request.as_bytes()).await
}

#[tokio::test]
async fn a_browser_is_shown_a_page_that_allows_nothing_from_elsewhere() {
    let server = Server::start(NOBODY).await;
    let answer = page(&server, "/").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("Content-Type: text/html"), "{head}");
    let policy = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Security-Policy: "))
        .unwrap();
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(
        !policy.contains("unsafe") && !policy.contains("http"),
        "{policy}"
    );
    for elsewhere in [
        "http:",
        "https:",
        "\"//",
        "@import",
        "url(",
        " style=",
        " onclick=",
    ] {
        assert!(!body.contains(elsewhere), "{elsewhere} in:\n{body}");
    }
    for told in [
        "<strong>Detached</strong>",
        "Not ready for new clients",
        "Lost links",
        "tickTime",
    ] {
        assert!(body.contains(told), "{told} is missing:\n{body}");
    }
    // Scripts and curl go on getting what they always got.
    let (status, text) = server.get("/").await;
    assert_eq!(
        (status, &*text),
        (200, "/live\n/ready\n/metrics\n/commands\n")
    );
    server.stop().await;
}

#[tokio::test]
async fn the_page_shows_settings_with_their_places_without_secrets_and_never_as_html() {
    let secret = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=";
    let lines = format!(
        "{NOBODY}DigestAuthenticationProvider.superDigest={secret}\nnoSuch.key=<script>alert(1)</script>\n"
    );
    let server = Server::start(&lines).await;
    let body = page(&server, "/").await;
    assert!(!body.contains("xQJmx"), "{body}");
    assert!(body.contains("<td>(hidden)</td><td>line "), "{body}");
    assert!(!body.contains("<script>alert"), "{body}");
    let shown = "<td>&lt;script&gt;alert(1)&lt;/script&gt;</td>";
    let row = body.lines().find(|line| line.contains(shown)).unwrap();
    assert!(row.contains("no effect here"), "{row}");
    assert!(body.contains("<td>default <small>"), "{body}");
    server.stop().await;
}

#[tokio::test]
async fn the_first_word_says_what_clients_have_of_this_server() {
    for (lines, word, ready) in [
        ("outpost.hold=60000\n", "Holding", "Ready for new clients."),
        (
            "outpost.hold=0\nreadonlymode.enabled=true\n",
            "Read-only",
            "Not ready for new clients: not attached to the ensemble.",
        ),
        (
            "outpost.hold=0\n",
            "Detached",
            "Not ready for new clients: not attached to the ensemble.",
        ),
    ] {
        let (ensemble, server) = attached(lines).await;
        let body = page(&server, "/").await;
        assert!(
            body.contains("<strong>Attached</strong> Follows server "),
            "{body}"
        );
        ensemble.stop().await;
        let asking = async {
            loop {
                let body = page(&server, "/").await;
                if body.contains(&format!("<strong>{word}</strong>")) {
                    return body;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let body = timeout(LIMIT, asking).await.unwrap();
        assert!(
            body.contains(ready) && body.contains("<td>not yet</td>"),
            "{body}"
        );
        assert!(
            body.contains(&format!("<title>{word} · Outpost ")),
            "{body}"
        );
        server.stop().await;
    }
}
