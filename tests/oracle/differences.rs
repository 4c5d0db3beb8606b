//! The differences that are meant: each has its reason under its name in `docs/differences.md`.
//!
//! A listed difference that a script no longer shows fails that script.

use std::collections::BTreeSet;

use crate::compare::Hunk;

/// One place of one script where Outpost answers otherwise.
pub(crate) struct Difference {
    /// Its heading in `docs/differences.md`.
    pub(crate) name: &'static str,
    /// The script that shows it.
    pub(crate) script: &'static str,
    /// What Java says there.
    pub(crate) java: &'static [&'static str],
    /// What Outpost says there.
    pub(crate) outpost: &'static [&'static str],
    /// Whether it depends on a race, so that it need not show.
    pub(crate) sometimes: bool,
}

impl Difference {
    /// Whether this is what `hunk` shows.
    pub(crate) fn is(&self, hunk: &Hunk<'_>) -> bool {
        hunk.java.iter().eq(self.java.iter()) && hunk.outpost.iter().eq(self.outpost.iter())
    }
}

/// The differences that are meant.
const MEANT: &[Difference] = &[
    Difference {
        name: "A wrong password does not end the session's connection",
        script: "a_wrong_password_does_not_harm_the_sessions_connection",
        java: &["0: closed by the server (EOF)"],
        outpost: &["0: Ping -2: z "],
        sometimes: false,
    },
    Difference {
        name: "An error has nothing behind its header",
        script: "a_multi_read_of_nothing_or_of_writes",
        java: &[
            r#"0: MultiRead 2: z MARSHALLING_ERROR(-5) with "\xff\xff\xff\xff\x01\xff\xff\xff\xff""#,
            r#"0: MultiRead 3: z MARSHALLING_ERROR(-5) with "\xff\xff\xff\xff\x01\xff\xff\xff\xff""#,
        ],
        outpost: &[
            "0: MultiRead 2: z MARSHALLING_ERROR(-5)",
            "0: MultiRead 3: z MARSHALLING_ERROR(-5)",
        ],
        sometimes: false,
    },
    Difference {
        name: "Text is handed on as it came",
        script: "text_is_handed_on_as_it_came",
        java: &[
            r#"0: Sync 1: z "/\xed\xa0\xbd\xed\xb8\x80""#,
            "0: Sync 2: z \"/\u{fffd}\"",
            "0: Sync 3: z \"/\u{fffd}\"",
            "0: Sync 4: z \"/\u{fffd}\u{fffd}\"",
            "0: Sync 5: z \"/\u{fffd}\u{fffd}\"",
        ],
        outpost: &[
            "0: Sync 1: z \"/\u{1F600}\"",
            r#"0: Sync 2: z "/\xff""#,
            r#"0: Sync 3: z "/\xc3""#,
            r#"0: Sync 4: z "/\xed\xa0\x80\xed\xb0\x80""#,
            r#"0: Sync 5: z "/\xc0\x80""#,
        ],
        sometimes: false,
    },
    Difference {
        name: "Text is handed on as it came",
        script: "text_is_handed_on_as_it_came",
        java: &[
            "0: WhoAmI 6: z [\"digest:\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\", \"ip:127.0.0.1\"]",
        ],
        outpost: &["0: WhoAmI 6: z [\"digest:\u{1F600}\", \"ip:127.0.0.1\"]"],
        sometimes: false,
    },
    Difference {
        name: "Text is handed on as it came",
        script: "text_is_handed_on_as_it_came",
        java: &[
            "0: GetAcl 9: z [\"digest\":\"\u{fffd}\u{fffd}:x\":1, \"world\":\"anyone\":31] \
             c#0 m#0 p#0 v0 cv0 av1 len0 n0",
        ],
        outpost: &[
            r#"0: GetAcl 9: z ["digest":"\xed\xa0\xbd\xed\xb8\x80:x":1, "world":"anyone":31] c#0 m#0 p#0 v0 cv0 av1 len0 n0"#,
        ],
        sometimes: false,
    },
    Difference {
        name: "A watch needs a path",
        script: "a_watch_needs_a_path",
        java: &[
            "0: AddWatch 1: z OK(0)",
            "0: CheckWatches 2: z ",
            "0: RemoveWatches 3: z ",
        ],
        outpost: &[
            "0: AddWatch 1: z MARSHALLING_ERROR(-5)",
            "0: CheckWatches 2: z MARSHALLING_ERROR(-5)",
            "0: RemoveWatches 3: z MARSHALLING_ERROR(-5)",
        ],
        sometimes: false,
    },
    Difference {
        name: "A list that is null is empty",
        script: "set_watches_without_lists_sets_none",
        java: &[
            "0: SetWatches -8: z MARSHALLING_ERROR(-5)",
            "0: SetWatches2 -8: z MARSHALLING_ERROR(-5)",
        ],
        outpost: &["0: SetWatches -8: z ", "0: SetWatches2 -8: z "],
        sometimes: false,
    },
    Difference {
        name: "Containers are deleted by the ensemble alone",
        script: "delete_container_is_not_for_clients",
        java: &[
            "0: DeleteContainer 2: z NO_NODE(-101)",
            "0: DeleteContainer 3: #1 ",
        ],
        outpost: &[
            "0: DeleteContainer 2: z UNIMPLEMENTED(-6)",
            "0: DeleteContainer 3: z UNIMPLEMENTED(-6)",
        ],
        sometimes: false,
    },
    Difference {
        name: "A connection has one session",
        script: "create_session_is_not_for_clients",
        java: &[
            "0: connected: 37 bytes, version 0, timeout 10000, session-of-0, password right, \
             read-only Some(false)",
            "0: Ping -2: z ",
        ],
        outpost: &[
            r#"0: ConnectResponse.passwd: 4 more bytes needed: "\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfa""#,
            "0: closed by the server (EOF)",
        ],
        sometimes: false,
    },
    behind_close(&["0: CloseSession 2: #1 "], &[]),
    behind_close(&[], &["0: CloseSession 2: #1 "]),
    behind_close(&["0: CloseSession 2: #1 ", "0: Ping -2: z "], &[]),
    behind_close(&[], &["0: CloseSession 2: #1 ", "0: Ping -2: z "]),
    // A local session ends without a transaction.
    behind_close(&["0: CloseSession 2: z "], &[]),
    behind_close(&[], &["0: CloseSession 2: z "]),
    behind_close(&["0: CloseSession 2: z ", "0: Ping -2: z "], &[]),
    behind_close(&[], &["0: CloseSession 2: z ", "0: Ping -2: z "]),
    behind_close(&["0: Ping -2: z "], &[]),
    behind_close(&[], &["0: Ping -2: z "]),
];

/// What one of them still answers behind a `closeSession`, and the other does not: a race at both.
const fn behind_close(
    java: &'static [&'static str],
    outpost: &'static [&'static str],
) -> Difference {
    Difference {
        name: "What comes behind closeSession may be answered or not",
        script: "a_session_is_closed_once_however_often_it_is_asked_for",
        java,
        outpost,
        sometimes: true,
    }
}

/// Those of one script.
pub(crate) fn of(script: &str) -> Vec<&'static Difference> {
    MEANT
        .iter()
        .filter(|difference| difference.script == script)
        .collect()
}

/// Whether every difference has its heading in the document, and every heading a difference.
pub(crate) fn agree_with_the_document() -> Result<(), String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/differences.md");
    let document = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let headings: BTreeSet<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let names: BTreeSet<&str> = MEANT.iter().map(|difference| difference.name).collect();
    let odd: Vec<_> = headings.symmetric_difference(&names).collect();
    match odd.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "only in the document, or only in the oracle: {odd:#?}"
        )),
    }
}
