//! Four-byte length framing, as on client connections.

use crate::jute::DecodeError;

/// Longest frame by default: ZooKeeper's `jute.maxbuffer`.
pub const FRAME_BYTES_MAX: usize = 0xf_ffff;

/// The first whole frame in `bytes`, without its length; `None` when more bytes are needed.
///
/// A frame of exactly `limit` bytes is accepted, as by ZooKeeper.
///
/// # Errors
/// [`DecodeError::Length`] as soon as the length itself is negative or above `limit`.
pub fn split(bytes: &[u8], limit: usize) -> Result<Option<&[u8]>, DecodeError> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*prefix);
    match usize::try_from(length) {
        Ok(length) if length <= limit => Ok(rest.get(..length)),
        _ => Err(DecodeError::Length {
            what: "frame",
            length: i64::from(length),
            limit,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_longer_than_the_limit_is_refused_by_its_length_alone() {
        assert_eq!(split(&[0, 0, 0, 2, 7, 8, 9], 2), Ok(Some(&[7, 8][..])));
        assert_eq!(split(&[0, 0, 0, 2, 7], 2), Ok(None));
        assert_eq!(split(&[0, 0], 2), Ok(None));
        assert!(split(&[0, 0, 0, 3], 2).is_err());
        assert!(split(&[0xff, 0xff, 0xff, 0xff], 2).is_err());
    }
}
