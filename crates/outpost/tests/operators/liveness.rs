//! Whether `/live` tells the truth: threads are really held up, by a lock that they need.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use outpost::liveness::SILENCE_MAX;
use outpost::serve::Service;
use outpost_forward::pulse::BEAT;
use outpost_wire::OpCode;
use tokio::time::timeout;

use crate::attached::{Client, attached, send};
use crate::server::LIMIT;

/// The tree, held by a thread of the test: whoever needs it waits.
struct Held {
    release: mpsc::SyncSender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Held {
    fn take(service: &Arc<Service>) -> Held {
        let service = Arc::clone(service);
        let (release, released) = mpsc::sync_channel(1);
        let (taken, is_taken) = mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            let _guard = service.mirror.write();
            taken.send(()).unwrap();
            // Or the test is over, one way or another.
            let _ = released.recv();
        });
        is_taken.recv().unwrap();
        Held { release, thread }
    }

    fn release(self) {
        self.release.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

/// When the link thread, which nobody holds up, moved last.
fn link_moved(service: &Service) -> Instant {
    let [(name, pulse), _] = service.link.pulses();
    assert_eq!(name, "link");
    pulse.last().unwrap()
}

/// Waits until the link thread has moved for a while longer than another has, and returns a moment at which that
/// other has been silent for too long, and the link thread has not.
async fn moment_of_silence(service: &Service, moved: impl Fn() -> Option<Instant>) -> Instant {
    let waiting = async {
        loop {
            if let Some(moved) = moved()
                && link_moved(service) > moved + 2 * BEAT
            {
                return moved + SILENCE_MAX + Duration::from_millis(1);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, waiting).await.unwrap()
}

/// Waits until everything moves.
async fn recovers(service: &Service, at: Instant) {
    let waiting = async {
        while service.live(at).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, waiting).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_hangs_is_found_and_nobody_else_is_blamed() {
    let (ensemble, server) = attached("outpost.workers=1\n").await;
    let mut client = Client::connect(server.clients).await;
    let held = Held::take(&server.service);
    send(&mut client.stream, |writer| {
        writer.int(1);
        writer.int(OpCode::GetData.code());
        writer.buffer(Some(b"/"));
        writer.boolean(false);
    })
    .await;
    let worker = server.service.liveness.worker(0);
    let at = moment_of_silence(&server.service, || worker.last()).await;
    assert_eq!(server.service.live(at - Duration::from_millis(1)), Ok(()));
    let stuck = server.service.live(at).unwrap_err();
    assert_eq!(stuck.thread, "worker-0");
    assert_eq!(
        stuck.to_string(),
        "the thread worker-0 has not moved for 60 s"
    );
    held.release();
    recovers(&server.service, at).await;
    server.stop().await;
    ensemble.stop().await;
}

#[tokio::test]
async fn an_apply_thread_that_hangs_is_found() {
    let (ensemble, server) = attached("").await;
    let held = Held::take(&server.service);
    ensemble
        .write_as_someone_else("/change", b"")
        .await
        .unwrap();
    let [_, (name, apply)] = server.service.link.pulses();
    let at = moment_of_silence(&server.service, || apply.last()).await;
    let stuck = server.service.live(at).unwrap_err();
    assert_eq!((stuck.thread.as_str(), name), ("apply", "apply"));
    held.release();
    recovers(&server.service, at).await;
    assert_eq!(server.get("/live").await, (200, "live\n".to_owned()));
    server.stop().await;
    ensemble.stop().await;
}
