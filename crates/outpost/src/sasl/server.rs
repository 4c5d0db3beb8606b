//! The server's end.

use subtle::ConstantTimeEq;

use super::digest::Secrets;
use super::directives::{Directives, SyntaxError};
use super::{Purpose, RESPONSE_BYTES_MAX, nonce};

/// Directives of a client that may stand once.
const ONCE: &[&str] = &[
    "username",
    "realm",
    "nonce",
    "cnonce",
    "nonce-count",
    "qop",
    "digest-uri",
    "response",
    "maxbuf",
    "charset",
    "cipher",
    "authzid",
    "auth-param",
];

/// One login of one client: a challenge, one try, and it is over, however it went.
#[derive(Debug)]
pub struct Server {
    purpose: Purpose,
    state: State,
}

#[derive(Debug)]
enum State {
    Fresh,
    Challenged { nonce: String },
    Over,
}

/// What the client is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A challenge; the next token is the answer to it.
    Challenge(Vec<u8>),
    /// The client is who it says.
    Authenticated {
        /// Its name.
        user: String,
        /// With this the server proves that it knows the password too.
        token: Vec<u8>,
    },
}

/// Why a client is not logged in. The client is told no more than that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The token is longer than any token is.
    #[error("a token of {0} bytes")]
    TooLong(usize),
    /// The exchange is over.
    #[error("a token after the login was over")]
    OutOfTurn,
    /// The token cannot be read.
    #[error("{0}")]
    Syntax(#[from] SyntaxError),
    /// A number in the token is none. Java ends the connection without a word.
    #[error("{0} is no number")]
    NoNumber(&'static str),
    /// A directive is missing, or has a value that does not fit the challenge.
    #[error("{0} is missing or does not fit")]
    Unfit(&'static str),
    /// There is no such user.
    #[error("there is no user {0:?}")]
    UnknownUser(String),
    /// The password is another.
    #[error("wrong password for user {0:?}")]
    WrongPassword(String),
    /// The system gives no random bytes to make a challenge of.
    #[error("this system has no source of randomness")]
    NoRandomness,
}

impl Server {
    /// Waits for the client to begin.
    pub fn new(purpose: Purpose) -> Server {
        Server {
            purpose,
            state: State::Fresh,
        }
    }

    /// Whether the client has not begun yet.
    pub fn is_fresh(&self) -> bool {
        matches!(self.state, State::Fresh)
    }

    /// Takes the client's next token. `password_of` is asked for one user's password at most.
    ///
    /// # Errors
    /// When the client is not logged in. Except for a token that is too long, no further one helps.
    pub fn step<'p>(
        &mut self,
        token: &[u8],
        password_of: impl FnOnce(&str) -> Option<&'p str>,
    ) -> Result<Step, Refused> {
        if token.len() > RESPONSE_BYTES_MAX {
            return Err(Refused::TooLong(token.len()));
        }
        match std::mem::replace(&mut self.state, State::Over) {
            // An initial response would be of a subsequent authentication, of which nothing is known here.
            State::Fresh => self.challenge(nonce().ok_or(Refused::NoRandomness)?),
            State::Challenged { nonce } => self.judge(token, &nonce, password_of),
            State::Over => Err(Refused::OutOfTurn),
        }
    }

    pub(super) fn challenge(&mut self, nonce: String) -> Result<Step, Refused> {
        let realm = self.purpose.realm;
        let challenge =
            format!("realm=\"{realm}\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess");
        self.state = State::Challenged { nonce };
        Ok(Step::Challenge(challenge.into_bytes()))
    }

    fn judge<'p>(
        &self,
        token: &[u8],
        nonce: &str,
        password_of: impl FnOnce(&str) -> Option<&'p str>,
    ) -> Result<Step, Refused> {
        let response = Response::read(token, self.purpose, nonce)?;
        let user = response.user;
        let password = password_of(&user);
        let secrets = Secrets {
            user: &user,
            realm: self.purpose.realm,
            // So that a stranger has to wait as long as a user.
            password: password.unwrap_or_default(),
            nonce: nonce.as_bytes(),
            cnonce: &response.cnonce,
            digest_uri: &response.digest_uri,
            authzid: response.authzid.as_deref(),
            utf8: true,
        };
        let fits = bool::from(secrets.response().ct_eq(&response.response[..]));
        match (password, fits) {
            (None, _) => Err(Refused::UnknownUser(user)),
            (Some(_), false) => Err(Refused::WrongPassword(user)),
            (Some(_), true) => {
                let token = [&b"rspauth="[..], &secrets.rspauth()].concat();
                Ok(Step::Authenticated { user, token })
            }
        }
    }
}

/// A client's answer to the challenge, with everything checked but the password.
struct Response {
    user: String,
    cnonce: Vec<u8>,
    digest_uri: Vec<u8>,
    authzid: Option<Vec<u8>>,
    response: Vec<u8>,
}

impl Response {
    fn read(token: &[u8], purpose: Purpose, nonce: &str) -> Result<Response, Refused> {
        let directives = Directives::parse(token)?;
        directives.once(ONCE)?;
        let optional = |name| directives.get(name);
        let needed = |name| directives.get(name).ok_or(Refused::Unfit(name));
        if optional("charset").is_some_and(|charset| charset != b"utf-8") {
            return Err(Refused::Unfit("charset"));
        }
        number(optional("maxbuf"), 10, "maxbuf")?;
        let user = String::from_utf8_lossy(needed("username")?).into_owned();
        if needed("realm")? != purpose.realm.as_bytes() {
            return Err(Refused::Unfit("realm"));
        }
        if needed("nonce")? != nonce.as_bytes() {
            return Err(Refused::Unfit("nonce"));
        }
        let cnonce = needed("cnonce")?.to_vec();
        // Not `nc`, which clients send: Java does not look at it, and the digest stands for it.
        if number(optional("nonce-count"), 16, "nonce-count")?.is_some_and(|count| count != 1) {
            return Err(Refused::Unfit("nonce-count"));
        }
        if optional("qop").is_some_and(|qop| qop != b"auth") {
            return Err(Refused::Unfit("qop"));
        }
        let digest_uri = needed("digest-uri")?;
        if !digest_uri.eq_ignore_ascii_case(purpose.digest_uri.as_bytes()) {
            return Err(Refused::Unfit("digest-uri"));
        }
        Ok(Response {
            user,
            cnonce,
            digest_uri: digest_uri.to_vec(),
            authzid: optional("authzid").map(<[u8]>::to_vec),
            response: needed("response")?.to_vec(),
        })
    }
}

fn number(value: Option<&[u8]>, radix: u32, name: &'static str) -> Result<Option<i32>, Refused> {
    let Some(value) = value else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value).map_err(|_| Refused::NoNumber(name))?;
    let number = i32::from_str_radix(text, radix).map_err(|_| Refused::NoNumber(name))?;
    Ok(Some(number))
}
