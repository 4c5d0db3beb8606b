//! Which paths a leader accepts (`PathUtils.validatePath`).

use bstr::{BStr, ByteSlice};
use outpost_wire::ErrorCode;

/// Checks a path as a whole. Text that is not UTF-8 reads in Java as U+FFFD, which is refused.
///
/// # Errors
/// [`ErrorCode::BAD_ARGUMENTS`].
pub(crate) fn validate(path: &BStr) -> Result<(), ErrorCode> {
    if is_valid(path) {
        Ok(())
    } else {
        Err(ErrorCode::BAD_ARGUMENTS)
    }
}

/// The parent of a path that is to be created or deleted, checked only as far as a leader does before
/// it has looked the parent up.
///
/// # Errors
/// [`ErrorCode::BAD_ARGUMENTS`] without a slash, or with a NUL.
pub(crate) fn parent_of(path: &BStr) -> Result<&BStr, ErrorCode> {
    match path.rfind_byte(b'/') {
        Some(slash) if !path.contains(&0) => Ok(BStr::new(&path[..slash])),
        _ => Err(ErrorCode::BAD_ARGUMENTS),
    }
}

/// Whether a znode can never be deleted (`DataTree.isSpecialPath`).
pub(crate) fn is_special(path: &BStr) -> bool {
    const SPECIAL: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];
    SPECIAL.iter().any(|special| path == special)
}

fn is_valid(path: &BStr) -> bool {
    let Ok(text) = path.to_str() else {
        return false;
    };
    if text == "/" {
        return true;
    }
    let Some(names) = text.strip_prefix('/') else {
        return false;
    };
    names
        .split('/')
        .all(|name| !matches!(name, "" | "." | "..") && name.chars().all(is_allowed))
}

fn is_allowed(c: char) -> bool {
    !matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_java_refuses_are_refused() {
        for path in [
            "",
            "a",
            "a/b",
            "//",
            "/a/",
            "/a//b",
            "/.",
            "/..",
            "/a/./b",
            "/a/../b",
            "/a\0",
            "/a\u{1}",
            "/\u{7f}",
            "/\u{9f}",
            "/\u{e000}",
            "/\u{fffd}",
            "/\u{1f600}",
        ] {
            assert_eq!(
                validate(path.into()),
                Err(ErrorCode::BAD_ARGUMENTS),
                "{path:?}"
            );
        }
        assert_eq!(validate(BStr::new(b"/\xff")), Err(ErrorCode::BAD_ARGUMENTS));
    }

    #[test]
    fn paths_that_java_accepts_are_accepted() {
        for path in [
            "/",
            "/a",
            "/a/b",
            "/...",
            "/a.b",
            "/.a",
            "/ ",
            "/\u{a0}",
            "/日本",
            "/\u{ffef}",
        ] {
            assert_eq!(validate(path.into()), Ok(()), "{path:?}");
        }
    }
}
