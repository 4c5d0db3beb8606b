//! The syntax of a token: `key=value,key="quoted value",…`, read as Java reads it.

/// Why a token is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// A comma where `=` should be.
    #[error("a directive without `=`")]
    NoEquals,
    /// `=` with nothing in front of it.
    #[error("a directive without a name")]
    NoName,
    /// `=` with nothing behind it.
    #[error("a directive without a value")]
    NoValue,
    /// Something follows the closing quote.
    #[error("something other than a comma behind a quoted value")]
    NoSeparator,
    /// The closing quote is missing.
    #[error("a quoted value without its closing quote")]
    OpenQuote,
    /// A directive that may stand once stands twice.
    #[error("a directive that stands twice")]
    Repeated,
}

/// The directives of a token, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directives(Vec<(Vec<u8>, Vec<u8>)>);

impl Directives {
    /// Reads a token; how long it may be is the caller's to bound.
    pub(super) fn parse(token: &[u8]) -> Result<Directives, SyntaxError> {
        let mut found = Vec::new();
        let mut rest = token;
        loop {
            rest = skip_blanks(rest);
            match rest.split_first() {
                None => return Ok(Directives(found)),
                Some((b',', after)) => rest = after,
                Some(_) => {
                    let (key, after) = key(rest)?;
                    let (value, after) = match after {
                        Some(after) => value(after)?,
                        // As in Java, a name at the very end has the empty value.
                        None => (Vec::new(), &b""[..]),
                    };
                    found.push((key.to_vec(), value));
                    rest = after;
                }
            }
        }
    }

    /// The value of a directive that may stand once; names differ in more than upper and lower case.
    pub(super) fn get<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// All values of a directive.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let is_called = move |key: &[u8]| key.eq_ignore_ascii_case(name.as_bytes());
        let matching = self.0.iter().filter(move |(key, _)| is_called(key));
        matching.map(|(_, value)| value.as_slice())
    }

    /// Complains of those among `names` that stand more than once. Others are nobody's business.
    pub(super) fn once(&self, names: &[&str]) -> Result<(), SyntaxError> {
        match names.iter().all(|name| self.all(name).count() <= 1) {
            true => Ok(()),
            false => Err(SyntaxError::Repeated),
        }
    }
}

/// A name, and what follows its `=`; `None` if the token ends with the name.
fn key(text: &[u8]) -> Result<(&[u8], Option<&[u8]>), SyntaxError> {
    let end = text
        .iter()
        .position(|&byte| byte == b'=' || byte == b',' || is_blank(byte));
    let Some(end) = end else {
        return Ok((text, None));
    };
    let (key, after) = text.split_at(end);
    match skip_blanks(after).split_first() {
        Some((b'=', _)) if key.is_empty() => Err(SyntaxError::NoName),
        Some((b'=', after)) => match skip_blanks(after) {
            [] => Err(SyntaxError::NoValue),
            after => Ok((key, Some(after))),
        },
        _ => Err(SyntaxError::NoEquals),
    }
}

/// A value, and what follows it and the separator behind it.
fn value(text: &[u8]) -> Result<(Vec<u8>, &[u8]), SyntaxError> {
    let (value, after) = match text.split_first() {
        Some((b'"', quoted)) => unquote(quoted)?,
        _ => {
            let end = text.iter().position(|&byte| ends_value(byte));
            let (value, after) = text.split_at(end.unwrap_or(text.len()));
            (value.to_vec(), after)
        }
    };
    match after.split_first() {
        None => Ok((value, after)),
        Some((&byte, after)) if ends_value(byte) => Ok((value, after)),
        Some(_) => Err(SyntaxError::NoSeparator),
    }
}

/// What stands in quotes, and what follows the closing one.
fn unquote(text: &[u8]) -> Result<(Vec<u8>, &[u8]), SyntaxError> {
    let mut value = Vec::new();
    let mut rest = text;
    loop {
        match rest {
            [b'"', after @ ..] => return Ok((value, after)),
            [b'\\', byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
            [byte, after @ ..] if *byte != b'\\' => {
                value.push(*byte);
                rest = after;
            }
            _ => return Err(SyntaxError::OpenQuote),
        }
    }
}

/// A value as it stands between quotes.
pub(super) fn quoted(value: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(value.len());
    for &byte in value {
        if needs_escape(byte) {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    quoted
}

fn needs_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 127) || byte < 32 && !is_blank(byte)
}

fn ends_value(byte: u8) -> bool {
    byte == b',' || is_blank(byte)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|&&byte| is_blank(byte)).count();
    &text[blanks..]
}
