//! Watches: left, listed, taken away, set again after a reconnect, and fired.

use bstr::BStr;

use super::record::record;
use crate::ids::Zxid;
use crate::jute::Writer;

/// Defines an enum of wire numbers in one table.
macro_rules! numbered {
    ($(#[$enum_doc:meta])* $type:ident { $($(#[$doc:meta])* $name:ident = $code:literal,)* }) => {
        $(#[$enum_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum $type {
            $($(#[$doc])* $name = $code,)*
        }

        impl $type {
            /// The value with this number, if there is one.
            pub const fn from_code(code: i32) -> Option<$type> {
                match code {
                    $($code => Some($type::$name),)*
                    _ => None,
                }
            }

            /// The number on the wire.
            pub const fn code(self) -> i32 {
                self as i32
            }
        }
    };
}

numbered! {
    /// What happened to a watched znode. Client libraries know more types, which never travel.
    EventType {
        /// It was created.
        NodeCreated = 1,
        /// It was deleted.
        NodeDeleted = 2,
        /// Its data was set.
        NodeDataChanged = 3,
        /// A child was created or deleted.
        NodeChildrenChanged = 4,
    }
}

numbered! {
    /// Which watches checkWatches and removeWatches mean.
    WatcherType {
        /// Child watches that fire once.
        Children = 1,
        /// Data watches that fire once.
        Data = 2,
        /// All.
        Any = 3,
        /// Persistent ones (3.9).
        Persistent = 4,
        /// Recursive ones (3.9).
        PersistentRecursive = 5,
    }
}

numbered! {
    /// What kind of watch addWatch leaves.
    AddWatchMode {
        /// Stays when it fires; sees the znode and its list of children.
        Persistent = 0,
        /// Stays when it fires; sees the znode and all below it.
        PersistentRecursive = 1,
    }
}

/// `KeeperState.SyncConnected`, the only state that servers send.
pub const SYNC_CONNECTED: i32 = 3;

record! {
    /// A watch has fired. Travels behind a header with [`Xid::NOTIFICATION`](crate::Xid::NOTIFICATION).
    #[derive(Copy)]
    pub struct WatcherEvent<'a> {
        /// An [`EventType`], by number.
        pub kind: i32,
        /// [`SYNC_CONNECTED`].
        pub state: i32,
        /// The znode; for a recursive watch not the one watched.
        pub path: &'a BStr,
    }
}

record! {
    /// Sets watches again after a reconnect.
    pub struct SetWatches<'a> {
        /// Last zxid the client has seen: what changed since fires at once.
        pub relative_zxid: Zxid,
        /// Watches left by getData and by exists of what was there.
        pub data_watches: Vec<&'a BStr>,
        /// Watches left by exists of what was not there.
        pub exist_watches: Vec<&'a BStr>,
        /// Watches left by getChildren.
        pub child_watches: Vec<&'a BStr>,
    }
}

record! {
    /// Sets watches again after a reconnect, those of addWatch included.
    pub struct SetWatches2<'a> {
        /// Last zxid the client has seen: what changed since fires at once.
        pub relative_zxid: Zxid,
        /// Watches left by getData and by exists of what was there.
        pub data_watches: Vec<&'a BStr>,
        /// Watches left by exists of what was not there.
        pub exist_watches: Vec<&'a BStr>,
        /// Watches left by getChildren.
        pub child_watches: Vec<&'a BStr>,
        /// Watches left by addWatch, of one znode.
        pub persistent_watches: Vec<&'a BStr>,
        /// Watches left by addWatch, of a znode and all below it.
        pub persistent_recursive_watches: Vec<&'a BStr>,
    }
}

record! {
    /// Leaves a watch that stays. Answered with an [`ErrorResponse`](super::ErrorResponse).
    #[derive(Copy)]
    pub struct AddWatchRequest<'a> {
        /// The znode; it need not be there.
        pub path: &'a BStr,
        /// An [`AddWatchMode`], by number.
        pub mode: i32,
    }
}

record! {
    /// Is there such a watch? Answered by the header alone.
    #[derive(Copy)]
    pub struct CheckWatchesRequest<'a> {
        /// The znode.
        pub path: &'a BStr,
        /// A [`WatcherType`], by number.
        pub kind: i32,
    }
}

record! {
    /// Takes watches away. Answered by the header alone.
    #[derive(Copy)]
    pub struct RemoveWatchesRequest<'a> {
        /// The znode.
        pub path: &'a BStr,
        /// A [`WatcherType`], by number.
        pub kind: i32,
    }
}

/// Appends a [`WatcherEvent`] without building one.
pub fn write_watcher_event(writer: &mut Writer<'_>, event: EventType, path: &[u8]) {
    writer.int(event.code());
    writer.int(SYNC_CONNECTED);
    writer.ustring(path);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::Record;

    #[test]
    fn an_event_written_from_parts_reads_back_as_the_record() {
        let mut bytes = Vec::new();
        write_watcher_event(
            &mut Writer::new(&mut bytes),
            EventType::NodeCreated,
            b"/rw/a",
        );
        let event = WatcherEvent {
            kind: 1,
            state: 3,
            path: BStr::new("/rw/a"),
        };
        assert_eq!(WatcherEvent::decode("WatcherEvent", &bytes), Ok(event));
        assert_eq!(event.encode(), b"\0\0\0\x01\0\0\0\x03\0\0\0\x05/rw/a");
    }
}
