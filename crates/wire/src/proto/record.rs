//! Writing a record down once: its fields in order give the type, its decoding and its encoding.
//!
//! For records that are nothing but their fields. Those with a shape of their own (connect, multi)
//! implement [`Record`] by hand.

use bstr::BStr;

use crate::data::{Acl, Stat};
use crate::error_code::ErrorCode;
use crate::ids::{SessionId, Xid, Zxid};
use crate::jute::{DecodeError, Reader, Record, Writer};

/// A type that a record's field can have.
pub(super) trait Field<'a>: Sized {
    /// Reads one field; `what` names it in errors.
    fn read_field(reader: &mut Reader<'a>, what: &'static str) -> Result<Self, DecodeError>;

    /// Appends the field.
    fn write_field(&self, writer: &mut Writer<'_>);
}

/// Defines records and their [`Record`] implementations from their fields.
macro_rules! record {
    (
        $(#[$meta:meta])*
        pub struct $name:ident<$life:lifetime> {
            $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name<$life> {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        record!(@record $life, $name<$life>, $name, $($field,)*);
    };
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        record!(@record 'a, $name, $name, $($field,)*);
    };
    (@record $life:lifetime, $type:ty, $name:ident, $($field:ident,)*) => {
        impl<$life> $crate::jute::Record<$life> for $type {
            fn read(
                reader: &mut $crate::jute::Reader<$life>,
            ) -> Result<Self, $crate::jute::DecodeError> {
                Ok($name {
                    $($field: $crate::proto::record::Field::read_field(
                        reader,
                        concat!(stringify!($name), ".", stringify!($field)),
                    )?,)*
                })
            }

            fn write(&self, writer: &mut $crate::jute::Writer<'_>) {
                $($crate::proto::record::Field::write_field(&self.$field, writer);)*
            }
        }
    };
}

pub(super) use record;

/// Fields that one call on the reader and one on the writer cover.
macro_rules! fields {
    ($($type:ty: |$reader:ident, $what:ident| $read:expr, |$value:ident, $writer:ident| $write:expr;)*) => {
        $(impl<'a> Field<'a> for $type {
            fn read_field($reader: &mut Reader<'a>, $what: &'static str) -> Result<Self, DecodeError> {
                $read
            }

            fn write_field(&self, $writer: &mut Writer<'_>) {
                let $value = self;
                $write;
            }
        })*
    };
}

fields! {
    bool: |r, what| r.boolean(what), |v, w| w.boolean(*v);
    i32: |r, what| r.int(what), |v, w| w.int(*v);
    i64: |r, what| r.long(what), |v, w| w.long(*v);
    Xid: |r, what| r.int(what).map(Xid), |v, w| w.int(v.0);
    Zxid: |r, what| r.long(what).map(Zxid), |v, w| w.long(v.0);
    SessionId: |r, what| r.long(what).map(SessionId), |v, w| w.long(v.0);
    ErrorCode: |r, what| r.int(what).map(ErrorCode), |v, w| w.int(v.0);
    &'a BStr: |r, what| r.ustring(what), |v, w| w.ustring(v);
    Option<&'a BStr>: |r, what| r.ustring_or_null(what), |v, w| w.buffer(v.map(AsRef::as_ref));
    Option<&'a [u8]>: |r, what| r.buffer(what), |v, w| w.buffer(*v);
    Vec<&'a BStr>: |r, what| r.vector(what, |r| r.ustring(what)), |v, w| {
        w.vector(v, |w, text| w.ustring(text));
    };
    Stat: |r, _what| Stat::read(r), |v, w| v.write(w);
    Vec<Acl>: |r, _what| Acl::read_list(r), |v, w| Acl::write_list(v, w);
    Option<Vec<Acl>>: |r, what| r.vector_or_null(what, Acl::read), |v, w| match v {
        Some(acl) => Acl::write_list(acl, w),
        None => w.int(-1),
    };
}
