//! `outpost check` beside working ensembles: what it finds out, and what it says it could not.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use outpost_tests::observer::{outpost_binary, with_hosts};
use outpost_tests::ports::free_port;
use outpost_tests::run_dir::RunDir;
use outpost_tests::{Ensemble, Observer, ObserverKind, ObserverSettings, Settings, Version};

/// What a check has printed.
struct Checked(String);

impl Checked {
    fn of(mut command: Command, config: &Path, id: u64, definitions: &[&str]) -> Checked {
        command.arg("check").arg(config);
        command.args(["--id", &id.to_string()]);
        for definition in definitions {
            command.args(["-D", definition]);
        }
        let output = command.output().expect("it starts");
        Checked(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// How many lines of this grade and subject hold this text.
    fn count(&self, grade: &str, subject: &str, text: &str) -> usize {
        let is_meant = |line: &&str| {
            let mut words = line.split_whitespace();
            words.next() == Some(grade) && words.next() == Some(subject) && line.contains(text)
        };
        self.0.lines().filter(is_meant).count()
    }

    #[track_caller]
    fn assert_has(&self, grade: &str, subject: &str, text: &str) {
        assert_eq!(
            self.count(grade, subject, text),
            1,
            "{grade} {subject} {text}\n{}",
            self.0
        );
    }
}

fn check(config: &Path, id: u64, definitions: &[&str]) -> Checked {
    Checked::of(Command::new(outpost_binary()), config, id, definitions)
}

/// A configuration with the ensemble's voters at `host`, but for those left out.
fn write_config(dir: &RunDir, ensemble: &Ensemble, host: &str, without: &[u64]) -> PathBuf {
    let settings = ensemble.settings();
    let mut text = format!(
        "tickTime={}\ninitLimit={}\nsyncLimit={}\nclientPort=0\ndataDir={}\nadmin.enableServer=false\n\
         metricsProvider.httpPort=0\n",
        settings.tick_time_ms,
        settings.init_limit,
        settings.sync_limit,
        dir.path().display()
    );
    for server in ensemble.servers() {
        let ports = server.ports;
        if !without.contains(&server.id) {
            text += &format!(
                "server.{}={host}:{}:{}:participant;127.0.0.1:{}\n",
                server.id, ports.quorum, ports.election, ports.client
            );
        }
    }
    let path = dir.path().join("zoo.cfg");
    fs::write(&path, text).expect("the run directory can be written");
    path
}

#[test]
fn the_check_says_how_far_voters_are_whether_they_agree_and_whether_the_id_is_free() {
    let admin_ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let ensemble = Ensemble::with(Settings {
        lines: vec!["admin.serverAddress=127.0.0.1".to_owned()],
        lines_by_voter: admin_ports
            .iter()
            .map(|port| format!("admin.serverPort={port}"))
            .collect(),
        ..Settings::default()
    });
    let observer = Observer::start(
        &ensemble,
        ObserverKind::Outpost,
        &ObserverSettings::default(),
    );
    let leader = ensemble.wait_for_leader();
    let dir = RunDir::new("check");
    let config = write_config(&dir, &ensemble, "127.0.0.1", &[]);
    let admin_port = admin_ports[leader as usize - 1];
    let admin = [
        "admin.enableServer=true".to_owned(),
        format!("admin.serverPort={admin_port}"),
    ];
    let admin = admin.each_ref().map(String::as_str);

    let free = check(&config, 250, &admin);
    for id in 1..=3 {
        let server = format!("server.{id}");
        free.assert_has("ok", &server, "ms: the median of 5, which are between ");
        free.assert_has(
            "ok",
            &server,
            "agrees in tickTime, initLimit, syncLimit, minSessionTimeout, maxSessionTimeout",
        );
        let told = usize::from(id == leader);
        let both = free.count(
            "ok",
            &server,
            "maxSessionTimeout, jute.maxbuffer, extendedTypesEnabled",
        );
        assert_eq!(both, told, "{}", free.0);
        assert_eq!(
            free.count("ok", &server, "its clock agrees with ours"),
            told,
            "{}",
            free.0
        );
    }
    free.assert_has("ok", "config", "id 250: nobody has it in server.");
    let text = format!("id 250: no observer that is attached to server.{leader} has it");
    free.assert_has("ok", "config", &text);

    let used = check(&config, observer.id, &admin);
    let text = format!(
        "an observer with id {} is attached to server.{leader} from this machine",
        observer.id
    );
    used.assert_has("warn", "config", &text);

    let mut definitions = admin.to_vec();
    definitions.extend([
        "tickTime=700",
        "jute.maxbuffer=2000000",
        "extendedTypesEnabled=true",
    ]);
    let differs = check(&config, 250, &definitions);
    let text = "has tickTime=500, and 700 counts here";
    assert_eq!(
        (1..=3)
            .map(|id| differs.count("warn", &format!("server.{id}"), text))
            .sum::<usize>(),
        3
    );
    let leader = format!("server.{leader}");
    differs.assert_has(
        "warn",
        &leader,
        "has jute.maxbuffer=1048575, and 2000000 counts here",
    );
    differs.assert_has(
        "warn",
        &leader,
        "has extendedTypesEnabled=false, and true counts here",
    );
    differs.assert_has(
        "warn",
        &leader,
        "has maxSessionTimeout=10000, and 14000 counts here",
    );
}

/// An admin server of this voter whose clock is a century ahead, and to which 10.9.9.9 is attached with id 250.
fn admin_of(server: u64) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    // Ends with the process.
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut request = [0; 1024];
            let length = connection.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]);
            let body = match request.split(' ').nth(1) {
                Some("/commands/configuration") => format!("{{\"server_id\": {server}}}"),
                Some("/commands/observers") => {
                    "{\"observers\": [{\"sid\": 250, \"remote_socket_address\": \"/10.9.9.9:4711\"}]}"
                        .to_owned()
                }
                _ => "{}".to_owned(),
            };
            let answer = format!(
                "HTTP/1.1 200 OK\r\nDate: Sat, 23 Nov 2126 12:00:00 GMT\r\nConnection: close\r\n\r\n{body}"
            );
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    port
}

#[test]
fn an_id_in_use_elsewhere_and_a_clock_that_is_wrong_are_told() {
    let ensemble = Ensemble::with(Settings::default());
    let leader = ensemble.wait_for_leader();
    let dir = RunDir::new("check");
    let config = write_config(&dir, &ensemble, "127.0.0.1", &[]);
    let port = format!("admin.serverPort={}", admin_of(leader));
    let checked = check(&config, 250, &["admin.enableServer=true", &port]);
    let text = format!(
        "id 250 is in use: an observer with it is attached to server.{leader} from 10.9.9.9; choose another"
    );
    checked.assert_has("fail", "config", &text);
    checked.assert_has("warn", &format!("server.{leader}"), "s ahead of ours: ");
    // Another voter's word does not count for this one.
    let text = "its clock is";
    let told = |id| checked.count("warn", &format!("server.{id}"), text);
    assert_eq!((1..=3).map(told).sum::<usize>(), 1, "{}", checked.0);
}

#[test]
fn an_id_that_the_ensemble_gives_to_a_voter_is_refused_although_our_file_does_not_know_it() {
    let ensemble = Ensemble::with(Settings::default());
    let dir = RunDir::new("check");
    let config = write_config(&dir, &ensemble, "127.0.0.1", &[3]);
    let checked = check(&config, 3, &[]);
    checked.assert_has("fail", "config", "id 3 is a voter's, by server.");
    checked.assert_has(
        "ok",
        "config",
        "whether an observer with id 3 is attached could not be found out",
    );
    // Nothing of all that can be asked of servers that answer nothing.
    let silent = Ensemble::with(Settings {
        lines: vec!["4lw.commands.whitelist=srvr".to_owned()],
        ..Settings::of(Version::V3_5_10)
    });
    let config = write_config(&dir, &silent, "127.0.0.1", &[]);
    let checked = check(&config, 250, &[]);
    checked.assert_has(
        "ok",
        "config",
        "whom the ensemble itself takes for members could not be found out",
    );
    let text = "its settings could not be compared with ours";
    assert_eq!(
        (1..=3)
            .map(|id| checked.count("ok", &format!("server.{id}"), text))
            .sum::<usize>(),
        3
    );
}

#[test]
fn every_address_of_a_name_is_tried() {
    let ensemble = Ensemble::with(Settings::default());
    let leader = ensemble.wait_for_leader();
    let dir = RunDir::new("check");
    let config = write_config(&dir, &ensemble, "voters.test", &[]);
    let hosts = dir.path().join("hosts");
    fs::write(&hosts, "127.0.0.1 voters.test\n127.0.0.99 voters.test\n").expect("written");
    let checked = Checked::of(with_hosts(&hosts, &outpost_binary()), &config, 250, &[]);
    let port = ensemble.server(leader).ports.quorum;
    let leader = format!("server.{leader}");
    checked.assert_has("ok", &leader, "voters.test is 127.0.0.1, 127.0.0.99");
    checked.assert_has(
        "ok",
        &leader,
        &format!("voters.test refuses at 127.0.0.99:{port}"),
    );
    checked.assert_has("ok", &leader, "answers as leader");
}
