//! Logging in at a learner master, as `SaslQuorumAuthLearner` does, ahead of the first packet.
//!
//! A master authenticates in the thread with which it accepts learners, and writes every failure into its log. So
//! one that has refused us is not asked again at the link's own pace: each refusal doubles the time until the next
//! try, and in between the attempt fails here, without a connection.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use outpost_forward::network::{Connecting, LinkStream};
use outpost_forward::{Network, clock};
use outpost_wire::DecodeError;
use outpost_wire::quorum_auth::{HEAD_BYTES, Head, Status, encode};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::config::QuorumLogin;
use crate::jaas::{JaasReloads, Watched};
use crate::sasl::{CHALLENGE_BYTES_MAX, Client, Distrusted, QUORUM};

/// How long a master is left alone after its first refusal.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// How long at most.
const PAUSE_LONGEST: Duration = Duration::from_secs(30);
/// How long a master may think about its first answer; shorter than a connection may take to come about, so that
/// there is something to tell.
const FIRST_ANSWER_LONGEST: Duration = Duration::from_secs(4);
/// Masters whose refusals are remembered; with more of them all are forgotten.
const REFUSALS_MAX: usize = 256;

/// Why a login has failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The network: the socket failed.
    #[error("the connection failed: {0}")]
    Io(io::Error),
    /// The master has said no, and not why.
    #[error(
        "it refuses user {user:?} ({place}): is this the password of user_{user} in its section QuorumServer?"
    )]
    Refused {
        /// As whom we wanted to log in.
        user: String,
        /// Where user and password stand.
        place: String,
    },
    /// The master has hung up at the first packet. It may be about to stop, or be no leader behind a relay.
    #[error("it closes the connection when we begin to log in")]
    Closed,
    /// The master says nothing, as those do that know nothing of a login: to them it looks like a packet that goes on.
    #[error(
        "it does not answer when we begin to log in: quorum.auth.enableSasl may be off there; then set \
         quorum.auth.learnerRequireSasl=false here"
    )]
    Silent,
    /// What came is no packet of a login.
    #[error("it does not answer as one that knows SASL: is this a quorum port?")]
    Foreign,
    /// The packet has a length that none has.
    #[error("it sends a malformed packet: {0}")]
    Malformed(DecodeError),
    /// The master is not who it should be, or cannot do what we can.
    #[error("it is not trusted: {0}")]
    Distrusted(#[from] Distrusted),
    /// The master would go on where there is nothing more to say.
    #[error("it breaks the order of the login")]
    OutOfTurn,
}

impl LoginError {
    /// Whether trying again soon would end in the same way.
    fn is_final(&self) -> bool {
        !matches!(self, LoginError::Io(_) | LoginError::Closed)
    }
}

impl From<LoginError> for io::Error {
    fn from(error: LoginError) -> io::Error {
        match error {
            LoginError::Io(error) => error,
            other => io::Error::new(io::ErrorKind::PermissionDenied, other),
        }
    }
}

/// Logs in. Afterwards the stream is at the first byte of the learner protocol.
///
/// How long it may take altogether is the caller's to bound; here only the first answer is.
///
/// # Errors
/// When the master does not let us in, or is not to be trusted.
pub async fn log_in(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    login: &QuorumLogin,
) -> Result<(), LoginError> {
    let mut client = Client::new(QUORUM, &login.user, login.password.reveal());
    send(stream, b"").await?;
    let first = timeout(FIRST_ANSWER_LONGEST, receive(stream)).await;
    let challenge = match first.map_err(|_| LoginError::Silent)? {
        // Nothing was said yet that could be refused.
        Err(LoginError::Io(error)) if has_hung_up(&error) => return Err(LoginError::Closed),
        received => token(received?, Status::InProgress, login)?,
    };
    send(stream, &client.respond(&challenge)?).await?;
    let proof = match receive(stream).await {
        // Masters say so with a packet, but the end of the connection may be faster.
        Err(LoginError::Io(error)) if has_hung_up(&error) => return Err(refused(login)),
        received => token(received?, Status::Success, login)?,
    };
    Ok(client.verify(&proof)?)
}

/// One packet, with its token if that is not null.
type Packet = (Status, Option<Vec<u8>>);

fn token(packet: Packet, expected: Status, login: &QuorumLogin) -> Result<Vec<u8>, LoginError> {
    match packet {
        (Status::Error, _) => Err(refused(login)),
        (status, Some(token)) if status == expected => Ok(token),
        _ => Err(LoginError::OutOfTurn),
    }
}

fn refused(login: &QuorumLogin) -> LoginError {
    LoginError::Refused {
        user: login.user.clone(),
        place: login.place.to_string(),
    }
}

fn has_hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let kinds = [
        BrokenPipe,
        ConnectionAborted,
        ConnectionReset,
        UnexpectedEof,
    ];
    kinds.contains(&error.kind())
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), token: &[u8]) -> Result<(), LoginError> {
    let packet = encode(Status::InProgress, Some(token));
    stream.write_all(&packet).await.map_err(LoginError::Io)?;
    stream.flush().await.map_err(LoginError::Io)
}

/// Reads one packet and no byte more: what follows the last one is not for us.
async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> Result<Packet, LoginError> {
    let mut head = [0; HEAD_BYTES];
    stream.read_exact(&mut head).await.map_err(LoginError::Io)?;
    let head = Head::decode(&head, CHALLENGE_BYTES_MAX).map_err(LoginError::Malformed)?;
    let head = head.ok_or(LoginError::Foreign)?;
    let Some(bytes) = head.token_bytes else {
        return Ok((head.status, None));
    };
    let mut token = vec![0; bytes];
    stream
        .read_exact(&mut token)
        .await
        .map_err(LoginError::Io)?;
    Ok((head.status, Some(token)))
}

/// A network on whose connections we have logged in.
pub struct SaslNetwork {
    inner: Arc<dyn Network>,
    login: Mutex<Arc<QuorumLogin>>,
    watched: Watched,
    refusals: Mutex<HashMap<(String, u16), Refusal>>,
}

/// A master that does not let us in.
#[derive(Debug, Clone, Copy)]
struct Refusal {
    /// Until when it is left alone.
    until: Instant,
    /// For how long that is.
    pause: Duration,
}

impl SaslNetwork {
    /// Logs in with `login` wherever `inner` leads. Whatever becomes of a changed JAAS file is counted in `reloads`.
    pub fn new(
        inner: Arc<dyn Network>,
        login: QuorumLogin,
        reloads: Arc<JaasReloads>,
    ) -> SaslNetwork {
        SaslNetwork {
            inner,
            login: Mutex::new(Arc::new(login)),
            watched: Watched::new(reloads),
            refusals: Mutex::new(HashMap::new()),
        }
    }

    async fn enter(&self, host: &str, port: u16) -> io::Result<Box<dyn LinkStream>> {
        self.look();
        self.may_be_asked(host, port)?;
        let mut stream = self.inner.connect(host, port).await?;
        let login = Arc::clone(&self.login.lock());
        match log_in(&mut stream, &login).await {
            Ok(()) => {
                self.refusals.lock().remove(&(host.to_owned(), port));
                tracing::debug!(host, port, user = login.user, "logged in with SASL");
                Ok(stream)
            }
            Err(error) => {
                if error.is_final() {
                    let pause = self.note_refusal(host, port);
                    let again_in_ms = pause.as_millis();
                    tracing::error!(host, port, %error, again_in_ms, "a learner master does not let us in");
                }
                Err(error.into())
            }
        }
    }

    /// Reads the JAAS file again if it has changed; whoever has refused the old login may be asked at once then.
    fn look(&self) {
        let login = Arc::clone(&self.login.lock());
        let read = || login.read_again();
        match self.watched.look(&login.file, &*login, read) {
            None => {}
            Some(Ok(changed)) => {
                tracing::info!(place = %changed.place, user = changed.user, "the login at the ensemble has changed");
                *self.login.lock() = Arc::new(changed);
                self.refusals.lock().clear();
            }
            Some(Err(error)) => {
                let file = login.file.display();
                tracing::error!(%file, %error, "a changed JAAS file cannot be used; the login at the ensemble stays as it was");
            }
        }
    }

    fn may_be_asked(&self, host: &str, port: u16) -> io::Result<()> {
        let refusals = self.refusals.lock();
        match refusals.get(&(host.to_owned(), port)) {
            Some(refusal) if refusal.until > clock::now() => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it has refused our SASL login a moment ago, and is left alone for a while",
            )),
            _ => Ok(()),
        }
    }

    /// Remembers that a master does not let us in; how long it is left alone.
    fn note_refusal(&self, host: &str, port: u16) -> Duration {
        let mut refusals = self.refusals.lock();
        if refusals.len() >= REFUSALS_MAX {
            refusals.clear();
        }
        let key = (host.to_owned(), port);
        let last = refusals.get(&key).map(|refusal| refusal.pause);
        let pause = last.map_or(PAUSE_FIRST, |pause| (pause * 2).min(PAUSE_LONGEST));
        let until = clock::now() + pause;
        refusals.insert(key, Refusal { until, pause });
        pause
    }
}

impl Network for SaslNetwork {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Connecting<'a> {
        Box::pin(self.enter(host, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Place, Secret};
    use crate::sasl::{Server, Step};
    use tokio::io::{DuplexStream, duplex};

    fn login(password: &str) -> QuorumLogin {
        QuorumLogin {
            user: "learner".into(),
            password: Secret::new(password),
            place: Place::Line("jaas.conf".into(), 7),
            file: "/etc/jaas.conf".into(),
            section: "QuorumLearner".to_owned(),
        }
    }

    /// A master that knows one password, and says something when the learner is in.
    async fn master(mut stream: DuplexStream, password: &str) {
        let mut server = Server::new(QUORUM);
        loop {
            let Ok((Status::InProgress, Some(token))) = receive(&mut stream).await else {
                return;
            };
            let (status, token) = match server.step(&token, |_| Some(password)) {
                Ok(Step::Challenge(token)) => (Status::InProgress, token),
                Ok(Step::Authenticated { token, .. }) => (Status::Success, token),
                Err(_) => (Status::Error, Vec::new()),
            };
            let mut packet = encode(status, Some(&token));
            if status == Status::Success {
                packet.extend_from_slice(b"LEADERINFO");
            }
            stream.write_all(&packet).await.unwrap();
            if status != Status::InProgress {
                return;
            }
        }
    }

    /// A network that leads to one such master, and counts how often it is used.
    struct ToMaster {
        password: &'static str,
        connections: Mutex<u32>,
    }

    impl Network for ToMaster {
        fn connect<'a>(&'a self, _: &'a str, _: u16) -> Connecting<'a> {
            *self.connections.lock() += 1;
            let (ours, theirs) = duplex(1 << 16);
            tokio::spawn(master(theirs, self.password));
            Box::pin(async { Ok(Box::new(ours) as Box<dyn LinkStream>) })
        }
    }

    /// What a login comes to when the other end says this and hangs up.
    async fn answered(packets: &[u8]) -> LoginError {
        let (mut ours, mut theirs) = duplex(1 << 16);
        theirs.write_all(packets).await.unwrap();
        let mut first = vec![0; HEAD_BYTES];
        let said = async {
            theirs.read_exact(&mut first).await.unwrap();
            theirs.shutdown().await.unwrap();
            // What is said then is taken, so that nothing breaks the pipe.
            let _ = theirs.read_to_end(&mut Vec::new()).await;
        };
        let login = login("secret");
        let logging_in = async {
            let outcome = log_in(&mut ours, &login).await;
            drop(ours);
            outcome
        };
        let (outcome, ()) = tokio::join!(logging_in, said);
        outcome.unwrap_err()
    }

    #[tokio::test]
    async fn after_a_login_the_stream_is_at_the_first_byte_of_the_protocol() {
        let (mut ours, theirs) = duplex(1 << 16);
        tokio::spawn(master(theirs, "secret"));
        log_in(&mut ours, &login("secret")).await.unwrap();
        let mut rest = Vec::new();
        ours.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"LEADERINFO");
    }

    #[tokio::test]
    async fn a_wrong_password_is_told_with_the_place_where_it_stands() {
        let (mut ours, theirs) = duplex(1 << 16);
        tokio::spawn(master(theirs, "another"));
        let refused = log_in(&mut ours, &login("secret")).await.unwrap_err();
        let text = refused.to_string();
        assert!(
            text.contains("jaas.conf:7") && text.contains("user_learner"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
    }

    #[tokio::test]
    async fn whoever_is_at_the_other_end_cannot_make_us_believe_or_wait_for_nonsense() {
        let challenge = b"realm=\"r\",nonce=\"n\",algorithm=md5-sess,charset=utf-8";
        let in_progress = |token: &[u8]| encode(Status::InProgress, Some(token));
        let success = |token| encode(Status::Success, token);
        let with_success = |token| [in_progress(challenge), success(token)].concat();
        let mut long = in_progress(challenge);
        long[12..16].copy_from_slice(&i32::MAX.to_be_bytes());
        for (said, expected) in [
            (vec![], "it closes the connection when we begin"),
            (b"short".to_vec(), "it closes the connection when we begin"),
            (vec![0; 64], "it does not answer as one that knows SASL"),
            (long, "it sends a malformed packet"),
            (success(Some(b"")), "it breaks the order"),
            (encode(Status::InProgress, None), "it breaks the order"),
            (encode(Status::Error, None), "it refuses user \"learner\""),
            (in_progress(b"nonsense"), "it is not trusted"),
            (in_progress(challenge), "it refuses user \"learner\""),
            (
                [in_progress(challenge), in_progress(b"")].concat(),
                "it breaks the order",
            ),
            (with_success(None), "it breaks the order"),
            (
                with_success(Some(&b"rspauth=0"[..])),
                "it is not trusted: it does not know the password",
            ),
        ] {
            let error = answered(&said).await.to_string();
            assert!(error.starts_with(expected), "{said:?}: {error}");
        }
    }

    #[tokio::test]
    async fn a_master_that_refuses_is_left_alone_ever_longer_and_one_that_does_not_is_forgiven() {
        let inner = Arc::new(ToMaster {
            password: "another",
            connections: Mutex::new(0),
        });
        let network = SaslNetwork::new(
            Arc::clone(&inner) as Arc<_>,
            login("secret"),
            Arc::default(),
        );
        assert!(network.connect("leader", 2888).await.is_err());
        for refusal in network.refusals.lock().values_mut() {
            // However long the rest takes.
            refusal.until += Duration::from_secs(600);
        }
        for _ in 0..100 {
            assert!(network.connect("leader", 2888).await.is_err());
        }
        assert_eq!(*inner.connections.lock(), 1);
        // Another one is asked nevertheless.
        assert!(network.connect("other", 2888).await.is_err());
        assert_eq!(*inner.connections.lock(), 2);
        let pauses = [1_u64, 2, 4, 8, 16, 30, 30].map(Duration::from_secs);
        assert_eq!(pauses.map(|_| network.note_refusal("leader", 2888)), pauses);

        let inner = Arc::new(ToMaster {
            password: "secret",
            connections: Mutex::new(0),
        });
        let network = SaslNetwork::new(
            Arc::clone(&inner) as Arc<_>,
            login("secret"),
            Arc::default(),
        );
        network.note_refusal("leader", 2888);
        for refusal in network.refusals.lock().values_mut() {
            refusal.until = clock::now();
        }
        assert!(network.connect("leader", 2888).await.is_ok());
        assert!(network.refusals.lock().is_empty());
    }
}
