//! Exchanges that nobody has thought of: drawn from a seed, played like any other script.
//!
//! `OUTPOST_ORACLE_SEED` replaces the first seed, to look further or to come back to a failure.

use outpost_wire::proto::{
    AddWatchRequest, CheckVersionRequest, CheckWatchesRequest, CreateRequest, DeleteRequest,
    GetAclRequest, GetAllChildrenNumberRequest, GetChildrenRequest, GetDataRequest,
    GetEphemeralsRequest, MultiOp, MultiRequest, RemoveWatchesRequest, SetDataRequest,
};
use outpost_wire::{Acl, Id, OpCode, Perms, Writer};

use crate::script::{At, Connection, Hello, Play, Script, Seen, Step, bstr};

pub(crate) const SCRIPTS: &[Script] = &[
    Script::both("random_exchanges_are_answered_alike_1", seeded::<1>),
    Script::both("random_exchanges_are_answered_alike_2", seeded::<2>),
    Script::both("random_exchanges_are_answered_alike_3", seeded::<3>),
    Script::both("random_exchanges_are_answered_alike_4", seeded::<4>),
    Script::both("random_exchanges_are_answered_alike_5", seeded::<5>),
    Script::both("random_exchanges_are_answered_alike_6", seeded::<6>),
];

const STEPS: usize = 120;
const CLIENTS: Connection = 3;
const NAMES: &[&str] = &["", "a", "a/b", "a/b/c", "a-", "d", "d/x", "missing/y"];

fn seeded<const SEED: u64>(p: &mut Play) {
    let seed = std::env::var("OUTPOST_ORACLE_SEED").ok();
    let seed = seed
        .and_then(|seed| seed.parse().ok())
        .filter(|_| SEED == 1);
    let mut walk = Walk {
        random: fastrand::Rng::with_seed(seed.unwrap_or(SEED)),
    };
    for c in 0..CLIENTS {
        p.open(c);
    }
    for _ in 0..STEPS {
        let c = walk.random.usize(..CLIENTS);
        match walk.random.u32(..100) {
            0..30 => walk.read(p, c),
            30..50 => walk.watch(p, c),
            50..86 => {
                walk.write(p, c);
                // Whoever has a watch is given its events now.
                for other in 0..CLIENTS {
                    p.sync(other);
                }
            }
            88..92 => walk.set_watches(p, c),
            86..88 => {
                p.together(c, |p| (0..20).for_each(|_| walk.any(p, c)));
                for other in 0..CLIENTS {
                    p.sync(other);
                }
            }
            92..95 => p.auth(c, "digest", b"alice:pw"),
            95..98 => {
                let hello = Hello::again(c);
                p.open_as(CLIENTS + c, At::Here, hello);
                p.end(c);
                p.step(Step::Swap(c, CLIENTS + c));
            }
            _ => {
                p.close(c);
                for other in (0..CLIENTS).filter(|other| *other != c) {
                    p.sync(other);
                }
                p.open(c);
            }
        }
    }
}

struct Walk {
    random: fastrand::Rng,
}

impl Walk {
    fn path(&mut self, p: &Play) -> String {
        let name = NAMES[self.random.usize(..NAMES.len())];
        p.at(name)
    }

    /// Whatever may be pipelined. An ACL may not: a leader goes by the old one for a while.
    fn any(&mut self, p: &mut Play, c: Connection) {
        match self.random.u32(..10) {
            0..4 => self.read(p, c),
            4..6 => self.watch(p, c),
            6 => self.set_watches(p, c),
            _ => self.write_but_acl(p, c),
        }
    }

    fn version(&mut self) -> i32 {
        self.random.i32(-1..3)
    }

    fn read(&mut self, p: &mut Play, c: Connection) {
        let path = self.path(p);
        let (path, watch) = (bstr(&path), self.random.bool());
        match self.random.u32(..9) {
            0 => p.ask(c, OpCode::GetData, &GetDataRequest { path, watch }),
            1 => p.exists(c, &path.to_string(), watch),
            2 => p.get_children(c, &path.to_string(), watch),
            3 => p.ask(c, OpCode::GetChildren, &GetChildrenRequest { path, watch }),
            4 => p.ask(c, OpCode::GetAcl, &GetAclRequest { path }),
            5 => p.ask(
                c,
                OpCode::GetAllChildrenNumber,
                &GetAllChildrenNumberRequest { path },
            ),
            6 => {
                let prefix_path = Some(path);
                p.ask(
                    c,
                    OpCode::GetEphemerals,
                    &GetEphemeralsRequest { prefix_path },
                );
            }
            7 => p.ping(c),
            _ => {
                let other = self.path(p);
                let ops = vec![
                    MultiOp::GetData(GetDataRequest { path, watch }),
                    MultiOp::GetChildren(GetChildrenRequest {
                        path: bstr(&other),
                        watch,
                    }),
                ];
                p.ask(c, OpCode::MultiRead, &MultiRequest { ops });
            }
        }
    }

    fn watch(&mut self, p: &mut Play, c: Connection) {
        let path = self.path(p);
        let path = bstr(&path);
        let kind = self.random.i32(1..6);
        match self.random.u32(..10) {
            0..6 => {
                let mode = self.random.i32(0..2);
                p.ask(c, OpCode::AddWatch, &AddWatchRequest { path, mode });
            }
            6..8 => p.ask(c, OpCode::CheckWatches, &CheckWatchesRequest { path, kind }),
            _ => p.ask(
                c,
                OpCode::RemoveWatches,
                &RemoveWatchesRequest { path, kind },
            ),
        }
    }

    fn write(&mut self, p: &mut Play, c: Connection) {
        if self.random.u32(..12) > 0 {
            return self.write_but_acl(p, c);
        }
        let (path, acl) = (self.path(p), self.acl());
        p.protect(c, &path, &acl);
    }

    fn write_but_acl(&mut self, p: &mut Play, c: Connection) {
        let path = self.path(p);
        match self.random.u32(..11) {
            0..4 => {
                let op = [OpCode::Create, OpCode::Create2][self.random.usize(..2)];
                p.create_as(c, op, &path, Some(b"made"), 0);
            }
            4 => p.create_as(c, OpCode::Create2, &format!("{path}/s-"), None, 2),
            // One for each session: several would go in any order.
            5 => p.create_as(c, OpCode::Create, &p.at(&format!("e{c}")), Some(b"e"), 1),
            6 => {
                let version = self.version();
                let path = bstr(&path);
                p.ask(c, OpCode::Delete, &DeleteRequest { path, version });
            }
            7..10 => {
                let request = SetDataRequest {
                    path: bstr(&path),
                    data: [None, Some(&b"set"[..])][self.random.usize(..2)],
                    version: self.version(),
                };
                p.ask(c, OpCode::SetData, &request);
            }
            _ => self.multi(p, c),
        }
    }

    fn acl(&mut self) -> Vec<Acl> {
        let alice = Acl {
            perms: Perms::ALL,
            id: Id::new("digest", "alice:V55/p2T0OpjQ+low3NVAH4aLvm0="),
        };
        let others = |perms| Acl {
            perms,
            id: Id::anyone(),
        };
        match self.random.u32(..4) {
            0 => vec![alice],
            1 => vec![alice, others(Perms::READ)],
            2 => vec![
                others(Perms::WRITE.or(Perms::ADMIN).or(Perms::CREATE)),
                alice,
            ],
            _ => Acl::open(),
        }
    }

    fn multi(&mut self, p: &mut Play, c: Connection) {
        let paths: Vec<String> = (0..self.random.usize(1..5)).map(|_| self.path(p)).collect();
        let ops = paths.iter().map(|path| {
            let (path, version) = (bstr(path), self.version());
            match self.random.u32(..5) {
                0 => MultiOp::Create(create(path)),
                1 => MultiOp::Create2(create(path)),
                2 => MultiOp::Delete(DeleteRequest { path, version }),
                3 => MultiOp::Check(CheckVersionRequest { path, version }),
                _ => MultiOp::SetData(SetDataRequest {
                    path,
                    data: Some(b"multi"),
                    version,
                }),
            }
        });
        let ops = ops.collect();
        p.ask(c, OpCode::Multi, &MultiRequest { ops });
    }

    fn set_watches(&mut self, p: &mut Play, c: Connection) {
        let seen = [Seen::Nothing, Seen::By(c), Seen::Future][self.random.usize(..3)];
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        for _ in 0..5 {
            let paths: Vec<String> = (0..self.random.usize(..4)).map(|_| self.path(p)).collect();
            writer.vector(&paths, |writer, path| writer.ustring(path.as_bytes()));
        }
        p.step(Step::SetWatches(c, OpCode::SetWatches2, seen, bytes));
        p.replies(c);
    }
}

fn create(path: &bstr::BStr) -> CreateRequest<'_> {
    CreateRequest {
        path,
        data: None,
        acl: Some(Acl::open()),
        flags: 0,
    }
}
