//! The two ends of the learner protocol in one process: an ensemble and observers' learners, with a
//! clock of their own and nothing between them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bstr::{BStr, BString};
use bytes::BytesMut;
use outpost_forward::Lost;
use outpost_forward::event::Event;
use outpost_forward::learner::{Forwarded, Learner, Settings};
use outpost_mirror::{Applied, DigestCheck, Tree, TreeOptions, TxnResult, Watches};
use outpost_sim::{Ensemble, EnsembleSettings, Leader, LeaderSettings, LearnerKey, Output};
use outpost_wire::membership::Membership;
use outpost_wire::quorum::{ForwardedRequest, QuorumPacket};
use outpost_wire::txn::{TxnEntry, TxnHeader};
use outpost_wire::{
    Acl, ErrorCode, Id, OpCode, Record, ServerId, SessionId, StatPersisted, Writer, Xid, Zxid,
};

pub(crate) const THREE: &[u8] =
    b"server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:3:4\nserver.3=127.0.0.1:5:6";
const PACKET_BYTES_MAX: usize = 4 << 20;

/// What there is below `/`, for comparing whole trees. The configuration differs between servers.
pub(crate) type Contents = BTreeMap<BString, (Option<Vec<u8>>, Vec<Acl>, StatPersisted)>;

pub(crate) fn contents(tree: &Tree) -> Contents {
    let mut contents = Contents::new();
    tree.for_each_node(|path, data, _, stat| {
        let acl = tree
            .node(path)
            .expect("a znode that was just listed")
            .acl()
            .to_vec();
        if path != "/zookeeper/config" {
            contents.insert(path.to_owned(), (data.map(<[u8]>::to_vec), acl, *stat));
        }
        Ok::<(), ()>(())
    })
    .expect("nothing fails");
    contents
}

/// An ensemble and the observers around it.
pub(crate) struct World {
    pub(crate) ensemble: Ensemble,
    pub(crate) settings: EnsembleSettings,
    pub(crate) now_ms: i64,
    pub(crate) observers: Vec<Observer>,
    began: Instant,
}

/// One observer: its tree, and the link it has at the moment.
pub(crate) struct Observer {
    pub(crate) tree: Tree,
    pub(crate) link: Option<Link>,
    /// Why the last link was lost.
    pub(crate) lost: Option<Lost>,
    /// Transactions applied since the observer began, but for those in snapshots.
    pub(crate) applied: Vec<(TxnHeader, Applied)>,
    pub(crate) snapshots: usize,
    pub(crate) synced: usize,
    pub(crate) revalidated: Vec<(SessionId, bool)>,
    /// Sessions to be touched with every PING.
    pub(crate) touched: Vec<(SessionId, i32)>,
    /// Whether transactions with a wrong digest are taken all the same.
    pub(crate) tolerates_digests: bool,
    id: ServerId,
    watches: Watches,
    cxid: i32,
}

pub(crate) struct Link {
    pub(crate) key: LearnerKey,
    pub(crate) learner: Learner,
    input: BytesMut,
}

impl World {
    pub(crate) fn new(leader: LeaderSettings) -> World {
        let settings = EnsembleSettings {
            membership: Membership::parse(THREE).expect("a membership"),
            leader,
            election_ms: 0,
        };
        World {
            ensemble: Ensemble::new(1_700_000_000_000, settings.clone()),
            settings,
            now_ms: 1_700_000_000_000,
            observers: Vec::new(),
            began: Instant::now(),
        }
    }

    /// A world with one observer that has attached.
    pub(crate) fn attached(leader: LeaderSettings) -> World {
        let mut world = World::new(leader);
        let observer = world.add_observer();
        world.attach(observer);
        world
    }

    pub(crate) fn add_observer(&mut self) -> usize {
        let id = ServerId(10 + self.observers.len() as i64);
        let options = self.settings.leader.tree;
        self.observers.push(Observer::new(id, options));
        self.observers.len() - 1
    }

    pub(crate) fn leader(&self) -> &Leader {
        self.ensemble.leader().expect("a leader")
    }

    /// Connects an observer to the leader and lets it synchronise.
    pub(crate) fn attach(&mut self, observer: usize) {
        let server = self.leader().id();
        let key = self
            .ensemble
            .connect(self.now_ms, server)
            .expect("the leader listens");
        let now = self.instant();
        let observer = &mut self.observers[observer];
        let learner = Learner::new(observer.settings(server), now);
        observer.link = Some(Link {
            key,
            learner,
            input: BytesMut::new(),
        });
        self.settle();
    }

    /// Cuts an observer's link.
    pub(crate) fn detach(&mut self, observer: usize) {
        if let Some(link) = self.observers[observer].link.take() {
            self.ensemble.disconnect(link.key);
        }
    }

    /// Carries packets both ways until nobody has anything to say.
    pub(crate) fn settle(&mut self) {
        let now = self.instant();
        loop {
            let mut quiet = true;
            for observer in &mut self.observers {
                for (key, packet) in observer.take_packets() {
                    quiet = false;
                    self.ensemble.handle_packet(self.now_ms, key, &packet);
                }
            }
            while let Some((key, output)) = self.ensemble.poll_output() {
                quiet = false;
                let has_it = |o: &&mut Observer| o.link.as_ref().is_some_and(|l| l.key == key);
                if let Some(observer) = self.observers.iter_mut().find(has_it) {
                    observer.take(now, output);
                }
            }
            if quiet {
                return;
            }
        }
    }

    /// Moves time, stopping wherever something is due.
    pub(crate) fn advance(&mut self, ms: i64) {
        let end_ms = self.now_ms + ms;
        while let Some(next_ms) = self
            .ensemble
            .next_timeout_ms()
            .filter(|&next| next <= end_ms)
        {
            self.now_ms = next_ms.max(self.now_ms);
            self.ensemble.handle_timeout(self.now_ms);
            self.settle();
        }
        self.now_ms = end_ms;
    }

    /// Forwards a request and returns what its transaction did; `None` if there was none.
    pub(crate) fn ask(
        &mut self,
        observer: usize,
        session: SessionId,
        op: OpCode,
        body: &[u8],
    ) -> Option<Applied> {
        let cxid = self.observers[observer].submit(session, op, body);
        self.settle();
        self.observers[observer].answer(session, cxid)
    }

    /// As [`World::ask`], for a request record.
    pub(crate) fn write<'a>(
        &mut self,
        session: SessionId,
        op: OpCode,
        record: &impl Record<'a>,
    ) -> Result<TxnResult, ErrorCode> {
        let applied = self
            .ask(0, session, op, &record.encode())
            .expect("an answer");
        if applied.error.is_ok() {
            Ok(applied.result)
        } else {
            Err(applied.error)
        }
    }

    /// Creates a session through an observer, which touches it from then on.
    pub(crate) fn create_session(
        &mut self,
        observer: usize,
        id: i64,
        timeout_ms: i32,
    ) -> SessionId {
        let session = SessionId(id);
        let body = timeout_ms.to_be_bytes();
        let applied = self.ask(observer, session, OpCode::CreateSession, &body);
        assert_eq!(applied.map(|applied| applied.error), Some(ErrorCode::OK));
        self.observers[observer].touched.push((session, timeout_ms));
        session
    }

    /// Every attached observer has exactly the leader's tree.
    pub(crate) fn assert_equal_trees(&self) {
        assert!(
            self.observers.iter().any(Observer::is_following),
            "nobody to compare"
        );
        let leader = self.leader().tree();
        for observer in self
            .observers
            .iter()
            .filter(|observer| observer.is_following())
        {
            assert_eq!(contents(&observer.tree), contents(leader));
            assert_eq!(observer.tree.sessions(), leader.sessions());
            assert_eq!(observer.tree.digest(), leader.digest());
        }
    }

    fn instant(&self) -> Instant {
        let since_ms = self.now_ms - 1_700_000_000_000;
        self.began + Duration::from_millis(since_ms.unsigned_abs())
    }
}

impl Observer {
    fn new(id: ServerId, options: TreeOptions) -> Observer {
        Observer {
            tree: Tree::with_options(options),
            link: None,
            lost: None,
            applied: Vec::new(),
            snapshots: 0,
            synced: 0,
            revalidated: Vec::new(),
            touched: Vec::new(),
            tolerates_digests: false,
            id,
            watches: Watches::new(),
            cxid: 0,
        }
    }

    pub(crate) fn is_following(&self) -> bool {
        self.link
            .as_ref()
            .is_some_and(|link| link.learner.is_following())
    }

    /// Forwards a request without waiting for anything.
    pub(crate) fn submit(&mut self, session: SessionId, op: OpCode, body: &[u8]) -> Xid {
        self.cxid += 1;
        let cxid = Xid(self.cxid);
        let ids = [Id::new("ip", "10.0.0.1"), Id::new("digest", "user:hash")];
        let link = self.link.as_mut().expect("a link");
        link.learner.submit(&Forwarded {
            request: ForwardedRequest {
                session,
                cxid,
                op: op.code(),
                body,
            },
            authinfo: Some(&ids),
        });
        cxid
    }

    pub(crate) fn revalidate(&mut self, session: SessionId, timeout_ms: i32) {
        self.link
            .as_mut()
            .expect("a link")
            .learner
            .revalidate(session, timeout_ms);
    }

    /// What the transaction of a request did, if it has come back.
    pub(crate) fn answer(&self, session: SessionId, cxid: Xid) -> Option<Applied> {
        let is_it = |header: &TxnHeader| header.session == session && header.cxid == cxid;
        self.applied
            .iter()
            .rev()
            .find(|(header, _)| is_it(header))
            .map(|(_, a)| a.clone())
    }

    fn settings(&self, leader: ServerId) -> Settings {
        // An observer that was sent away by a TRUNC starts over.
        let last_zxid = match &self.lost {
            Some(lost) if lost.starts_over() => Zxid::ZERO,
            _ => self.tree.last_zxid(),
        };
        Settings {
            server_id: self.id,
            last_zxid,
            accepted_epoch: last_zxid.epoch(),
            master: Some(leader),
            master_is_legacy: false,
            packet_bytes_max: PACKET_BYTES_MAX,
            init_timeout: Duration::from_secs(20),
            silence_timeout: Duration::from_secs(10),
            tree: self.tree.options(),
        }
    }

    fn take_packets(&mut self) -> Vec<(LearnerKey, QuorumPacket)> {
        let Some(link) = &mut self.link else {
            return Vec::new();
        };
        let mut bytes = Vec::new();
        link.learner.take_output(&mut bytes);
        let mut bytes = BytesMut::from(&bytes[..]);
        let mut packets = Vec::new();
        while let Some(packet) =
            QuorumPacket::take(&mut bytes, PACKET_BYTES_MAX).expect("a learner sends packets")
        {
            packets.push((link.key, packet));
        }
        assert!(bytes.is_empty(), "a learner sent half a packet");
        packets
    }

    fn take(&mut self, now: Instant, output: Output) {
        let Some(link) = &mut self.link else { return };
        match output {
            Output::Close => return self.lose(Lost::Closed),
            Output::Snapshot(bytes) => link.input.extend_from_slice(&bytes),
            Output::Packet(packet) => {
                let mut bytes = Vec::new();
                packet.write(&mut Writer::new(&mut bytes));
                link.input.extend_from_slice(&bytes);
            }
        }
        let touched = std::mem::take(&mut self.touched);
        let handled = link.learner.handle_input(now, &mut link.input, &|table| {
            let mut writer = Writer::new(table);
            for (session, timeout_ms) in &touched {
                writer.long(session.0);
                writer.int(*timeout_ms);
            }
        });
        self.touched = touched;
        while let Some(event) = self
            .link
            .as_mut()
            .and_then(|link| link.learner.poll_event())
        {
            self.handle(event);
        }
        if let Err(lost) = handled {
            self.lose(lost);
        }
    }

    fn lose(&mut self, lost: Lost) {
        self.link = None;
        self.lost = Some(lost);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Snapshot(tree) => {
                self.tree = *tree;
                self.snapshots += 1;
            }
            Event::Committed { bytes, .. } => self.apply(&bytes),
            Event::UpToDate { membership, .. } => {
                assert!(membership.is_some(), "NEWLEADER carries the membership");
                self.lost = None;
            }
            Event::Synced => self.synced += 1,
            Event::Revalidated { session, valid } => self.revalidated.push((session, valid)),
            Event::Lost { reason, .. } => self.lose(reason),
            // There is nobody to hold.
            Event::HoldOver => {}
        }
    }

    /// Every transaction can be read, follows the last, and keeps the digests equal.
    fn apply(&mut self, bytes: &[u8]) {
        let entry = TxnEntry::decode(bytes).expect("a transaction that can be read");
        let applied = self.tree.apply(&entry, &self.watches, &mut |_, _| {});
        assert_eq!(applied.diverged, None, "{entry:?}");
        match applied.digest {
            DigestCheck::Differs { .. } => {
                assert!(self.tolerates_digests, "digests differ after {entry:?}");
            }
            DigestCheck::NotSent => assert_eq!(entry.digest, None),
            DigestCheck::Matches => {}
        }
        self.applied.push((entry.header, applied));
    }
}

/// A path as requests carry it.
pub(crate) fn path(text: &str) -> &BStr {
    BStr::new(text)
}
