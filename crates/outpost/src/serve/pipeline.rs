//! In which order one session's answers leave (P2).
//!
//! A plain value without I/O. While a write of the session is on its way to the leader, whatever the
//! client sends afterwards stands in line behind it: further writes are forwarded at once and wait for
//! their transactions, everything else waits to be served. With nothing on its way the line is empty and
//! requests are served as they come.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use outpost_wire::proto::RequestHeader;
use outpost_wire::{ErrorCode, Id, OpCode, Xid};

use crate::limits::{PIPELINE_BYTES_MAX, PIPELINE_REQUESTS_MAX};
use crate::serve::outstanding::Ticket;

/// A request that was forwarded and whose answer will come from the leader.
#[derive(Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The number the client gave it.
    pub xid: Xid,
    /// What it asks for.
    pub op: OpCode,
    /// A sync's path, which its answer repeats.
    pub path: Option<Box<[u8]>>,
    /// The error to report instead of the leader's, if the leader reports one.
    pub error_instead: Option<ErrorCode>,
    /// What it took of its session's budget of ephemerals, in bytes.
    pub ephemeral_bytes: usize,
    /// When it was received.
    pub since: Instant,
}

/// A request that can be answered here, once everything before it is.
#[derive(Debug, PartialEq, Eq)]
pub enum Local {
    /// To be served from the tree.
    Serve {
        /// Number and operation.
        header: RequestHeader,
        /// The request's record.
        body: Box<[u8]>,
        /// Who the client was when the request was received.
        ids: Arc<[Id]>,
    },
    /// Refused when it was received.
    Refuse {
        /// The number the client gave it.
        xid: Xid,
        /// Why.
        error: ErrorCode,
        /// Whether the connection ends with this answer.
        close: bool,
    },
    /// The client's wish to end a session that only this server knows.
    CloseLocalSession {
        /// The number the client gave it.
        xid: Xid,
    },
}

#[derive(Debug)]
enum Entry {
    Forwarded(Forwarded),
    Local(Local),
}

/// The line in which one session's requests stand.
#[derive(Debug, Default)]
pub struct Pipeline {
    /// Each with its share of what is in work over all clients, which ends as it leaves.
    line: VecDeque<(Entry, Ticket)>,
    forwarded: usize,
    bytes: usize,
}

/// An answer came that is not the next one of this session; its order is broken, and with it the
/// connection.
#[derive(Debug, PartialEq, Eq)]
pub struct OutOfOrder;

impl Pipeline {
    /// Whether a request that comes now may be served at once.
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Requests in line.
    pub fn len(&self) -> usize {
        self.line.len()
    }

    /// Forwarded requests in line.
    pub fn forwarded(&self) -> usize {
        self.forwarded
    }

    /// Whether no further request may enter; the client has to wait.
    pub fn is_full(&self) -> bool {
        self.line.len() >= PIPELINE_REQUESTS_MAX || self.bytes >= PIPELINE_BYTES_MAX
    }

    /// Memory of what stands in line, in bytes.
    pub fn memory(&self) -> usize {
        self.bytes + self.line.capacity() * size_of::<(Entry, Ticket)>()
    }

    /// A request enters that is about to be forwarded.
    pub fn forward(&mut self, request: Forwarded, ticket: Ticket) {
        self.forwarded += 1;
        self.bytes += bytes_of_path(&request);
        self.line.push_back((Entry::Forwarded(request), ticket));
    }

    /// A request enters that is answered here once its turn comes.
    pub fn wait(&mut self, request: Local, ticket: Ticket) {
        self.bytes += bytes_of(&request);
        self.line.push_back((Entry::Local(request), ticket));
    }

    /// The answer to `xid` has come: it leaves the line, in which it must be first.
    ///
    /// # Errors
    /// When another request is first.
    pub fn answered(&mut self, xid: Xid, op: OpCode) -> Result<Forwarded, OutOfOrder> {
        match self.line.pop_front() {
            Some((Entry::Forwarded(request), _)) if request.xid == xid && request.op == op => {
                self.forwarded -= 1;
                self.bytes -= bytes_of_path(&request);
                Ok(request)
            }
            _ => Err(OutOfOrder),
        }
    }

    /// The request whose turn has come to be answered here, if there is one.
    pub fn next_local(&mut self) -> Option<Local> {
        match self.line.pop_front()? {
            (Entry::Local(request), _) => {
                self.bytes -= bytes_of(&request);
                Some(request)
            }
            forwarded @ (Entry::Forwarded(_), _) => {
                self.line.push_front(forwarded);
                None
            }
        }
    }

    /// Whether a request stands first that can be answered here.
    pub fn has_local(&self) -> bool {
        matches!(self.line.front(), Some((Entry::Local(_), _)))
    }

    /// Forgets everything, when the connection ends.
    pub fn clear(&mut self) {
        *self = Pipeline::default();
    }
}

fn bytes_of_path(request: &Forwarded) -> usize {
    request.path.as_ref().map_or(0, |path| path.len())
}

fn bytes_of(request: &Local) -> usize {
    match request {
        Local::Serve { body, .. } => body.len(),
        Local::Refuse { .. } | Local::CloseLocalSession { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LargeRequests;
    use crate::serve::outstanding::Outstanding;

    fn ticket() -> Ticket {
        let all = Arc::new(Outstanding::new(1000, None));
        all.count(all.take_on(1).unwrap(), None)
    }

    fn write(xid: i32) -> Forwarded {
        Forwarded {
            xid: Xid(xid),
            op: OpCode::SetData,
            path: None,
            error_instead: None,
            ephemeral_bytes: 0,
            since: Instant::now(),
        }
    }

    fn read(xid: i32) -> Local {
        Local::Serve {
            header: RequestHeader {
                xid: Xid(xid),
                op: OpCode::GetData.code(),
            },
            body: Box::from(&b"body"[..]),
            ids: Arc::from([]),
        }
    }

    fn xid_of(local: &Local) -> i32 {
        match local {
            Local::Serve { header, .. } => header.xid.0,
            Local::Refuse { xid, .. } | Local::CloseLocalSession { xid } => xid.0,
        }
    }

    #[test]
    fn p2_a_read_behind_a_write_waits_for_it_and_one_behind_two_waits_for_both() {
        let mut pipeline = Pipeline::default();
        pipeline.forward(write(1), ticket());
        pipeline.wait(read(2), ticket());
        pipeline.forward(write(3), ticket());
        pipeline.wait(read(4), ticket());
        assert!(!pipeline.has_local());
        assert!(pipeline.next_local().is_none());

        assert!(pipeline.answered(Xid(1), OpCode::SetData).is_ok());
        assert_eq!(pipeline.next_local().as_ref().map(xid_of), Some(2));
        assert!(pipeline.next_local().is_none());

        assert!(pipeline.answered(Xid(3), OpCode::SetData).is_ok());
        assert_eq!(pipeline.next_local().as_ref().map(xid_of), Some(4));
        assert!(pipeline.is_empty());
    }

    #[test]
    fn p5_an_answer_that_is_not_the_next_one_is_refused() {
        let mut pipeline = Pipeline::default();
        pipeline.forward(write(1), ticket());
        pipeline.forward(write(2), ticket());
        assert_eq!(
            pipeline.answered(Xid(2), OpCode::SetData).err(),
            Some(OutOfOrder)
        );
        let mut pipeline = Pipeline::default();
        pipeline.wait(read(1), ticket());
        assert_eq!(
            pipeline.answered(Xid(1), OpCode::SetData).err(),
            Some(OutOfOrder)
        );
        assert_eq!(
            Pipeline::default().answered(Xid(1), OpCode::SetData).err(),
            Some(OutOfOrder)
        );
    }

    #[test]
    fn p6_a_full_line_takes_no_more_until_something_left() {
        let mut pipeline = Pipeline::default();
        pipeline.forward(write(0), ticket());
        for xid in 1..PIPELINE_REQUESTS_MAX {
            assert!(!pipeline.is_full());
            pipeline.wait(read(i32::try_from(xid).unwrap()), ticket());
        }
        assert!(pipeline.is_full());
        assert!(pipeline.answered(Xid(0), OpCode::SetData).is_ok());
        while pipeline.next_local().is_some() {}
        assert!(pipeline.is_empty() && !pipeline.is_full());
        assert_eq!(pipeline.bytes, 0);
    }

    #[test]
    fn p6_syncs_with_long_paths_fill_a_line_as_reads_do() {
        let mut pipeline = Pipeline::default();
        let sync = |xid| Forwarded {
            op: OpCode::Sync,
            path: Some(vec![b'x'; 1 << 20].into()),
            ..write(xid)
        };
        for xid in 0..4 {
            assert!(!pipeline.is_full());
            pipeline.forward(sync(xid), ticket());
        }
        assert!(pipeline.is_full());
        assert!(pipeline.memory() >= PIPELINE_BYTES_MAX);
        for xid in 0..4 {
            assert!(pipeline.answered(Xid(xid), OpCode::Sync).is_ok());
        }
        assert!(!pipeline.is_full());
        assert_eq!(pipeline.bytes, 0);
    }

    #[test]
    fn p6_what_is_in_work_over_all_clients_goes_down_to_nothing_however_a_request_leaves() {
        let large = LargeRequests {
            threshold: 10,
            bytes_max: 1000,
        };
        let all = Arc::new(Outstanding::new(1000, Some(large)));
        let ticket = || all.count(all.take_on(100).unwrap(), None);
        let in_work = || (all.requests(), all.large_bytes());
        let mut pipeline = Pipeline::default();
        let fill = |pipeline: &mut Pipeline| {
            pipeline.forward(write(1), ticket());
            pipeline.wait(read(2), ticket());
        };
        fill(&mut pipeline);
        assert_eq!(in_work(), (2, 200));
        assert!(pipeline.answered(Xid(1), OpCode::SetData).is_ok());
        assert_eq!(in_work(), (1, 100));
        assert!(pipeline.next_local().is_some());
        assert_eq!(in_work(), (0, 0));

        fill(&mut pipeline);
        assert!(pipeline.answered(Xid(7), OpCode::SetData).is_err());
        pipeline.clear();
        assert_eq!(in_work(), (0, 0));

        fill(&mut pipeline);
        drop(pipeline);
        assert_eq!(in_work(), (0, 0));
    }
}
