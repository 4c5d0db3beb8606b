//! How a request can fail (`KeeperException.Code`).

use std::fmt;

/// The number in a reply header or an error transaction; 0 is success.
///
/// A newer leader may send numbers unknown here: they are kept and passed on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub i32);

/// Defines the named codes and how they print.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: ErrorCode = ErrorCode($code);)*

            /// ZooKeeper's name of this code, if it has one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

error_codes! {
    /// No error.
    OK = 0,
    /// In a multi: not tried, because an operation before it failed.
    RUNTIME_INCONSISTENCY = -2,
    /// The request could not be decoded, or serving it failed.
    MARSHALLING_ERROR = -5,
    /// No such operation here.
    UNIMPLEMENTED = -6,
    /// A path, flag or other argument is not valid.
    BAD_ARGUMENTS = -8,
    /// A reconfiguration would leave no quorum.
    NEW_CONFIG_NO_QUORUM = -13,
    /// Another reconfiguration is under way.
    RECONFIG_IN_PROGRESS = -14,
    /// The znode does not exist.
    NO_NODE = -101,
    /// The ACL does not allow it.
    NO_AUTH = -102,
    /// The znode has another version.
    BAD_VERSION = -103,
    /// An ephemeral znode cannot have children.
    NO_CHILDREN_FOR_EPHEMERALS = -108,
    /// The znode exists already.
    NODE_EXISTS = -110,
    /// The znode has children.
    NOT_EMPTY = -111,
    /// The session has expired.
    SESSION_EXPIRED = -112,
    /// The ACL is not valid.
    INVALID_ACL = -114,
    /// Authentication failed.
    AUTH_FAILED = -115,
    /// The session has moved to another server. Never told to a client: its connection is closed.
    SESSION_MOVED = -118,
    /// This server is read-only.
    NOT_READ_ONLY = -119,
    /// A local session may not own ephemeral znodes.
    EPHEMERAL_ON_LOCAL_SESSION = -120,
    /// There is no such watch.
    NO_WATCHER = -121,
    /// Reconfiguration is switched off.
    RECONFIG_DISABLED = -123,
    /// The session must authenticate first, and is closed.
    SESSION_CLOSED_REQUIRE_SASL_AUTH = -124,
    /// A quota would be exceeded.
    QUOTA_EXCEEDED = -125,
    /// The server is too busy.
    THROTTLED_OP = -127,
}

impl ErrorCode {
    /// Whether this is no error.
    pub const fn is_ok(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name}({})", self.0),
            None => write!(f, "ErrorCode({})", self.0),
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
