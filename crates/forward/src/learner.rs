//! Our side of the learner protocol, as a value: no socket, no clock, no task.
//!
//! ```text
//!                 OBSERVERINFO →
//!   Registering ── LEADERINFO ──→ Synchronizing ── UPTODATE ──→ Following
//!        │                         DIFF | TRUNC | SNAP,          INFORM, PING,
//!        └── NEWLEADER (3.3) ────→ history, NEWLEADER             SYNC, REVALIDATE
//! ```
//!
//! What the synchronisation itself does stands in [`crate::sync`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use outpost_mirror::TreeOptions;
use outpost_wire::quorum::{
    ForwardedRequest, LearnerInfo, PROTOCOL_VERSION, PacketType, QuorumPacket,
};
use outpost_wire::txn::TxnHeader;
use outpost_wire::{Id, Reader, Record, ServerId, SessionId, Writer, Zxid};

use crate::event::Event;
use crate::lost::Lost;
use crate::progress::Received;
use crate::recorder::{Direction, Recorder, Recording};
use crate::sync::Sync;

/// What one life of the link needs to know beforehand.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our id; must not belong to a voter.
    pub server_id: ServerId,
    /// Zxid of the last transaction in the mirror; [`Zxid::ZERO`] asks for a snapshot.
    pub last_zxid: Zxid,
    /// Newest epoch seen so far; a master that offers an older one is refused.
    pub accepted_epoch: u32,
    /// The leader's id, where it is known that the other end is the leader: a reconfiguration that names another
    /// then ends the link.
    pub master: Option<ServerId>,
    /// Whether the master was found to be of 3.3, which reads the last zxid from OBSERVERINFO.
    pub master_is_legacy: bool,
    /// Longest data of a packet, in bytes.
    pub packet_bytes_max: usize,
    /// How long the master may be silent before it says UPTODATE (initLimit × tickTime).
    pub init_timeout: Duration,
    /// How long the master may be silent afterwards; it sends a PING every half tick.
    pub silence_timeout: Duration,
    /// How a tree read from a snapshot is to behave.
    pub tree: TreeOptions,
}

/// One life of the link to a learner master, from OBSERVERINFO until it is lost.
///
/// Holds no socket and no clock. Call [`Learner::handle_input`] when bytes came, then drain
/// [`Learner::take_output`] and [`Learner::poll_event`], and wait for input no longer than until
/// [`Learner::deadline`]. A `Learner` is never reused: once the link is lost it is dropped, and the
/// next one starts from the mirror's last zxid.
pub struct Learner {
    settings: Settings,
    phase: Phase,
    epoch: u32,
    last_zxid: Zxid,
    leader_zxid: Zxid,
    heard: Instant,
    /// The moment that was told last.
    now: Instant,
    recorder: Recorder,
    output: Vec<u8>,
    events: VecDeque<Event>,
}

enum Phase {
    Registering,
    Synchronizing(Box<Sync>),
    Following,
}

/// What a client's request, a sync or a new session becomes on the link.
#[derive(Debug, Clone, Copy)]
pub struct Forwarded<'a> {
    /// Session, cxid, operation and body.
    pub request: ForwardedRequest<'a>,
    /// The identities under which the leader checks it; null for what a server asks on its own.
    pub authinfo: Option<&'a [Id]>,
}

impl Learner {
    /// Begins a life of the link: OBSERVERINFO waits in the output.
    pub fn new(settings: Settings, now: Instant) -> Learner {
        let mut learner = Learner {
            phase: Phase::Registering,
            epoch: settings.accepted_epoch,
            last_zxid: settings.last_zxid,
            leader_zxid: settings.last_zxid,
            heard: now,
            now,
            recorder: Recorder::new(),
            output: Vec::new(),
            events: VecDeque::new(),
            settings,
        };
        learner.send_observer_info();
        learner
    }

    /// Whether the master has answered OBSERVERINFO.
    pub fn is_registered(&self) -> bool {
        !matches!(self.phase, Phase::Registering)
    }

    /// Whether UPTODATE has come.
    pub fn is_following(&self) -> bool {
        matches!(self.phase, Phase::Following)
    }

    /// Whether the master is of 3.3.
    pub fn master_is_legacy(&self) -> bool {
        match &self.phase {
            Phase::Synchronizing(sync) => sync.is_legacy(),
            _ => self.settings.master_is_legacy,
        }
    }

    /// Epoch of the master, once it is known.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The newest zxid that the master is known to have, from its transactions and PINGs, and from what it
    /// offers when the synchronisation begins.
    pub fn leader_zxid(&self) -> Zxid {
        self.leader_zxid
    }

    /// What has come of a snapshot, from when it begins until it is handed on.
    pub fn snapshot_received(&self) -> Option<Received> {
        match &self.phase {
            Phase::Synchronizing(sync) => sync.snapshot_received(),
            _ => None,
        }
    }

    /// The last packets of this life, in both directions.
    pub fn recording(&self) -> Recording {
        self.recorder.recording()
    }

    /// Tells the time to what is recorded of the requests that follow.
    pub fn tell_time(&mut self, now: Instant) {
        self.now = now;
    }

    /// When the link counts as dead unless something comes.
    pub fn deadline(&self) -> Instant {
        self.heard + self.patience()
    }

    /// What to say when the deadline has passed.
    pub fn silence(&self) -> Lost {
        Lost::Silent(self.patience())
    }

    /// Bytes waiting to be written to the socket.
    pub fn output_len(&self) -> usize {
        self.output.len()
    }

    /// Bytes kept: those to be written to the socket, and history that waits for its leader to be confirmed.
    pub fn kept_bytes(&self) -> usize {
        let history = match &self.phase {
            Phase::Synchronizing(sync) => sync.history_bytes(),
            _ => 0,
        };
        self.output.capacity() + history
    }

    /// Moves the bytes to be written to the end of `out`.
    pub fn take_output(&mut self, out: &mut Vec<u8>) {
        if out.is_empty() {
            std::mem::swap(out, &mut self.output);
        } else {
            out.append(&mut self.output);
        }
    }

    /// The next thing the ensemble told us.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Takes as many whole packets off the front of `input` as there are. `touches` appends the
    /// sessions touched since it was last asked, as a PING's answer carries them.
    ///
    /// # Errors
    /// When the link must be given up.
    pub fn handle_input(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
        touches: &dyn Fn(&mut Vec<u8>),
    ) -> Result<(), Lost> {
        self.heard = now;
        self.now = now;
        loop {
            if let Phase::Synchronizing(sync) = &mut self.phase
                && sync.is_loading()
            {
                if !sync.load(input)? {
                    return Ok(());
                }
                continue;
            }
            match QuorumPacket::take(input, self.settings.packet_bytes_max)? {
                None => return Ok(()),
                Some(packet) => {
                    self.recorder.record(now, Direction::Received, &packet);
                    self.handle_packet(packet, touches)?;
                }
            }
        }
    }

    /// Queues a request for the master. Only while following.
    pub fn submit(&mut self, forwarded: &Forwarded<'_>) {
        let mut data = Vec::with_capacity(16 + forwarded.request.body.len());
        forwarded.request.write(&mut Writer::new(&mut data));
        let mut packet = QuorumPacket::new(PacketType::Request, Zxid(-1), Some(Bytes::from(data)));
        packet.authinfo = forwarded.authinfo.map(<[Id]>::to_vec);
        self.send(&packet);
    }

    /// Asks the leader whether `session` may attach here.
    pub fn revalidate(&mut self, session: SessionId, timeout_ms: i32) {
        let mut data = Vec::with_capacity(12);
        let mut writer = Writer::new(&mut data);
        writer.long(session.0);
        writer.int(timeout_ms);
        self.send(&QuorumPacket::new(
            PacketType::Revalidate,
            Zxid(-1),
            Some(Bytes::from(data)),
        ));
    }

    /// Tells the leader which sessions were touched without waiting for its next PING. Only while following.
    /// `table` is as a PING's answer carries it.
    pub fn send_touches(&mut self, table: Vec<u8>) {
        let zxid = self.last_zxid;
        self.send(&QuorumPacket::new(
            PacketType::Ping,
            zxid,
            Some(Bytes::from(table)),
        ));
    }

    fn patience(&self) -> Duration {
        match self.phase {
            Phase::Following => self.settings.silence_timeout,
            _ => self.settings.init_timeout,
        }
    }

    fn send(&mut self, packet: &QuorumPacket) {
        self.recorder.record(self.now, Direction::Sent, packet);
        packet.write(&mut Writer::new(&mut self.output));
    }

    /// A master since 3.4 reads our accepted epoch here and, while it collects voters, may raise its
    /// own epoch above it; a master of 3.3 reads our last zxid. Zero is harmless to the first and
    /// gets a snapshot from the second.
    fn send_observer_info(&mut self) {
        let info = LearnerInfo {
            server_id: self.settings.server_id,
            protocol_version: PROTOCOL_VERSION,
            // A master refuses a learner that knows a newer membership than itself; zero never is.
            config_version: 0,
        };
        let zxid = match self.settings.master_is_legacy {
            true => self.settings.last_zxid,
            false => Zxid::ZERO,
        };
        let mut data = Vec::with_capacity(20);
        info.write(&mut Writer::new(&mut data));
        self.send(&QuorumPacket::new(
            PacketType::ObserverInfo,
            zxid,
            Some(Bytes::from(data)),
        ));
    }

    fn handle_packet(
        &mut self,
        packet: QuorumPacket,
        touches: &dyn Fn(&mut Vec<u8>),
    ) -> Result<(), Lost> {
        match self.phase {
            Phase::Registering => self.register(&packet),
            Phase::Synchronizing(_) => self.synchronize(packet),
            Phase::Following => self.follow(packet, touches),
        }
    }

    fn register(&mut self, packet: &QuorumPacket) -> Result<(), Lost> {
        let legacy = match packet.packet_type() {
            Some(PacketType::LeaderInfo) => false,
            Some(PacketType::NewLeader) => true,
            _ => return Err(unexpected(packet, "in answer to OBSERVERINFO")),
        };
        let offered = packet.zxid.epoch();
        if offered < self.settings.accepted_epoch {
            let accepted = self.settings.accepted_epoch;
            return Err(Lost::StaleMaster { offered, accepted });
        }
        self.epoch = offered;
        if !legacy {
            // The epoch -1 says that this does not count as a voter's acknowledgement.
            let no_vote = Bytes::from_static(&[0xff; 4]);
            let zxid = self.settings.last_zxid;
            self.send(&QuorumPacket::new(
                PacketType::AckEpoch,
                zxid,
                Some(no_vote),
            ));
        }
        self.phase = Phase::Synchronizing(Box::new(Sync::new(legacy, offered, &self.settings)));
        Ok(())
    }

    fn synchronize(&mut self, packet: QuorumPacket) -> Result<(), Lost> {
        let Phase::Synchronizing(sync) = &mut self.phase else {
            return Ok(());
        };
        let step = sync.handle_packet(packet, self.now, &mut self.events)?;
        self.last_zxid = sync.last_zxid();
        let known = self.last_zxid.max(sync.master_zxid());
        self.leader_zxid = self.leader_zxid.max(known);
        let ack = QuorumPacket::new(PacketType::Ack, Zxid::of_epoch(self.epoch), None);
        match step {
            Step::More => {}
            Step::NewLeader => self.send(&ack),
            Step::UpToDate => {
                self.settings.master_is_legacy = sync.is_legacy();
                self.phase = Phase::Following;
                self.send(&ack);
            }
        }
        Ok(())
    }

    fn follow(&mut self, packet: QuorumPacket, touches: &dyn Fn(&mut Vec<u8>)) -> Result<(), Lost> {
        match packet.packet_type() {
            Some(PacketType::Inform) => self.committed(data_of(packet, "INFORM")?),
            Some(PacketType::InformAndActivate) => {
                let (suggested, bytes) = split_activation(data_of(packet, "INFORMANDACTIVATE")?)?;
                self.committed(bytes)?;
                match self.settings.master {
                    Some(master) if master != suggested => Err(Lost::LeaderChanges { suggested }),
                    _ => Ok(()),
                }
            }
            Some(PacketType::Ping) => {
                self.leader_zxid = self.leader_zxid.max(packet.zxid);
                // Not null, even when nothing was touched: a master fails on null.
                let mut touched = Vec::new();
                touches(&mut touched);
                let data = Some(Bytes::from(touched));
                self.send(&QuorumPacket { data, ..packet });
                Ok(())
            }
            Some(PacketType::Sync) => {
                self.events.push_back(Event::Synced);
                Ok(())
            }
            Some(PacketType::Revalidate) => {
                let data = data_of(packet, "REVALIDATE")?;
                let mut reader = Reader::new(&data);
                let session = SessionId(reader.long("Revalidate.sessionId")?);
                let valid = reader.boolean("Revalidate.valid")?;
                self.events.push_back(Event::Revalidated { session, valid });
                Ok(())
            }
            // Java's observer ignores what it does not know, and so may newer masters expect.
            _ => {
                tracing::debug!(kind = packet.kind, zxid = %packet.zxid, "packet ignored");
                Ok(())
            }
        }
    }

    fn committed(&mut self, bytes: Bytes) -> Result<(), Lost> {
        let header = TxnHeader::read(&mut Reader::new(&bytes))?;
        let zxid = header.zxid;
        if !zxid.follows(self.last_zxid) {
            return Err(Lost::Misbehaved(format!(
                "transaction {zxid} cannot follow {}",
                self.last_zxid
            )));
        }
        self.last_zxid = zxid;
        self.leader_zxid = self.leader_zxid.max(zxid);
        self.events.push_back(Event::committed(&header, bytes));
        Ok(())
    }
}

/// How far a packet has taken the synchronisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is more to come.
    More,
    /// NEWLEADER is taken and wants its ACK.
    NewLeader,
    /// UPTODATE is taken and wants its ACK; we follow from here.
    UpToDate,
}

/// The packet's data, which must not be null.
pub(crate) fn data_of(packet: QuorumPacket, name: &str) -> Result<Bytes, Lost> {
    packet
        .data
        .ok_or_else(|| Lost::Misbehaved(format!("{name} without data")))
}

/// Splits INFORMANDACTIVATE into the voter that is to lead and the transaction.
pub(crate) fn split_activation(mut data: Bytes) -> Result<(ServerId, Bytes), Lost> {
    let suggested = ServerId(Reader::new(&data).long("suggestedLeader")?);
    Ok((suggested, data.split_off(8)))
}

pub(crate) fn unexpected(packet: &QuorumPacket, place: &str) -> Lost {
    match packet.packet_type() {
        Some(kind) => Lost::Misbehaved(format!("{kind:?} {place}")),
        None => Lost::Misbehaved(format!("packet of unknown type {} {place}", packet.kind)),
    }
}
