//! P6, in the audit log: what waits for a full disk has a bound, and no client waits with it.

use std::fs;
use std::os::unix::fs::symlink;

use bstr::BStr;
use outpost_tests::run_dir::RunDir;
use outpost_wire::OpCode;
use outpost_wire::proto::{CreateMode, MultiOp, MultiRequest, SetDataRequest};

use crate::stage::{LIMIT, Site, until};

/// So many writes in one multi that few of them fill the buffer.
const WRITES: usize = 1_500;
/// So many multis fill it.
const MULTIS: usize = 20;

#[test]
fn p6_a_full_disk_under_the_audit_log_stops_no_client_and_what_is_lost_is_counted_and_told_of() {
    let dir = RunDir::new("audit");
    let file = dir.path().join("audit.log");
    symlink("/dev/full", &file).unwrap();
    let site = Site::new();
    let named = format!("outpost.auditFile={}", file.display());
    let observer = site.observer_with(&["audit.enable=true", &named]);
    let path = format!("/{}", "long".repeat(150));
    let mut client = observer.client();
    client
        .create(&path, b"", CreateMode::Persistent)
        .expect("created");
    let set = || {
        MultiOp::SetData(SetDataRequest {
            path: BStr::new(&path),
            data: None,
            version: -1,
        })
    };
    let request = MultiRequest {
        ops: std::iter::repeat_with(set).take(WRITES).collect(),
    };
    let audit = observer.service.audit.clone().expect("it is on");
    // Each fills about a fifteenth.
    for _ in 0..MULTIS {
        client.request(OpCode::Multi, &request).ok().expect("done");
    }
    // Beside them the start and the create. Lines are made once a batch is over.
    let lines = (MULTIS * WRITES) as u64 + 2;
    until("everything to be told of", LIMIT, || {
        (audit.told() == lines).then_some(())
    });
    let lost = audit.lost();
    assert!(
        lost > WRITES as u64,
        "{lost} of {} lines lost",
        audit.told()
    );
    assert!(lost < audit.told(), "{lost} of {} lines lost", audit.told());
    assert_eq!(
        observer.gauge("outpost_audit_lines_lost_total"),
        lost as f64
    );
    assert_eq!(
        observer.gauge("outpost_audit_lines_total"),
        audit.told() as f64
    );

    // A new file is the way out.
    fs::remove_file(&file).unwrap();
    assert!(audit.reopen());
    let text = until("what waited to be written", LIMIT, || {
        // What finds no room is lost and counted as before.
        client.set_data(&path, b"").expect("set");
        let text = fs::read_to_string(&file).ok()?;
        (text.contains("auditLinesLost") && text.ends_with('\n')).then_some(text)
    });
    let lost = text
        .split('\t')
        .find_map(|field| field.strip_prefix("lines="));
    let lost: u64 = lost.expect("a number").parse().expect("a number");
    assert_eq!(lost, audit.lost());
    let gap = text.find("auditLinesLost").expect("found");
    assert!(text[..gap].lines().count() as u64 > 10 * WRITES as u64);
}
