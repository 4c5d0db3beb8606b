//! What a master sends.

use bstr::BStr;
use bytes::Bytes;
use outpost_wire::files::SnapshotEncoder;
use outpost_wire::quorum::{PacketType, QuorumPacket};
use outpost_wire::txn::{CreateKind, CreateTxn, Txn, TxnEntry, TxnHeader};
use outpost_wire::{Acl, ErrorCode, OpCode, SessionId, StatPersisted, Writer, Xid, Zxid};

use crate::script::Step;

/// The zxid with this epoch and counter.
pub(crate) const fn z(epoch: i64, counter: i64) -> i64 {
    epoch << 32 | counter
}

pub(crate) fn packet(kind: PacketType, zxid: i64, data: Option<&[u8]>) -> Step {
    QuorumPacket::new(kind, Zxid(zxid), data.map(Bytes::copy_from_slice)).into()
}

pub(crate) fn leader_info(epoch: i64) -> Step {
    packet(PacketType::LeaderInfo, z(epoch, 0), Some(&[0, 1, 0, 0]))
}

pub(crate) fn diff(zxid: i64) -> Step {
    packet(PacketType::Diff, zxid, None)
}

pub(crate) fn trunc(zxid: i64) -> Step {
    packet(PacketType::Trunc, zxid, None)
}

pub(crate) fn snap(zxid: i64) -> Step {
    packet(PacketType::Snap, zxid, None)
}

pub(crate) fn new_leader(epoch: i64) -> Step {
    packet(PacketType::NewLeader, z(epoch, 0), None)
}

pub(crate) fn up_to_date() -> Step {
    packet(PacketType::UpToDate, -1, None)
}

pub(crate) fn ping(zxid: i64) -> Step {
    packet(PacketType::Ping, zxid, None)
}

pub(crate) fn commit(zxid: i64) -> Step {
    packet(PacketType::Commit, zxid, None)
}

pub(crate) fn proposal(zxid: i64, txn: &Change) -> Step {
    packet(PacketType::Proposal, zxid, Some(&txn.at(zxid)))
}

pub(crate) fn inform(zxid: i64, txn: &Change) -> Step {
    packet(PacketType::Inform, zxid, Some(&txn.at(zxid)))
}

/// A reconfiguration that hands over to the server `suggested`.
pub(crate) fn activate(zxid: i64, suggested: i64, txn: &Change) -> Step {
    let mut data = suggested.to_be_bytes().to_vec();
    data.extend(txn.at(zxid));
    packet(PacketType::InformAndActivate, zxid, Some(&data))
}

pub(crate) fn revalidated(session: i64, valid: bool) -> Step {
    let mut data = session.to_be_bytes().to_vec();
    data.push(u8::from(valid));
    packet(PacketType::Revalidate, -1, Some(&data))
}

/// The handshake of masters since 3.4, with which leaders begin that are not known to be in office.
pub(crate) fn elected(epoch: i64, rest: impl IntoIterator<Item = Step>) -> Vec<Step> {
    std::iter::once(leader_info(epoch)).chain(rest).collect()
}

/// The same of a leader in office: only those send PINGs.
pub(crate) fn registered(epoch: i64, rest: impl IntoIterator<Item = Step>) -> Vec<Step> {
    let in_office = [leader_info(epoch), ping(z(epoch, 0))];
    in_office.into_iter().chain(rest).collect()
}

/// All of a synchronisation in which nothing was missed, then `rest`.
pub(crate) fn following(last_zxid: i64, rest: impl IntoIterator<Item = Step>) -> Vec<Step> {
    let epoch = last_zxid >> 32;
    let sync = [diff(last_zxid), new_leader(epoch), up_to_date()];
    registered(epoch, sync.into_iter().chain(rest))
}

/// What a transaction does, and whose it is: of session 5 with the cxid 1.
pub(crate) struct Change {
    op: OpCode,
    txn: Txn<'static>,
    name: (SessionId, Xid),
}

impl Change {
    fn new(op: OpCode, txn: Txn<'static>) -> Change {
        let name = (SessionId(5), Xid(1));
        Change { op, txn, name }
    }

    /// The same, of another request.
    pub(crate) fn of(self, session: i64, cxid: i32) -> Change {
        let name = (SessionId(session), Xid(cxid));
        Change { name, ..self }
    }

    fn at(&self, zxid: i64) -> Vec<u8> {
        let header = TxnHeader {
            session: self.name.0,
            cxid: self.name.1,
            zxid: Zxid(zxid),
            time: 1_700_000_000_000,
            kind: self.op.code(),
        };
        TxnEntry {
            header,
            txn: self.txn.clone(),
            digest: None,
        }
        .encode()
    }
}

/// The `nth` child of its parent comes into being.
pub(crate) fn create(path: &'static str, nth: i32) -> Change {
    let create = CreateTxn {
        path: BStr::new(path),
        data: Some(b"new"),
        acl: Acl::open(),
        kind: CreateKind::Persistent,
        parent_cversion: nth,
    };
    Change::new(OpCode::Create, Txn::Create(create))
}

pub(crate) fn delete(path: &'static str) -> Change {
    let path = BStr::new(path);
    Change::new(OpCode::Delete, Txn::Delete { path })
}

pub(crate) fn set(path: &'static str, data: &'static str) -> Change {
    let (path, data) = (BStr::new(path), Some(data.as_bytes()));
    let version = 1;
    let txn = Txn::SetData {
        path,
        data,
        version,
    };
    Change::new(OpCode::SetData, txn)
}

pub(crate) fn reconfig(text: &'static str) -> Change {
    Change {
        op: OpCode::Reconfig,
        ..set("/zookeeper/config", text)
    }
}

/// A request that failed: its transaction changes nothing.
pub(crate) fn failed() -> Change {
    let error = ErrorCode::NO_NODE;
    Change::new(OpCode::Error, Txn::Error { error })
}

/// The stream behind SNAP: session 9, and znodes as path, data, and how many children they ever had.
pub(crate) fn tree(nodes: &[(&str, &str, i32)]) -> Step {
    let mut bytes = Vec::new();
    let mut encoder = SnapshotEncoder::new(&mut bytes);
    encoder.sessions([(SessionId(9), 6_000)].into_iter());
    encoder.acls([].into_iter());
    let plain = StatPersisted::default();
    if !nodes.iter().any(|(path, ..)| path.is_empty()) {
        encoder.node(b"", Some(b""), -1, &plain);
    }
    for &(path, data, cversion) in nodes {
        let stat = StatPersisted { cversion, ..plain };
        encoder.node(path.as_bytes(), Some(data.as_bytes()), -1, &stat);
    }
    encoder.end();
    Step::Bytes(bytes)
}

/// A packet whose data is announced to be so long, and nothing of that data.
pub(crate) fn announced(kind: PacketType, length: i32) -> Step {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    writer.int(kind.code());
    writer.long(1);
    writer.int(length);
    Step::Bytes(bytes)
}
