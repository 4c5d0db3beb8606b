//! The syntax of Java Properties files: text to keys and values, each with the line where it stands.
//!
//! Knows no key. A key that stands twice is delivered twice; who reads it decides.
//!
//! As `java.util.Properties.load` reads them: `#` and `!` open a comment, `=`, `:` or a blank ends the key,
//! a backslash escapes, a backslash at the end of a line continues it. Two differences: as ZooKeeper
//! does right after loading, keys and values lose the blanks around them; and a file that is valid
//! UTF-8 is read as UTF-8, where Java would take each byte for a Latin-1 character.

use std::borrow::Cow;
use std::iter::Peekable;
use std::str::Chars;

/// What counts as a blank inside a line.
const BLANKS: [char; 3] = [' ', '\t', '\u{c}'];

/// One key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Property {
    /// Line on which it begins, counted from 1.
    pub(super) line: usize,
    /// Line on which it ends; the same unless it is continued.
    pub(super) last_line: usize,
    /// The key without escapes.
    pub(super) key: String,
    /// The value without escapes.
    pub(super) value: String,
}

/// A line that breaks the syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// Line on which the property begins, counted from 1.
    pub(super) line: usize,
    /// What is wrong with it.
    pub(super) text: String,
}

/// The text of a file: UTF-8 if it is that, Latin-1 if not.
pub(super) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(_) => Cow::Owned(bytes.iter().copied().map(char::from).collect()),
    }
}

/// Every property of `text`, in the order in which they stand, and the lines that are none.
pub(super) fn parse(text: &str) -> (Vec<Property>, Vec<SyntaxError>) {
    let (mut properties, mut errors) = (Vec::new(), Vec::new());
    for logical in logical_lines(text) {
        let (key, value) = split(&logical.text);
        match (unescape(key), unescape(value)) {
            (Ok(key), Ok(value)) => properties.push(Property {
                line: logical.line,
                last_line: logical.last_line,
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
            }),
            (Err(text), _) | (_, Err(text)) => errors.push(SyntaxError {
                line: logical.line,
                text,
            }),
        }
    }
    (properties, errors)
}

/// A line with its continuations appended.
struct LogicalLine {
    line: usize,
    last_line: usize,
    text: String,
}

fn logical_lines(text: &str) -> Vec<LogicalLine> {
    let mut logical: Vec<LogicalLine> = Vec::new();
    let mut continued = false;
    for (n, line) in natural_lines(text).enumerate() {
        let line_number = n + 1;
        let line = line.trim_start_matches(BLANKS);
        let is_comment = line.is_empty() || line.starts_with(['#', '!']);
        // A lone backslash begins nothing, so nothing is continued.
        let continues_text = continued && logical.last().is_some_and(|last| !last.text.is_empty());
        if is_comment && !continues_text {
            continue;
        }
        let continues = ends_in_open_backslash(line);
        let line = if continues {
            &line[..line.len() - 1]
        } else {
            line
        };
        match logical.last_mut() {
            Some(last) if continues_text => {
                last.text.push_str(line);
                last.last_line = line_number;
            }
            _ => logical.push(LogicalLine {
                line: line_number,
                last_line: line_number,
                text: line.to_owned(),
            }),
        }
        continued = continues;
    }
    logical.retain(|line| !line.text.is_empty());
    logical
}

/// Lines end in LF, CR LF or CR alone.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        line.split('\r')
    })
}

/// An even number of backslashes at the end is so many escaped backslashes.
fn ends_in_open_backslash(line: &str) -> bool {
    let backslashes = line.len() - line.trim_end_matches('\\').len();
    backslashes % 2 == 1
}

/// Key and value, both still escaped.
fn split(line: &str) -> (&str, &str) {
    let end = key_end(line);
    let value = line[end..].trim_start_matches(BLANKS);
    let value = value.strip_prefix(['=', ':']).unwrap_or(value);
    (&line[..end], value.trim_start_matches(BLANKS))
}

/// Where the key ends: at the first separator that no backslash protects.
fn key_end(line: &str) -> usize {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '=' || c == ':' || BLANKS.contains(&c) {
            return at;
        }
    }
    line.len()
}

fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('u') => plain.push(unicode_escape(&mut chars)?),
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some(other) => plain.push(other),
            None => {}
        }
    }
    Ok(plain)
}

/// The character behind `\u`; characters beyond U+FFFF are written as two such escapes.
fn unicode_escape(chars: &mut Peekable<Chars<'_>>) -> Result<char, String> {
    let first = four_hex_digits(chars)?;
    if let Some(c) = char::from_u32(u32::from(first)) {
        return Ok(c);
    }
    let lone = || format!("\\u{first:04x} is half of a character; its other half is missing");
    if chars.next() != Some('\\') || chars.next() != Some('u') {
        return Err(lone());
    }
    let pair = [first, four_hex_digits(chars)?];
    match char::decode_utf16(pair).next() {
        Some(Ok(c)) => Ok(c),
        _ => Err(lone()),
    }
}

fn four_hex_digits(chars: &mut Peekable<Chars<'_>>) -> Result<u16, String> {
    let mut value = 0;
    for _ in 0..4 {
        let digit = chars.next_if(char::is_ascii_hexdigit);
        let digit = digit.and_then(|c| c.to_digit(16));
        let digit = digit.ok_or("\\u needs four hexadecimal digits behind it")?;
        value = value << 4 | digit;
    }
    u16::try_from(value).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(usize, String, String)> {
        let (properties, errors) = parse(text);
        assert_eq!(errors, []);
        let pair = |p: Property| (p.line, p.key, p.value);
        properties.into_iter().map(pair).collect()
    }

    #[test]
    fn keys_end_at_an_equals_sign_a_colon_or_a_blank() {
        for line in [
            "tickTime=2000",
            "tickTime:2000",
            "tickTime 2000",
            "tickTime\t2000",
            "  tickTime \t = \t 2000  ",
            "tickTime : 2000\r",
            "\u{c}tickTime\u{c}2000",
        ] {
            assert_eq!(
                pairs(line),
                [(1, "tickTime".into(), "2000".into())],
                "{line:?}"
            );
        }
    }

    #[test]
    fn only_the_first_separator_separates() {
        assert_eq!(
            pairs("server.1=zk1:2888:3888;2181\na = = b\nlone\n=x\nk="),
            [
                (1, "server.1".into(), "zk1:2888:3888;2181".into()),
                (2, "a".into(), "= b".into()),
                (3, "lone".into(), String::new()),
                (4, String::new(), "x".into()),
                (5, "k".into(), String::new()),
            ]
        );
    }

    #[test]
    fn comments_and_blank_lines_say_nothing_but_are_counted() {
        assert_eq!(
            pairs("# a=1\n\n   ! b=2\r\n\tc=3\rd=4 # not a comment\n"),
            [
                (4, "c".into(), "3".into()),
                (5, "d".into(), "4 # not a comment".into()),
            ]
        );
    }

    #[test]
    fn a_backslash_at_the_end_continues_the_line() {
        let text = "a=one,\\\n   two,\\\r\n\t# three\nb=back\\\\\nc=4\\";
        let (properties, _) = parse(text);
        let lines: Vec<_> = properties.iter().map(|p| (p.line, p.last_line)).collect();
        assert_eq!(lines, [(1, 3), (4, 4), (5, 5)]);
        assert_eq!(properties[0].value, "one,two,# three");
        assert_eq!(properties[1].value, "back\\");
        assert_eq!(properties[2].value, "4");
        assert_eq!(pairs("# comment \\\na=1"), [(2, "a".into(), "1".into())]);
        assert_eq!(
            pairs("a=1\\\n\nb=2"),
            [(1, "a".into(), "1".into()), (3, "b".into(), "2".into())]
        );
        let lone = pairs("\\\n# x=1\ny=2\n\\\n\nz=3");
        let keys: Vec<_> = lone.iter().map(|(_, key, _)| key.as_str()).collect();
        assert_eq!(keys, ["y", "z"]);
    }

    #[test]
    fn escapes_stand_for_the_characters_java_takes_them_for() {
        assert_eq!(
            pairs(r"a\=b\:c\ d=\t\u0041\u00e9\q\\ \uD83D\uDE00"),
            [(1, "a=b:c d".into(), "Aéq\\ 😀".into())]
        );
    }

    #[test]
    fn a_broken_escape_is_named_by_its_line_and_spoils_no_other() {
        let (properties, errors) =
            parse("a=1\nb=\\u12\nc=\\ud83d\nd=\\ud83d\\u0041\ne=\\u+041\nf=2");
        assert_eq!(properties.len(), 2);
        let lines: Vec<_> = errors.iter().map(|e| e.line).collect();
        assert_eq!(lines, [2, 3, 4, 5]);
    }

    #[test]
    fn a_file_is_utf_8_and_only_otherwise_latin_1() {
        assert_eq!(decode("dataDir=/é".as_bytes()), "dataDir=/é");
        assert_eq!(decode(b"dataDir=/\xe9"), "dataDir=/é");
        assert_eq!(decode(b"\xef\xbb\xbfa=1"), "a=1");
    }
}
