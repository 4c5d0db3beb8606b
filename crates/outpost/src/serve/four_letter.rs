//! Four-letter words: what a script asks before any session.

use tokio::net::TcpStream;

use crate::serve::connection::Ended;
use crate::serve::service::Service;

/// A word that was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Are you there?
    Ruok,
}

/// The word at the front of a connection, if it is one.
pub fn recognize(input: &[u8]) -> Option<Word> {
    input.starts_with(b"ruok").then_some(Word::Ruok)
}

/// What the word is answered.
///
/// # Errors
/// When the rest of the word does not come.
pub async fn answer(
    _service: &Service,
    word: Word,
    _stream: &mut TcpStream,
    _input: &[u8],
) -> Result<String, Ended> {
    match word {
        Word::Ruok => Ok("imok".to_owned()),
    }
}
