//! Who can be our learner master, and in which order.
//!
//! Only a leader listens on its quorum port, so no election has to be followed: all voters are asked
//! side by side, and the one that answers OBSERVERINFO is the leader. Followers that run an observer
//! master (`observerMasterPort`) are asked first where that port is configured.

use std::collections::HashSet;
use std::fmt;

use outpost_wire::ServerId;
use outpost_wire::membership::Membership;

/// A place where a learner master may answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The server that listens there.
    pub server: ServerId,
    /// Host name or address; names are resolved anew at every attempt.
    pub host: String,
    /// The quorum or observer-master port.
    pub port: u16,
    /// 0 is asked first; higher numbers a moment later.
    pub preference: u32,
    /// Whether a follower's observer master is expected there, not the leader.
    pub observer_master: bool,
}

impl Candidate {
    /// The leader, if it is the one that answers there. A follower's observer master is not: it drops
    /// its learners itself when the leader changes.
    pub fn leader(&self) -> Option<ServerId> {
        (!self.observer_master).then_some(self.server)
    }

    /// Whether both are the same place.
    pub fn is_at(&self, other: &Candidate) -> bool {
        self.host == other.host && self.port == other.port
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server.{} at {}:{}", self.server, self.host, self.port)
    }
}

/// The ensemble's members as last learned, and how to reach them.
#[derive(Debug, Clone)]
pub struct Candidates {
    membership: Membership,
    observer_master_port: Option<u16>,
    follows_reconfig: bool,
}

impl Candidates {
    /// Starts from the configured members. `observer_master_port` adds every voter's host at that
    /// port, preferred. Memberships learned from the ensemble replace the members if
    /// `follows_reconfig`.
    pub fn new(
        membership: Membership,
        observer_master_port: Option<u16>,
        follows_reconfig: bool,
    ) -> Candidates {
        Candidates {
            membership,
            observer_master_port,
            follows_reconfig,
        }
    }

    /// The members as they are known now.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Takes over a membership that the ensemble announced, if it is newer than the one in use.
    /// One without voters, or one that cannot be read, changes nothing.
    pub fn learn(&mut self, text: &[u8]) -> bool {
        if !self.follows_reconfig {
            return false;
        }
        match Membership::parse(text) {
            Ok(learned)
                if learned.version > self.membership.version
                    && learned.participants().next().is_some() =>
            {
                tracing::info!(version = format!("{:x}", learned.version), "new membership");
                self.membership = learned;
                true
            }
            Ok(_) => false,
            Err(error) => {
                tracing::warn!(%error, "a membership announced by the ensemble cannot be read; the members known so far are asked on");
                false
            }
        }
    }

    /// Everybody to ask, preferred ones first, no address twice.
    pub fn list(&self) -> Vec<Candidate> {
        let masters = self
            .observer_master_port
            .into_iter()
            .flat_map(|port| self.at(Some(port)));
        let mut seen = HashSet::new();
        masters
            .chain(self.at(None))
            .filter(|candidate| seen.insert((candidate.host.clone(), candidate.port)))
            .collect()
    }

    fn at(&self, master_port: Option<u16>) -> impl Iterator<Item = Candidate> {
        let behind_masters = u32::from(self.observer_master_port.is_some());
        self.membership.participants().flat_map(move |voter| {
            voter.addresses.iter().map(move |address| Candidate {
                server: voter.id,
                host: address.host.clone(),
                port: master_port.unwrap_or(address.quorum_port),
                preference: if master_port.is_some() {
                    0
                } else {
                    behind_masters
                },
                observer_master: master_port.is_some(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &[u8] = b"server.1=a:2888:3888:participant\n\
        server.2=b:2888:3888:participant\n\
        server.9=c:2888:3888:observer\nversion=100000000";

    fn shown(candidates: &Candidates) -> Vec<String> {
        candidates
            .list()
            .iter()
            .map(|c| format!("{c} {}", c.preference))
            .collect()
    }

    #[test]
    fn only_voters_are_asked_and_observer_masters_come_first() {
        let membership = Membership::parse(THREE).unwrap();
        assert_eq!(
            shown(&Candidates::new(membership.clone(), None, true)),
            ["server.1 at a:2888 0", "server.2 at b:2888 0"]
        );
        assert_eq!(
            shown(&Candidates::new(membership, Some(2191), true)),
            [
                "server.1 at a:2191 0",
                "server.2 at b:2191 0",
                "server.1 at a:2888 1",
                "server.2 at b:2888 1"
            ]
        );
    }

    #[test]
    fn a_follower_that_is_our_master_is_not_taken_for_the_leader() {
        let membership = Membership::parse(THREE).unwrap();
        let leaders: Vec<_> = Candidates::new(membership, Some(2191), true)
            .list()
            .iter()
            .map(Candidate::leader)
            .collect();
        assert_eq!(
            leaders,
            [None, None, Some(ServerId(1)), Some(ServerId(2))],
            "or every reconfiguration would end the link"
        );
    }

    #[test]
    fn a_newer_membership_replaces_the_members_and_an_older_or_broken_one_does_not() {
        let mut candidates = Candidates::new(Membership::parse(THREE).unwrap(), None, true);
        assert!(!candidates.learn(b"server.5=e:1:2:participant\nversion=0"));
        assert!(!candidates.learn(b"server.5=nonsense\nversion=200000000"));
        assert!(!candidates.learn(b"server.5=e:1:2:observer\nversion=200000000"));
        assert!(candidates.learn(b"server.5=e:1:2:participant\nversion=200000000"));
        assert_eq!(shown(&candidates), ["server.5 at e:1 0"]);
    }

    #[test]
    fn with_reconfig_switched_off_the_configured_members_stay() {
        let mut candidates = Candidates::new(Membership::parse(THREE).unwrap(), None, false);
        assert!(!candidates.learn(b"server.5=e:1:2:participant\nversion=200000000"));
    }
}
