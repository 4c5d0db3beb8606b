//! The first frame each way: a session is asked for, and granted or refused.

use crate::ids::{SessionId, Zxid};
use crate::jute::{DecodeError, Reader, Record, Writer};

/// A client's first frame. It has no header, and fills its frame: what may follow is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRequest<'a> {
    /// Clients send 0; servers ignore it.
    pub protocol_version: i32,
    /// Highest zxid the client has seen; a server that is behind it must not serve this client.
    pub last_zxid_seen: Zxid,
    /// Wanted session timeout, ms; may be negative.
    pub time_out: i32,
    /// [`SessionId::NONE`] asks for a new session.
    pub session_id: SessionId,
    /// Password of the session; sixteen zeros, empty or null for a new one.
    pub passwd: Option<&'a [u8]>,
    /// Whether a read-only server will do. Clients before 3.4, and some to this day, leave the byte
    /// away, and must then be answered without it too.
    pub read_only: Option<bool>,
}

impl<'a> Record<'a> for ConnectRequest<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(ConnectRequest {
            protocol_version: reader.int("ConnectRequest.protocolVersion")?,
            last_zxid_seen: Zxid(reader.long("ConnectRequest.lastZxidSeen")?),
            time_out: reader.int("ConnectRequest.timeOut")?,
            session_id: SessionId(reader.long("ConnectRequest.sessionId")?),
            passwd: reader.buffer("ConnectRequest.passwd")?,
            read_only: read_last_byte(reader, "ConnectRequest.readOnly")?,
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.int(self.protocol_version);
        writer.long(self.last_zxid_seen.0);
        writer.int(self.time_out);
        writer.long(self.session_id.0);
        writer.buffer(self.passwd);
        if let Some(read_only) = self.read_only {
            writer.boolean(read_only);
        }
    }
}

/// A server's first frame. It has no header, and fills its frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectResponse<'a> {
    /// 0.
    pub protocol_version: i32,
    /// Negotiated session timeout, ms; 0 says that the session is refused or expired, for good.
    pub time_out: i32,
    /// The session; [`SessionId::NONE`] when it is refused.
    pub session_id: SessionId,
    /// Its password; sixteen zeros when it is refused.
    pub passwd: Option<&'a [u8]>,
    /// Whether this server is read-only. There if and only if the request had it: the C client
    /// reads a response of fixed length.
    pub read_only: Option<bool>,
}

/// Password in a [`ConnectResponse`] that refuses a session.
const NO_PASSWORD: &[u8] = &[0; 16];

impl ConnectResponse<'_> {
    /// Tells a client that its session is gone. `read_only` mirrors the request's presence.
    pub const fn refusal(read_only: Option<bool>) -> ConnectResponse<'static> {
        ConnectResponse {
            protocol_version: 0,
            time_out: 0,
            session_id: SessionId::NONE,
            passwd: Some(NO_PASSWORD),
            read_only,
        }
    }
}

impl<'a> Record<'a> for ConnectResponse<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(ConnectResponse {
            protocol_version: reader.int("ConnectResponse.protocolVersion")?,
            time_out: reader.int("ConnectResponse.timeOut")?,
            session_id: SessionId(reader.long("ConnectResponse.sessionId")?),
            passwd: reader.buffer("ConnectResponse.passwd")?,
            read_only: read_last_byte(reader, "ConnectResponse.readOnly")?,
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.int(self.protocol_version);
        writer.int(self.time_out);
        writer.long(self.session_id.0);
        writer.buffer(self.passwd);
        if let Some(read_only) = self.read_only {
            writer.boolean(read_only);
        }
    }
}

/// The byte that newer peers append, if it is there; what follows it is skipped.
fn read_last_byte(
    reader: &mut Reader<'_>,
    what: &'static str,
) -> Result<Option<bool>, DecodeError> {
    let rest = reader.take(what, reader.rest().len())?;
    Ok(rest.first().map(|&byte| byte != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(read_only: Option<bool>) -> ConnectRequest<'static> {
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            time_out: 10_000,
            session_id: SessionId::NONE,
            passwd: Some(&[0; 16]),
            read_only,
        }
    }

    #[test]
    fn the_read_only_byte_is_there_or_not_and_both_are_told_apart() {
        for (read_only, length) in [(None, 44), (Some(false), 45), (Some(true), 45)] {
            let bytes = request(read_only).encode();
            assert_eq!(bytes.len(), length);
            assert_eq!(
                ConnectRequest::decode("request", &bytes),
                Ok(request(read_only))
            );
        }
        assert_eq!(ConnectResponse::refusal(None).encode().len(), 36);
        assert_eq!(ConnectResponse::refusal(Some(false)).encode().len(), 37);
    }

    #[test]
    fn bytes_behind_the_read_only_byte_are_ignored() {
        let mut bytes = request(Some(true)).encode();
        bytes.extend_from_slice(b"more");
        assert_eq!(
            ConnectRequest::decode("request", &bytes),
            Ok(request(Some(true)))
        );
    }
}
