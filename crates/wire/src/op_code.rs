//! What a request asks for, and what a transaction does (`ZooDefs.OpCode`).

/// Defines [`OpCode`] with its numbers in one table.
macro_rules! op_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// A ZooKeeper operation, by its number on the wire.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum OpCode {
            $($(#[$doc])* $name = $code,)*
        }

        impl OpCode {
            /// The operation with this number, if there is one.
            pub const fn from_code(code: i32) -> Option<OpCode> {
                match code {
                    $($code => Some(OpCode::$name),)*
                    _ => None,
                }
            }
        }
    };
}

op_codes! {
    /// Never sent by a client.
    Notification = 0,
    /// Create a znode.
    Create = 1,
    /// Delete a znode.
    Delete = 2,
    /// Is it there?
    Exists = 3,
    /// Read a znode's data.
    GetData = 4,
    /// Replace a znode's data.
    SetData = 5,
    /// Read a znode's ACL.
    GetAcl = 6,
    /// Replace a znode's ACL.
    SetAcl = 7,
    /// List a znode's children.
    GetChildren = 8,
    /// Wait until this server has seen what the leader had committed.
    Sync = 9,
    /// Keep the session alive.
    Ping = 11,
    /// List a znode's children, with its Stat.
    GetChildren2 = 12,
    /// Compare a version; legal only inside a multi.
    Check = 13,
    /// Several writes, all or none.
    Multi = 14,
    /// Create a znode and answer with its Stat.
    Create2 = 15,
    /// Change the ensemble's membership.
    Reconfig = 16,
    /// Is this watch set?
    CheckWatches = 17,
    /// Take watches away.
    RemoveWatches = 18,
    /// Create a container znode.
    CreateContainer = 19,
    /// Delete an empty container; sent by the leader to itself.
    DeleteContainer = 20,
    /// Create a znode with a time to live.
    CreateTtl = 21,
    /// Several reads in one request.
    MultiRead = 22,
    /// Add an identity to the connection.
    Auth = 100,
    /// Set watches again after a reconnect.
    SetWatches = 101,
    /// A step of a SASL exchange.
    Sasl = 102,
    /// List this session's ephemeral znodes.
    GetEphemerals = 103,
    /// Count all znodes below one.
    GetAllChildrenNumber = 104,
    /// Set watches again after a reconnect, persistent ones included.
    SetWatches2 = 105,
    /// Add a persistent or recursive watch.
    AddWatch = 106,
    /// Which identities has this connection?
    WhoAmI = 107,
    /// Create a session; sent by servers, never by clients.
    CreateSession = -10,
    /// Close a session.
    CloseSession = -11,
    /// A transaction that failed.
    Error = -1,
}

impl OpCode {
    /// The number on the wire.
    pub const fn code(self) -> i32 {
        self as i32
    }
}
