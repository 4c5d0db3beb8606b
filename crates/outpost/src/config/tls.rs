//! Settings of TLS by value: one set for the client port (`ssl.*`), one for the way to the ensemble (`ssl.quorum.*`).
//!
//! Nothing is loaded here; a store's file is read where it is used, and again when it changes.

use std::path::PathBuf;
use std::time::Duration;

use super::Secret;

/// TLS on either side; `None` where the configuration does not ask for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// `ssl.*`, if `secureClientPort` or `client.portUnification` is set. Has a key store, and a trust store unless
    /// no client certificate is asked for.
    pub clients: Option<TlsSettings>,
    /// `ssl.quorum.*`, if `sslQuorum=true`. Has a trust store.
    pub quorum: Option<TlsSettings>,
    /// `ssl.quorum.*` towards operators, if the admin server speaks TLS. Has a key store, and a trust store where
    /// client certificates are needed; none are asked for otherwise.
    pub admin: Option<TlsSettings>,
}

/// What one side's TLS is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// `keyStore.*`: our private key, and the certificates that vouch for it.
    pub key_store: Option<Store>,
    /// `trustStore.*`: the certificates that decide whom we believe.
    pub trust_store: Option<Store>,
    /// `enabledProtocols` and `protocol`; not empty.
    pub versions: Vec<TlsVersion>,
    /// `ciphersuites`, by their IANA names, in order of preference; empty means all that there are.
    pub cipher_suites: Vec<String>,
    /// `clientAuth`: whether whoever connects to us must show a certificate.
    pub client_auth: ClientAuth,
    /// `hostnameVerification` and what belongs to it.
    pub host_names: HostNames,
    /// `handshakeDetectionTimeoutMillis`: how long to wait for the first bytes of a connection that may or may not be
    /// TLS; not zero.
    pub detection_timeout: Duration,
    /// `client.certReload` or `sslQuorumReloadCertFiles`: whether stores are read again when their files change.
    pub reload: bool,
}

/// One `keyStore` or `trustStore`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// `location`.
    pub location: PathBuf,
    /// `type`, or what the file's name ends in.
    pub kind: StoreKind,
    /// `passwordPath` or `password`.
    pub password: Password,
}

/// The format of a store's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// `PEM`: text with key and certificates one behind the other.
    Pem,
    /// `PKCS12` or `JKS`: as in Java, either name stands for both, and the file itself says which it is.
    Java,
}

/// Where a store's password comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    /// The configuration itself; empty if it has none.
    Text(Secret),
    /// A file that holds nothing else but, perhaps, a line end; read whenever the store is.
    File(PathBuf),
}

/// A version of TLS that is possible here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// `TLSv1.2`
    Tls12,
    /// `TLSv1.3`
    Tls13,
}

/// Whether a certificate is asked of those who connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// `none`: it is not asked for.
    None,
    /// `want`: it is asked for, and must be good if there is one.
    Want,
    /// `need`: nobody is let in without one. The default, as in ZooKeeper.
    Need,
}

/// Whose certificate must be made out for the host it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostNames {
    /// `hostnameVerification`: the certificate of a server we connect to.
    pub servers: bool,
    /// `clientHostnameVerification`, if `hostnameVerification` is on too: that of whoever connects to us.
    pub clients: bool,
    /// `allowReverseDnsLookup`: whether the name service may be asked for the name that belongs to an address.
    pub reverse_lookup: bool,
}
