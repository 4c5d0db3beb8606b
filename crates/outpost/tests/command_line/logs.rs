//! The log: its forms, its levels while the process runs, and readers that do not read.

use serde_json::Value;

use crate::server::{Server, text_of};

fn log_of(answer: &(u16, String)) -> Value {
    serde_json::from_str(&answer.1).expect("JSON")
}

#[test]
fn json_lines_carry_time_level_target_message_and_the_fields_of_the_event() {
    let server = Server::start("json", "", &[]);
    let line = server.until(|line| text_of(line, "message").contains("Prometheus"));
    assert_eq!(text_of(&line, "level"), "INFO");
    assert_eq!(text_of(&line, "target"), "outpost");
    assert!(text_of(&line, "timestamp").ends_with('Z'));
    assert!(text_of(&line, "address").starts_with("127.0.0.1:"));
    assert!(server.stop().success());
}

#[test]
fn a_search_for_a_leader_that_takes_long_says_whom_it_has_asked_in_vain_and_why() {
    let server = Server::start("in-vain", "", &[]);
    let line = server.until(|line| text_of(line, "message") == "no learner master here");
    assert_eq!(text_of(&line, "level"), "WARN");
    assert!(
        text_of(&line, "candidate").contains("127.0.0.1:1"),
        "{line}"
    );
    assert!(text_of(&line, "reason").contains("refused"), "{line}");
    assert!(line["for_s"].as_u64() >= Some(5), "{line}");
    assert!(server.stop().success());
}

#[test]
fn the_level_is_changed_while_the_process_runs_and_goes_back_by_itself() {
    let server = Server::start("levels", "", &["--log", "info,hyper=warn"]);
    let shown = log_of(&server.ask("GET", "/log", ""));
    assert_eq!(
        (text_of(&shown, "filter"), &shown["goes_back_in_s"]),
        ("info,hyper=warn", &Value::Null)
    );

    let changed = server.ask("POST", "/log?filter=info,outpost::admin=debug&for=1h", "");
    assert_eq!(changed.0, 200);
    let shown = log_of(&changed);
    assert_eq!(text_of(&shown, "filter"), "info,outpost::admin=debug");
    assert_eq!(text_of(&shown, "configured"), "info,hyper=warn");
    let goes_back_in = shown["goes_back_in_s"].as_u64();
    assert!(
        goes_back_in.is_some_and(|seconds| (3_000..=3_600).contains(&seconds)),
        "{shown}"
    );
    server.disturb();
    server.until(|line| {
        text_of(line, "level") == "DEBUG" && text_of(line, "message") == "an HTTP connection failed"
    });
    let path = "/log?filter=info,outpost::admin=debug&for=1s";
    assert_eq!(server.ask("POST", path, "").0, 200);
    server.until(|line| {
        text_of(line, "message") == "what is logged has changed"
            && text_of(line, "after") == "info,hyper=warn"
    });
    assert_eq!(
        text_of(&log_of(&server.ask("GET", "/log", "")), "filter"),
        "info,hyper=warn"
    );

    // A change that is taken over by another one does not come back.
    assert_eq!(server.ask("POST", "/log?filter=debug&for=1", "").0, 200);
    assert_eq!(server.ask("POST", "/log?filter=error", "").0, 200);
    assert_eq!(server.ask("POST", "/log?filter=info&for=2", "").0, 200);
    let shown = log_of(&server.ask("POST", "/log", ""));
    assert_eq!(
        (text_of(&shown, "filter"), &shown["goes_back_in_s"]),
        ("info,hyper=warn", &Value::Null)
    );
    assert!(server.stop().success());
}

#[test]
fn what_is_no_filter_or_comes_from_a_web_page_changes_nothing() {
    let server = Server::start("refused", "", &[]);
    let long = format!("/log?filter=info{}", ",a=info".repeat(200));
    for (path, headers, status, why) in [
        ("/log?filter=loud", "", 400, "`loud` is no level"),
        ("/log?filter=debug&for=ever", "", 400, "`ever` is no time"),
        (&long, "", 400, "longer than 1024 bytes"),
        (
            "/log?filter=off",
            "Origin: https://elsewhere.example\r\n",
            403,
            "web page",
        ),
    ] {
        let answer = server.ask("POST", path, headers);
        assert_eq!(answer.0, status, "{path}");
        assert!(
            text_of(&log_of(&answer), "error").contains(why),
            "{path}: {}",
            answer.1
        );
    }
    assert_eq!(server.ask("PUT", "/log?filter=off", "").0, 405);
    assert_eq!(server.ask("GET", "/log?filter=off", "").0, 200);
    let shown = log_of(&server.ask("GET", "/log", ""));
    assert_eq!(text_of(&shown, "filter"), "info");
    assert!(server.stop().success());
}

#[test]
fn p6_whoever_does_not_read_the_log_stops_nothing_and_the_lost_lines_are_counted() {
    let server = Server::start("unread", "", &[]);
    // Each change is told in two long lines, so the pipe fills up, then the buffer.
    let long = format!(
        "/log?filter=info{}",
        ",part=info".replace("part", &"p".repeat(900))
    );
    let lost = (0..2_000).find_map(|_| {
        let shown = log_of(&server.ask("POST", &long, ""));
        shown["lost_lines"].as_u64().filter(|lost| *lost > 0)
    });
    assert!(lost.is_some());
    let metrics = server.ask("GET", "/metrics", "").1;
    let counted = metrics
        .lines()
        .find_map(|line| line.strip_prefix("outpost_log_lines_lost_total "))
        .and_then(|count| count.parse().ok());
    assert!(counted >= lost, "{counted:?} {lost:?}");
    assert_eq!(server.ask("GET", "/live", "").0, 200);
    assert!(server.stop().success());
}

#[test]
fn a_log_whose_reader_has_gone_away_ends_nothing() {
    let mut server = Server::start("closed", "", &["--log", "debug"]);
    server.close_log();
    for filter in ["trace", "info", "debug"] {
        let path = format!("/log?filter={filter}");
        assert_eq!(server.ask("POST", &path, "").0, 200);
    }
    assert_eq!(server.ask("GET", "/live", "").0, 200);
    assert!(server.stop().success());
}
