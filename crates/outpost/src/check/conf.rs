//! The four-letter word `conf`: a server's settings, and whom it takes for members.

use std::collections::BTreeMap;

use outpost_wire::membership::Membership;

/// The settings that an observer shares with its voters.
const SHARED: [&str; 5] = [
    "tickTime",
    "initLimit",
    "syncLimit",
    "minSessionTimeout",
    "maxSessionTimeout",
];

/// What a server says of its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Conf {
    /// Those of [`SHARED`] that it names.
    pub(super) settings: BTreeMap<&'static str, i64>,
    /// From 3.5 on.
    pub(super) membership: Option<Membership>,
}

/// Understands an answer; `None` of a server that does not answer the word.
pub(super) fn parse(answer: &str) -> Option<Conf> {
    let (settings, membership) = answer.split_once("membership:").unwrap_or((answer, ""));
    let lines = settings.lines().filter_map(|line| line.split_once('='));
    let mut conf = Conf::default();
    for (name, value) in lines {
        let shared = SHARED.iter().find(|shared| **shared == name.trim());
        if let (Some(shared), Ok(value)) = (shared, value.trim().parse()) {
            conf.settings.insert(shared, value);
        }
    }
    conf.membership = Membership::parse(membership.as_bytes())
        .ok()
        .filter(|membership| !membership.members.is_empty());
    (!conf.settings.is_empty()).then_some(conf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use outpost_wire::ServerId;

    const ANSWER: &str = "clientPort=2181\nsecureClientPort=-1\ndataDir=/d/version-2\ndataDirSize=457\n\
        dataLogDir=/d/version-2\ndataLogSize=457\ntickTime=500\nmaxClientCnxns=0\nminSessionTimeout=1000\n\
        maxSessionTimeout=10000\nclientPortListenBacklog=-1\nserverId=1\ninitLimit=40\nsyncLimit=10\n\
        electionAlg=3\nelectionPort=3888\nquorumPort=2888\npeerType=0\nmembership: \n\
        server.1=127.0.0.1:2888:3888:participant;127.0.0.1:2181\nserver.4=127.0.0.4:2888:3888:observer\nversion=0";

    #[test]
    fn settings_and_members_are_found_in_a_servers_answer() {
        let conf = parse(ANSWER).expect("an answer");
        assert_eq!(conf.settings.get("tickTime"), Some(&500));
        assert_eq!(conf.settings.get("syncLimit"), Some(&10));
        assert_eq!(conf.settings.len(), 5);
        let membership = conf.membership.expect("members");
        assert_eq!(
            membership.observers().next().map(|it| it.id),
            Some(ServerId(4))
        );
    }

    #[test]
    fn an_older_server_names_no_members_and_one_that_may_not_answer_nothing() {
        let (old, _) = ANSWER.split_once("membership").expect("both");
        let conf = parse(old).expect("an answer");
        assert_eq!((conf.settings.len(), conf.membership), (5, None));
        let refusal = "conf is not executed because it is not in the whitelist.\n";
        assert_eq!(parse(refusal), None);
    }
}
