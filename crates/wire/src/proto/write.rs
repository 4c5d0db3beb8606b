//! Writes: what only the leader can decide.

use bstr::BStr;

use super::record::record;
use crate::data::{Acl, Stat};

/// Defines [`CreateMode`] with its numbers in one table.
macro_rules! create_modes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// What kind of znode to create: the flags of a create request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum CreateMode {
            $($(#[$doc])* $name = $code,)*
        }

        impl CreateMode {
            /// The mode with this number, if there is one.
            pub const fn from_code(code: i32) -> Option<CreateMode> {
                match code {
                    $($code => Some(CreateMode::$name),)*
                    _ => None,
                }
            }
        }
    };
}

create_modes! {
    /// Stays until it is deleted.
    Persistent = 0,
    /// Goes with the session that created it.
    Ephemeral = 1,
    /// Stays; the leader appends a number to its name.
    PersistentSequential = 2,
    /// Goes with its session; the leader appends a number to its name.
    EphemeralSequential = 3,
    /// Deleted by the leader once it has lost its last child.
    Container = 4,
    /// Deleted by the leader when it was not changed for a while and has no children.
    PersistentWithTtl = 5,
    /// The same, with a number appended to its name.
    PersistentSequentialWithTtl = 6,
}

impl CreateMode {
    /// The number on the wire.
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// Whether the znode goes with its session.
    pub const fn is_ephemeral(self) -> bool {
        matches!(
            self,
            CreateMode::Ephemeral | CreateMode::EphemeralSequential
        )
    }
}

record! {
    /// Asks for a new znode: create, create2 and createContainer.
    pub struct CreateRequest<'a> {
        /// Where; the leader may append a number.
        pub path: &'a BStr,
        /// Its data; null and empty differ.
        pub data: Option<&'a [u8]>,
        /// Its ACL. The leader refuses null and empty, with the same code.
        pub acl: Option<Vec<Acl>>,
        /// A [`CreateMode`], by number.
        pub flags: i32,
    }
}

impl CreateRequest<'_> {
    /// What kind of znode is asked for, if the flags are any.
    pub const fn mode(&self) -> Option<CreateMode> {
        CreateMode::from_code(self.flags)
    }
}

record! {
    /// Asks for a new znode with a time to live.
    pub struct CreateTtlRequest<'a> {
        /// Where; the leader may append a number.
        pub path: &'a BStr,
        /// Its data; null and empty differ.
        pub data: Option<&'a [u8]>,
        /// Its ACL. The leader refuses null and empty, with the same code.
        pub acl: Option<Vec<Acl>>,
        /// A [`CreateMode`], by number.
        pub flags: i32,
        /// Time to live, ms.
        pub ttl: i64,
    }
}

impl CreateTtlRequest<'_> {
    /// What kind of znode is asked for, if the flags are any.
    pub const fn mode(&self) -> Option<CreateMode> {
        CreateMode::from_code(self.flags)
    }
}

record! {
    /// Answers create.
    #[derive(Copy)]
    pub struct CreateResponse<'a> {
        /// The znode's path, with its number if it has one.
        pub path: &'a BStr,
    }
}

record! {
    /// Answers create2, createContainer and createTTL.
    #[derive(Copy)]
    pub struct Create2Response<'a> {
        /// The znode's path, with its number if it has one.
        pub path: &'a BStr,
        /// Its metadata right after its creation.
        pub stat: Stat,
    }
}

record! {
    /// Asks to delete a znode.
    #[derive(Copy)]
    pub struct DeleteRequest<'a> {
        /// The znode.
        pub path: &'a BStr,
        /// The version it must have; -1 for any.
        pub version: i32,
    }
}

record! {
    /// Asks to delete an empty container.
    #[derive(Copy)]
    pub struct DeleteContainerRequest<'a> {
        /// The znode.
        pub path: &'a BStr,
    }
}

record! {
    /// Asks to replace a znode's data.
    #[derive(Copy)]
    pub struct SetDataRequest<'a> {
        /// The znode.
        pub path: &'a BStr,
        /// Its new data; null and empty differ.
        pub data: Option<&'a [u8]>,
        /// The version it must have; -1 for any.
        pub version: i32,
    }
}

record! {
    /// Answers setData.
    #[derive(Copy)]
    pub struct SetDataResponse {
        /// The znode's metadata after the change.
        pub stat: Stat,
    }
}

record! {
    /// Asks to replace a znode's ACL.
    pub struct SetAclRequest<'a> {
        /// The znode.
        pub path: &'a BStr,
        /// Its new ACL. The leader refuses null and empty, with the same code.
        pub acl: Option<Vec<Acl>>,
        /// The ACL version it must have; -1 for any.
        pub version: i32,
    }
}

record! {
    /// Answers setACL.
    #[derive(Copy)]
    pub struct SetAclResponse {
        /// The znode's metadata after the change.
        pub stat: Stat,
    }
}

record! {
    /// Asks that a znode have a version; legal only inside a multi.
    #[derive(Copy)]
    pub struct CheckVersionRequest<'a> {
        /// The znode.
        pub path: &'a BStr,
        /// The version it must have; -1 asks only that it is there.
        pub version: i32,
    }
}

record! {
    /// Asks to change who belongs to the ensemble. Answered with a
    /// [`GetDataResponse`](super::GetDataResponse) of the configuration.
    #[derive(Copy)]
    pub struct ReconfigRequest<'a> {
        /// Servers to add or change, comma-separated.
        pub joining_servers: Option<&'a BStr>,
        /// Ids of servers to remove, comma-separated.
        pub leaving_servers: Option<&'a BStr>,
        /// The whole new membership, instead of the two above.
        pub new_members: Option<&'a BStr>,
        /// Version the configuration must have; -1 for any.
        pub cur_config_id: i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::Record;

    #[test]
    fn a_null_acl_and_an_empty_one_stay_different() {
        for acl in [None, Some(Vec::new()), Some(Acl::open())] {
            let request = CreateRequest {
                path: BStr::new("/a"),
                data: None,
                acl,
                flags: 1,
            };
            let bytes = request.encode();
            assert_eq!(CreateRequest::decode("CreateRequest", &bytes), Ok(request));
        }
    }

    #[test]
    fn create_modes_are_the_numbers_zero_to_six() {
        for code in 0..=6 {
            assert_eq!(
                CreateMode::from_code(code).map(CreateMode::code),
                Some(code)
            );
        }
        assert_eq!(CreateMode::from_code(-1), None);
        assert_eq!(CreateMode::from_code(7), None);
    }
}
