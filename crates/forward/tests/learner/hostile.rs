//! Whatever a master sends: packets of all kinds in any order, with any content.

use bytes::Bytes;
use outpost_wire::quorum::{PacketType, QuorumPacket};
use outpost_wire::{OpCode, Zxid};

use crate::master::*;
use crate::script::{Pieces, Run, Step, observer};

const LAST: i64 = z(5, 0x10);

/// Something a master might send, more often than not something that fits.
fn any_step(random: &mut fastrand::Rng, next: &mut i64) -> Step {
    let near = *next + i64::from(random.u8(0..20) == 0);
    let txn = match random.u8(0..3) {
        0 => create("/a", 1),
        1 => delete("/a"),
        _ => failed(),
    };
    let step = match random.u8(0..40) {
        0 => diff(near),
        1 => snap(near),
        2 => tree(&[("/a", "x", 0)]),
        3 => new_leader(5),
        4 => up_to_date(),
        5 => proposal(near, &txn),
        6 => commit(near),
        7 => activate(near, random.i64(2..4), &reconfig("version=1")),
        8 => any_packet(random, near),
        9..14 => ping(near),
        14..18 => Step::Submit(OpCode::SetData, b"body", Some("ann")),
        _ => inform(near, &txn),
    };
    if matches!(&step, Step::Packet(p) if [4, 8].contains(&p.kind)) {
        *next += 1;
    }
    step
}

fn any_packet(random: &mut fastrand::Rng, zxid: i64) -> Step {
    let data = random
        .bool()
        .then(|| Bytes::from(vec![random.u8(..); random.usize(..40)]));
    let packet = QuorumPacket::new(PacketType::Ping, Zxid(zxid), data);
    let kind = random.i32(-1..21);
    QuorumPacket { kind, ..packet }.into()
}

fn script_of(seed: u64) -> Vec<Step> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut next = LAST + 1;
    let mut script = vec![leader_info(5)];
    match random.u8(0..4) {
        0 => script.extend([snap(LAST), tree(&[])]),
        1 => {}
        _ => script.push(diff(LAST)),
    }
    if random.bool() {
        script.extend([new_leader(5), up_to_date()]);
    }
    script.extend((0..random.usize(0..40)).map(|_| any_step(&mut random, &mut next)));
    script
}

#[test]
fn p9_whatever_a_master_sends_two_acks_at_most_go_out_and_none_of_a_transaction() {
    for seed in 0..3_000 {
        let run = Run::of(observer(LAST), &script_of(seed), Pieces::Packets);
        let acks: Vec<&String> = run
            .sent
            .iter()
            .filter(|s| s.starts_with("sends Ack "))
            .collect();
        assert!(acks.len() <= 2, "seed {seed}: {acks:?}");
        assert!(
            acks.iter().all(|ack| *ack == "sends Ack 0x500000000 null"),
            "seed {seed}: {acks:?}"
        );
    }
}

#[test]
fn p1_whatever_a_master_sends_transactions_come_out_without_a_hole() {
    let mut most = 0;
    for seed in 0..3_000 {
        let run = Run::of(observer(LAST), &script_of(seed), Pieces::Packets);
        let mut last = LAST;
        let mut applied = 0;
        for event in &run.events {
            if let Some(rest) = event.strip_prefix("snapshot at 0x") {
                let (zxid, _) = rest.split_once(',').expect("a comma");
                last = i64::from_str_radix(zxid, 16).expect("a zxid");
            } else if let Some(rest) = event.strip_prefix("committed 0x") {
                let (zxid, _) = rest.split_once(' ').expect("a blank");
                let zxid = i64::from_str_radix(zxid, 16).expect("a zxid");
                assert!(
                    Zxid(zxid).follows(Zxid(last)),
                    "seed {seed}: {:?}",
                    run.events
                );
                last = zxid;
                applied += 1;
            }
        }
        most = most.max(applied);
    }
    assert!(
        most > 5,
        "the scripts are too hostile to test anything: {most}"
    );
}

#[test]
fn whatever_a_master_sends_comes_to_the_same_however_it_is_cut() {
    for seed in 0..1_000 {
        let script = script_of(seed);
        let [by_packets, by_bytes, at_once] = [Pieces::Packets, Pieces::Bytes, Pieces::All]
            .map(|pieces| Run::of(observer(LAST), &script, pieces));
        assert_eq!(
            by_bytes.transcript(),
            by_packets.transcript(),
            "seed {seed}"
        );
        assert_eq!(at_once.events, by_packets.events, "seed {seed}");
        assert_eq!(at_once.ended, by_packets.ended, "seed {seed}");
    }
}
