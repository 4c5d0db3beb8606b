//! Requests of all kinds, from a seed. Few znodes, so that requests meet and fail.

use bstr::BString;
use fastrand::Rng;
use outpost_wire::proto::{
    CheckVersionRequest, CreateRequest, DeleteRequest, MultiOp, MultiRequest, SetAclRequest,
    SetDataRequest,
};
use outpost_wire::{Acl, Id, OpCode, Perms, Record, SessionId};

use crate::world::{World, path};

/// A stream of requests.
pub(crate) struct Workload {
    rng: Rng,
    sessions: Vec<SessionId>,
    created: i64,
    sets_acls: bool,
}

impl Workload {
    pub(crate) fn new(seed: u64) -> Workload {
        Workload {
            rng: Rng::with_seed(seed),
            sessions: Vec::new(),
            created: 0,
            sets_acls: true,
        }
    }

    /// Nothing sets the ACL of a znode that is there: what that means for the requests behind it depends
    /// on when it is committed.
    pub(crate) fn without_set_acl(mut self) -> Workload {
        self.sets_acls = false;
        self
    }

    /// Forwards requests through the first observer, each after the answer to the last.
    pub(crate) fn run(&mut self, world: &mut World, requests: usize) {
        for _ in 0..requests {
            let (session, op, body) = self.next();
            assert!(
                world.ask(0, session, op, &body).is_some(),
                "{op:?} was not answered"
            );
        }
    }

    /// Forwards all requests before any is answered.
    pub(crate) fn run_without_waiting(&mut self, world: &mut World, requests: usize) {
        for _ in 0..requests {
            let (session, op, body) = self.next();
            world.observers[0].submit(session, op, &body);
        }
        world.settle();
    }

    fn next(&mut self) -> (SessionId, OpCode, Vec<u8>) {
        if self.sessions.is_empty() || self.rng.u8(..) < 8 {
            self.created += 1;
            let session = SessionId(0x0a00_0000_0000_0000 + self.created);
            self.sessions.push(session);
            return (
                session,
                OpCode::CreateSession,
                100_000_i32.to_be_bytes().to_vec(),
            );
        }
        let place = self.rng.usize(..self.sessions.len());
        let session = self.sessions[place];
        if self.rng.u8(..) < 6 {
            // Once in a while a session goes on after its end, and its requests fail.
            if self.rng.bool() {
                self.sessions.swap_remove(place);
            }
            return (session, OpCode::CloseSession, Vec::new());
        }
        let (op, body) = self.write();
        (session, op, body)
    }

    fn write(&mut self) -> (OpCode, Vec<u8>) {
        let at = self.path();
        match self.rng.u8(..10) {
            0..=2 => (OpCode::Create, self.create(&at).encode()),
            3 => (OpCode::Create2, self.create(&at).encode()),
            4 => (
                OpCode::CreateContainer,
                CreateRequest {
                    flags: 4,
                    ..self.create(&at)
                }
                .encode(),
            ),
            5 | 6 => (OpCode::Delete, self.delete(&at).encode()),
            7 => (OpCode::SetData, self.set_data(&at).encode()),
            8 if self.sets_acls => (OpCode::SetAcl, self.set_acl(&at).encode()),
            _ => {
                let paths: Vec<BString> = (0..self.rng.usize(..5)).map(|_| self.path()).collect();
                let ops = paths.iter().map(|at| self.op(at)).collect();
                (OpCode::Multi, MultiRequest { ops }.encode())
            }
        }
    }

    fn op<'a>(&mut self, at: &'a BString) -> MultiOp<'a> {
        match self.rng.u8(..4) {
            0 => MultiOp::Create(self.create(at)),
            1 => MultiOp::Delete(self.delete(at)),
            2 => MultiOp::SetData(self.set_data(at)),
            _ => MultiOp::Check(CheckVersionRequest {
                path: at.as_ref(),
                version: -1,
            }),
        }
    }

    fn create<'a>(&mut self, at: &'a BString) -> CreateRequest<'a> {
        let flags = self.rng.i32(0..4);
        CreateRequest {
            path: at.as_ref(),
            data: self.data(),
            acl: Some(self.acl()),
            flags,
        }
    }

    fn delete<'a>(&mut self, at: &'a BString) -> DeleteRequest<'a> {
        DeleteRequest {
            path: at.as_ref(),
            version: self.version(),
        }
    }

    fn set_data<'a>(&mut self, at: &'a BString) -> SetDataRequest<'a> {
        SetDataRequest {
            path: at.as_ref(),
            data: self.data(),
            version: self.version(),
        }
    }

    fn set_acl<'a>(&mut self, at: &'a BString) -> SetAclRequest<'a> {
        SetAclRequest {
            path: at.as_ref(),
            acl: Some(self.acl()),
            version: self.version(),
        }
    }

    fn path(&mut self) -> BString {
        let mut at = BString::default();
        for _ in 0..self.rng.usize(1..4) {
            at.push(b'/');
            at.push(self.rng.u8(b'a'..b'd'));
        }
        if self.rng.u8(..) < 3 {
            path("/").to_owned()
        } else {
            at
        }
    }

    fn version(&mut self) -> i32 {
        if self.rng.bool() {
            -1
        } else {
            self.rng.i32(0..3)
        }
    }

    fn data(&mut self) -> Option<&'static [u8]> {
        [None, Some(&b""[..]), Some(b"x"), Some(b"longer data")][self.rng.usize(..4)]
    }

    fn acl(&mut self) -> Vec<Acl> {
        let entry = |perms, id| vec![Acl { perms, id }];
        match self.rng.u8(..12) {
            0 => entry(Perms::ALL, Id::new("auth", "")),
            1 => entry(Perms::ALL, Id::new("ip", "10.0.0.0/8")),
            2 => entry(Perms::READ.or(Perms::DELETE), Id::anyone()),
            3 => entry(Perms::ALL, Id::new("digest", "nobody:hash")),
            4 => entry(Perms::ALL, Id::new("nonsense", "")),
            _ => Acl::open(),
        }
    }
}
