//! What is said about each connection.

use std::time::{Duration, Instant, SystemTime};

use outpost_wire::{OpCode, SessionId};

use super::{Report, java};
use crate::serve::client::{Client, Latency, Phase, Port};

/// What `cons` and `connections` tell about one connection.
#[derive(Debug, Clone)]
pub struct ConnectionReport {
    /// The other end, as Java prints it.
    pub peer: String,
    /// 1: is read from; 4: output waits for its socket.
    pub interest_ops: u32,
    /// Requests received and not yet answered.
    pub outstanding: usize,
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Its session, if it has one yet.
    pub session: SessionId,
    /// Short name of the last operation.
    pub last_operation: &'static str,
    /// When it was accepted.
    pub established: SystemTime,
    /// The session's timeout, ms.
    pub timeout_ms: i32,
    /// The last request's number; -1 before the first.
    pub last_cxid: i64,
    /// The last reply's zxid; -1 before the first.
    pub last_zxid: i64,
    /// When the last reply was made, in ms since the process started; 0 before the first.
    pub last_response_ms: u64,
    /// How long replies took, ms.
    pub latency: Latency,
    /// When it is closed unless it shows itself.
    pub expires: SystemTime,
}

impl ConnectionReport {
    /// The mean latency in whole milliseconds, as Java tells it for a connection.
    pub fn latency_mean(&self) -> u64 {
        self.latency
            .sum
            .checked_div(self.latency.count)
            .unwrap_or(0)
    }
}

impl Report<'_> {
    /// All connections that came in at a port, in the order in which they were accepted.
    pub fn connections(&self, port: Port) -> Vec<ConnectionReport> {
        let mut clients = self.service.clients.all();
        clients.retain(|client| client.port == port);
        clients.sort_unstable_by_key(|client| client.origin.0);
        clients
            .iter()
            .map(|client| self.connection(client))
            .collect()
    }

    fn connection(&self, client: &Client) -> ConnectionReport {
        let (session, timeout_ms) = (client.session(), client.timeout_ms());
        let state = client.state();
        let figures = &state.figures;
        let last_response_ms = figures.last_response.map_or(0, |when| {
            java::millis(when.saturating_duration_since(self.service.stats.started))
        });
        let patience = match timeout_ms {
            0 => self.service.settings.sessionless_timeout,
            ms => Duration::from_millis(u64::try_from(ms).unwrap_or(0)),
        };
        let reads =
            matches!(state.phase, Phase::Connecting | Phase::Open) && !state.pipeline.is_full();
        ConnectionReport {
            peer: java::socket_address(client.peer),
            interest_ops: u32::from(reads) | u32::from(!state.out.is_empty()) << 2,
            outstanding: state.pipeline.len(),
            received: figures.received,
            sent: figures.sent,
            bytes_received: figures.bytes_received,
            bytes_sent: figures.bytes_sent,
            session,
            last_operation: short_name(figures.last_op),
            established: client.established,
            timeout_ms,
            last_cxid: figures.last_cxid.map_or(-1, |xid| i64::from(xid.0)),
            last_zxid: figures.last_response.map_or(-1, |_| figures.last_zxid.0),
            last_response_ms,
            latency: figures.latency,
            expires: wall_clock(figures.last_response, client.established) + patience,
        }
    }
}

/// The moment of the last reply; clients that are alive are answered.
fn wall_clock(last_response: Option<Instant>, established: SystemTime) -> SystemTime {
    last_response.map_or(established, |when| SystemTime::now() - when.elapsed())
}

/// How Java abbreviates an operation in `cons`.
fn short_name(op: Option<OpCode>) -> &'static str {
    match op {
        None => "NA",
        Some(op) => match op {
            OpCode::Ping => "PING",
            OpCode::CreateSession => "SESS",
            OpCode::Multi => "MULT",
            OpCode::MultiRead => "MLTR",
            OpCode::Create | OpCode::Create2 | OpCode::CreateTtl | OpCode::CreateContainer => {
                "CREA"
            }
            OpCode::Delete | OpCode::DeleteContainer => "DELE",
            OpCode::SetData => "SETD",
            OpCode::Reconfig => "RECO",
            OpCode::SetAcl => "SETA",
            OpCode::CloseSession => "CLOS",
            OpCode::Sync => "SYNC",
            OpCode::Check => "CHEC",
            OpCode::Exists => "EXIS",
            OpCode::GetData => "GETD",
            OpCode::SetWatches => "SETW",
            OpCode::SetWatches2 => "STW2",
            OpCode::AddWatch => "ADDW",
            OpCode::GetAcl => "GETA",
            OpCode::GetChildren | OpCode::GetChildren2 => "GETC",
            OpCode::GetAllChildrenNumber => "GETACN",
            OpCode::CheckWatches => "CHKW",
            OpCode::RemoveWatches => "REMW",
            OpCode::WhoAmI => "HOMI",
            OpCode::GetEphemerals => "GETE",
            OpCode::Notification | OpCode::Auth | OpCode::Sasl | OpCode::Error => "NA",
        },
    }
}
