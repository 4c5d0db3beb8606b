//! The audit log (`audit.enable`): who has changed what, in ZooKeeper's form.
//!
//! Told are the writes of clients of this server, each when its end is known, and the ephemerals that go with a
//! session, of whichever server: as on a Java observer. A write whose end cannot be known (P5) is told with
//! `result=invoked`.
//!
//! What a write asks for is kept here from the moment at which it is handed to the link: its client may be gone when
//! the answer comes, and is told of all the same. Lines go to the process's log, as target `audit`, or to a file of
//! their own; either way they wait in a bounded buffer, and nobody waits for them. They are made when readers can see the tree
//! again.

mod asked;
mod file;
mod line;
mod user;

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bstr::BString;
use dashmap::DashMap;
use outpost_forward::{Attachment, Origin, Pending};
use outpost_mirror::Applied;
use outpost_wire::{Id, OpCode, SessionId, Xid};
use parking_lot::Mutex;

pub(crate) use asked::{Answer, Asked};

use crate::config::AuditLog;
use crate::limits::AUDIT_BYTES_MAX;
use crate::logs::lines::{Lines, Writing};
use crate::serve::auth::address_id;
use file::OpenFile;
use line::{Line, Outcome};

/// Where lines of the audit log go in the process's log.
const TARGET: &str = "audit";

/// The file of the audit log cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct NoAuditFile {
    path: PathBuf,
    source: io::Error,
}

/// Writes the file of the audit log. At its drop, what waits is still written, within two seconds.
pub type AuditFile = Writing;

/// The audit log where one is to be kept, with what writes its file if it has one of its own.
///
/// # Errors
/// When the file cannot be made or written.
pub fn open(
    config: Option<&AuditLog>,
) -> Result<(Option<Arc<Audit>>, Option<AuditFile>), NoAuditFile> {
    let Some(AuditLog { file }) = config else {
        return Ok((None, None));
    };
    let (audit, file) = match file {
        Some(path) => {
            let (audit, file) = Audit::in_file(path)?;
            (audit, Some(file))
        }
        None => (Audit::new(None), None),
    };
    Ok((Some(Arc::new(audit)), file))
}

/// The audit log.
pub struct Audit {
    /// The user who has started this process.
    user: String,
    /// A file of its own; without one lines go to the process's log.
    file: Option<Lines>,
    told: AtomicU64,
    /// Writes on their way to the leader, those of one connection in the order in which they were sent. As many as the
    /// link takes in.
    on_their_way: DashMap<Origin, VecDeque<OnItsWay>>,
    /// What has come to an end in the present batch: told of when readers can see the tree again.
    ended: Mutex<Vec<End>>,
    /// Held while lines of a batch are told, so that no other comes between them.
    telling: Mutex<()>,
}

enum End {
    Write(Who, Asked, Answer),
    /// Of a session that has ended, each with whether it was there.
    Ephemerals(SessionId, Vec<(BString, bool)>),
}

struct OnItsWay {
    xid: Xid,
    op: OpCode,
    attachment: Attachment,
    who: Who,
    asked: Asked,
}

/// Who asks, at the moment of asking.
#[derive(Debug, Clone)]
pub struct Who {
    /// The session.
    pub session: SessionId,
    /// All identities of the connection.
    pub ids: Arc<[Id]>,
    /// Where it comes from.
    pub address: IpAddr,
}

impl Who {
    /// What begins each of its lines.
    fn begin(&self) -> Line {
        Line::default()
            .field("session", self.session.to_string())
            .maybe("user", line::users(&self.ids))
            .field("ip", address_id(self.address).id)
    }
}

impl Audit {
    /// Memory of lines that wait to be written to a file of its own, in bytes.
    pub fn memory(&self) -> usize {
        self.file.as_ref().map_or(0, Lines::memory)
    }

    /// In a file of its own, which is added to.
    fn in_file(path: &Path) -> Result<(Audit, AuditFile), NoAuditFile> {
        let file = OpenFile::open(path).map_err(|source| NoAuditFile {
            path: path.to_owned(),
            source,
        })?;
        let user = user::of_this_process();
        let gap = move |lost: u64| {
            let line = Line::default()
                .field("user", &user)
                .field("operation", "auditLinesLost")
                .field("lines", lost.to_string());
            let text = line.result(Outcome::Failure);
            file::line(SystemTime::now(), &text, Outcome::Failure)
        };
        let gap = Some(Box::new(gap) as _);
        let (lines, writing) = Lines::start("audit", AUDIT_BYTES_MAX, Box::new(file), gap);
        Ok((Audit::new(Some(lines)), writing))
    }

    fn new(file: Option<Lines>) -> Audit {
        Audit {
            user: user::of_this_process(),
            file,
            told: AtomicU64::new(0),
            on_their_way: DashMap::new(),
            ended: Mutex::new(Vec::new()),
            telling: Mutex::new(()),
        }
    }

    /// This process has come up.
    pub fn started(&self) {
        self.tell(self.own("serverStart"), Outcome::Success);
    }

    /// This process could not come up.
    pub fn not_started(&self) {
        self.tell(self.own("serverStart"), Outcome::Failure);
    }

    /// This process is about to end.
    pub fn stopping(&self) {
        self.tell(self.own("serverStop"), Outcome::Invoked);
    }

    /// Begins the file anew, if there is one: it may have been moved away.
    pub fn reopen(&self) -> bool {
        let file = self.file.as_ref();
        file.map(Lines::reopen).is_some()
    }

    /// Lines told so far.
    pub fn told(&self) -> u64 {
        self.told.load(Ordering::Acquire)
    }

    /// Lines that could not be written to the file.
    pub fn lost(&self) -> u64 {
        self.file.as_ref().map_or(0, Lines::lost)
    }

    /// Writes whose end is waited for.
    pub fn on_their_way(&self) -> usize {
        self.on_their_way.iter().map(|line| line.len()).sum()
    }

    /// A request was refused here. Its line stands behind those of all that its client has been answered before:
    /// answers of a batch leave while its lines are not told yet.
    pub(crate) fn refused(&self, who: Who, asked: Asked) {
        let mut ended = self.ended.lock();
        if !ended.is_empty() {
            ended.push(End::Write(who, asked, Answer::Failed));
            return;
        }
        drop(ended);
        let _telling = self.telling.lock();
        self.tell_of(&who, &asked, &Answer::Failed);
    }

    /// A request is about to be handed to the link: its answer may come before the next instruction is executed.
    pub(crate) fn forwards(
        &self,
        pending: &Pending,
        attachment: Attachment,
        who: Who,
        asked: Asked,
    ) {
        let on_its_way = OnItsWay {
            xid: pending.cxid,
            op: pending.op,
            attachment,
            who,
            asked,
        };
        let mut line = self.on_their_way.entry(pending.origin).or_default();
        line.push_back(on_its_way);
    }

    /// The leader has answered a request.
    pub(crate) fn answered(&self, pending: &Pending, applied: &Applied) {
        if let Some(OnItsWay { who, asked, .. }) = self.take(pending) {
            let end = End::Write(who, asked, Answer::of(applied));
            self.ended.lock().push(end);
        }
    }

    /// What has become of a request cannot be known.
    pub(crate) fn unknown(&self, pending: &Pending) {
        if let Some(OnItsWay { who, asked, .. }) = self.take(pending) {
            let end = End::Write(who, asked, Answer::Unknown);
            self.ended.lock().push(end);
        }
    }

    /// A session has ended and its ephemerals with it; of each whether it was there.
    pub(crate) fn ephemerals_deleted(&self, session: SessionId, paths: Vec<(BString, bool)>) {
        self.ended.lock().push(End::Ephemerals(session, paths));
    }

    /// The batch is over, and nobody waits for the tree any longer.
    pub(crate) fn batch_done(&self) {
        let mut ended = self.ended.lock();
        if ended.is_empty() {
            return;
        }
        // Taken while nobody can find none left to wait for.
        let _telling = self.telling.lock();
        let batch = std::mem::take(&mut *ended);
        drop(ended);
        for end in batch {
            match end {
                End::Write(who, asked, answer) => self.tell_of(&who, &asked, &answer),
                End::Ephemerals(session, paths) => self.tell_of_ephemerals(session, &paths),
            }
        }
    }

    /// A request has not been forwarded, and nothing has come of it.
    pub(crate) fn not_forwarded(&self, pending: &Pending) {
        self.take(pending);
    }

    /// A new attachment: what was made under those before the last was never forwarded.
    pub(crate) fn attached(&self, attachment: Attachment) {
        self.on_their_way.retain(|_, line| {
            line.retain(|one| one.attachment.0 + 1 >= attachment.0);
            !line.is_empty()
        });
    }

    fn tell_of(&self, who: &Who, asked: &Asked, answer: &Answer) {
        asked.told(answer, &who.begin(), &mut |line, outcome| {
            self.tell(line, outcome);
        });
    }

    fn tell_of_ephemerals(&self, session: SessionId, paths: &[(BString, bool)]) {
        for (path, there) in paths {
            let line = Line::default()
                .field("session", session.to_string())
                .field("user", &self.user)
                .field("operation", "ephemeralZNodeDeletionOnSessionCloseOrExpire")
                .field("znode", path);
            let outcome = match there {
                true => Outcome::Success,
                false => Outcome::Failure,
            };
            self.tell(line, outcome);
        }
    }

    /// Mostly the first of its connection, whose requests are answered in order.
    fn take(&self, pending: &Pending) -> Option<OnItsWay> {
        let mut line = self.on_their_way.get_mut(&pending.origin)?;
        let is_it = |one: &OnItsWay| one.xid == pending.cxid && one.op == pending.op;
        let place = line.iter().position(is_it)?;
        let found = line.remove(place);
        let is_empty = line.is_empty();
        drop(line);
        if is_empty {
            self.on_their_way
                .remove_if(&pending.origin, |_, line| line.is_empty());
        }
        found
    }

    fn own(&self, operation: &str) -> Line {
        Line::default()
            .field("user", &self.user)
            .field("operation", operation)
    }

    fn tell(&self, line: Line, outcome: Outcome) {
        let text = line.result(outcome);
        match &self.file {
            Some(file) => file.push(&file::line(SystemTime::now(), &text, outcome)),
            None => tracing::info!(target: TARGET, "{text}"),
        }
        self.told.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::certified::Stores;
    use outpost_mirror::{DigestCheck, TxnResult};
    use outpost_wire::{ErrorCode, Zxid};

    #[test]
    fn the_line_of_what_is_refused_stands_behind_those_of_what_was_answered_before() {
        let dir = Stores::new();
        let path = dir.write("audit.log", "").location;
        let (audit, writing) = Audit::in_file(&path).unwrap();
        let who = Who {
            session: SessionId(7),
            ids: Arc::from([]),
            address: IpAddr::from([127, 0, 0, 1]),
        };
        let pending = Pending {
            origin: Origin(1),
            session: who.session,
            cxid: Xid(1),
            op: OpCode::SetData,
        };
        let written = Asked::SetData(Some("/written".into()));
        audit.forwards(&pending, Attachment(1), who.clone(), written);
        let applied = Applied {
            zxid: Zxid(1),
            kind: OpCode::SetData.code(),
            error: ErrorCode::OK,
            result: TxnResult::None,
            digest: DigestCheck::NotSent,
            diverged: None,
        };
        audit.answered(&pending, &applied);
        // The client has its answer; the batch is not over.
        audit.refused(who.clone(), Asked::SetData(Some("/refused".into())));
        audit.batch_done();
        audit.refused(who, Asked::SetData(Some("/refused-later".into())));
        drop(writing);
        let text = std::fs::read_to_string(&path).unwrap();
        let paths: Vec<&str> = text
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("znode="))
            .collect();
        assert_eq!(paths, ["/written", "/refused", "/refused-later"]);
    }
}
