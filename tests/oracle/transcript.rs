//! What was seen, as lines of text in which everything that may differ from run to run has a stable name.
//!
//! While a script is played, zxids and session ids are written down between marks; [`Transcript::lines`] then
//! replaces them: a zxid by its rank among those of the script's own transactions, a session by the connection
//! that was given it. Times, and zxids of what was there before the script, are only checked for plausibility.
//! Children, ephemerals and identities, which have no order, are sorted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bstr::{BStr, ByteSlice};
use outpost_wire::proto::{MultiResponse, MultiResult, ReplyBody};
use outpost_wire::{Acl, OpCode, Reader, SessionId, Stat};

use crate::script::Connection;

/// Stands around a number that is replaced at the end: `‹z:12›` for a zxid, `‹s:34›` for a session.
const OPEN: char = '‹';
const CLOSE: char = '›';
/// Begins the line behind one that is not as it must be.
pub(crate) const UNEXPECTED: &str = "but it must be: ";
/// Texts longer than this are shown by their length and sum.
const SHOWN: usize = 80;

/// What one run of a script has seen.
pub(crate) struct Transcript {
    root: String,
    first_zxid: i64,
    lines: Vec<String>,
    sessions: BTreeMap<i64, Connection>,
}

impl Transcript {
    /// Nothing yet. What was created at `first_zxid` or later is the script's own.
    pub(crate) fn new(root: &str, first_zxid: i64) -> Self {
        Self {
            root: root.to_owned(),
            first_zxid,
            lines: Vec::new(),
            sessions: BTreeMap::new(),
        }
    }

    /// Adds a line.
    pub(crate) fn note(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// Compares the last lines, with stable names, with what they must be; adds a line if they are others.
    pub(crate) fn expect(&mut self, lines: &[String]) {
        if !self.lines().ends_with(lines) {
            self.note(format!("{UNEXPECTED}{lines:#?}"));
        }
    }

    /// Remembers whose session it is; the first to have it keeps the name.
    pub(crate) fn name_session(&mut self, session: SessionId, connection: Connection) {
        self.sessions.entry(session.0).or_insert(connection);
    }

    /// The lines, with stable names.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut zxids = BTreeSet::new();
        for line in &self.lines {
            each_mark(line, |kind, number| {
                if kind == "z" && number >= self.first_zxid {
                    zxids.insert(number);
                }
            });
        }
        let ranks: BTreeMap<i64, usize> = zxids
            .into_iter()
            .enumerate()
            .map(|(rank, zxid)| (zxid, rank))
            .collect();
        self.lines
            .iter()
            .map(|line| self.named(line, &ranks))
            .collect()
    }

    fn named(&self, line: &str, ranks: &BTreeMap<i64, usize>) -> String {
        let mut text = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once(OPEN) {
            let (mark, after) = after.split_once(CLOSE).unwrap_or((after, ""));
            text.push_str(before);
            text.push_str(&self.name_of(mark, ranks));
            rest = after;
        }
        text.push_str(rest);
        let name = format!("\"{}\"", &self.root[1..]);
        text.replace(&self.root, "$").replace(&name, "\"$\"")
    }

    fn name_of(&self, mark: &str, ranks: &BTreeMap<i64, usize>) -> String {
        let Some((kind, number)) = parse_mark(mark) else {
            return mark.to_owned();
        };
        match kind {
            "s" => match self.sessions.get(&number) {
                Some(connection) => format!("session-of-{connection}"),
                None => format!("{number:#x}"),
            },
            _ => match (number, ranks.get(&number)) {
                (-1..=0, _) => number.to_string(),
                (_, Some(rank)) => format!("#{rank}"),
                (_, None) => "old".to_owned(),
            },
        }
    }
}

fn parse_mark(mark: &str) -> Option<(&str, i64)> {
    let (kind, number) = mark.split_once(':')?;
    Some((kind, number.parse().ok()?))
}

fn each_mark(line: &str, mut seen: impl FnMut(&str, i64)) {
    for part in line.split(OPEN).skip(1) {
        let mark = part.split(CLOSE).next().unwrap_or_default();
        if let Some((kind, number)) = parse_mark(mark) {
            seen(kind, number);
        }
    }
}

/// A zxid between marks.
pub(crate) fn zxid(zxid: i64) -> String {
    format!("{OPEN}z:{zxid}{CLOSE}")
}

/// A session between marks.
pub(crate) fn session(session: i64) -> String {
    format!("{OPEN}s:{session}{CLOSE}")
}

/// An operation by name, or its number.
pub(crate) fn op_name(op: i32) -> String {
    OpCode::from_code(op).map_or_else(|| format!("op {op}"), |op| format!("{op:?}"))
}

/// Bytes as text; long ones by their length and sum.
pub(crate) fn text(bytes: &[u8]) -> String {
    if bytes.len() <= SHOWN {
        return format!("{:?}", BStr::new(bytes));
    }
    let sum = bytes.iter().fold(0_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
    });
    format!(
        "{:?}…({} bytes, sum {sum:x})",
        BStr::new(&bytes[..16]),
        bytes.len()
    )
}

/// The record of a successful reply. `path` is the request's: of the root only what no other script changes is
/// shown.
pub(crate) fn body(op: i32, path: &[u8], bytes: &[u8]) -> String {
    let Some(op) = OpCode::from_code(op) else {
        return format!("unknown record {}", text(bytes));
    };
    let mut reader = Reader::new(bytes);
    let shown = match ReplyBody::read(op, &mut reader) {
        Ok(body) => record(&body, path),
        Err(error) => return format!("({error}) {}", text(bytes)),
    };
    match reader.rest() {
        [] => shown,
        more => format!("{shown} and {}", text(more)),
    }
}

fn record(body: &ReplyBody<'_>, path: &[u8]) -> String {
    let stat = |stat: &Stat| stat_text(stat, path);
    match body {
        ReplyBody::Create(create) => text(create.path),
        ReplyBody::Create2(create) => format!("{} {}", text(create.path), stat(&create.stat)),
        ReplyBody::SetData(set) => stat(&set.stat),
        ReplyBody::SetAcl(set) => stat(&set.stat),
        ReplyBody::Exists(exists) => stat(&exists.stat),
        ReplyBody::GetData(get) => format!("{} {}", data(get.data), stat(&get.stat)),
        ReplyBody::GetAcl(get) => format!("{} {}", acl(&get.acl), stat(&get.stat)),
        ReplyBody::GetChildren(get) => names(&get.children),
        ReplyBody::GetChildren2(get) => format!("{} {}", names(&get.children), stat(&get.stat)),
        ReplyBody::GetAllChildrenNumber(get) => get.total_number.to_string(),
        ReplyBody::GetEphemerals(get) => names(&get.ephemerals),
        ReplyBody::Sync(sync) => text(sync.path),
        ReplyBody::AddWatch(answer) => answer.err.to_string(),
        ReplyBody::Sasl(answer) => format!("token {}", data(answer.token)),
        ReplyBody::Multi(multi) => multi_text(multi),
        ReplyBody::WhoAmI(answer) => {
            let ids = answer.client_info.iter();
            let mut ids: Vec<String> = ids
                .map(|info| format!("{}:{}", info.auth_scheme, info.user))
                .collect();
            ids.sort();
            format!("{ids:?}")
        }
        ReplyBody::None => String::new(),
    }
}

fn multi_text(multi: &MultiResponse<'_>) -> String {
    let mut shown = String::from("multi");
    for result in &multi.results {
        let result = match result {
            MultiResult::Create(create) => format!("create {}", text(create.path)),
            MultiResult::Create2(create) => {
                format!(
                    "create2 {} {}",
                    text(create.path),
                    stat_text(&create.stat, create.path)
                )
            }
            MultiResult::Delete => "delete".to_owned(),
            MultiResult::Check => "check".to_owned(),
            MultiResult::SetData(set) => format!("setData {}", stat_text(&set.stat, b"")),
            MultiResult::GetData(get) => {
                format!("getData {} {}", data(get.data), stat_text(&get.stat, b""))
            }
            MultiResult::GetChildren(get) => format!("getChildren {}", names(&get.children)),
            MultiResult::Error(error) => error.to_string(),
        };
        let _ = write!(shown, " | {result}");
    }
    shown
}

fn data(data: Option<&[u8]>) -> String {
    data.map_or_else(|| "null".to_owned(), text)
}

fn names(names: &[&BStr]) -> String {
    let mut sorted: Vec<String> = names.iter().map(|name| text(name.as_bytes())).collect();
    sorted.sort();
    format!("[{}]", sorted.join(", "))
}

fn acl(acl: &[Acl]) -> String {
    let entries = acl.iter();
    let entries: Vec<String> = entries
        .map(|entry| {
            format!(
                "{}:{}:{}",
                text(&entry.id.scheme),
                text(&entry.id.id),
                entry.perms.0
            )
        })
        .collect();
    format!("[{}]", entries.join(", "))
}

fn stat_text(stat: &Stat, path: &[u8]) -> String {
    if matches!(path, b"/" | b"") && stat.czxid.0 == 0 {
        return format!("stat of the root, data {}", stat.data_length);
    }
    let mut shown = format!(
        "c{} m{} p{} v{} cv{} av{} len{} n{}",
        zxid(stat.czxid.0),
        zxid(stat.mzxid.0),
        zxid(stat.pzxid.0),
        stat.version,
        stat.cversion,
        stat.aversion,
        stat.data_length,
        stat.num_children
    );
    if stat.ephemeral_owner != 0 {
        let _ = write!(shown, " owner {}", session(stat.ephemeral_owner));
    }
    if stat.mtime < stat.ctime || (stat.version == 0 && stat.mtime != stat.ctime) {
        shown.push_str(" with strange times");
    }
    shown
}
