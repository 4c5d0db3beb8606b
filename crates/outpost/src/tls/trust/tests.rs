//! Who is believed, for what, until when, and for which host; with certificates made for the purpose.

use super::super::certified::{self, Authority, Certified, made_out_for, self_signed};
use super::*;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::crypto::ring;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn trust(trusted: &[&CertificateDer<'static>]) -> Trust {
    let trusted: Vec<_> = trusted.iter().map(|one| (*one).clone()).collect();
    let (trust, ignored) = Trust::new(trusted, &provider());
    assert_eq!(ignored, 0);
    trust
}

fn expired() -> CertificateParams {
    let mut params = made_out_for(&["zk1"]);
    params.not_after = date_time_ymd(2020, 1, 1);
    params
}

fn not_yet_valid() -> CertificateParams {
    let mut params = made_out_for(&["zk1"]);
    params.not_before = date_time_ymd(4000, 1, 1);
    params
}

fn usable_for(purposes: &[ExtendedKeyUsagePurpose]) -> CertificateParams {
    let mut params = made_out_for(&["zk1"]);
    params.extended_key_usages = purposes.to_vec();
    params
}

/// What a judge says of a server that shows this.
fn judged(
    trust: Trust,
    shown: &CertificateDer<'_>,
    behind: &[CertificateDer<'_>],
    peer: Option<Peer>,
) -> Result<(), Error> {
    let vouched = Vouched {
        trust: Arc::new(trust),
        peer,
        shown: Arc::default(),
    };
    vouched.judge(shown, behind, UnixTime::now())
}

fn client_judged(trust: Trust, shown: &CertificateDer<'_>) -> Result<(), Error> {
    let verifier = trust.of_clients(&provider(), true).unwrap();
    let verified = verifier.verify_client_cert(shown, &[], UnixTime::now());
    verified.map(|_| ())
}

/// The kind of a refusal, without what rustls adds in words.
fn kind(error: Error) -> &'static str {
    use CertificateError as E;
    match error {
        Error::InvalidCertificate(error) => match error {
            E::UnknownIssuer => "unknown issuer",
            E::Expired | E::ExpiredContext { .. } => "expired",
            E::NotValidYet | E::NotValidYetContext { .. } => "not valid yet",
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => "purpose",
            E::BadEncoding => "encoding",
            E::Other(_) => "another host",
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn whoever_stands_in_the_trust_store_is_believed_while_valid_and_for_what_it_may_be_used_for() {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, ServerAuth};
    for (params, server, client) in [
        (made_out_for(&["zk1"]), None, None),
        (expired(), Some("expired"), Some("expired")),
        (
            not_yet_valid(),
            Some("not valid yet"),
            Some("not valid yet"),
        ),
        (usable_for(&[ServerAuth, ClientAuth]), None, None),
        (usable_for(&[Any]), None, None),
        (usable_for(&[ServerAuth]), None, Some("purpose")),
        (usable_for(&[ClientAuth]), Some("purpose"), None),
        (usable_for(&[CodeSigning]), Some("purpose"), Some("purpose")),
    ] {
        let Certified { certificate, .. } = self_signed(&params);
        let told = judged(trust(&[&certificate]), &certificate, &[], None);
        assert_eq!(told.err().map(kind), server);
        let told = client_judged(trust(&[&certificate]), &certificate);
        assert_eq!(told.err().map(kind), client);
    }
}

#[test]
fn others_are_believed_if_a_chain_leads_to_the_trust_store() {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    let authority = Authority::new("an authority");
    let (deputy, stranger) = (authority.deputy("a deputy"), Authority::new("a stranger"));
    let roots = || trust(&[&authority.certificate]);
    let params = made_out_for(&["zk1"]);
    for (by, params, behind, server, client) in [
        (&authority, params.clone(), None, None, None),
        (
            &stranger,
            params.clone(),
            Some(&stranger),
            Some("unknown issuer"),
            Some("unknown issuer"),
        ),
        (
            &authority,
            expired(),
            None,
            Some("expired"),
            Some("expired"),
        ),
        (
            &authority,
            not_yet_valid(),
            None,
            Some("not valid yet"),
            Some("not valid yet"),
        ),
        (
            &authority,
            usable_for(&[ServerAuth]),
            None,
            None,
            Some("purpose"),
        ),
        (
            &authority,
            usable_for(&[ClientAuth]),
            None,
            Some("purpose"),
            None,
        ),
        (
            &deputy,
            params.clone(),
            None,
            Some("unknown issuer"),
            Some("unknown issuer"),
        ),
    ] {
        let shown = by.vouch(&params).certificate;
        let behind: Vec<_> = behind
            .iter()
            .map(|behind| behind.certificate.clone())
            .collect();
        let told = judged(roots(), &shown, &behind, None);
        assert_eq!(told.err().map(kind), server, "{params:?}");
        let told = client_judged(roots(), &shown);
        assert_eq!(told.err().map(kind), client, "{params:?}");
    }
    let shown = deputy.vouch(&params).certificate;
    let behind = [deputy.certificate.clone()];
    assert_eq!(judged(roots(), &shown, &behind, None), Ok(()));
    let nonsense = CertificateDer::from(b"nonsense".to_vec());
    let told = judged(roots(), &nonsense, &[], None);
    assert_eq!(told.err().map(kind), Some("encoding"));
}

#[test]
fn what_cannot_be_understood_in_a_trust_store_is_counted_and_left_out() {
    let authority = Authority::new("an authority");
    let nonsense = CertificateDer::from(b"nonsense".to_vec());
    let trusted = vec![nonsense, authority.certificate.clone()];
    let (trust, ignored) = Trust::new(trusted, &provider());
    assert_eq!(ignored, 1);
    let shown = authority.vouch(&made_out_for(&["zk1"])).certificate;
    assert_eq!(judged(trust, &shown, &[], None), Ok(()));
}

#[test]
fn a_server_s_certificate_must_be_made_out_for_its_address_or_one_of_its_names() {
    let authority = Authority::new("an authority");
    let peer = |address: &str, names: &[&str]| Peer {
        address: address.parse().unwrap(),
        names: names.iter().map(ToString::to_string).collect(),
    };
    let of_names = authority.vouch(&made_out_for(&["zk1"])).certificate;
    let of_address = authority.vouch(&made_out_for(&["10.0.0.1"])).certificate;
    for (shown, peer, expected) in [
        (&of_names, peer("10.0.0.1", &["zk1"]), true),
        (&of_names, peer("10.0.0.1", &["10.0.0.1", "zk1"]), true),
        (&of_names, peer("10.0.0.1", &["zk2"]), false),
        (&of_names, peer("10.0.0.1", &[]), false),
        (&of_address, peer("10.0.0.1", &["zk2"]), true),
        (&of_address, peer("::ffff:10.0.0.1", &[]), true),
        (&of_address, peer("10.0.0.2", &["10.0.0.1"]), true),
        (&of_address, peer("10.0.0.2", &["zk1"]), false),
    ] {
        assert_eq!(check_host(shown, &peer).is_ok(), expected, "{peer:?}");
        let roots = trust(&[&authority.certificate]);
        let told = judged(roots, shown, &[], Some(peer.clone()));
        let other = (!expected).then_some("another host");
        assert_eq!(told.err().map(kind), other, "{peer:?}");
        // Whoever stands in the trust store is no exception.
        let told = judged(trust(&[shown]), shown, &[], Some(peer));
        assert_eq!(told.err().map(kind), other);
    }
    let told = check_host(&of_names, &peer("10.0.0.1", &["zk2", "10.0.0.1"])).unwrap_err();
    assert_eq!(
        told.to_string(),
        "the certificate is made out for zk1, not for zk2 or 10.0.0.1"
    );
}

#[test]
fn what_a_server_shows_is_known_even_if_it_is_not_believed() {
    let authority = Authority::new("an authority");
    let stranger = self_signed(&made_out_for(&["zk1"])).certificate;
    let shown = Arc::<Shown>::default();
    assert_eq!(shown.describe(), None);
    let vouched = Vouched {
        trust: Arc::new(trust(&[&authority.certificate])),
        peer: None,
        shown: Arc::clone(&shown),
    };
    vouched
        .judge(&stranger, &[], UnixTime::now())
        .expect_err("a stranger");
    let told = shown.describe().unwrap();
    assert!(
        told.starts_with(
            "the certificate of CN=somebody, made out for zk1, signed by itself, valid until"
        ),
        "{told}"
    );
}

#[test]
fn a_certificate_is_asked_of_clients_with_the_names_of_those_who_may_have_signed_it() {
    let authority = Authority::new("an authority");
    for required in [true, false] {
        let roots = trust(&[&authority.certificate]);
        let verifier = roots.of_clients(&provider(), required).unwrap();
        assert!(verifier.offer_client_auth());
        assert_eq!(verifier.client_auth_mandatory(), required);
        assert_eq!(verifier.root_hint_subjects().len(), 1);
    }
}

/// Hands are shaken in memory, with one version of TLS.
fn shake_hands(
    version: &'static rustls::SupportedProtocolVersion,
    server: &CertifiedKey,
    client: &CertifiedKey,
    trusted: &CertificateDer<'static>,
) -> Result<(), Error> {
    let judge = Vouched {
        trust: Arc::new(trust(&[trusted])),
        peer: None,
        shown: Arc::default(),
    };
    let ours = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(judge.verifier())
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(client.clone())));
    let verifier = trust(&[trusted]).of_clients(&provider(), true).unwrap();
    let theirs = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(server.clone())));
    certified::shake_hands(ours.into(), theirs.into()).map(|_| ())
}

#[test]
fn a_certificate_without_its_key_is_worth_nothing_on_either_side() {
    let authority = Authority::new("an authority");
    let params = made_out_for(&["zk1"]);
    let (one, other) = (authority.vouch(&params), authority.vouch(&params));
    let with_key = |certificate: &Certified, key: &Certified| {
        let key = ring::sign::any_supported_type(&key.key_der()).unwrap();
        CertifiedKey::new(vec![certificate.certificate.clone()], key)
    };
    let (honest, stolen) = (with_key(&one, &one), with_key(&one, &other));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for trusted in [&authority.certificate, &one.certificate] {
            let shake = |server, client| shake_hands(version, server, client, trusted);
            assert_eq!(shake(&honest, &honest), Ok(()));
            for (server, client) in [(&stolen, &honest), (&honest, &stolen)] {
                let told = shake(server, client).unwrap_err();
                let bad = Error::InvalidCertificate(CertificateError::BadSignature);
                assert_eq!(told, bad, "{version:?}");
            }
        }
    }
}
