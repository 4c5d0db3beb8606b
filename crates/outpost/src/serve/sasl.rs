//! A client logs in with SASL: what `ZooKeeperServer.processSasl` does with each of its steps.
//!
//! Whatever is asked for meanwhile, the steps are answered at once and ahead of whatever waits, as auth packets are.

use std::sync::Arc;

use outpost_wire::{ErrorCode, Id};

use crate::config::Secret;
use crate::sasl::{self, Refused, Server, Step};
use crate::serve::auth::{AuthRules, with_ids};
use crate::serve::users::Users;
use crate::serve::validate::is_kerberos_name;

/// Scheme of those who have logged in.
pub const SCHEME: &str = "sasl";
/// What the first token of a Kerberos login begins with (RFC 2743, section 3.1).
const GSSAPI_TAG: u8 = 0x60;

/// How clients may log in with SASL.
#[derive(Clone, Default)]
pub struct SaslRules {
    /// Who may; `None` if nobody is offered to log in.
    pub users: Option<Arc<Users>>,
    /// Users who may do everything.
    pub super_users: Vec<String>,
    /// Whether a client that has failed may stay, unless identities of this scheme are enforced.
    pub keeps_failed: bool,
}

/// What a client is answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// No error and this token; with the name and all identities of the client if it has just logged in.
    Token(Option<Vec<u8>>, Option<(String, Arc<[Id]>)>),
    /// It has failed, and goes on as who it was before.
    Kept(Failure),
    /// It has failed. It is told this error, and its connection ends.
    Ended(ErrorCode, Failure),
    /// It has failed in a way that makes Java end its connection without a word.
    Cut(Failure),
}

/// Why a login has failed, for the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Refused(#[from] Refused),
    #[error(
        "it has begun a Kerberos login (GSSAPI), which Outpost does not speak, and has not gone on with DIGEST-MD5: {0}"
    )]
    Kerberos(Refused),
    #[error("it has too many identities")]
    TooMany,
    #[error("{0:?} has an @ in it and is no Kerberos name, which a Java server takes it for")]
    NoName(String),
}

/// One connection's login, from its first token on.
#[derive(Debug)]
pub struct Login {
    server: Server,
    /// The client has begun with a token of Kerberos. A Java server without Kerberos takes no notice either.
    kerberos: bool,
}

impl AuthRules {
    /// Takes the client's next token; `login` is what its connection keeps for that.
    pub(crate) fn log_in(
        &self,
        login: &mut Option<Box<Login>>,
        ids: &Arc<[Id]>,
        token: &[u8],
    ) -> Answer {
        let Some(users) = &self.sasl.users else {
            return Answer::Token(None, None);
        };
        let passwords = users.current();
        let login = login.get_or_insert_with(|| {
            Box::new(Login {
                server: Server::new(sasl::CLIENTS),
                kerberos: token.first() == Some(&GSSAPI_TAG),
            })
        });
        let password_of = |user: &str| passwords.get(user).map(Secret::reveal);
        match login.server.step(token, password_of) {
            Ok(Step::Challenge(token)) => Answer::Token(Some(token), None),
            Ok(Step::Authenticated { user, .. }) if !is_kerberos_name(user.as_bytes()) => {
                Answer::Cut(Failure::NoName(user))
            }
            Ok(Step::Authenticated { user, token }) => match with_ids(ids, self.sasl.ids_of(&user))
            {
                Some(ids) => Answer::Token(Some(token), Some((user, ids))),
                None => self.refuse(Failure::TooMany),
            },
            Err(refused @ Refused::NoNumber(_)) => Answer::Cut(refused.into()),
            Err(refused) if login.kerberos => self.refuse(Failure::Kerberos(refused)),
            Err(refused) => self.refuse(refused.into()),
        }
    }

    fn refuse(&self, failure: Failure) -> Answer {
        let enforced = self.enforced.iter().any(|scheme| scheme == SCHEME);
        match (enforced, self.sasl.keeps_failed) {
            (true, _) => Answer::Ended(ErrorCode::SESSION_CLOSED_REQUIRE_SASL_AUTH, failure),
            (false, true) => Answer::Kept(failure),
            (false, false) => Answer::Ended(ErrorCode::AUTH_FAILED, failure),
        }
    }
}

impl SaslRules {
    fn ids_of(&self, user: &str) -> Vec<Id> {
        let mut ids = vec![Id::new(SCHEME, user)];
        if !user.is_empty() && self.super_users.iter().any(|known| known == user) {
            ids.push(Id::new("super", ""));
        }
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SaslUsers;
    use crate::sasl::{CLIENTS, Client};
    use crate::serve::auth::address_id;
    use std::net::IpAddr;

    fn rules() -> AuthRules {
        let users = [("bob", "secret"), ("root", "toor")];
        let passwords = users.map(|(user, password)| (user.to_owned(), Secret::new(password)));
        AuthRules {
            sasl: SaslRules {
                users: Some(Arc::new(Users::new(
                    SaslUsers {
                        file: "/etc/jaas.conf".into(),
                        section: "Server".to_owned(),
                        passwords: passwords.into(),
                        super_password: None,
                    },
                    Arc::default(),
                ))),
                super_users: vec!["root".into()],
                keeps_failed: false,
            },
            ..AuthRules::default()
        }
    }

    fn nobody() -> Arc<[Id]> {
        Arc::from([address_id(IpAddr::from([127, 0, 0, 1]))])
    }

    /// What the second token is answered by a server with these rules.
    fn tried(rules: &AuthRules, user: &str, password: &str) -> Answer {
        let (mut login, ids) = (None, nobody());
        let Answer::Token(Some(challenge), None) = rules.log_in(&mut login, &ids, b"") else {
            panic!("no challenge");
        };
        let response = Client::new(CLIENTS, user, password).respond(&challenge);
        rules.log_in(&mut login, &ids, &response.unwrap())
    }

    #[test]
    fn a_user_gets_an_identity_and_a_super_user_another_one() {
        let Answer::Token(Some(_), Some((user, ids))) = tried(&rules(), "bob", "secret") else {
            panic!("refused");
        };
        assert_eq!(
            (user.as_str(), &ids[1..]),
            ("bob", &[Id::new("sasl", "bob")][..])
        );
        let Answer::Token(Some(_), Some((_, ids))) = tried(&rules(), "root", "toor") else {
            panic!("refused");
        };
        assert_eq!(ids[1..], [Id::new("sasl", "root"), Id::new("super", "")]);
    }

    #[test]
    fn without_users_everybody_is_answered_with_nothing() {
        let (mut login, rules) = (None, AuthRules::default());
        for token in [&b""[..], b"token"] {
            let answer = rules.log_in(&mut login, &nobody(), token);
            assert_eq!(answer, Answer::Token(None, None));
        }
    }

    #[test]
    fn who_fails_is_ended_unless_that_is_allowed_and_nothing_enforced() {
        let wrong = || Failure::Refused(Refused::WrongPassword("bob".into()));
        let mut rules = rules();
        let ended = tried(&rules, "bob", "guess");
        assert_eq!(ended, Answer::Ended(ErrorCode::AUTH_FAILED, wrong()));
        rules.sasl.keeps_failed = true;
        assert_eq!(tried(&rules, "bob", "guess"), Answer::Kept(wrong()));
        rules.enforced = vec!["digest".into(), "sasl".into()];
        let ended = tried(&rules, "bob", "guess");
        let error = ErrorCode::SESSION_CLOSED_REQUIRE_SASL_AUTH;
        assert_eq!(ended, Answer::Ended(error, wrong()));
    }

    #[test]
    fn who_was_kept_cannot_try_again_on_the_same_connection() {
        let mut rules = rules();
        rules.sasl.keeps_failed = true;
        let (mut login, ids) = (None, nobody());
        rules.log_in(&mut login, &ids, b"");
        for refused in [Refused::Unfit("username"), Refused::OutOfTurn] {
            let answer = rules.log_in(&mut login, &ids, b"nonsense=1");
            assert_eq!(answer, Answer::Kept(Failure::Refused(refused)));
        }
    }

    #[test]
    fn a_client_that_wants_kerberos_is_challenged_and_its_failure_says_so() {
        let (mut login, ids, rules) = (None, nobody(), rules());
        let kerberos = [GSSAPI_TAG, 0x82, 1, 2];
        let challenge = rules.log_in(&mut login, &ids, &kerberos);
        assert!(
            matches!(challenge, Answer::Token(Some(_), None)),
            "{challenge:?}"
        );
        let Answer::Ended(_, failure) = rules.log_in(&mut login, &ids, b"") else {
            panic!("not refused");
        };
        assert!(failure.to_string().contains("Kerberos"), "{failure}");
    }
}
