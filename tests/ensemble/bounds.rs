//! Nothing grows for a client that does not read, or that is gone (P6).

use std::time::Duration;

use bstr::BStr;
use outpost_tests::raw::RawClient;
use outpost_tests::{ObserverKind, ObserverSettings, Settings, four_letter, wait};
use outpost_wire::OpCode;
use outpost_wire::proto::{CreateMode, GetDataRequest};

use crate::stage::Stage;

/// Until something that must happen counts as not happening.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest timeout that the servers of these tests allow, so that nobody has to ping.
const SESSION_TIMEOUT_MS: i32 = 40_000;
/// What a server may need for clients that do not read: far less than they ask for below.
const GROWTH_BYTES_MAX: u64 = 256 << 20;

/// An ensemble whose sessions live long enough for clients that are busy with not reading.
fn patient_stage() -> Stage {
    let settings = Settings {
        tick_time_ms: 2_000,
        ..Settings::default()
    };
    Stage::with(settings, &ObserverSettings::default())
}

impl Stage {
    fn client(&self) -> RawClient {
        RawClient::connect(self.observer.client_address(), SESSION_TIMEOUT_MS)
    }

    fn gauge(&self, name: &str) -> Option<u64> {
        four_letter::gauge(self.observer.client_address(), name)
    }
}

#[test]
fn p6_answers_that_nobody_reads_do_not_pile_up() {
    let stage = patient_stage();
    let mut reader = stage.client();
    reader
        .create("/big", &vec![7; 900_000], CreateMode::Persistent)
        .expect("a new path");
    let before = stage.observer.running().resident_bytes();

    // Two gigabytes are asked for, by clients that take what they can ask for without reading.
    let mut silent: Vec<RawClient> = (0..4).map(|_| stage.client()).collect();
    for client in &mut silent {
        client.give_up_writing_after(Duration::from_secs(1));
        let request = GetDataRequest {
            path: BStr::new("/big"),
            watch: false,
        };
        for _ in 0..600 {
            if client.send(OpCode::GetData, &request).is_err() {
                break;
            }
        }
    }
    for _ in 0..20 {
        assert_eq!(
            reader
                .get_data(b"/big", false)
                .expect("others are served")
                .1
                .data_length,
            900_000
        );
    }
    let growth = stage
        .observer
        .running()
        .resident_bytes()
        .saturating_sub(before);
    assert!(
        growth < GROWTH_BYTES_MAX,
        "the server has grown by {growth} bytes"
    );
}

#[test]
fn p6_a_client_that_reads_no_events_is_cut_off_and_forgotten() {
    if ObserverKind::from_env() == ObserverKind::Java {
        // A Java observer keeps every event, until its heap is full and its threads die.
        return;
    }
    let settings = Settings {
        tick_time_ms: 2_000,
        ..Settings::default()
    };
    let stage = Stage::with(
        settings,
        &ObserverSettings::default().line("outpost.outboxBytes=3000000"),
    );
    let mut writer = stage.client();
    // A long name makes large events.
    let path = format!("/{}", "long".repeat(250));
    writer
        .create(&path, b"", CreateMode::Persistent)
        .expect("a new path");
    let before = stage.observer.running().resident_bytes();
    let mut silent: Vec<RawClient> = (0..20).map(|_| stage.client()).collect();
    for client in &mut silent {
        client.add_watch(&path, 1).expect("a recursive watch");
    }
    // 20 clients × 30 000 events of one kilobyte: more than half a gigabyte.
    let batch = vec![path; 100];
    for _ in 0..300 {
        writer.set_data_at_once(&batch, b"x");
    }
    let growth = stage
        .observer
        .running()
        .resident_bytes()
        .saturating_sub(before);
    assert!(
        growth < GROWTH_BYTES_MAX,
        "the server has grown by {growth} bytes"
    );
    for client in &mut silent {
        let told = std::iter::from_fn(|| client.event().ok())
            .take(30_000)
            .count();
        assert!(
            told < 30_000,
            "a client that read nothing was told everything later"
        );
    }
    wait::until("no watch of those that were cut off", LIMIT, || {
        (stage.gauge("zk_watch_count")? == 0).then_some(())
    });
}

#[test]
fn p6_nothing_is_left_of_clients_that_are_gone() {
    let stage = patient_stage();
    let mut watching = stage.client();
    watching
        .create("/left", b"", CreateMode::Persistent)
        .expect("a new path");
    for number in 0..200 {
        let mut client = stage.client();
        client.get_data(b"/left", true).expect("it is there");
        client.get_children(b"/left", true).expect("it is there");
        client
            .exists(&format!("/none-{number}"), true)
            .expect_err("it is not there");
        client
            .add_watch("/left", number % 2)
            .expect("a persistent watch");
        client.abandon();
    }
    watching.get_data(b"/left", true).expect("it is there");
    wait::until("no watch of those that are gone", LIMIT, || {
        (stage.gauge("zk_watch_count")? == 1).then_some(())
    });
    wait::until("no connection of those that are gone", LIMIT, || {
        // The one that asks counts too.
        (stage.gauge("zk_num_alive_connections")? <= 2).then_some(())
    });
}
