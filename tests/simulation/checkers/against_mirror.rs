//! Histories that the mirror itself has written: a simulated leader decides, a bare [`Tree`] with its [`Watches`]
//! applies and answers, one client asks for whatever comes to mind.
//!
//! The checkers' model and the mirror were written apart from each other, and have to agree on all of it. And
//! whatever of it is then left out, said twice or told too late has to be caught.

use bstr::{BStr, BString, ByteSlice};
use bytes::Bytes;
use fastrand::Rng;
use outpost_mirror::{
    Difference, NodeRef, SetWatches, Tree, TxnResult, WatchEvent, WatcherId, Watches,
};
use outpost_sim::{Inheritance, Leader, LeaderSettings};
use outpost_wire::membership::Membership;
use outpost_wire::proto::{
    AddWatchMode, CreateMode, CreateRequest, DeleteRequest, EventType, MultiOp, MultiRequest,
    SetDataRequest, WatcherType,
};
use outpost_wire::quorum::ForwardedRequest;
use outpost_wire::txn::TxnEntry;
use outpost_wire::{Acl, ErrorCode, Id, OpCode, Record as _, ServerId, SessionId, Xid, Zxid};

use super::specimen::{Client, OTHER, Story, TIMEOUT_MS, get};
use crate::history::{
    AtClient, AtObserver, Closer, Conn, Record, Reply, Request, Sight, SyncKind, What, Znode,
};

const PATHS: [&str; 7] = ["/a", "/b", "/a/x", "/a/y", "/b/x", "/a/x/p", "/a/x/q"];
/// The session of the client under the mirror.
const OWN: SessionId = SessionId(0x0a00_0000_0000_0001);

struct Run {
    random: Rng,
    story: Story,
    leader: Leader,
    tree: Tree,
    watches: Watches,
    client: Client,
    /// Every transaction, and how many of them the mirror has applied.
    txns: Vec<Bytes>,
    applied: usize,
    xid: i32,
    /// Newest zxid that the client has seen.
    seen: Zxid,
}

impl Run {
    fn new(seed: u64) -> Run {
        let settings = LeaderSettings::default();
        let inherited = Inheritance::of_new_ensemble(&settings);
        let membership = Membership::default();
        let leader = Leader::new(0, ServerId(1), membership, settings, inherited);
        let story = Story::new();
        let mut tree = Tree::new();
        tree.set_last_zxid(story.last);
        let client = Client {
            conn: Conn(1),
            session: OWN,
        };
        let mut run = Run {
            random: Rng::with_seed(seed),
            story,
            leader,
            tree,
            watches: Watches::new(),
            client,
            txns: Vec::new(),
            applied: 0,
            xid: 0,
            seen: Zxid::ZERO,
        };
        let timeout = TIMEOUT_MS.to_be_bytes();
        run.submit(OTHER, 0, OpCode::CreateSession, &timeout);
        run.story.connecting(client, SessionId::NONE, Zxid::ZERO);
        run.story.forward(client, 0, OpCode::CreateSession);
        run.submit(OWN, 0, OpCode::CreateSession, &timeout);
        run.story.connected(client);
        run.apply_all();
        run
    }

    fn play(mut self, steps: usize) -> Story {
        for _ in 0..steps {
            match self.random.u32(0..100) {
                0..35 => self.somebody_writes(),
                35..60 => self.apply_some(),
                60..80 => self.read(),
                80..88 => self.watch_for_good(),
                88..93 => self.write(),
                93..96 => self.reconnect(),
                96..98 => self.take_over(),
                _ => self.look(),
            }
        }
        self.apply_all();
        self.look();
        self.ping();
        self.story
    }

    fn path(&mut self) -> &'static str {
        PATHS[self.random.usize(0..PATHS.len())]
    }

    fn zxid(&self) -> Zxid {
        self.tree.last_zxid()
    }

    fn watcher(&self) -> WatcherId {
        WatcherId(u64::from(self.client.conn.0))
    }

    fn submit(&mut self, session: SessionId, cxid: i32, op: OpCode, body: &[u8]) {
        let forwarded = ForwardedRequest {
            session,
            cxid: Xid(cxid),
            op: op.code(),
            body,
        };
        let ids = [Id::new("ip", "10.0.0.1")];
        let server = match session {
            OWN => ServerId(9),
            _ => ServerId(2),
        };
        self.leader
            .submit(0, server, forwarded, Some(&ids))
            .expect("a transaction");
        let bytes = self.leader.history().last().expect("committed").1.clone();
        self.story.committed(&bytes);
        self.txns.push(bytes);
    }

    fn somebody_writes(&mut self) {
        let (op, body) = match self.random.u32(0..10) {
            0..6 => self.any_write(),
            _ => {
                let ops: Vec<_> = (0..self.random.usize(0..4))
                    .map(|_| self.operation())
                    .collect();
                (OpCode::Multi, MultiRequest { ops }.encode())
            }
        };
        self.submit(OTHER, 0, op, &body);
    }

    fn any_write(&mut self) -> (OpCode, Vec<u8>) {
        match self.operation() {
            MultiOp::Create2(create) => (OpCode::Create2, create.encode()),
            MultiOp::Delete(delete) => (OpCode::Delete, delete.encode()),
            MultiOp::SetData(set) => (OpCode::SetData, set.encode()),
            other => panic!("{other:?} is not drawn"),
        }
    }

    fn operation(&mut self) -> MultiOp<'static> {
        let path = BStr::new(self.path());
        let version = -1;
        match self.random.u32(0..10) {
            0..5 => MultiOp::Create2(CreateRequest {
                path,
                data: Some(b"new"),
                acl: Some(Acl::open()),
                flags: CreateMode::Persistent.code(),
            }),
            5..7 => MultiOp::Delete(DeleteRequest { path, version }),
            _ => MultiOp::SetData(SetDataRequest {
                path,
                data: None,
                version,
            }),
        }
    }

    /// The mirror applies the next transaction: events come first, and then the answer to whom it answers.
    fn apply_next(&mut self) -> bool {
        let Some(bytes) = self.txns.get(self.applied).cloned() else {
            return false;
        };
        self.applied += 1;
        let entry = TxnEntry::decode(&bytes).expect("a leader wrote it");
        let mut fired = Fired::default();
        let applied = self
            .tree
            .apply(&entry, &self.watches, &mut |_, event| fired.note(event));
        self.tell(fired);
        let header = entry.header;
        if header.session == OWN && header.cxid != Xid(0) {
            let (client, cxid, zxid) = (self.client, header.cxid.0, header.zxid);
            self.seen = zxid;
            match applied.result {
                TxnResult::SetData(stat) => {
                    self.story.reply(client, cxid, zxid, Reply::Stat(stat));
                }
                _ => drop(self.story.fail(client, cxid, zxid, applied.error)),
            }
        }
        true
    }

    fn apply_some(&mut self) {
        for _ in 0..self.random.usize(1..4) {
            self.apply_next();
        }
    }

    fn apply_all(&mut self) {
        while self.apply_next() {}
    }

    fn tell(&mut self, fired: Fired) {
        for (kind, path, zxid) in fired.0 {
            self.seen = self.seen.max(zxid);
            self.story.event(self.client, kind, &path, zxid);
        }
    }

    fn answer(&mut self, request: Request, error: ErrorCode, reply: Reply) {
        self.xid += 1;
        let (client, xid, zxid) = (self.client, self.xid, self.zxid());
        self.story.send(client, xid, request);
        self.seen = zxid;
        match error {
            ErrorCode::OK => self.story.reply(client, xid, zxid, reply),
            error => self.story.fail(client, xid, zxid, error),
        };
    }

    fn read(&mut self) {
        let (path, watch) = (self.path(), self.random.bool());
        let (key, watcher) = (BStr::new(path), self.watcher());
        let node = self.tree.node(key);
        let stat = node.as_ref().map(NodeRef::stat);
        let name = BString::from(path);
        let (request, reply) = match self.random.u32(0..3) {
            0 => {
                if watch {
                    self.watches.leave_data(key, watcher);
                }
                (Request::Exists { path: name, watch }, stat.map(Reply::Stat))
            }
            1 => {
                if watch && node.is_some() {
                    self.watches.leave_data(key, watcher);
                }
                let reply = node.as_ref().map(|node| Reply::Data {
                    data: node.data().map(Bytes::copy_from_slice),
                    stat: node.stat(),
                });
                (get(path, watch), reply)
            }
            _ => {
                if watch && node.is_some() {
                    self.watches.leave_child(key, watcher);
                }
                let reply = node.as_ref().map(|node| Reply::Children {
                    names: node.children().map(BString::from).collect(),
                    stat: node.stat(),
                });
                (Request::GetChildren { path: name, watch }, reply)
            }
        };
        match reply {
            Some(reply) => self.answer(request, ErrorCode::OK, reply),
            None => self.answer(request, ErrorCode::NO_NODE, Reply::Nothing),
        }
    }

    fn watch_for_good(&mut self) {
        let path = self.path();
        let (key, watcher) = (BStr::new(path), self.watcher());
        let path = BString::from(path);
        if self.random.bool() {
            let mode = *self.one_of(&[AddWatchMode::Persistent, AddWatchMode::PersistentRecursive]);
            self.watches.leave(key, watcher, mode);
            return self.answer(
                Request::AddWatch { path, mode },
                ErrorCode::OK,
                Reply::Nothing,
            );
        }
        let kind = *self.one_of(&[
            WatcherType::Children,
            WatcherType::Data,
            WatcherType::Any,
            WatcherType::Persistent,
            WatcherType::PersistentRecursive,
        ]);
        let error = match self.watches.remove(key, watcher, kind) {
            true => ErrorCode::OK,
            false => ErrorCode::NO_WATCHER,
        };
        self.answer(Request::RemoveWatches { path, kind }, error, Reply::Nothing);
    }

    fn one_of<'v, T>(&mut self, values: &'v [T]) -> &'v T {
        &values[self.random.usize(0..values.len())]
    }

    fn write(&mut self) {
        let path = self.path();
        self.xid += 1;
        let (client, xid) = (self.client, self.xid);
        let data = xid.to_string();
        let request = super::specimen::set_data(path, data.as_bytes());
        self.story.send(client, xid, request);
        self.story.forward(client, xid, OpCode::SetData);
        let body = SetDataRequest {
            path: BStr::new(path),
            data: Some(data.as_bytes()),
            version: -1,
        };
        self.submit(OWN, xid, OpCode::SetData, &body.encode());
        self.apply_all();
    }

    fn ping(&mut self) {
        self.seen = self.zxid();
        self.story.ping(self.client, self.seen);
    }

    /// The client goes on with another connection, and brings watches along, not all of which it had.
    fn reconnect(&mut self) {
        self.ping();
        self.story.close(self.client, Closer::Client);
        self.watches.remove_watcher(self.watcher());
        for _ in 0..self.random.usize(0..4) {
            self.somebody_writes();
        }
        self.apply_some();
        let conn = Conn(self.client.conn.0 + 1);
        self.client = Client { conn, session: OWN };
        self.story.connecting(self.client, OWN, self.seen);
        self.story.revalidate(OWN);
        self.story.connected(self.client);
        self.set_watches();
    }

    fn set_watches(&mut self) {
        let mut lists = [(); 5].map(|()| Vec::new());
        for list in &mut lists {
            let count = self.random.usize(0..3);
            *list = (0..count).map(|_| BStr::new(self.path())).collect();
        }
        let [data, exist, child, persistent, persistent_recursive] = &lists;
        let set = SetWatches {
            data,
            exist,
            child,
            persistent,
            persistent_recursive,
        };
        let missed = self
            .tree
            .set_watches(&self.watches, self.watcher(), self.seen, &set);
        let relative_zxid = self.seen;
        self.story.send(
            self.client,
            Xid::SET_WATCHES.0,
            Request::SetWatches {
                relative_zxid,
                data: owned(data),
                exist: owned(exist),
                child: owned(child),
                persistent: owned(persistent),
                recursive: owned(persistent_recursive),
            },
        );
        for (kind, path) in missed {
            let path = path.to_string();
            self.story.event(self.client, kind, &path, Zxid(-1));
        }
        let zxid = self.zxid();
        self.seen = zxid;
        self.story
            .reply(self.client, Xid::SET_WATCHES.0, zxid, Reply::Nothing);
    }

    /// The link is lost, much happens, and the whole tree comes anew.
    fn take_over(&mut self) {
        self.apply_all();
        self.story.lose();
        for _ in 0..self.random.usize(0..20) {
            self.somebody_writes();
        }
        let from = self.zxid();
        let mut new = Tree::new();
        for bytes in &self.txns {
            new.replay(&TxnEntry::decode(bytes).expect("a leader wrote it"));
        }
        self.applied = self.txns.len();
        self.story.reattach(SyncKind::Snap, from);
        self.story.revalidate(OWN);
        let mut fired = Fired::default();
        Difference::survey(&self.tree, &new).fire(
            &self.tree,
            &new,
            &self.watches,
            &mut |_, event| {
                fired.note(event);
            },
        );
        self.tell(fired);
        self.tree = new;
    }

    fn look(&mut self) {
        let mut znodes = Vec::new();
        let walked: Result<(), std::convert::Infallible> =
            self.tree.for_each_node(|path, data, acl, _| {
                if !path.starts_with(b"/zookeeper") {
                    znodes.push((path.to_owned(), data.map(Bytes::copy_from_slice), acl));
                }
                Ok(())
            });
        let Ok(()) = walked;
        let znodes = znodes
            .into_iter()
            .filter_map(|(path, data, _)| {
                let node = self.tree.node(path.as_bstr())?;
                Some(Znode {
                    data,
                    acl: node.acl().to_vec(),
                    stat: node.stat(),
                    path,
                })
            })
            .collect();
        let sessions = self.tree.sessions().iter();
        let sight = Sight {
            zxid: self.zxid(),
            znodes,
            sessions: sessions
                .map(|(&session, &timeout)| (session, timeout))
                .collect(),
        };
        self.story.observer(AtObserver::Seen(sight));
    }
}

/// Events of one transaction or one take-over.
#[derive(Default)]
struct Fired(Vec<(EventType, String, Zxid)>);

impl Fired {
    fn note(&mut self, event: &WatchEvent<'_>) {
        let path = event.path.to_string();
        self.0.push((event.kind, path, event.zxid));
    }
}

fn owned(paths: &[&BStr]) -> Vec<BString> {
    paths.iter().map(|&path| path.to_owned()).collect()
}

fn is_event(record: &Record) -> bool {
    matches!(record.what, What::Client(_, AtClient::Event { .. }))
}

#[test]
fn what_the_mirror_says_is_what_the_model_says() {
    let mut events = 0;
    for seed in 0..300 {
        let story = Run::new(seed).play(150);
        events += story
            .records
            .iter()
            .filter(|record| is_event(record))
            .count();
        let held = std::panic::catch_unwind(|| story.holds());
        assert!(held.is_ok(), "seed {seed}");
    }
    assert!(events > 3_000, "only {events} events were told");
}

#[test]
fn no_event_can_be_left_out_or_told_twice() {
    for seed in 0..40 {
        let story = Run::new(seed).play(100);
        for place in 0..story.records.len() {
            if is_event(&story.records[place]) {
                assert!(story.without(place).is_broken(), "seed {seed}: {place}");
                assert!(story.twice(place).is_broken(), "seed {seed}: {place}");
            }
        }
    }
}

#[test]
fn no_event_can_change_places_with_the_reply_behind_it() {
    for seed in 0..40 {
        let story = Run::new(seed).play(100);
        for (place, pair) in story.records.windows(2).enumerate() {
            let replied = matches!(pair[1].what, What::Client(_, AtClient::Replied { .. }));
            if is_event(&pair[0]) && replied {
                let bent = story.swapped(place, place + 1);
                assert!(bent.is_broken(), "seed {seed}: {place}");
            }
        }
    }
}

#[test]
fn no_transaction_can_be_unheard_of() {
    for seed in 0..20 {
        let story = Run::new(seed).play(100);
        for (place, record) in story.records.iter().enumerate() {
            if matches!(record.what, What::Client(_, AtClient::Replied { zxid, .. }) if zxid > Zxid::ZERO)
            {
                let mut story = story.clone();
                if let What::Client(_, AtClient::Replied { zxid, .. }) =
                    &mut story.records[place].what
                {
                    *zxid = Zxid(story.last.0 + 1);
                }
                assert!(story.is_broken(), "seed {seed}: {place}");
            }
        }
    }
}
