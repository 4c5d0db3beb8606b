//! Frames for a client: replies, notifications, and the answer to a connect request.

use outpost_mirror::{Applied, SubResult, TxnResult};
use outpost_wire::proto::{
    ConnectResponse, Create2Response, CreateResponse, EventType, MultiHeader, MultiResult,
    ReplyHeader, SetDataResponse, SetSaslResponse, watch::SYNC_CONNECTED,
};
use outpost_wire::{ErrorCode, OpCode, Record, SessionId, Stat, Writer, Xid, Zxid};

/// Length and header of every reply.
const LENGTH_BYTES: usize = 4;
const HEADER_BYTES: usize = 16;

/// Appends one reply. What `body` has written before it failed is taken back: a reply with an error is
/// the header alone.
pub fn write(
    out: &mut Vec<u8>,
    xid: Xid,
    zxid: Zxid,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), ErrorCode>,
) -> ErrorCode {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES + HEADER_BYTES]);
    let error = match body(&mut Writer::new(out)) {
        Ok(()) => ErrorCode::OK,
        Err(error) => {
            out.truncate(start + LENGTH_BYTES + HEADER_BYTES);
            error
        }
    };
    let length = u32::try_from(out.len() - start - LENGTH_BYTES).unwrap_or(u32::MAX);
    let head = &mut out[start..start + LENGTH_BYTES + HEADER_BYTES];
    head[..4].copy_from_slice(&length.to_be_bytes());
    head[4..8].copy_from_slice(&xid.0.to_be_bytes());
    head[8..16].copy_from_slice(&zxid.0.to_be_bytes());
    head[16..].copy_from_slice(&error.0.to_be_bytes());
    error
}

/// Appends a reply that is a header alone.
pub fn write_error(out: &mut Vec<u8>, xid: Xid, zxid: Zxid, error: ErrorCode) {
    write(out, xid, zxid, |_| match error {
        ErrorCode::OK => Ok(()),
        error => Err(error),
    });
}

/// Appends the answer to a step of a SASL login; its body is there with an error too.
pub fn write_token(out: &mut Vec<u8>, xid: Xid, error: ErrorCode, token: Option<&[u8]>) {
    Writer::new(out).with_length(|writer| {
        let header = ReplyHeader {
            xid,
            zxid: Zxid::ZERO,
            err: error,
        };
        header.write(writer);
        SetSaslResponse { token }.write(writer);
    });
}

/// Appends the notification that a watch has fired.
pub fn write_notification(out: &mut Vec<u8>, zxid: Zxid, kind: EventType, path: &[u8]) {
    write(out, Xid::NOTIFICATION, zxid, |writer| {
        writer.int(kind.code());
        writer.int(SYNC_CONNECTED);
        writer.ustring(path);
        Ok(())
    });
}

/// Appends the answer that gives a client its session. `read_only`: what its last byte says, which is there only
/// if the request had its own.
pub fn write_connected(
    out: &mut Vec<u8>,
    session: SessionId,
    timeout_ms: i32,
    read_only: Option<bool>,
) {
    let password = session.password();
    let response = ConnectResponse {
        protocol_version: 0,
        time_out: timeout_ms,
        session_id: session,
        passwd: Some(&password),
        read_only,
    };
    Writer::new(out).with_length(|writer| response.write(writer));
}

/// Appends the answer that tells a client that its session is gone for good. `read_only` as for the other one.
pub fn write_refused(out: &mut Vec<u8>, read_only: Option<bool>) {
    let refusal = ConnectResponse::refusal(read_only);
    Writer::new(out).with_length(|writer| refusal.write(writer));
}

/// Appends the reply to a write, made from what became of its transaction. The zxid is the
/// transaction's own. `error_instead` replaces whatever error the leader had.
pub fn write_applied(
    out: &mut Vec<u8>,
    xid: Xid,
    op: OpCode,
    applied: &Applied,
    config: Option<&[u8]>,
    error_instead: Option<ErrorCode>,
) {
    write(out, xid, applied.zxid, |writer| {
        if let TxnResult::Multi(results) = &applied.result {
            write_multi(writer, results);
            return Ok(());
        }
        if !applied.error.is_ok() {
            return Err(error_instead.unwrap_or(applied.error));
        }
        write_result(writer, op, &applied.result, config);
        Ok(())
    });
}

/// Appends the body of a successful write that is no multi. `config` is the membership's text, with
/// which a reconfig is answered.
fn write_result(writer: &mut Writer<'_>, op: OpCode, result: &TxnResult, config: Option<&[u8]>) {
    match (op, result) {
        (OpCode::Create, TxnResult::Create { path, .. }) => {
            CreateResponse {
                path: path.as_ref(),
            }
            .write(writer);
        }
        (_, TxnResult::Create { path, stat }) => {
            Create2Response {
                path: path.as_ref(),
                stat: *stat,
            }
            .write(writer);
        }
        (OpCode::Reconfig, TxnResult::SetData(stat)) => {
            writer.buffer(config);
            stat.write(writer);
        }
        (_, TxnResult::SetData(stat) | TxnResult::SetAcl(stat)) => stat.write(writer),
        _ => {}
    }
}

/// A multi is answered operation by operation, and its header says OK even when it failed.
fn write_multi(writer: &mut Writer<'_>, results: &[SubResult]) {
    for result in results {
        multi_result(result).write(writer);
    }
    MultiHeader::END.write(writer);
}

fn multi_result(sub: &SubResult) -> MultiResult<'_> {
    if sub.kind == OpCode::Error.code() || !sub.error.is_ok() {
        return MultiResult::Error(sub.error);
    }
    match &sub.result {
        TxnResult::Create { path, .. } if sub.kind == OpCode::Create.code() => {
            MultiResult::Create(CreateResponse {
                path: path.as_ref(),
            })
        }
        TxnResult::Create { path, stat } => MultiResult::Create2(Create2Response {
            path: path.as_ref(),
            stat: *stat,
        }),
        TxnResult::SetData(stat) | TxnResult::SetAcl(stat) => set_data_result(*stat),
        TxnResult::Delete => MultiResult::Delete,
        _ => MultiResult::Check,
    }
}

fn set_data_result(stat: Stat) -> MultiResult<'static> {
    MultiResult::SetData(SetDataResponse { stat })
}

/// Whether the leader says that the session has moved to another server; that is never told to a
/// client, its connection is closed instead.
pub fn session_moved(applied: &Applied) -> bool {
    let moved = |error: ErrorCode| error == ErrorCode::SESSION_MOVED;
    match &applied.result {
        TxnResult::Multi(results) => results.iter().any(|sub| moved(sub.error)),
        _ => moved(applied.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_with_an_error_is_its_header_alone() {
        let mut out = vec![7];
        write(&mut out, Xid(3), Zxid(5), |writer| {
            writer.long(-1);
            Err(ErrorCode::NO_NODE)
        });
        let expected = [
            7, 0, 0, 0, 16, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0x9b,
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn a_failed_multi_is_answered_with_ok_and_an_error_for_each_operation() {
        let failed = |error| SubResult {
            kind: OpCode::Error.code(),
            error,
            result: TxnResult::None,
        };
        let applied = Applied {
            zxid: Zxid(9),
            kind: OpCode::Multi.code(),
            error: ErrorCode::BAD_VERSION,
            result: TxnResult::Multi(vec![
                failed(ErrorCode::OK),
                failed(ErrorCode::BAD_VERSION),
                failed(ErrorCode::RUNTIME_INCONSISTENCY),
            ]),
            digest: outpost_mirror::DigestCheck::NotSent,
            diverged: None,
        };
        let mut out = Vec::new();
        write_applied(&mut out, Xid(1), OpCode::Multi, &applied, None, None);
        assert_eq!(out[16..20], [0; 4], "the header's error");
        let hex: String = out[20..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "ffffffff000000000000000000\
             ffffffff00ffffff99ffffff99\
             ffffffff00fffffffefffffffe\
             ffffffff01ffffffff"
        );
    }
}
