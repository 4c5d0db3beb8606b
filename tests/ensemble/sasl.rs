//! Clients that log in with SASL: libraries at the server under test, and the steps of a login side by side with a
//! Java observer.

use std::fmt::Write as _;
use std::fs;
use std::io;

use outpost::sasl::{CLIENTS, Client};
use outpost_tests::raw::RawClient;
use outpost_tests::run_dir::RunDir;
use outpost_tests::{Ensemble, Observer, ObserverKind, ObserverSettings, Settings, clients, wait};
use outpost_wire::proto::{
    CreateMode, GetDataRequest, GetSaslRequest, SetAclRequest, SetSaslResponse, WhoAmIResponse,
};
use outpost_wire::{Acl, Id, OpCode, Perms, Reader, Record};

use crate::region::LIMIT;

pub(crate) const PROVIDER: &str =
    "authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider";
pub(crate) const USERS: &str = r#"
Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    user_bob="bob-secret" user_eve="eve-secret" user_root="root-secret" user_super="super-secret"
    "user_ann@EXAMPLE.ORG"="ann-secret" "user_ann/host"="ann-secret" "user_ann@B@C"="ann-secret"
    "user_jörg"="größe" "user_Łucja"="hasło" "user_o\"quote\\"="\"\\";
};
"#;

/// A JAAS file, and what makes a server read it.
pub(crate) struct Jaas {
    dir: RunDir,
}

impl Jaas {
    pub(crate) fn new(text: &str) -> Jaas {
        let dir = RunDir::new("jaas");
        let jaas = Jaas { dir };
        jaas.write(text);
        jaas
    }

    /// Changes the file.
    pub(crate) fn write(&self, text: &str) {
        // Whoever looks sees the old file or the new one, and never a part.
        let [file, new] = ["jaas.conf", "jaas.conf.new"].map(|name| self.dir.path().join(name));
        fs::write(&new, text).expect("the run directory can be written");
        fs::rename(new, file).expect("both are in one directory");
    }

    /// The argument of a JVM that names the file.
    pub(crate) fn property(&self) -> String {
        let file = self.dir.path().join("jaas.conf");
        format!("-Djava.security.auth.login.config={}", file.display())
    }

    /// What an observer needs in its environment: a Java observer takes the file from its command line alone.
    pub(crate) fn environment(&self, kind: ObserverKind) -> (String, String) {
        let file = self.dir.path().join("jaas.conf").display().to_string();
        match kind {
            ObserverKind::Java => ("JAVA_TOOL_OPTIONS".into(), self.property()),
            ObserverKind::Outpost => ("OUTPOST_JAVA_SECURITY_AUTH_LOGIN_CONFIG".into(), file),
        }
    }

    fn observer(&self, kind: ObserverKind, lines: &[&str]) -> ObserverSettings {
        ObserverSettings {
            lines: lines.iter().map(ToString::to_string).collect(),
            environment: vec![self.environment(kind)],
            ..ObserverSettings::default()
        }
    }
}

fn ensemble() -> Ensemble {
    let lines = [PROVIDER, "letAnySaslUserDoX=anybody"].map(str::to_owned);
    let settings = Settings {
        lines: lines.to_vec(),
        heap_mb: 128,
        ..Settings::default()
    };
    Ensemble::with(settings.super_secret())
}

#[test]
fn client_libraries_log_in_and_acls_tell_their_users_apart() {
    let (ensemble, jaas) = (ensemble(), Jaas::new(USERS));
    let kind = ObserverKind::from_env();
    let settings = jaas.observer(kind, &["superUser.1=root"]);
    let observer = Observer::start(&ensemble, kind, &settings);
    clients::kazoo_sasl().check(&observer.connect_string());
    clients::java_sasl().check(&observer.connect_string());
}

/// What a client does next.
#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    /// Sends a token.
    Token(&'a [u8]),
    /// Sends a step without a token.
    NoToken,
    /// Sends nothing that could be read as a step.
    Garbled,
    /// Answers the last challenge with a user and a password.
    Answer(&'a str, &'a str),
    /// The same, with one piece of the answer replaced.
    Edited(&'a str, &'a str),
    /// Adds a digest identity.
    Digest(&'a str),
    /// Asks who it is.
    WhoAmI,
    /// Reads the znode that only bob may read, one that only root may, one that `anybody` may.
    Read,
    /// Asks for a sign of life.
    Ping,
}
use Step::{Answer, Digest, Edited, Garbled, NoToken, Ping, Read, Token, WhoAmI};

const START: Step<'_> = Token(b"");
/// Answered where no challenge came.
const UNASKED: &[u8] = b"realm=\"zk-sasl-md5\",nonce=\"n\",charset=utf-8,algorithm=md5-sess";

/// One connection to one server.
struct Talk {
    client: RawClient,
    challenge: Vec<u8>,
    said: String,
}

/// What a server answers to these steps, without what differs each time.
fn transcript(observer: &Observer, steps: &[Step<'_>]) -> String {
    let client = RawClient::connect(observer.client_address(), 30_000);
    let mut talk = Talk {
        client,
        challenge: Vec::new(),
        said: String::new(),
    };
    for step in steps {
        let _ = write!(talk.said, "{step:?}: ");
        if let Err(error) = talk.step(*step) {
            // Whether the end comes as such or as a reset depends on what was on its way.
            let silent = error.kind() == io::ErrorKind::WouldBlock;
            talk.said += if silent { "silence\n" } else { "the end\n" };
            break;
        }
        talk.said += "\n";
    }
    talk.said
}

impl Talk {
    fn step(&mut self, step: Step<'_>) -> io::Result<()> {
        match step {
            Token(token) => self.token(token, None),
            NoToken => self.sasl(&GetSaslRequest { token: None }.encode(), None),
            Garbled => self.sasl(&[0, 0, 0, 9, 1], None),
            Answer(user, password) => {
                let mut client = Client::new(CLIENTS, user, password);
                let challenge = self.challenge.clone();
                let answer = client.respond(&challenge).unwrap_or_default();
                self.token(&answer, Some(&client))
            }
            Edited(from, to) => {
                let mut client = Client::new(CLIENTS, "bob", "bob-secret");
                let challenge = match self.challenge.is_empty() {
                    true => UNASKED.to_vec(),
                    false => self.challenge.clone(),
                };
                let answer = client.respond(&challenge).expect("a good challenge");
                let answer = String::from_utf8(answer).expect("text");
                assert!(answer.contains(from), "{answer} has no {from}");
                let edited = answer.replace(from, to);
                self.token(edited.as_bytes(), Some(&client))
            }
            Digest(user) => {
                self.client.try_authenticate(user)?;
                self.said += "added";
                Ok(())
            }
            WhoAmI => self.who_am_i(),
            Read => {
                for path in ["/bobs", "/roots", "/anybodys"] {
                    self.read(path)?;
                }
                Ok(())
            }
            Ping => {
                let reply = self.client.try_request_body(OpCode::Ping, &[])?;
                let _ = write!(self.said, "{:?}", reply.err());
                Ok(())
            }
        }
    }

    fn token(&mut self, token: &[u8], client: Option<&Client<'_>>) -> io::Result<()> {
        let request = GetSaslRequest { token: Some(token) };
        self.sasl(&request.encode(), client)
    }

    fn sasl(&mut self, body: &[u8], client: Option<&Client<'_>>) -> io::Result<()> {
        let reply = self.client.try_request_body(OpCode::Sasl, body)?;
        let (err, zxid) = (reply.err(), reply.header.zxid);
        let _ = write!(self.said, "{err:?} at {zxid} ");
        let response = SetSaslResponse::read(&mut Reader::new(&reply.body)).expect("a response");
        match response.token {
            None => self.said += "no token",
            Some(token) if client.is_some_and(|client| client.verify(token).is_ok()) => {
                self.said += "a proof";
            }
            Some(token) => {
                self.challenge = token.to_vec();
                self.said += &without_nonce(&String::from_utf8_lossy(token));
            }
        }
        Ok(())
    }

    fn who_am_i(&mut self) -> io::Result<()> {
        let reply = self.client.try_request_body(OpCode::WhoAmI, &[])?;
        let _ = write!(self.said, "{:?}", reply.err());
        if reply.err().is_ok() {
            let response: WhoAmIResponse<'_> = reply.record();
            let ids = response.client_info.iter();
            let mut ids: Vec<String> = ids
                .map(|info| format!(" {}:{}", info.auth_scheme, info.user))
                .collect();
            ids.sort();
            self.said += &ids.concat();
        }
        Ok(())
    }

    fn read(&mut self, path: &str) -> io::Result<()> {
        let request = GetDataRequest {
            path: path.into(),
            watch: false,
        };
        let reply = self.client.try_request(OpCode::GetData, &request)?;
        let _ = write!(self.said, "{path} {:?} ", reply.err());
        Ok(())
    }
}

/// A challenge with the length of its nonce in the nonce's place.
fn without_nonce(token: &str) -> String {
    let Some((before, rest)) = token.split_once("nonce=\"") else {
        return token.to_owned();
    };
    let (nonce, after) = rest.split_once('"').expect("a closing quote");
    format!("{before}nonce=\"{} characters\"{after}", nonce.len())
}

/// What may come of a login, however a server is configured.
fn scenarios() -> Vec<Vec<Step<'static>>> {
    let mut scenarios = vec![
        vec![START, Answer("bob", "bob-secret"), WhoAmI, Read],
        vec![START, Answer("eve", "eve-secret"), WhoAmI, Read],
        vec![START, Answer("root", "root-secret"), WhoAmI, Read],
        vec![START, Answer("super", "super-secret"), WhoAmI, Read],
        vec![START, Answer("bob", "guess"), Ping],
        vec![START, Answer("mallory", "bob-secret"), Ping],
        vec![START, Answer("bob", "bob-secret"), START, Ping, WhoAmI],
        vec![
            START,
            Answer("bob", "bob-secret"),
            Answer("eve", "eve-secret"),
            WhoAmI,
        ],
        vec![START, Answer("bob", "guess"), START, Ping],
        vec![
            START,
            Answer("bob", "guess"),
            Answer("bob", "bob-secret"),
            WhoAmI,
        ],
        vec![
            Token(b"an initial response"),
            Answer("bob", "bob-secret"),
            WhoAmI,
        ],
        vec![Token(&[0x60, 0x82, 0, 1]), Token(&[0x60, 0x82, 0, 1]), Ping],
        vec![Token(&[b'x'; 5000]), Ping],
        vec![START, Token(&[b'x'; 4097]), Ping],
        vec![
            START,
            Digest("alice:pw"),
            Answer("bob", "bob-secret"),
            WhoAmI,
        ],
        vec![Digest("alice:pw"), WhoAmI, Read],
        vec![START, Digest("super:secret"), WhoAmI, Read],
        vec![WhoAmI],
        vec![Ping],
        vec![Read],
        vec![START, Ping],
        vec![NoToken],
        vec![Garbled],
        vec![START, NoToken],
        vec![START, Garbled],
        vec![START, Answer("jörg", "größe"), WhoAmI],
        vec![START, Answer("Łucja", "hasło"), WhoAmI],
        vec![START, Answer("o\"quote\\", "\"\\"), WhoAmI],
        vec![START, Answer("ann@EXAMPLE.ORG", "ann-secret"), WhoAmI],
        vec![START, Answer("ann/host", "ann-secret"), WhoAmI],
        vec![START, Answer("ann@B@C", "ann-secret"), WhoAmI],
    ];
    for token in [
        &b""[..],
        b"nonsense",
        b"nonsense=1",
        b"username=\"bob",
        b"maxbuf=many",
        b"nonce-count=many",
        b"=",
        b",,,",
    ] {
        scenarios.push(vec![START, Token(token), Ping]);
    }
    for (from, to) in [
        ("charset=utf-8,", ""),
        ("charset=utf-8", "charset=UTF-8"),
        ("username", "USERNAME"),
        ("realm=\"zk-sasl-md5\",", ""),
        ("realm=\"zk-sasl-md5\"", "realm=\"other\""),
        ("nc=00000001", "nc=00000009"),
        ("nc=00000001", "nonce-count=00000001"),
        ("nc=00000001", "nonce-count=2"),
        ("maxbuf=65536,", ""),
        ("qop=auth", "qop=\"auth\""),
        (",qop=auth", ""),
        ("qop=auth", "qop=auth-int"),
        ("qop=auth", "qop=auth,qop=auth"),
        ("qop=auth", "qop=auth,unheard-of=1,unheard-of=1"),
        ("qop=auth", "qop=auth,authzid=\"root\""),
        ("zookeeper/zk-sasl-md5", "zookeeper/elsewhere"),
        ("response=", "response=\"\",x="),
        (",", " ,\t"),
    ] {
        scenarios.push(vec![START, Edited(from, to), WhoAmI]);
    }
    scenarios
}

/// Znodes for [`Read`].
fn prepare(ensemble: &Ensemble) {
    let voter = ensemble.servers()[0].client_address();
    let mut client = RawClient::connect(voter, 30_000);
    for (path, user) in [
        ("/bobs", "bob"),
        ("/roots", "root"),
        ("/anybodys", "anybody"),
    ] {
        client
            .create(path, b"", CreateMode::Persistent)
            .expect("a new path");
        let acl = vec![Acl {
            perms: Perms::ALL,
            id: Id::new("sasl", user),
        }];
        let request = SetAclRequest {
            path: path.into(),
            acl: Some(acl),
            version: -1,
        };
        let reply = client.request(OpCode::SetAcl, &request);
        assert!(reply.err().is_ok(), "{path}: {:?}", reply.err());
    }
    client.close().expect("a session can be closed");
}

#[test]
fn every_step_of_a_login_is_answered_as_by_a_java_observer() {
    let (ensemble, jaas) = (ensemble(), Jaas::new(USERS));
    prepare(&ensemble);
    let scenarios = scenarios();
    for lines in [
        &["superUser.1=root"][..],
        &["superUser=root", "allowSaslFailedClients=true"],
        &[
            "sessionRequireClientSASLAuth=true",
            "allowSaslFailedClients=true",
        ],
        &[
            "enforce.auth.enabled=true",
            "enforce.auth.schemes=digest, sasl",
        ],
        &["sasl.serverconfig=Other"],
        &[
            "SASLAuthenticationProvider.superPassword=bob-secret",
            "skipACL=yes",
        ],
    ] {
        let start = |kind| {
            let settings = jaas.observer(kind, lines);
            Observer::start_without_waiting(&ensemble, kind, &settings)
        };
        let observers = [start(ObserverKind::Java), start(ObserverKind::Outpost)];
        observers.iter().for_each(Observer::wait_until_it_serves);
        for observer in &observers {
            observer.wait_for_zxid(last_zxid(&ensemble));
        }
        for steps in &scenarios {
            let [java, outpost] = [0, 1].map(|at| transcript(&observers[at], steps));
            assert_eq!(java, outpost, "with {lines:?}; left is the Java observer");
        }
    }
}

/// Everything that was committed until now.
fn last_zxid(ensemble: &Ensemble) -> u64 {
    let leader = ensemble.server(ensemble.wait_for_leader());
    outpost_tests::four_letter::zxid(leader.client_address()).expect("a leader knows its zxid")
}

/// Whether this password logs bob in now.
fn logs_in(observer: &Observer, password: &str) -> bool {
    let mut client = RawClient::connect(observer.client_address(), 10_000);
    let mut ask = |token: &[u8]| {
        let request = GetSaslRequest { token: Some(token) };
        let reply = client.try_request(OpCode::Sasl, &request).ok()?;
        let mut reader = Reader::new(&reply.body);
        let token = SetSaslResponse::read(&mut reader).ok()?.token?.to_vec();
        reply.header.err.is_ok().then_some(token)
    };
    let mut bob = Client::new(CLIENTS, "bob", password);
    let Some(challenge) = ask(b"") else {
        return false;
    };
    let answer = bob.respond(&challenge).expect("a challenge");
    ask(&answer).is_some_and(|proof| bob.verify(&proof).is_ok())
}

#[test]
fn a_new_password_counts_from_the_next_login_on_and_a_broken_file_changes_nothing() {
    let (ensemble, jaas) = (ensemble(), Jaas::new(USERS));
    let settings = jaas.observer(ObserverKind::Outpost, &[]);
    let observer = Observer::start(&ensemble, ObserverKind::Outpost, &settings);
    assert!(logs_in(&observer, "bob-secret"));
    jaas.write(&USERS.replace("bob-secret", "bob-other"));
    wait::until("the new password to count", LIMIT, || {
        logs_in(&observer, "bob-other").then_some(())
    });
    assert!(!logs_in(&observer, "bob-secret"));
    let reloads = |outcome| {
        let name = format!("outpost_sasl_reloads_total{{outcome=\"{outcome}\"}}");
        observer.metrics().get(&name)
    };
    assert_eq!(
        [reloads("loaded"), reloads("failed")],
        [Some(1.0), Some(0.0)]
    );
    jaas.write("Server { what is this");
    wait::until("a word of it in the log", LIMIT, || {
        let log = fs::read_to_string(observer.running().log()).unwrap_or_default();
        log.contains("a changed JAAS file cannot be used")
            .then_some(())
    });
    assert_eq!(
        [reloads("loaded"), reloads("failed")],
        [Some(1.0), Some(1.0)]
    );
    assert!(logs_in(&observer, "bob-other"));
}
