//! The synchronisation that precedes following: DIFF, TRUNC or SNAP, and the history behind it.
//!
//! A snapshot is fuzzy: the master writes it while it goes on applying, and sends what it applied
//! meanwhile once more. Such transactions are replayed into the tree that was read, tolerantly and before
//! anybody can see it; from NEWLEADER on the tree is exact.
//!
//! Nothing is handed on before it is known to be committed (P1). A leader that has just been elected sends its
//! history before a quorum has confirmed it, and should it fail then, the end of that history may never have
//! happened. UPTODATE says that it is confirmed; so does a transaction of the leader's own epoch.
//!
//! Masters of 3.3 and of 3.4 up to 3.4.5 count whoever acknowledges NEWLEADER, observers too: our ACK can make a
//! leader of one that has no quorum (P9). Those of 3.3 want it behind UPTODATE, which says nothing then. So masters
//! that may be as old get their first ACK when they are known to be in office: only then do leaders send PINGs, or
//! transactions of their epoch. As long as they are not, some send NEWLEADER twice, as the proposal that it is to them.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use outpost_mirror::{Tree, TreeBuilder};
use outpost_wire::files::{SnapshotDecoder, SnapshotItem};
use outpost_wire::quorum::{PacketType, QuorumPacket};
use outpost_wire::txn::{TxnEntry, TxnHeader};
use outpost_wire::{Reader, Record, Zxid};

use crate::event::Event;
use crate::learner::{Settings, Step, data_of, split_activation, unexpected};
use crate::lost::Lost;
use crate::progress::Received;

/// Proposals that may wait for their COMMIT. A master sends each with its COMMIT right behind;
/// those of 3.3 and early 3.4 also send what is still in flight, at most a few thousand.
const PROPOSALS_MAX: usize = 100_000;

/// Bytes of history that may wait for the leader to be confirmed. It is what was committed while there was no
/// link, or what a new leader brought along.
const UNCONFIRMED_BYTES_MAX: usize = 64 << 20;

/// The synchronisation part of a `Learner`.
pub(crate) struct Sync {
    /// Master of 3.3: NEWLEADER came first and gets no ACK of its own.
    legacy: bool,
    /// The master's.
    epoch: u32,
    last_zxid: Zxid,
    /// How far the master said it was when it began.
    master_zxid: Zxid,
    settings: Settings,
    base: Base,
    /// Not yet committed, oldest first.
    proposals: VecDeque<(Zxid, Bytes)>,
    membership: Option<Bytes>,
    /// NEWLEADER has come.
    newleader: bool,
    /// The master is known to lead with a quorum behind it.
    in_office: bool,
    /// What is to be done when that is so.
    owes: Option<Step>,
    /// What has come of the snapshot, if there is one.
    received: Received,
    /// History that waits for the leader to be confirmed, and its bytes.
    history: VecDeque<Event>,
    history_bytes: usize,
}

/// What the history is applied to.
enum Base {
    /// The master has not said yet.
    Unknown,
    /// The mirror as it is.
    Mirror,
    /// A snapshot that is still arriving.
    Loading(Box<Loading>),
    /// A snapshot that is complete but fuzzy until NEWLEADER.
    Fuzzy(Box<Tree>),
}

struct Loading {
    decoder: SnapshotDecoder,
    builder: TreeBuilder,
}

impl Sync {
    pub(crate) fn new(legacy: bool, epoch: u32, settings: &Settings) -> Sync {
        Sync {
            legacy,
            epoch,
            last_zxid: settings.last_zxid,
            master_zxid: Zxid::ZERO,
            settings: settings.clone(),
            base: Base::Unknown,
            proposals: VecDeque::new(),
            membership: None,
            newleader: legacy,
            in_office: false,
            owes: None,
            received: Received::default(),
            history: VecDeque::new(),
            history_bytes: 0,
        }
    }

    pub(crate) fn is_legacy(&self) -> bool {
        self.legacy
    }

    pub(crate) fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    pub(crate) fn master_zxid(&self) -> Zxid {
        self.master_zxid
    }

    pub(crate) fn is_loading(&self) -> bool {
        matches!(self.base, Base::Loading(_))
    }

    /// Bytes of history that waits for the leader to be confirmed.
    pub(crate) fn history_bytes(&self) -> usize {
        self.history_bytes
    }

    /// What has come of a snapshot, from when it begins until it is handed on.
    pub(crate) fn snapshot_received(&self) -> Option<Received> {
        let (tree, whole) = match &self.base {
            Base::Loading(loading) => (loading.builder.memory(), false),
            Base::Fuzzy(tree) => (tree.memory(), true),
            Base::Unknown | Base::Mirror => return None,
        };
        Some(Received {
            memory: tree.total() as u64,
            whole,
            ..self.received
        })
    }

    /// Takes as much of the snapshot off the front of `input` as is there; true when it is whole.
    pub(crate) fn load(&mut self, input: &mut BytesMut) -> Result<bool, Lost> {
        let before = input.len();
        let whole = self.load_items(input)?;
        self.received.bytes += (before - input.len()) as u64;
        Ok(whole)
    }

    fn load_items(&mut self, input: &mut BytesMut) -> Result<bool, Lost> {
        let Base::Loading(loading) = &mut self.base else {
            return Ok(true);
        };
        while let Some(item) = loading.decoder.next(input)? {
            match item {
                SnapshotItem::Session { id, timeout_ms } => loading.builder.session(id, timeout_ms),
                SnapshotItem::Acl { id, acl } => loading.builder.acl(id, acl),
                SnapshotItem::Node {
                    path,
                    data,
                    acl_id,
                    stat,
                } => {
                    self.received.znodes += 1;
                    loading
                        .builder
                        .node(path.as_ref().into(), data.as_deref(), acl_id, stat)
                        .map_err(|error| Lost::Misbehaved(format!("snapshot: {error}")))?;
                }
                SnapshotItem::End => {
                    self.finish_loading();
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn finish_loading(&mut self) {
        if let Base::Loading(loading) = std::mem::replace(&mut self.base, Base::Unknown) {
            let tree = loading.builder.finish();
            self.last_zxid = tree.last_zxid();
            self.base = Base::Fuzzy(Box::new(tree));
        }
    }

    pub(crate) fn handle_packet(
        &mut self,
        packet: QuorumPacket,
        now: Instant,
        events: &mut VecDeque<Event>,
    ) -> Result<Step, Lost> {
        match packet.packet_type() {
            Some(PacketType::Diff | PacketType::Trunc | PacketType::Snap) => self.begin(&packet)?,
            Some(PacketType::Proposal) => self.proposed(data_of(packet, "PROPOSAL")?)?,
            Some(PacketType::Commit) => self.commit_oldest(packet.zxid, events)?,
            Some(PacketType::Inform) => self.informed(data_of(packet, "INFORM")?, events)?,
            Some(PacketType::InformAndActivate) => {
                let (_, bytes) = split_activation(data_of(packet, "INFORMANDACTIVATE")?)?;
                self.informed(bytes, events)?;
            }
            Some(PacketType::NewLeader) if self.is_repeated(&packet) => {}
            Some(PacketType::NewLeader) => {
                self.expect_at_end(&packet, false)?;
                self.newleader = true;
                // Masters of 3.4 and of 3.5 without a membership send nothing, or a single byte.
                self.membership = packet.data.filter(|text| text.len() > 1);
                self.in_office |= self.membership.is_some();
                self.owes = Some(Step::NewLeader);
            }
            Some(PacketType::UpToDate) => {
                self.expect_at_end(&packet, true)?;
                // It waits for an ACK of ours, so they have been in office since.
                self.in_office |= !self.legacy;
                self.owes = Some(Step::UpToDate);
            }
            // Not to be answered yet: the master wants its ACK to be the next packet.
            Some(PacketType::Ping) => self.in_office = true,
            _ => tracing::debug!(kind = packet.kind, "packet ignored during synchronisation"),
        }
        let step = match self.in_office {
            true => self.owes.take().unwrap_or(Step::More),
            false => Step::More,
        };
        if step == Step::UpToDate {
            self.finish(now, events);
        }
        Ok(step)
    }

    /// Nothing is missing, and all of it is confirmed.
    fn finish(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        self.confirm(events);
        events.push_back(Event::UpToDate {
            epoch: self.epoch,
            at: now,
            membership: self.membership.take(),
        });
    }

    /// Whether this is NEWLEADER once more. One ACK is for both.
    fn is_repeated(&self, packet: &QuorumPacket) -> bool {
        let begun = !matches!(self.base, Base::Unknown);
        begun && self.newleader && packet.zxid == Zxid::of_epoch(self.epoch)
    }

    /// NEWLEADER and UPTODATE come once each, in this order, and end what DIFF, TRUNC or SNAP began.
    fn expect_at_end(&self, packet: &QuorumPacket, after_newleader: bool) -> Result<(), Lost> {
        let begun = !matches!(self.base, Base::Unknown);
        let waits = self.owes.is_some();
        match begun && !waits && self.newleader == after_newleader {
            true => Ok(()),
            false => Err(unexpected(packet, "out of its place")),
        }
    }

    fn begin(&mut self, packet: &QuorumPacket) -> Result<(), Lost> {
        if !matches!(self.base, Base::Unknown) {
            return Err(unexpected(packet, "after the synchronisation began"));
        }
        // The last that it has committed.
        self.in_office |= packet.zxid.epoch() == self.epoch && packet.zxid.counter() > 0;
        match packet.packet_type() {
            Some(PacketType::Snap) => {
                tracing::info!(zxid = %packet.zxid, "receiving a snapshot");
                self.master_zxid = packet.zxid;
                self.base = Base::Loading(Box::new(Loading {
                    decoder: SnapshotDecoder::new(self.settings.packet_bytes_max),
                    builder: TreeBuilder::with_options(packet.zxid, self.settings.tree),
                }));
            }
            Some(PacketType::Trunc) if packet.zxid < self.last_zxid => {
                return Err(self.truncated(packet.zxid));
            }
            _ => {
                tracing::info!(ours = %self.last_zxid, master = %packet.zxid, "receiving a diff");
                self.master_zxid = packet.zxid;
                self.base = Base::Mirror;
            }
        }
        Ok(())
    }

    /// Only committed transactions are in the mirror, so a master that asks us to go back lags behind us or has
    /// lost history. There is no log to go back with.
    fn truncated(&self, to: Zxid) -> Lost {
        let ours = self.last_zxid;
        if ours.counter() == 0 {
            Lost::NoCommonGround { ours }
        } else if self.settings.master.is_none() {
            Lost::Behind { to, ours }
        } else {
            Lost::Truncated { to, ours }
        }
    }

    fn proposed(&mut self, bytes: Bytes) -> Result<(), Lost> {
        if self.proposals.len() == PROPOSALS_MAX {
            return Err(Lost::Misbehaved(format!(
                "{PROPOSALS_MAX} proposals without a commit"
            )));
        }
        self.proposals.push_back((zxid_of(&bytes)?, bytes));
        Ok(())
    }

    fn commit_oldest(&mut self, zxid: Zxid, events: &mut VecDeque<Event>) -> Result<(), Lost> {
        match self.proposals.pop_front() {
            Some((proposed, bytes)) if proposed == zxid => self.committed(bytes, events),
            Some((proposed, _)) => Err(Lost::Misbehaved(format!(
                "COMMIT of {zxid}, but {proposed} is the oldest"
            ))),
            None => Err(Lost::Misbehaved(format!(
                "COMMIT of {zxid} without a proposal"
            ))),
        }
    }

    /// An INFORM supersedes the proposal of the same zxid that old masters have sent before it.
    fn informed(&mut self, bytes: Bytes, events: &mut VecDeque<Event>) -> Result<(), Lost> {
        let zxid = zxid_of(&bytes)?;
        while self
            .proposals
            .front()
            .is_some_and(|(proposed, _)| *proposed <= zxid)
        {
            self.proposals.pop_front();
        }
        self.committed(bytes, events)
    }

    fn committed(&mut self, bytes: Bytes, events: &mut VecDeque<Event>) -> Result<(), Lost> {
        let header = header_of(&bytes)?;
        let zxid = header.zxid;
        self.in_office |= zxid.epoch() == self.epoch;
        match &mut self.base {
            Base::Fuzzy(_) if zxid <= self.last_zxid => return Ok(()),
            Base::Mirror | Base::Fuzzy(_) if !zxid.follows(self.last_zxid) => {
                let ours = self.last_zxid;
                return Err(Lost::Hole { ours, next: zxid });
            }
            Base::Fuzzy(tree) => {
                tree.replay(&TxnEntry::decode(&bytes)?);
            }
            Base::Mirror => {
                self.history_bytes += bytes.len();
                self.history.push_back(Event::committed(&header, bytes));
                if zxid.epoch() == self.epoch {
                    self.confirm(events);
                } else if self.history_bytes > UNCONFIRMED_BYTES_MAX {
                    return Err(Lost::LongHistory(UNCONFIRMED_BYTES_MAX));
                }
            }
            Base::Unknown | Base::Loading(_) => {
                return Err(Lost::Misbehaved(format!(
                    "transaction {zxid} before DIFF or SNAP"
                )));
            }
        }
        self.last_zxid = zxid;
        Ok(())
    }

    /// What has come is committed: it is handed on.
    fn confirm(&mut self, events: &mut VecDeque<Event>) {
        if matches!(self.base, Base::Fuzzy(_))
            && let Base::Fuzzy(tree) = std::mem::replace(&mut self.base, Base::Mirror)
        {
            events.push_back(Event::Snapshot(tree));
        }
        events.append(&mut self.history);
        self.history_bytes = 0;
    }
}

fn zxid_of(bytes: &[u8]) -> Result<Zxid, Lost> {
    Ok(header_of(bytes)?.zxid)
}

fn header_of(bytes: &[u8]) -> Result<TxnHeader, Lost> {
    Ok(TxnHeader::read(&mut Reader::new(bytes))?)
}
