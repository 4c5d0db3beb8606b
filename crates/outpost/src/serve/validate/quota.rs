//! The names that every server acts on while it applies a transaction: `zookeeper_limits` and
//! `zookeeper_stats` below `/zookeeper/quota`, which anybody may create.
//!
//! Servers take these paths apart and parse this data without being prepared for anything else, in the
//! thread that applies transactions and when they load a snapshot. An exception there stops every
//! server, and the next start finds the same transaction again.

use outpost_wire::ErrorCode;
use outpost_wire::proto::CreateMode;

use super::Refusal;

/// All servers look below this prefix as text, whether or not a component ends with it.
const PROC: &[u8] = b"/zookeeper";
const QUOTA: &[u8] = b"/zookeeper/quota";
const LIMITS: &[u8] = b"zookeeper_limits";
const STATS: &[u8] = b"zookeeper_stats";

/// A znode that servers act on.
enum Name<'a> {
    /// Limits of the subtree that the parent path names.
    Limits { parent: &'a [u8] },
    /// How much of them is used.
    Stats { parent: &'a [u8] },
}

impl<'a> Name<'a> {
    fn of(path: &'a [u8]) -> Option<Name<'a>> {
        // Most paths end here, at the price of one comparison.
        if !path.starts_with(PROC) {
            return None;
        }
        let parent = |name| {
            path.strip_suffix(name)
                .and_then(|rest| rest.strip_suffix(b"/"))
        };
        match (parent(LIMITS), parent(STATS)) {
            (Some(parent), _) if parent.starts_with(PROC) => Some(Name::Limits { parent }),
            (_, Some(parent)) if parent.starts_with(QUOTA) => Some(Name::Stats { parent }),
            _ => None,
        }
    }

    fn parent(&self) -> &'a [u8] {
        match self {
            Name::Limits { parent } | Name::Stats { parent } => parent,
        }
    }
}

/// A znode is to be created at `path`, without a number behind it.
pub(super) fn create(path: &[u8], data: Option<&[u8]>, mode: CreateMode) -> Result<(), Refusal> {
    let Some(name) = Name::of(path) else {
        return Ok(());
    };
    subtree(name.parent())?;
    if mode != CreateMode::Persistent {
        return Err(refused("only persistent znodes can hold a quota"));
    }
    match name {
        Name::Limits { parent } => {
            found_at_load(parent)?;
            text(data)
        }
        // Overwritten at once by every server.
        Name::Stats { .. } => Ok(()),
    }
}

/// The znode at `path` is to be deleted. It may exist although the mirror has not seen it yet.
pub(super) fn delete(path: &[u8]) -> Result<(), Refusal> {
    match Name::of(path) {
        Some(Name::Limits { parent }) => subtree(parent),
        _ => Ok(()),
    }
}

/// The data of the znode at `path` is to be replaced.
pub(super) fn set_data(path: &[u8], data: Option<&[u8]>) -> Result<(), Refusal> {
    match Name::of(path) {
        Some(name) if name.parent().starts_with(QUOTA) => text(data),
        _ => Ok(()),
    }
}

/// Whether `parent` names a subtree in a way that a server's table of quotas takes: 3.6 and later fail
/// on one without any component but blanks, 3.4 and 3.5 on one without a slash.
fn subtree(parent: &[u8]) -> Result<(), Refusal> {
    let is_blank = |component: &[u8]| component.iter().all(|&byte| byte <= b' ');
    match parent
        .strip_prefix(QUOTA)
        .and_then(|rest| rest.strip_prefix(b"/"))
    {
        Some(subtree) if !subtree.split(|&byte| byte == b'/').all(is_blank) => Ok(()),
        _ => Err(refused("a quota that belongs to no subtree")),
    }
}

/// A server that loads a snapshot takes the subtree from the path up to the first `/zookeeper_limits`,
/// not up to the last.
fn found_at_load(parent: &[u8]) -> Result<(), Refusal> {
    match parent
        .split(|&byte| byte == b'/')
        .any(|component| component.starts_with(LIMITS))
    {
        true => Err(refused("a quota on what is named like one")),
        false => Ok(()),
    }
}

fn text(data: Option<&[u8]>) -> Result<(), Refusal> {
    match data
        .and_then(|data| std::str::from_utf8(data).ok())
        .is_some_and(is_quota_text)
    {
        true => Ok(()),
        false => Err(refused("text that is no quota's")),
    }
}

/// Whether releases old and new can parse this: `count=1,bytes=-1`, and perhaps behind it `=` and newer
/// fields such as `;countHardLimit=5` (`StatsTrack`). The count is an int before 3.7.
fn is_quota_text(text: &str) -> bool {
    let number = |text: &str| !text.starts_with('+') && text.parse::<i64>().is_ok();
    let count = |text: &str| !text.starts_with('+') && text.parse::<i32>().is_ok();
    let field = |field: &str| {
        field.split_once('=').is_some_and(|(name, value)| {
            !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric()) && number(value)
        })
    };
    let Some((counted, rest)) = text
        .strip_prefix("count=")
        .and_then(|t| t.split_once(",bytes="))
    else {
        return false;
    };
    let (bytes, fields) = match rest.split_once("=;") {
        Some((bytes, fields)) => (bytes, Some(fields)),
        None => (rest, None),
    };
    count(counted) && number(bytes) && fields.is_none_or(|fields| fields.split(';').all(field))
}

fn refused(why: &'static str) -> Refusal {
    Refusal::new(ErrorCode::BAD_ARGUMENTS, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p9_what_zookeepers_own_shell_writes_is_the_text_of_a_quota() {
        for text in [
            "count=5,bytes=-1",
            "count=0,bytes=0",
            "count=-1,bytes=9223372036854775807",
            "count=-1,bytes=-1=;byteHardLimit=100;countHardLimit=3",
        ] {
            assert!(is_quota_text(text), "{text}");
        }
    }

    #[test]
    fn p9_text_that_some_release_cannot_parse_is_none_of_a_quota() {
        for text in [
            "",
            "count=5",
            "bytes=5,count=5",
            "count=,bytes=5",
            "count=5,bytes=",
            "count=+5,bytes=5",
            "count=2147483648,bytes=5",
            "count=5,bytes=9223372036854775808",
            "count=5,bytes=5,bytes=5",
            "count=5, bytes=5",
            "count=5,bytes=5\n",
            "count=5,bytes=5;countHardLimit=5",
            "count=5,bytes=5=",
            "count=5,bytes=5=;",
            "count=5,bytes=5=;;x=1",
            "count=5,bytes=5=;=1",
            "count=5,bytes=5=;x",
            "count=5,bytes=5=;x=",
            "count=5,bytes=5=;x=1,y=2",
        ] {
            assert!(!is_quota_text(text), "{text}");
        }
    }
}
