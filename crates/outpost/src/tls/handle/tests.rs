//! What is negotiated with which settings, and what is read again.

use std::time::Duration;

use super::super::certified::{Authority, Stores, made_out_for, shake_hands};
use super::*;
use crate::config::{HostNames, TlsVersion};
use TlsVersion::{Tls12, Tls13};

/// Everybody's stores, and the least settings.
struct Stage {
    stores: Stores,
    authority: Authority,
    settings: TlsSettings,
}

/// Settings without stores.
pub(in super::super) fn least() -> TlsSettings {
    TlsSettings {
        key_store: None,
        trust_store: None,
        versions: vec![Tls12, Tls13],
        cipher_suites: Vec::new(),
        client_auth: ClientAuth::Need,
        host_names: HostNames {
            servers: true,
            clients: true,
            reverse_lookup: false,
        },
        detection_timeout: Duration::from_secs(5),
        reload: true,
    }
}

impl Stage {
    fn new() -> Stage {
        let (stores, authority) = (Stores::new(), Authority::new("an authority"));
        let own = authority.vouch(&made_out_for(&["zk1"]));
        let settings = TlsSettings {
            key_store: Some(stores.write("own.pem", &own.pem())),
            trust_store: Some(stores.write("trust.pem", &authority.pem)),
            ..least()
        };
        Stage {
            stores,
            authority,
            settings,
        }
    }

    fn renew(&self) {
        let own = self.authority.vouch(&made_out_for(&["zk1"]));
        self.stores.write("own.pem", &own.pem());
    }

    fn with(&self, versions: &[TlsVersion], suites: &[&str]) -> TlsSettings {
        TlsSettings {
            versions: versions.to_vec(),
            cipher_suites: suites.iter().map(ToString::to_string).collect(),
            ..self.settings.clone()
        }
    }
}

/// The version and the suite that a client of the one settings and a server of the others come to.
fn negotiated(ours: &TlsSettings, theirs: &TlsSettings) -> Result<String, rustls::Error> {
    let peer = Peer {
        address: "127.0.0.1".parse().unwrap(),
        names: vec!["zk1".to_owned()],
    };
    let towards = ClientTls::for_quorum(ours).unwrap();
    let (client, _) = towards.current().connecting_to(peer);
    let server = ServerTls::for_clients(theirs).unwrap();
    let client = shake_hands(client, server.current())?;
    let suite = client.negotiated_cipher_suite().unwrap();
    Ok(format!("{:?}", suite.suite()))
}

#[test]
fn versions_and_suites_of_the_settings_are_spoken_on_either_side_and_no_others() {
    let stage = Stage::new();
    let all = || stage.with(&[Tls12, Tls13], &[]);
    let chacha = "TLS_CHACHA20_POLY1305_SHA256";
    let ecdsa = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    for (settings, expected) in [
        (stage.with(&[Tls13], &[]), "TLS13_AES_256_GCM_SHA384"),
        (
            stage.with(&[Tls12], &[]),
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        ),
        (
            stage.with(&[Tls12, Tls13], &[chacha]),
            "TLS13_CHACHA20_POLY1305_SHA256",
        ),
        (stage.with(&[Tls12, Tls13], &[ecdsa]), ecdsa),
        (stage.with(&[Tls12], &[chacha, ecdsa]), ecdsa),
    ] {
        assert_eq!(negotiated(&settings, &all()).as_deref(), Ok(expected));
        assert_eq!(negotiated(&all(), &settings).as_deref(), Ok(expected));
    }
    let nothing = negotiated(&stage.with(&[Tls12], &[]), &stage.with(&[Tls13], &[]));
    assert!(matches!(nothing, Err(rustls::Error::PeerIncompatible(_))));
    let nothing = negotiated(&stage.with(&[Tls13], &[chacha]), &stage.with(&[Tls12], &[]));
    assert!(matches!(nothing, Err(rustls::Error::PeerIncompatible(_))));
}

#[test]
fn a_changed_store_is_read_again_unless_that_is_switched_off() {
    let stage = Stage::new();
    for reload in [true, false] {
        let settings = TlsSettings {
            reload,
            ..stage.settings.clone()
        };
        let server = ServerTls::for_clients(&settings).unwrap();
        let before = server.current();
        server.look();
        assert!(Arc::ptr_eq(&before, &server.current()), "nothing changed");
        stage.renew();
        server.look();
        assert_eq!(Arc::ptr_eq(&before, &server.current()), !reload);
        let report = server.report();
        assert_eq!((report.loaded, report.failed), (u64::from(reload), 0));
    }
}

#[test]
fn a_changed_store_that_cannot_be_used_is_counted_once_and_changes_nothing() {
    let stage = Stage::new();
    let quorum = ClientTls::for_quorum(&stage.settings).unwrap();
    let before = quorum.current();
    stage.stores.write("own.pem", "half of a renewal");
    for _ in 0..3 {
        quorum.look();
    }
    assert!(Arc::ptr_eq(&before, &quorum.current()));
    let report = quorum.report();
    assert_eq!((report.loaded, report.failed), (0, 1));
    assert!(report.expires.is_some());
    stage.renew();
    quorum.look();
    assert!(!Arc::ptr_eq(&before, &quorum.current()));
    assert_eq!((quorum.report().loaded, quorum.report().failed), (1, 1));
}
