//! One line of the audit log, as ZooKeeper writes it (`AuditEvent`): `key=value`, with a tab between two.
//!
//! A Java server writes what clients have sent as it came. Here whatever could end a line or a field is written as
//! `\u000a`, so that nobody writes lines in another's name.

use std::fmt::Write;

use bstr::ByteSlice;
use outpost_wire::{Acl, Id, Perms};

/// Names of one client, in bytes: cut. They stand in each line of a multi.
const USER_BYTES_MAX: usize = 1024;

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure,
    /// It was begun, and its end is not known.
    Invoked,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Invoked => "invoked",
        }
    }
}

/// A line that is being written.
#[derive(Debug, Clone, Default)]
pub(super) struct Line(String);

impl Line {
    /// Adds a field. Fields have an order: session, user, ip, operation, znode, znode_type, acl.
    pub(super) fn field(mut self, key: &str, value: impl AsRef<[u8]>) -> Line {
        if !self.0.is_empty() {
            self.0.push('\t');
        }
        self.0.push_str(key);
        self.0.push('=');
        let value = value.as_ref();
        match std::str::from_utf8(value) {
            Ok(text) if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
                self.0.push_str(text);
            }
            _ => value.chars().for_each(|char| push(char, &mut self.0)),
        }
        self
    }

    /// Adds a field, if there is one.
    pub(super) fn maybe(self, key: &str, value: Option<impl AsRef<[u8]>>) -> Line {
        match value {
            Some(value) => self.field(key, value),
            None => self,
        }
    }

    /// The whole line, without its end.
    pub(super) fn result(self, outcome: Outcome) -> String {
        self.field("result", outcome.name()).0
    }
}

/// Separators of lines and paragraphs end a line for some readers.
fn push(char: char, text: &mut String) {
    if char.is_control() || matches!(char, '\u{2028}' | '\u{2029}') {
        // Writing to a string cannot fail.
        let _ = write!(text, "\\u{:04x}", u32::from(char));
    } else {
        text.push(char);
    }
}

/// Who a client is (`AuthUtil.getUsers`): the names that its identities have, with commas between them; `None` if none
/// has one. Passwords' digests are no part of a name.
pub(super) fn users(ids: &[Id]) -> Option<Vec<u8>> {
    let named = ids.iter().filter_map(|id| match id.scheme.as_slice() {
        b"ip" | b"sasl" | b"x509" => Some(id.id.as_slice()),
        b"digest" => id.id.split(|byte| *byte == b':').next(),
        // `super` is no scheme that anybody is known by.
        _ => None,
    });
    let named: Vec<&[u8]> = named.filter(|name| !name.trim().is_empty()).collect();
    let mut users = named.join(&b","[..]);
    if users.len() > USER_BYTES_MAX {
        users.truncate(USER_BYTES_MAX);
        users.extend_from_slice("…".as_bytes());
    }
    (!users.is_empty()).then_some(users)
}

/// An ACL as `ZKUtil.aclToString` writes it: nothing stands between two entries.
pub(super) fn acl(entries: &[Acl]) -> Vec<u8> {
    const SIGNS: [(Perms, u8); 5] = [
        (Perms::CREATE, b'c'),
        (Perms::DELETE, b'd'),
        (Perms::READ, b'r'),
        (Perms::WRITE, b'w'),
        (Perms::ADMIN, b'a'),
    ];
    let mut text = Vec::new();
    for entry in entries {
        text.extend_from_slice(&entry.id.scheme);
        text.push(b':');
        text.extend_from_slice(&entry.id.id);
        text.push(b':');
        let set = SIGNS
            .iter()
            .filter(|(perm, _)| entry.perms.intersects(*perm));
        text.extend(set.map(|(_, sign)| sign));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_in_a_row_with_tabs_between_them_and_the_result_last() {
        let line = Line::default()
            .field("session", "0x1")
            .maybe("user", None::<&str>)
            .field("operation", "delete")
            .maybe("znode", Some("/a=b c"));
        assert_eq!(
            line.result(Outcome::Failure),
            "session=0x1\toperation=delete\tznode=/a=b c\tresult=failure"
        );
    }

    #[test]
    fn nothing_that_a_client_sends_ends_a_line_or_a_field() {
        let forged = "/a\tresult=success\r\nsession=0x2\u{85}\u{2028}\u{0}ü";
        let line = Line::default().field("znode", forged);
        assert_eq!(
            line.result(Outcome::Failure),
            "znode=/a\\u0009result=success\\u000d\\u000asession=0x2\\u0085\\u2028\\u0000ü\tresult=failure"
        );
        let line = Line::default().field("znode", b"/\xff\n");
        assert_eq!(
            line.result(Outcome::Failure),
            "znode=/\u{fffd}\\u000a\tresult=failure"
        );
    }

    #[test]
    fn a_user_has_the_names_of_all_its_identities_and_no_digest() {
        let names = |ids: &[(&str, &str)]| {
            let ids: Vec<Id> = ids
                .iter()
                .map(|(scheme, id)| Id::new(scheme, *id))
                .collect();
            users(&ids).map(|names| String::from_utf8(names).unwrap())
        };
        let all = [
            ("ip", "10.0.0.1"),
            ("super", ""),
            ("digest", "alice:c2VjcmV0"),
            ("sasl", "bob"),
            ("x509", "CN=carol,O=x"),
            ("digest", ":x"),
        ];
        assert_eq!(
            names(&all).as_deref(),
            Some("10.0.0.1,alice,bob,CN=carol,O=x")
        );
        let long = "ü".repeat(1_000);
        let cut = format!("{}…", "ü".repeat(USER_BYTES_MAX / 2));
        assert_eq!(names(&[("sasl", &long)]).as_deref(), Some(&*cut));
        assert_eq!(names(&[("super", "")]), None);
        assert_eq!(names(&[]), None);
    }

    #[test]
    fn an_acl_is_written_as_java_writes_it() {
        let entry = |perms, scheme: &str, id: &str| Acl {
            perms: Perms(perms),
            id: Id::new(scheme, id),
        };
        let entries = [
            entry(31, "world", "anyone"),
            entry(1 | 16, "digest", "u:h"),
            entry(0, "ip", "::1"),
        ];
        assert_eq!(acl(&entries), b"world:anyone:cdrwadigest:u:h:raip:::1:");
        assert_eq!(acl(&[]), b"");
    }
}
