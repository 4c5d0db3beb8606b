//! The four-letter word `srvr`: which release a server is of, and what it does.

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Srvr {
    /// `3.9.5`, without the revision it was built from.
    pub(super) version: Option<String>,
    /// `leader`, `follower`, `observer`, `standalone`.
    pub(super) mode: Option<String>,
    /// What it says instead.
    pub(super) refusal: Option<String>,
}

/// Understands an answer.
pub(super) fn parse(answer: &str) -> Srvr {
    let value = |key: &str| {
        let line = answer.lines().find_map(|line| line.strip_prefix(key));
        line.map(|value| value.trim().to_owned())
    };
    let version = value("Zookeeper version:").map(|version| {
        let end = version.find(['-', ',']).unwrap_or(version.len());
        version[..end].to_owned()
    });
    let mode = value("Mode:");
    let refusal = match (&version, &mode) {
        (None, None) => answer.lines().next().map(str::to_owned),
        _ => None,
    };
    Srvr {
        version,
        mode,
        refusal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_and_mode_are_found_in_a_servers_answer() {
        let answer = "Zookeeper version: 3.9.5-8c2b9d, built on 2026-01-01 10:00 UTC\n\
            Latency min/avg/max: 0/0.0/0\nZxid: 0x100000000\nMode: follower\nNode count: 5\n";
        let srvr = parse(answer);
        assert_eq!(srvr.version.as_deref(), Some("3.9.5"));
        assert_eq!(srvr.mode.as_deref(), Some("follower"));
        assert_eq!(srvr.refusal, None);
    }

    #[test]
    fn a_server_that_does_not_answer_the_word_is_quoted() {
        let refusal = "srvr is not executed because it is not in the whitelist.";
        assert_eq!(parse(refusal).refusal.as_deref(), Some(refusal));
    }
}
