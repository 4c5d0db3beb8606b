//! The bytes of a request, counted for as long as they wait for the link.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// The record of a request, as its client sent it.
///
/// From when it is submitted until it is dropped it is part of [`crate::LinkStatus::waiting_bytes`], wherever it stands
/// meanwhile: in the queue, among those that wait for the leader's word, among those that a lost link has left.
#[derive(Debug, Default)]
pub struct Body {
    bytes: Bytes,
    counted_in: Option<Arc<AtomicU64>>,
}

impl Body {
    /// Counts it in `sum`.
    pub(crate) fn count_in(&mut self, sum: &Arc<AtomicU64>) {
        sum.fetch_add(self.bytes.len() as u64, Ordering::Relaxed);
        self.counted_in = Some(Arc::clone(sum));
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body {
            bytes,
            counted_in: None,
        }
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(sum) = &self.counted_in {
            sum.fetch_sub(self.bytes.len() as u64, Ordering::Relaxed);
        }
    }
}
