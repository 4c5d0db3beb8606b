//! Stores that keytool and OpenSSL make are read: old formats and new, with the encryption of today and of ten
//! years ago.

use std::path::PathBuf;

use outpost::config::{Password, Secret, Store, StoreKind};
use outpost::tls::StoreError;
use outpost::tls::store::{KeyAndChain, load_key, load_trusted};
use outpost_tests::stores::{Authority, Format, PASSWORD, pass};

fn store(location: impl Into<PathBuf>, kind: StoreKind, password: &str) -> Store {
    Store {
        location: location.into(),
        kind,
        password: Password::Text(Secret::from(password.to_owned())),
    }
}

fn java(location: impl Into<PathBuf>) -> Store {
    store(location, StoreKind::Java, PASSWORD)
}

fn pem(location: impl Into<PathBuf>, password: &str) -> Store {
    store(location, StoreKind::Pem, password)
}

fn key_of(store: &Store) -> KeyAndChain {
    load_key(store).unwrap_or_else(|error| panic!("{error}"))
}

/// The same key, in whatever form: keytool and OpenSSL order the optional parts of PKCS#8 alike.
fn assert_same(one: &KeyAndChain, other: &KeyAndChain, what: &str) {
    assert_eq!(one.key.secret_der(), other.key.secret_der(), "{what}");
    assert_eq!(one.chain, other.chain, "{what}");
}

#[test]
fn a_key_with_its_chain_is_the_same_from_every_store_of_keytool_s_and_openssl_s() {
    let authority = Authority::new("an authority");
    let party = authority.sign("party", "RSA", "dns:localhost");
    let key = key_of(&java(party.key_store(Format::Jks)));
    assert_eq!(key.chain.len(), 2, "the certificate and its authority's");
    assert_same(
        &key_of(&java(party.key_store(Format::Pkcs12))),
        &key,
        "PKCS12",
    );
    let plain = party.key_store(Format::Pem).display().to_string();
    assert_same(&key_of(&pem(&plain, "")), &key, "PEM");

    let modern = authority.path("modern.p12");
    let legacy = authority.path("legacy.p12");
    let weak = authority.path("weak.p12");
    let pass = pass();
    #[rustfmt::skip]
    let exports: [(&[&str], &str); 3] = [
        (&["-keypbe", "AES-256-CBC", "-certpbe", "AES-256-CBC", "-macalg", "sha256"], &modern),
        (&["-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"], &legacy),
        (&["-legacy", "-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-RC2-40", "-macalg", "sha1"], &weak),
    ];
    for (encryption, file) in exports {
        let mut arguments = vec![
            "pkcs12", "-export", "-in", &plain, "-out", file, "-passout", &pass,
        ];
        arguments.extend(encryption);
        authority.openssl(&arguments);
        assert_same(&key_of(&java(file)), &key, file);
    }
}

#[test]
fn a_pem_key_may_be_pkcs8_encrypted_or_not_pkcs1_or_sec1() {
    let authority = Authority::new("an authority");
    for algorithm in ["RSA", "EC"] {
        let party = authority.sign(algorithm, algorithm, "dns:localhost");
        let plain = party.key_store(Format::Pem).display().to_string();
        let key = key_of(&pem(&plain, ""));
        let certificates = std::fs::read_to_string(&plain).expect("OpenSSL has written it");
        let (traditional, aes, des) = (
            authority.path("traditional.pem"),
            authority.path("aes.pem"),
            authority.path("des.pem"),
        );
        let pass = pass();
        let make = |arguments: &[&str], file: &str| {
            authority.openssl(arguments);
            let key = std::fs::read_to_string(file).expect("OpenSSL has written it");
            std::fs::write(file, format!("{key}{certificates}")).expect("it can be written");
        };
        #[rustfmt::skip]
        make(&["pkcs8", "-topk8", "-in", &plain, "-v2", "aes-256-cbc", "-passout", &pass, "-out", &aes], &aes);
        #[rustfmt::skip]
        make(&["pkcs8", "-topk8", "-in", &plain, "-v1", "PBE-SHA1-3DES", "-passout", &pass, "-out", &des], &des);
        #[rustfmt::skip]
        make(&["pkey", "-in", &plain, "-traditional", "-out", &traditional], &traditional);
        let from_traditional = key_of(&pem(&traditional, ""));
        assert_eq!(from_traditional.chain, key.chain);
        assert_ne!(from_traditional.key.secret_der(), key.key.secret_der());
        for file in [&aes, &des] {
            assert_eq!(key_of(&pem(file, PASSWORD)).chain, key.chain, "{file}");
            let refused = load_key(&pem(file, "not it")).expect_err("a wrong password");
            assert!(refused.text.contains("the password is wrong"), "{refused}");
        }
    }
}

#[test]
fn a_trust_store_gives_what_is_marked_as_trusted_and_nothing_else() {
    let authority = Authority::new("an authority");
    let party = authority.sign("party", "EC", "dns:localhost");
    let of = |store: &Store| load_trusted(store);
    let trusted = of(&pem(authority.trust_store(Format::Pem), "")).expect("it holds one");
    assert_eq!(trusted.len(), 1);
    for format in [Format::Jks, Format::Pkcs12] {
        let store = java(authority.trust_store(format));
        assert_eq!(of(&store).as_ref(), Ok(&trusted), "{format:?}");
    }
    // The authority was imported beside the key; the key's own certificate is not to be believed by that.
    assert_eq!(
        of(&java(party.key_store(Format::Jks))).as_ref(),
        Ok(&trusted)
    );
    let without_marks = authority.path("openssl.p12");
    let (ca, pass) = (authority.path("trust.pem"), pass());
    #[rustfmt::skip]
    authority.openssl(&["pkcs12", "-export", "-nokeys", "-in", &ca, "-out", &without_marks, "-passout", &pass]);
    let refused = of(&java(&without_marks)).expect_err("nothing is marked");
    assert!(refused.text.contains("-jdktrust"), "{refused}");
}

#[test]
fn a_store_that_cannot_be_opened_says_why_and_never_shows_its_password() {
    let authority = Authority::new("an authority");
    let party = authority.sign("party", "EC", "dns:localhost");
    let wrong = |error: StoreError, why: &str| {
        assert!(error.text.contains(why), "{error}");
        assert!(!format!("{error}{error:?}").contains("hunter2"), "{error}");
    };
    for format in [Format::Jks, Format::Pkcs12] {
        let store = store(party.key_store(format), StoreKind::Java, "hunter2");
        wrong(
            load_key(&store).expect_err("a wrong password"),
            "the password is wrong",
        );
    }
    let missing = load_key(&java(authority.path("none.jks"))).expect_err("no such file");
    wrong(missing, "cannot be read");
    let no_key = load_key(&java(authority.trust_store(Format::Jks))).expect_err("no key");
    wrong(no_key, "is it a trust store?");
    let whole = std::fs::read(party.key_store(Format::Jks)).expect("it is there");
    let cut = authority.path("cut.jks");
    std::fs::write(&cut, &whole[..whole.len() / 2]).expect("it can be written");
    wrong(load_key(&java(&cut)).expect_err("half a file"), "damaged");
}
