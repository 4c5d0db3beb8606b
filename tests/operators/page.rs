//! The status page in Chromium.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use outpost_tests::ports::free_port;
use outpost_tests::raw::RawClient;
use outpost_tests::run_dir::target_dir;
use outpost_tests::{Ensemble, Observer, ObserverKind, ObserverSettings, Relay, Settings, clients};

/// How long clients are held: long enough for a browser to look at it in three ways.
const HOLD: Duration = Duration::from_secs(25);

#[test]
fn a_browser_shows_how_things_are_with_and_without_javascript_and_hides_nothing_from_anybody() {
    let settings = Settings {
        // What ends the client is the end of the hold, not that of its lease.
        lines: vec!["maxSessionTimeout=60000".to_owned()],
        ..Settings::default()
    };
    let ensemble = Ensemble::with(settings.super_secret());
    let relays = Relay::before_all(&ensemble);
    let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let settings = ObserverSettings::default()
        .line(format!("outpost.hold={}", HOLD.as_millis()))
        // No link is lost but the one that is cut, however busy the machine.
        .line("outpost.linkTimeout=5000")
        .line("admin.serverAddress=127.0.0.1")
        .line(format!("admin.serverPort={}", admin.port()))
        .through(&relays);
    let mut observer = Observer::start(&ensemble, ObserverKind::Outpost, &settings);
    let mut client = RawClient::connect(observer.client_address(), 60_000);
    client.exists("/", true).expect("the root is there");
    let stays = std::thread::spawn(move || stay(client));

    let shots = target_dir().join("screenshots");
    fs::create_dir_all(&shots).expect("the target directory can be written");
    let browser = clients::browser(&shots).start(&admin.to_string());
    browser.wait_for_line("attached");
    relays.iter().for_each(|(_, relay)| relay.cut());
    browser.wait_for_line("detached");
    relays.iter().for_each(|(_, relay)| relay.heal());
    browser.wait_for_line("attached again");
    observer.kill();
    browser.finish();
    stays.join().expect("the client ends with its connection");
}

/// Keeps a session until its connection ends.
fn stay(mut client: RawClient) {
    const PING: [u8; 8] = [255, 255, 255, 254, 0, 0, 0, 11];
    while client.send_frame(&PING).is_ok() && client.read_frame().is_ok() {
        std::thread::sleep(Duration::from_millis(500));
    }
}
