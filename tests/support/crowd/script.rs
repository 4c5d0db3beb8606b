//! What clients of a crowd ask for, for ever: reading, watching, writing, holding ephemerals, and stirring up what
//! the others look at.

use std::collections::VecDeque;

use fastrand::Rng;
use outpost_wire::ErrorCode;
use outpost_wire::proto::{AddWatchMode, CreateMode};

use super::history::{Op, Path};

/// A client's requests, one after the other.
pub trait Work: Send {
    /// The next one; none if it has nothing to ask for now.
    fn next(&mut self, rng: &mut Rng) -> Option<Op>;

    /// A request was answered.
    fn answered(&mut self, _op: &Op, _err: ErrorCode) {}

    /// The session is gone, and with it its ephemerals and persistent watches.
    fn begin_anew(&mut self) {}
}

/// A client's work.
pub type Script = Box<dyn Work>;

/// The znodes that readers look at, all below one root, and that a stirrer changes.
#[derive(Debug, Clone)]
pub struct Board {
    /// The znode above all.
    pub root: Path,
    /// Always there; their data and children change.
    pub steady: Vec<Path>,
    /// Created and deleted all the time.
    pub fleeting: Vec<Path>,
}

impl Board {
    /// A board of so many steady znodes, and as many fleeting ones below them.
    pub fn new(root: &str, size: usize) -> Self {
        let steady: Vec<Path> = (0..size)
            .map(|n| format!("{root}/n{n:03}").into())
            .collect();
        Self {
            root: root.into(),
            fleeting: steady
                .iter()
                .map(|path| format!("{path}/here").into())
                .collect(),
            steady,
        }
    }

    /// What must be created before anybody looks at it.
    pub fn to_create(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&self.root).chain(&self.steady)
    }
}

/// Looks at every znode of the board in turn and leaves every kind of one-shot watch.
pub struct Watching {
    board: Board,
    visits: usize,
}

impl Watching {
    /// Begins somewhere; two clients that begin elsewhere watch other things at the same time.
    pub fn script(board: &Board, begin: usize) -> Script {
        Box::new(Self {
            board: board.clone(),
            visits: begin,
        })
    }
}

impl Work for Watching {
    fn next(&mut self, _: &mut Rng) -> Option<Op> {
        let visit = self.visits;
        self.visits += 1;
        let index = (visit / 4) % self.board.steady.len();
        let (steady, fleeting) = (&self.board.steady[index], &self.board.fleeting[index]);
        let watch = true;
        Some(match visit % 4 {
            0 => Op::GetData {
                path: steady.clone(),
                watch,
            },
            1 => Op::GetChildren {
                path: steady.clone(),
                watch,
            },
            2 => Op::Exists {
                path: fleeting.clone(),
                watch,
            },
            _ => Op::GetChildren {
                path: fleeting.clone(),
                watch,
            },
        })
    }
}

/// Leaves one watch for good, and reads what is below it.
pub struct Remembering {
    board: Board,
    path: Path,
    mode: AddWatchMode,
    left: bool,
}

impl Remembering {
    /// One that watches `path`.
    pub fn script(board: &Board, path: &Path, mode: AddWatchMode) -> Script {
        Box::new(Self {
            board: board.clone(),
            path: path.clone(),
            mode,
            left: false,
        })
    }
}

impl Work for Remembering {
    fn next(&mut self, rng: &mut Rng) -> Option<Op> {
        if !std::mem::replace(&mut self.left, true) {
            let (path, mode) = (self.path.clone(), self.mode);
            return Some(Op::AddWatch { path, mode });
        }
        let path = self.board.steady[rng.usize(..self.board.steady.len())].clone();
        Some(Op::GetData { path, watch: false })
    }

    fn begin_anew(&mut self) {
        self.left = false;
    }
}

/// Writes below a znode of its own in every way, and reads what it has written.
pub struct Writing {
    own: Path,
    count: u64,
    children: VecDeque<Path>,
}

impl Writing {
    /// One that writes below `own`.
    pub fn script(own: &str) -> Script {
        Box::new(Self {
            own: own.into(),
            count: 0,
            children: VecDeque::new(),
        })
    }

    /// What must be created before anybody writes below `own`.
    pub fn to_create(own: &str) -> [String; 3] {
        ["", "/left", "/right"].map(|below| format!("{own}{below}"))
    }

    fn below(&self, name: &str) -> Path {
        format!("{}/{name}", self.own).into()
    }
}

impl Work for Writing {
    fn next(&mut self, _: &mut Rng) -> Option<Op> {
        let count = self.count;
        self.count += 1;
        Some(match count % 6 {
            0 | 3 => Op::SetData {
                path: self.own.clone(),
                data: count,
            },
            1 => {
                let path = self.below(&format!("c{count}"));
                self.children.push_back(path.clone());
                let mode = CreateMode::Persistent;
                Op::Create { path, mode }
            }
            2 => Op::SetBoth {
                paths: [self.below("left"), self.below("right")],
                data: count,
            },
            4 => Op::GetData {
                path: self.own.clone(),
                watch: false,
            },
            _ if self.children.len() > 2 => Op::Delete {
                path: self.children.pop_front()?,
            },
            _ => Op::GetChildren {
                path: self.own.clone(),
                watch: false,
            },
        })
    }
}

/// Holds one ephemeral and looks whether it is still there.
pub struct Holding {
    own: Path,
    created: bool,
}

impl Holding {
    /// One that holds `own`, whose parent is there.
    pub fn script(own: &str) -> Script {
        Box::new(Self {
            own: own.into(),
            created: false,
        })
    }
}

impl Work for Holding {
    fn next(&mut self, _: &mut Rng) -> Option<Op> {
        let path = self.own.clone();
        if !std::mem::replace(&mut self.created, true) {
            let mode = CreateMode::Ephemeral;
            return Some(Op::Create { path, mode });
        }
        Some(Op::Exists { path, watch: false })
    }

    fn answered(&mut self, _: &Op, err: ErrorCode) {
        // The request to create it was lost with its connection.
        if err == ErrorCode::NO_NODE {
            self.created = false;
        }
    }

    fn begin_anew(&mut self) {
        self.created = false;
    }
}

/// Syncs and reads in turn.
pub struct Syncing {
    board: Board,
    synced: bool,
}

impl Syncing {
    /// One that reads the board.
    pub fn script(board: &Board) -> Script {
        Box::new(Self {
            board: board.clone(),
            synced: false,
        })
    }
}

impl Work for Syncing {
    fn next(&mut self, rng: &mut Rng) -> Option<Op> {
        self.synced = !self.synced;
        if self.synced {
            return Some(Op::Sync);
        }
        let path = self.board.steady[rng.usize(..self.board.steady.len())].clone();
        Some(Op::GetData { path, watch: false })
    }
}

/// Changes the board.
pub struct Stirring {
    board: Board,
    count: u64,
}

impl Stirring {
    /// One that changes this board.
    pub fn script(board: &Board) -> Script {
        Box::new(Self {
            board: board.clone(),
            count: 0,
        })
    }
}

impl Work for Stirring {
    fn next(&mut self, rng: &mut Rng) -> Option<Op> {
        self.count += 1;
        let index = rng.usize(..self.board.steady.len());
        let fleeting = self.board.fleeting[index].clone();
        Some(match rng.u32(..4) {
            0 => Op::Create {
                path: fleeting,
                mode: CreateMode::Persistent,
            },
            1 => Op::Delete { path: fleeting },
            _ => Op::SetData {
                path: self.board.steady[index].clone(),
                data: self.count,
            },
        })
    }
}
