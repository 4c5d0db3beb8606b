//! Key stores and trust stores as operators make them: with the JDK's keytool, and with OpenSSL.
//!
//! One [`Authority`] signs certificates for [`Party`]s; what each needs stands in files of every format beside it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::run;
use crate::run_dir::RunDir;

/// The password of every store and key.
pub const PASSWORD: &str = "open sesame";
/// Starting a JVM beside others takes its time.
const LIMIT: Duration = Duration::from_secs(60);

/// The format of a store's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Format {
    Jks,
    Pkcs12,
    Pem,
}

impl Format {
    /// What file names end in.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Jks => "jks",
            Format::Pkcs12 => "p12",
            Format::Pem => "pem",
        }
    }

    fn keytool_name(self) -> &'static str {
        match self {
            Format::Jks => "JKS",
            Format::Pkcs12 | Format::Pem => "PKCS12",
        }
    }
}

/// A directory with an authority's key, its certificate as a trust store in every format, and what it has signed.
#[derive(Debug)]
pub struct Authority {
    dir: RunDir,
}

/// Somebody with a key and a certificate of an authority's.
#[derive(Debug, Clone)]
pub struct Party {
    stem: PathBuf,
}

impl Party {
    /// The key store in that format.
    pub fn key_store(&self, format: Format) -> PathBuf {
        self.stem.with_extension(format.extension())
    }
}

impl Authority {
    /// Makes a key, and the trust stores `trust.jks`, `trust.p12` and `trust.pem`.
    ///
    /// # Panics
    /// When keytool fails.
    pub fn new(name: &str) -> Self {
        let authority = Self {
            dir: RunDir::new(&format!("stores-{name}")),
        };
        let own = authority.path("ca.p12");
        let subject = format!("CN={name}");
        #[rustfmt::skip]
        authority.keytool(&["-genkeypair", "-alias", "ca", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", &subject,
            "-ext", "bc:c", "-validity", "3650", "-storetype", "PKCS12", "-keystore", &own]);
        let pem = authority.path("trust.pem");
        #[rustfmt::skip]
        authority.keytool(&["-exportcert", "-rfc", "-alias", "ca", "-keystore", &own, "-file", &pem]);
        for format in [Format::Jks, Format::Pkcs12] {
            let store = authority.path(&format!("trust.{}", format.extension()));
            #[rustfmt::skip]
            authority.keytool(&["-importcert", "-noprompt", "-alias", "ca", "-file", &pem, "-keystore", &store,
                "-storetype", format.keytool_name()]);
        }
        authority
    }

    /// The authority's certificate as a trust store in that format.
    pub fn trust_store(&self, format: Format) -> PathBuf {
        self.dir
            .path()
            .join(format!("trust.{}", format.extension()))
    }

    /// A key of `algorithm` (keytool's `-keyalg`), and a certificate for the hosts in `names`, as keytool's `san`
    /// extension has them: `dns:localhost,ip:127.0.0.1`. In every format, under the name `name`.
    ///
    /// # Panics
    /// When keytool or OpenSSL fails.
    pub fn sign(&self, name: &str, algorithm: &str, names: &str) -> Party {
        let party = Party {
            stem: self.dir.path().join(name),
        };
        let [jks, p12, pem] = [Format::Jks, Format::Pkcs12, Format::Pem]
            .map(|format| party.key_store(format).display().to_string());
        let (request, reply) = (self.path("request.pem"), self.path("reply.pem"));
        let (subject, names) = (format!("CN={name}, O=Tests"), format!("san={names}"));
        let (ca, trust) = (self.path("ca.p12"), self.path("trust.pem"));
        #[rustfmt::skip]
        let steps: [&[&str]; 6] = [
            &["-genkeypair", "-alias", name, "-keyalg", algorithm, "-dname", &subject, "-storetype", "JKS",
                "-keystore", &jks],
            &["-certreq", "-alias", name, "-keystore", &jks, "-file", &request],
            &["-gencert", "-rfc", "-alias", "ca", "-keystore", &ca, "-infile", &request, "-outfile", &reply,
                "-ext", &names, "-ext", "eku=serverAuth,clientAuth", "-validity", "365"],
            &["-importcert", "-noprompt", "-alias", "ca", "-file", &trust, "-keystore", &jks],
            &["-importcert", "-noprompt", "-alias", name, "-file", &reply, "-keystore", &jks],
            &["-importkeystore", "-noprompt", "-srckeystore", &jks, "-srcstorepass", PASSWORD, "-destkeystore", &p12,
                "-deststoretype", "PKCS12", "-srcalias", name],
        ];
        for step in steps {
            self.keytool(step);
        }
        #[rustfmt::skip]
        self.openssl(&["pkcs12", "-in", &p12, "-passin", &pass(), "-nodes", "-out", &pem]);
        party
    }

    /// Runs keytool in the authority's directory, with the password for every store.
    ///
    /// # Panics
    /// When it fails.
    pub fn keytool(&self, arguments: &[&str]) {
        let mut command = Command::new("keytool");
        command.arg("-J-Xmx64m").args(arguments);
        let password = match arguments.contains(&"-importkeystore") {
            true => "-deststorepass",
            false => "-storepass",
        };
        command.args([password, PASSWORD]);
        if arguments.contains(&"-genkeypair") {
            command.args(["-keypass", PASSWORD]);
        }
        run("keytool", &command, LIMIT, &self.log());
    }

    /// Runs OpenSSL.
    ///
    /// # Panics
    /// When it fails.
    pub fn openssl(&self, arguments: &[&str]) {
        let mut command = Command::new("openssl");
        command.args(arguments);
        run("openssl", &command, LIMIT, &self.log());
    }

    /// A file in the authority's directory.
    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("tools.log")
    }
}

/// The password as OpenSSL takes it.
pub fn pass() -> String {
    format!("pass:{PASSWORD}")
}

/// The lines of a `zoo.cfg` for a family of keys, `ssl` or `ssl.quorum`.
pub fn lines(family: &str, key_store: &Path, trust_store: &Path) -> String {
    let (key_store, trust_store) = (key_store.display(), trust_store.display());
    format!(
        "{family}.keyStore.location={key_store}\n{family}.keyStore.password={PASSWORD}\n\
         {family}.trustStore.location={trust_store}\n{family}.trustStore.password={PASSWORD}"
    )
}
