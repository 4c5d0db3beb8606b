//! The client's end.

use subtle::ConstantTimeEq;

use super::digest::{Hex, Secrets};
use super::directives::{Directives, SyntaxError, quoted};
use super::{CHALLENGE_BYTES_MAX, Purpose, nonce};

/// Directives of a server that may stand once.
const ONCE: &[&str] = &[
    "qop",
    "algorithm",
    "nonce",
    "maxbuf",
    "charset",
    "cipher",
    "rspauth",
    "stale",
];

/// One login of ours: an answer to the server's challenge, then a look at its proof.
pub struct Client<'a> {
    purpose: Purpose,
    user: &'a str,
    password: &'a str,
    /// What the server must know too, once it has been answered.
    expected: Option<Hex>,
}

/// Why a server is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Distrusted {
    /// The token is longer than any token is.
    #[error("a token of {0} bytes")]
    TooLong(usize),
    /// The token cannot be read.
    #[error("{0}")]
    Syntax(#[from] SyntaxError),
    /// It offers what we do not have.
    #[error("{0} is missing or not what we can do")]
    Unfit(&'static str),
    /// It does not know the password.
    #[error("it does not know the password itself")]
    NoProof,
    /// The system gives no random bytes.
    #[error("this system has no source of randomness")]
    NoRandomness,
}

impl<'a> Client<'a> {
    /// Waits for the challenge.
    pub fn new(purpose: Purpose, user: &'a str, password: &'a str) -> Client<'a> {
        Client {
            purpose,
            user,
            password,
            expected: None,
        }
    }

    /// Answers the challenge.
    ///
    /// # Errors
    /// When it is none, or offers what we do not have.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Distrusted> {
        let cnonce = nonce().ok_or(Distrusted::NoRandomness)?;
        self.respond_with(challenge, &cnonce)
    }

    pub(super) fn respond_with(
        &mut self,
        challenge: &[u8],
        cnonce: &str,
    ) -> Result<Vec<u8>, Distrusted> {
        let directives = read(challenge)?;
        let charset = directives.get("charset");
        if charset.is_some_and(|charset| charset != b"utf-8") {
            return Err(Distrusted::Unfit("charset"));
        }
        if directives.get("algorithm") != Some(b"md5-sess") {
            return Err(Distrusted::Unfit("algorithm"));
        }
        if directives.get("qop").is_some_and(|qop| !offers_auth(qop)) {
            return Err(Distrusted::Unfit("qop"));
        }
        let nonce = directives.get("nonce").ok_or(Distrusted::Unfit("nonce"))?;
        let realm = directives.all("realm").next().unwrap_or_default();
        let realm = String::from_utf8_lossy(realm);
        let secrets = Secrets {
            user: self.user,
            realm: &realm,
            password: self.password,
            nonce,
            cnonce: cnonce.as_bytes(),
            digest_uri: self.purpose.digest_uri.as_bytes(),
            authzid: None,
            utf8: charset.is_some(),
        };
        self.expected = Some(secrets.rspauth());
        Ok(written(&secrets))
    }

    /// Looks at the server's proof.
    ///
    /// # Errors
    /// When it proves nothing: who is at the other end does not know the password.
    pub fn verify(&self, token: &[u8]) -> Result<(), Distrusted> {
        let directives = read(token)?;
        let proof = directives.get("rspauth").ok_or(Distrusted::NoProof)?;
        let expected = self.expected.ok_or(Distrusted::NoProof)?;
        match bool::from(expected.ct_eq(proof)) {
            true => Ok(()),
            false => Err(Distrusted::NoProof),
        }
    }
}

fn read(token: &[u8]) -> Result<Directives, Distrusted> {
    if token.len() > CHALLENGE_BYTES_MAX {
        return Err(Distrusted::TooLong(token.len()));
    }
    let directives = Directives::parse(token)?;
    directives.once(ONCE)?;
    Ok(directives)
}

fn offers_auth(qop: &[u8]) -> bool {
    let mut offered = qop.split(|byte| b", \t\r\n".contains(byte));
    offered.any(|qop| qop.eq_ignore_ascii_case(b"auth"))
}

/// The answer, with the directives in the order in which Java writes them.
fn written(secrets: &Secrets<'_>) -> Vec<u8> {
    let mut token = Vec::new();
    let mut add = |parts: &[&[u8]]| parts.iter().for_each(|part| token.extend_from_slice(part));
    if secrets.utf8 {
        add(&[b"charset=utf-8,"]);
    }
    add(&[b"username=\"", &quoted(secrets.user.as_bytes()), b"\","]);
    if !secrets.realm.is_empty() {
        add(&[b"realm=\"", &quoted(secrets.realm.as_bytes()), b"\","]);
    }
    add(&[b"nonce=\"", &quoted(secrets.nonce), b"\",nc=00000001,"]);
    add(&[b"cnonce=\"", &quoted(secrets.cnonce), b"\","]);
    add(&[b"digest-uri=\"", secrets.digest_uri, b"\",maxbuf=65536,"]);
    add(&[b"response=", &secrets.response(), b",qop=auth"]);
    token
}
