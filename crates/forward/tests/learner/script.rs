//! Runs a script against a learner and writes down what it does.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bstr::ByteSlice;
use bytes::BytesMut;
use expect_test::Expect;
use outpost_forward::Lost;
use outpost_forward::event::Event;
use outpost_forward::learner::{Forwarded, Learner, Settings};
use outpost_mirror::{Tree, TreeOptions};
use outpost_wire::quorum::{ForwardedRequest, LearnerInfo, PacketType, QuorumPacket};
use outpost_wire::txn::TxnEntry;
use outpost_wire::{Id, OpCode, Reader, ServerId, SessionId, Writer, Xid, Zxid};

/// How long the master may be silent before UPTODATE.
pub(crate) const INIT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long it may be silent afterwards.
pub(crate) const SYNC_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest data of a packet.
pub(crate) const PACKET_BYTES_MAX: usize = 1 << 20;

/// One thing that happens to the learner.
#[derive(Clone)]
pub(crate) enum Step {
    /// The master sends a packet.
    Packet(QuorumPacket),
    /// The master sends bytes that are no packet.
    Bytes(Vec<u8>),
    /// A client of ours shows itself.
    Touch(i64),
    /// A client of ours asks for something; the identities are null where there are none.
    Submit(OpCode, &'static [u8], Option<&'static str>),
    /// A client of ours comes back.
    Revalidate(i64),
    /// So much time goes by.
    Wait(Duration),
}

impl From<QuorumPacket> for Step {
    fn from(packet: QuorumPacket) -> Step {
        Step::Packet(packet)
    }
}

/// A learner whose mirror ends at `last_zxid` and that has seen the epoch of that zxid.
pub(crate) fn observer(last_zxid: i64) -> Settings {
    Settings {
        server_id: ServerId(10),
        last_zxid: Zxid(last_zxid),
        accepted_epoch: Zxid(last_zxid).epoch(),
        master: Some(ServerId(3)),
        master_is_legacy: false,
        packet_bytes_max: PACKET_BYTES_MAX,
        init_timeout: INIT_TIMEOUT,
        silence_timeout: SYNC_TIMEOUT,
        tree: TreeOptions::default(),
    }
}

/// Runs the script packet by packet and holds the outcome against `expected`; then once more byte by byte
/// and once more with as much as possible at a time, which must come to the same.
// Scripts and expectations are written down where they are handed over.
#[allow(clippy::needless_pass_by_value)]
pub(crate) fn check(settings: Settings, script: impl AsRef<[Step]>, expected: Expect) {
    let script = script.as_ref();
    let by_packets = Run::of(settings.clone(), script, Pieces::Packets);
    expected.assert_eq(&by_packets.transcript());
    let by_bytes = Run::of(settings.clone(), script, Pieces::Bytes);
    assert_eq!(
        by_bytes.transcript(),
        by_packets.transcript(),
        "byte by byte"
    );
    let at_once = Run::of(settings, script, Pieces::All);
    assert_eq!(at_once.sent, by_packets.sent, "all at once");
    assert_eq!(at_once.events, by_packets.events, "all at once");
    assert_eq!(at_once.ended, by_packets.ended, "all at once");
}

/// How the master's bytes are cut on their way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pieces {
    Bytes,
    Packets,
    All,
}

/// What became of a script.
#[derive(Default)]
pub(crate) struct Run {
    /// Everything, in the order in which it happened.
    lines: Vec<String>,
    /// What the learner sent.
    pub(crate) sent: Vec<String>,
    /// What came out of it.
    pub(crate) events: Vec<String>,
    /// Where it stands, or why the link is lost.
    pub(crate) ended: String,
}

impl Run {
    pub(crate) fn of(settings: Settings, script: &[Step], pieces: Pieces) -> Run {
        let mut driven = Driven::new(settings);
        let mut run = Run::default();
        run.drain(&mut driven);
        let mut waiting = Vec::new();
        let mut lost = None;
        for step in script {
            if lost.is_some() {
                break;
            }
            let bytes = match step {
                Step::Packet(packet) => bytes_of(packet),
                Step::Bytes(bytes) => bytes.clone(),
                other => {
                    lost = driven.receive(&std::mem::take(&mut waiting)).err();
                    run.drain(&mut driven);
                    lost = lost.or_else(|| driven.act(other).err());
                    run.drain(&mut driven);
                    continue;
                }
            };
            match pieces {
                Pieces::All => waiting.extend(bytes),
                Pieces::Packets => {
                    lost = driven.receive(&bytes).err();
                    run.drain(&mut driven);
                }
                Pieces::Bytes => {
                    for byte in bytes {
                        lost = lost.or_else(|| driven.receive(&[byte]).err());
                        run.drain(&mut driven);
                    }
                }
            }
        }
        lost = lost.or_else(|| driven.receive(&waiting).err());
        run.drain(&mut driven);
        run.ended = describe_end(&driven.learner, lost.as_ref());
        run
    }

    /// Everything as text.
    pub(crate) fn transcript(&self) -> String {
        let mut text = self.lines.join("\n");
        text.push('\n');
        text.push_str(&self.ended);
        text.push('\n');
        text
    }

    fn drain(&mut self, driven: &mut Driven) {
        let mut output = Vec::new();
        driven.learner.take_output(&mut output);
        let mut output = BytesMut::from(&output[..]);
        while let Some(packet) = QuorumPacket::take(&mut output, usize::MAX).expect("a packet") {
            let line = format!("sends {}", describe_packet(&packet));
            self.lines.push(line.clone());
            self.sent.push(line);
        }
        assert!(output.is_empty(), "half a packet was sent");
        while let Some(event) = driven.learner.poll_event() {
            let line = describe_event(event);
            self.lines.push(line.clone());
            self.events.push(line);
        }
    }
}

/// A learner with what its driver holds beside it.
struct Driven {
    learner: Learner,
    now: Instant,
    input: BytesMut,
    touched: RefCell<Vec<i64>>,
    next_cxid: i32,
}

impl Driven {
    fn new(settings: Settings) -> Driven {
        let now = Instant::now();
        Driven {
            learner: Learner::new(settings, now),
            now,
            input: BytesMut::new(),
            touched: RefCell::default(),
            next_cxid: 1,
        }
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.input.extend_from_slice(bytes);
        let touched = &self.touched;
        let touches = |table: &mut Vec<u8>| {
            let mut writer = Writer::new(table);
            for session in touched.take() {
                writer.long(session);
                writer.int(6_000);
            }
        };
        self.learner
            .handle_input(self.now, &mut self.input, &touches)
    }

    fn act(&mut self, step: &Step) -> Result<(), Lost> {
        match *step {
            Step::Packet(_) | Step::Bytes(_) => {}
            Step::Touch(session) => self.touched.borrow_mut().push(session),
            Step::Submit(op, body, user) => {
                let request = ForwardedRequest {
                    session: SessionId(7),
                    cxid: Xid(self.next_cxid),
                    op: op.code(),
                    body,
                };
                self.next_cxid += 1;
                let ids = user.map(|user| [Id::new("digest", user)]);
                let authinfo = ids.as_ref().map(|ids| &ids[..]);
                self.learner.submit(&Forwarded { request, authinfo });
            }
            Step::Revalidate(session) => self.learner.revalidate(SessionId(session), 6_000),
            Step::Wait(duration) => {
                self.now += duration;
                if self.learner.deadline() <= self.now {
                    return Err(self.learner.silence());
                }
            }
        }
        Ok(())
    }
}

pub(crate) fn bytes_of(packet: &QuorumPacket) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.write(&mut Writer::new(&mut bytes));
    bytes
}

/// What a master sends with this step.
pub(crate) fn bytes_of_step(step: &Step) -> Vec<u8> {
    match step {
        Step::Packet(packet) => bytes_of(packet),
        Step::Bytes(bytes) => bytes.clone(),
        _ => unreachable!("masters send packets and bytes"),
    }
}

fn describe_end(learner: &Learner, lost: Option<&Lost>) -> String {
    match lost {
        Some(lost) if lost.starts_over() => format!("ends, to start over: {lost}"),
        Some(lost) => format!("ends: {lost}"),
        None if learner.is_following() => format!("follows, leader at {}", learner.leader_zxid()),
        None if learner.is_registered() => "synchronizes".into(),
        None => "waits for an answer".into(),
    }
}

fn describe_packet(packet: &QuorumPacket) -> String {
    let kind = packet.packet_type().expect("a known type");
    let mut text = format!("{kind:?} {}", packet.zxid);
    match &packet.data {
        None => text.push_str(" null"),
        Some(data) => _ = write!(text, " {}", describe_data(kind, data)),
    }
    match packet.authinfo.as_deref() {
        None => {}
        Some([]) => text.push_str(" of nobody"),
        Some(ids) => {
            for id in ids {
                _ = write!(text, " of {}:{}", id.scheme, id.id);
            }
        }
    }
    text
}

fn describe_data(kind: PacketType, data: &[u8]) -> String {
    let mut reader = Reader::new(data);
    let mut pair = |what| {
        let session = SessionId(reader.long(what).expect("a session"));
        let timeout_ms = reader.int(what).expect("a timeout");
        format!("{session}/{timeout_ms}ms")
    };
    match kind {
        PacketType::ObserverInfo => {
            let LearnerInfo {
                server_id,
                protocol_version,
                config_version,
            } = LearnerInfo::read(data).expect("LearnerInfo");
            format!(
                "server {server_id} speaks {protocol_version:#x}, configuration {config_version}, \
                 in {} bytes",
                data.len()
            )
        }
        PacketType::Revalidate => pair("revalidate"),
        PacketType::Ping => {
            let touches: Vec<String> = data.chunks(12).map(|_| pair("touch")).collect();
            format!("[{}]", touches.join(" "))
        }
        PacketType::Request => {
            let request = ForwardedRequest::read(data).expect("a request");
            let op = OpCode::from_code(request.op).expect("an operation");
            format!(
                "{op:?} cxid {} of session {}, body {:?}",
                request.cxid,
                request.session,
                request.body.as_bstr()
            )
        }
        _ => data.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn describe_event(event: Event) -> String {
    match event {
        Event::Snapshot(tree) => describe_tree(&tree),
        Event::Committed { zxid, bytes, .. } => {
            // Whether the record can be read is for the apply thread to find out.
            let kind = TxnEntry::decode(&bytes).map(|entry| OpCode::from_code(entry.header.kind));
            match kind {
                Ok(Some(kind)) => format!("committed {zxid} {kind:?}"),
                _ => format!("committed {zxid} unreadable"),
            }
        }
        Event::UpToDate {
            membership: None, ..
        } => "up to date".into(),
        Event::UpToDate {
            membership: Some(text),
            ..
        } => format!("up to date with {}", String::from_utf8_lossy(&text)),
        Event::Synced => "synced".into(),
        Event::Revalidated { session, valid } => format!("revalidated {session} {valid}"),
        Event::Lost { .. } | Event::HoldOver => unreachable!("the driver's own event"),
    }
}

/// The znodes below the root, but `/zookeeper`.
fn describe_tree(tree: &Tree) -> String {
    let mut nodes = Vec::new();
    let walked: Result<(), std::convert::Infallible> = tree.for_each_node(|path, data, _, stat| {
        if !path.starts_with(b"/zookeeper") {
            let data = data.map_or("null".into(), String::from_utf8_lossy);
            let (cversion, pzxid) = (stat.cversion, stat.pzxid);
            nodes.push(format!(
                "\n  {path}/ = {data}, {cversion} children until {pzxid}"
            ));
        }
        Ok(())
    });
    let Ok(()) = walked;
    let sessions: Vec<String> = tree.sessions().keys().map(ToString::to_string).collect();
    let (zxid, sessions) = (tree.last_zxid(), sessions.join(" "));
    format!(
        "snapshot at {zxid}, sessions [{sessions}]{}",
        nodes.concat()
    )
}
