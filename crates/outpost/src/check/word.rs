//! Four-letter words: one connection, one word, one answer.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout_at;

/// The longest answer that is read; a membership of a hundred servers has some kilobytes.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Asks. `None` if nothing comes.
pub(super) async fn ask(mut stream: TcpStream, word: &str, deadline: Instant) -> Option<String> {
    let mut answer = Vec::new();
    let exchange = async {
        stream.write_all(word.as_bytes()).await?;
        // A server may reset the connection behind its last word; what came before counts.
        let mut limited = (&mut stream).take(ANSWER_BYTES_MAX);
        limited.read_to_end(&mut answer).await
    };
    let ended = timeout_at(deadline.into(), exchange).await;
    if ended.is_err() || answer.is_empty() {
        return None;
    }
    Some(String::from_utf8_lossy(&answer).into_owned())
}
