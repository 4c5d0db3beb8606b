//! Four-letter words: what a script asks with the first four bytes of a connection, before any session.
//!
//! This file knows which words there are, which are answered, and how an answer gets to its client; what
//! the answers say stands in `text.rs`, letter by letter as a Java server's: scripts parse them.

mod text;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::serve::client::{Client, Phase, Port};
use crate::serve::connection::Ended;
use crate::serve::service::Service;
use crate::stats::WorkerStats;

/// Defines [`Word`] with the letters of each in one table.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $letters:literal,)*) => {
        /// A word of ZooKeeper 3.9.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Word {
            $($(#[$doc])* $name,)*
        }

        impl Word {
            /// All of them.
            pub const ALL: &'static [Word] = &[$(Word::$name,)*];

            /// Its letters.
            pub fn letters(self) -> &'static str {
                match self {
                    $(Word::$name => $letters,)*
                }
            }
        }
    };
}

words! {
    /// What was configured.
    Conf = "conf",
    /// All connections at length.
    Cons = "cons",
    /// Count the figures of connections anew.
    Crst = "crst",
    /// Bytes in the data directories.
    Dirs = "dirs",
    /// Sessions, ephemeral znodes and when connections expire.
    Dump = "dump",
    /// The surroundings.
    Envi = "envi",
    /// The trace mask.
    Gtmk = "gtmk",
    /// The tree's digest.
    Hash = "hash",
    /// Read-only or not.
    Isro = "isro",
    /// All metrics.
    Mntr = "mntr",
    /// Are you there?
    Ruok = "ruok",
    /// Count the figures of the server anew.
    Srst = "srst",
    /// Figures of the server.
    Srvr = "srvr",
    /// The same, with all connections.
    Stat = "stat",
    /// Sets the trace mask.
    Stmk = "stmk",
    /// Watched paths by session.
    Wchc = "wchc",
    /// Watching sessions by path.
    Wchp = "wchp",
    /// How many watch what.
    Wchs = "wchs",
}

impl Word {
    /// Whether the answer is as long as there are connections, sessions or watches.
    fn is_listing(self) -> bool {
        matches!(
            self,
            Word::Cons | Word::Dump | Word::Stat | Word::Wchc | Word::Wchp
        )
    }

    /// Whether the answer is made in no time: without looking at the system, the tree or all clients.
    fn is_quick(self) -> bool {
        matches!(self, Word::Ruok | Word::Isro | Word::Gtmk)
    }
}

/// The word at the front of a connection, if it is one.
pub fn recognize(input: &[u8]) -> Option<Word> {
    let letters = input.first_chunk::<4>()?;
    let is_it = |word: &&Word| word.letters().as_bytes() == letters;
    Word::ALL.iter().find(is_it).copied()
}

/// Answers a word and ends the connection's output.
///
/// A client that does not take its answer is given as long as one that does not ask for a session.
///
/// # Errors
/// When the rest of the word does not come, or the answer cannot be written in time.
pub async fn serve(
    service: &Arc<Service>,
    client: &Client,
    worker: &WorkerStats,
    word: Word,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    input: &[u8],
) -> Result<(), Ended> {
    worker.note_turn(1, 0, 0, 0);
    {
        let mut state = client.state();
        state.figures.received += 1;
        // Nothing further is read from it, and its own line in a listing says so.
        state.phase = Phase::Ending;
    }
    let patience = service.settings.sessionless_timeout;
    let exchange = exchange(service, client.port, word, stream, input);
    timeout(patience, exchange)
        .await
        .map_err(|_| Ended::Silent(patience))??;
    // Whoever sees the end of the answer finds this connection gone and its answer counted.
    worker.note_turn(0, 1, 0, 0);
    service.clients.forget(client);
    stream.shutdown().await?;
    Ok(())
}

async fn exchange(
    service: &Arc<Service>,
    port: Port,
    word: Word,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    input: &[u8],
) -> Result<(), Ended> {
    let allowed = service.facts.words.allow(word.letters());
    if allowed && word == Word::Stmk {
        let mask = i64::from_be_bytes(read_mask(stream, &input[4..]).await?);
        service.trace_mask.store(mask, Ordering::Relaxed);
    }
    // Held until the answer is written: a client that reads slowly must not fill the memory with others'.
    let _turn = match word.is_listing() {
        true => service.listings.acquire().await.ok(),
        false => None,
    };
    let text = match allowed {
        true => answer(service, word, port).await?,
        false => text::not_allowed(word),
    };
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await?;
    Ok(())
}

/// Makes the text, away from this thread unless that takes no time.
async fn answer(service: &Arc<Service>, word: Word, port: Port) -> Result<String, Ended> {
    if word.is_quick() {
        return Ok(text::answer(service, word, port));
    }
    let service = Arc::clone(service);
    let made = tokio::task::spawn_blocking(move || text::answer(&service, word, port));
    made.await
        .map_err(|error| Ended::Io(std::io::Error::other(error)))
}

/// The eight bytes that follow `stmk`.
async fn read_mask(stream: &mut (impl AsyncRead + Unpin), first: &[u8]) -> Result<[u8; 8], Ended> {
    let mut mask = [0; 8];
    let have = first.len().min(mask.len());
    mask[..have].copy_from_slice(&first[..have]);
    stream
        .read_exact(&mut mask[have..])
        .await
        .map_err(|_| Ended::Closed)?;
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_recognised_whatever_stands_behind_it_and_nothing_else_is() {
        assert_eq!(recognize(b"mntr"), Some(Word::Mntr));
        assert_eq!(recognize(b"srvr\r\n"), Some(Word::Srvr));
        assert_eq!(recognize(b"ruo"), None);
        assert_eq!(recognize(b"RUOK"), None);
        assert_eq!(recognize(b"nope"), None);
        assert_eq!(recognize(&[0, 0, 0, 45]), None);
        // What telnet sends to break off.
        assert_eq!(recognize(&[0xff, 0xf4, 0xff, 0xfd]), None);
        for word in Word::ALL {
            assert_eq!(recognize(word.letters().as_bytes()), Some(*word));
        }
    }
}
