//! What can be told of a life of the link at every moment: the last packets, and how far the leader is.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use outpost_forward::learner::{Forwarded, Learner};
use outpost_forward::recorder::Direction;
use outpost_wire::quorum::ForwardedRequest;
use outpost_wire::{OpCode, SessionId, Xid, Zxid};

use crate::master::*;
use crate::script::{Step, bytes_of, observer};

const LAST: i64 = z(5, 0x10);

fn receive(learner: &mut Learner, now: Instant, steps: impl IntoIterator<Item = Step>) {
    for step in steps {
        let Step::Packet(packet) = step else {
            unreachable!("only packets stand in these scripts")
        };
        let mut input = BytesMut::from(&bytes_of(&packet)[..]);
        learner
            .handle_input(now, &mut input, &|_| {})
            .expect("the link goes on");
    }
}

#[test]
fn packets_of_both_directions_are_recorded_with_their_moments() {
    let start = Instant::now();
    let second = Duration::from_secs(1);
    let mut learner = Learner::new(observer(LAST), start);
    receive(&mut learner, start + second, following(LAST, []));
    let inform = inform(LAST + 1, &create("/a/secret", 1));
    receive(&mut learner, start + second * 2, [inform, ping(LAST + 1)]);
    learner.tell_time(start + second * 3);
    learner.submit(&Forwarded {
        request: ForwardedRequest {
            session: SessionId(0x0a01),
            cxid: Xid(7),
            op: OpCode::Delete.code(),
            body: b"a secret",
        },
        authinfo: None,
    });
    let recording = learner.recording();
    let told: Vec<String> = recording
        .packets
        .iter()
        .map(|packet| {
            let way = match packet.direction {
                Direction::Received => "<-",
                Direction::Sent => "->",
            };
            let op = packet.subject.and_then(|subject| subject.op_name());
            let at = packet.at.saturating_duration_since(start).as_secs();
            format!("{at} {way} {} {}", packet.name(), op.unwrap_or_default())
        })
        .collect();
    assert_eq!(
        told,
        [
            "0 -> OBSERVERINFO ",
            "1 <- LEADERINFO ",
            "1 -> ACKEPOCH ",
            "1 <- PING ",
            "1 <- DIFF ",
            "1 <- NEWLEADER ",
            "1 -> ACK ",
            "1 <- UPTODATE ",
            "1 -> ACK ",
            "2 <- INFORM create",
            "2 <- PING ",
            "2 -> PING ",
            "3 -> REQUEST delete",
        ]
    );
    assert!(!format!("{recording:?}").contains("secret"));
}

#[test]
fn p8_a_master_says_how_far_it_is_before_it_sends_what_is_missing() {
    for offer in [diff(LAST + 900), snap(LAST + 900)] {
        let mut learner = Learner::new(observer(LAST), Instant::now());
        let script = registered(5, [offer]);
        receive(&mut learner, Instant::now(), script);
        assert_eq!(learner.leader_zxid(), Zxid(LAST + 900));
        assert!(!learner.is_following());
    }
}
