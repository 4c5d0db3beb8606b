//! What a running Outpost shows Prometheus.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use outpost::Outpost;
use outpost::config::Config;
use outpost_tests::certificates::Authority;
use outpost_tests::run_dir::RunDir;
use outpost_wire::ServerId;
use tokio::sync::oneshot;

use crate::tools;

/// Nothing here takes this long.
const LIMIT: Duration = Duration::from_secs(30);

/// The text of `/metrics`, from a server whose voters do not answer and that speaks TLS with nobody.
pub(crate) fn text() -> String {
    text_with(&[])
}

/// The same where TLS is spoken on every side, which shows some series more.
pub(crate) fn text_with_tls() -> String {
    let authority = Authority::new();
    let key_store = authority.vouch("server");
    let mut lines = authority.lines(&key_store);
    let quorum = lines.iter().map(|line| line.replace("ssl.", "ssl.quorum."));
    lines.extend(quorum.collect::<Vec<_>>());
    lines.push("sslQuorum=true\nsecureClientPort=0\nsecureClientPortAddress=127.0.0.1".to_owned());
    text_with(&lines)
}

fn text_with(further: &[String]) -> String {
    let dir = RunDir::new("deploy");
    let zoo_cfg = dir.path().join("zoo.cfg");
    let lines = format!(
        "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\n\
         admin.enableServer=false\nmetricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpPort=0\n\
         outpost.workers=1\nserver.1=127.0.0.1:1:2\nserver.2=127.0.0.1:1:2\nserver.3=127.0.0.1:1:2\n",
        dir.path().display()
    );
    std::fs::write(&zoo_cfg, lines + &further.join("\n")).unwrap();
    let loaded = Config::load(&zoo_cfg, Some(ServerId(9)), std::iter::empty()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let outpost = runtime.block_on(Outpost::build(loaded.config)).unwrap();
    let address = outpost.metrics_address().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = runtime.spawn(outpost.run(async {
        let _ = stopped.await;
    }));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let _ = stop.send(());
    runtime.block_on(running).unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{head}");
    body.to_owned()
}

/// The series of an exposition, as `name` or `name{label="value"}`.
pub(crate) fn series(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let series = lines.filter_map(|line| line.rsplit_once(' '));
    series.map(|(series, _)| series.to_owned()).collect()
}

#[test]
fn prometheus_reads_the_exposition() {
    let mut promtool = Command::new("promtool");
    let output = tools::run(promtool.args(["check", "metrics"]), &text_with_tls());
    let said = tools::said(&output);
    // Exit code 3: it could be read, and promtool would have chosen other names for some metrics. Names that
    // ZooKeeper has given are kept, so only what it says of our own counts.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");
    let ours = said.lines().filter(|line| line.contains("outpost_"));
    assert_eq!(ours.collect::<Vec<_>>(), Vec::<&str>::new());
}
