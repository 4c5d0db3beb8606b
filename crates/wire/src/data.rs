//! The records that both protocols and the files share: ids, ACLs and Stats.

use bstr::{BStr, BString};

use crate::ids::Zxid;
use crate::jute::{DecodeError, Reader, Record, Writer};

/// Who somebody is, or whom an ACL entry means: `("digest", "user:hash")`, `("ip", "10.0.0.1")`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Name of the authentication scheme.
    pub scheme: BString,
    /// What the scheme knows them by.
    pub id: BString,
}

impl Id {
    /// An id of `scheme`.
    pub fn new(scheme: &str, id: impl Into<BString>) -> Id {
        Id {
            scheme: scheme.into(),
            id: id.into(),
        }
    }

    /// Everybody.
    pub fn anyone() -> Id {
        Id::new("world", "anyone")
    }
}

impl<'a> Record<'a> for Id {
    fn read(reader: &mut Reader<'a>) -> Result<Id, DecodeError> {
        Ok(Id {
            scheme: reader.ustring("Id.scheme")?.to_owned(),
            id: reader.ustring("Id.id")?.to_owned(),
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.ustring(&self.scheme);
        writer.ustring(&self.id);
    }
}

/// What an ACL entry allows: a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Perms(pub i32);

impl Perms {
    /// Read data, list children, watch.
    pub const READ: Perms = Perms(1);
    /// Set data.
    pub const WRITE: Perms = Perms(2);
    /// Create a child.
    pub const CREATE: Perms = Perms(4);
    /// Delete a child.
    pub const DELETE: Perms = Perms(8);
    /// Set the ACL.
    pub const ADMIN: Perms = Perms(16);
    /// All of these.
    pub const ALL: Perms = Perms(31);

    /// Whether the two sets share a bit. ZooKeeper's checks ask for any bit, not for all.
    pub const fn intersects(self, other: Perms) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets together.
    pub const fn or(self, other: Perms) -> Perms {
        Perms(self.0 | other.0)
    }
}

/// One entry of an access control list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acl {
    /// What is allowed. Bits unknown today are kept.
    pub perms: Perms,
    /// To whom.
    pub id: Id,
}

impl Acl {
    /// The list that lets everybody do everything (`Ids.OPEN_ACL_UNSAFE`).
    pub fn open() -> Vec<Acl> {
        vec![Acl {
            perms: Perms::ALL,
            id: Id::anyone(),
        }]
    }

    /// Reads a vector of entries; null reads as empty.
    ///
    /// # Errors
    /// When an entry cannot be read.
    pub fn read_list(reader: &mut Reader<'_>) -> Result<Vec<Acl>, DecodeError> {
        reader.vector("acl", Acl::read)
    }

    /// Writes a vector of entries.
    pub fn write_list(acl: &[Acl], writer: &mut Writer<'_>) {
        writer.vector(acl, |w, entry| entry.write(w));
    }
}

impl<'a> Record<'a> for Acl {
    fn read(reader: &mut Reader<'a>) -> Result<Acl, DecodeError> {
        Ok(Acl {
            perms: Perms(reader.int("ACL.perms")?),
            id: Id::read(reader)?,
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.int(self.perms.0);
        self.id.write(writer);
    }
}

/// A znode's metadata as clients see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stat {
    /// Transaction that created the znode.
    pub czxid: Zxid,
    /// Transaction that last set its data.
    pub mzxid: Zxid,
    /// Leader's wall clock at creation, ms since 1970.
    pub ctime: i64,
    /// Leader's wall clock when the data was last set, ms since 1970.
    pub mtime: i64,
    /// How often the data was set.
    pub version: i32,
    /// How often children were created or deleted.
    pub cversion: i32,
    /// How often the ACL was set.
    pub aversion: i32,
    /// Session that owns an ephemeral znode; 0 for all others, containers and TTL znodes included.
    pub ephemeral_owner: i64,
    /// Bytes of data; 0 for null.
    pub data_length: i32,
    /// Number of children.
    pub num_children: i32,
    /// Transaction that last created or deleted a child.
    pub pzxid: Zxid,
}

impl Stat {
    /// Length of every encoded `Stat`, in bytes.
    pub const ENCODED_LENGTH: usize = 68;
}

impl<'a> Record<'a> for Stat {
    fn read(reader: &mut Reader<'a>) -> Result<Stat, DecodeError> {
        Ok(Stat {
            czxid: Zxid(reader.long("Stat.czxid")?),
            mzxid: Zxid(reader.long("Stat.mzxid")?),
            ctime: reader.long("Stat.ctime")?,
            mtime: reader.long("Stat.mtime")?,
            version: reader.int("Stat.version")?,
            cversion: reader.int("Stat.cversion")?,
            aversion: reader.int("Stat.aversion")?,
            ephemeral_owner: reader.long("Stat.ephemeralOwner")?,
            data_length: reader.int("Stat.dataLength")?,
            num_children: reader.int("Stat.numChildren")?,
            pzxid: Zxid(reader.long("Stat.pzxid")?),
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.long(self.czxid.0);
        writer.long(self.mzxid.0);
        writer.long(self.ctime);
        writer.long(self.mtime);
        writer.int(self.version);
        writer.int(self.cversion);
        writer.int(self.aversion);
        writer.long(self.ephemeral_owner);
        writer.int(self.data_length);
        writer.int(self.num_children);
        writer.long(self.pzxid.0);
    }
}

/// A znode's metadata as snapshots carry it. `cversion` and `ephemeral_owner` are not what clients
/// see: the first counts creations only, the second also marks containers and TTL znodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatPersisted {
    /// Transaction that created the znode.
    pub czxid: Zxid,
    /// Transaction that last set its data.
    pub mzxid: Zxid,
    /// Leader's wall clock at creation, ms since 1970.
    pub ctime: i64,
    /// Leader's wall clock when the data was last set, ms since 1970.
    pub mtime: i64,
    /// How often the data was set.
    pub version: i32,
    /// How many children were ever created.
    pub cversion: i32,
    /// How often the ACL was set.
    pub aversion: i32,
    /// 0, the owning session, or the mark of a container or TTL znode.
    pub ephemeral_owner: i64,
    /// Transaction that last created or deleted a child.
    pub pzxid: Zxid,
}

impl StatPersisted {
    /// Length of every encoded `StatPersisted`, in bytes.
    pub const ENCODED_LENGTH: usize = 60;
}

impl<'a> Record<'a> for StatPersisted {
    fn read(reader: &mut Reader<'a>) -> Result<StatPersisted, DecodeError> {
        Ok(StatPersisted {
            czxid: Zxid(reader.long("StatPersisted.czxid")?),
            mzxid: Zxid(reader.long("StatPersisted.mzxid")?),
            ctime: reader.long("StatPersisted.ctime")?,
            mtime: reader.long("StatPersisted.mtime")?,
            version: reader.int("StatPersisted.version")?,
            cversion: reader.int("StatPersisted.cversion")?,
            aversion: reader.int("StatPersisted.aversion")?,
            ephemeral_owner: reader.long("StatPersisted.ephemeralOwner")?,
            pzxid: Zxid(reader.long("StatPersisted.pzxid")?),
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.long(self.czxid.0);
        writer.long(self.mzxid.0);
        writer.long(self.ctime);
        writer.long(self.mtime);
        writer.int(self.version);
        writer.int(self.cversion);
        writer.int(self.aversion);
        writer.long(self.ephemeral_owner);
        writer.long(self.pzxid.0);
    }
}

/// The text before the last slash: the parent of an absolute path, empty for a child of the root.
pub fn parent_path(path: &BStr) -> &BStr {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => BStr::new(&path[..slash]),
        None => BStr::new(""),
    }
}

/// The text after the last slash.
pub fn last_component(path: &BStr) -> &BStr {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => BStr::new(&path[slash + 1..]),
        None => path,
    }
}
