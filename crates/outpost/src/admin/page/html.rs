//! HTML as text: whatever is not written in this program is escaped.

use std::fmt::{self, Display, Write};

/// A piece of HTML that grows.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Appends; values must have come through [`Text`]. Use [`put!`].
    pub(super) fn write(&mut self, pieces: fmt::Arguments<'_>) {
        // Adding to a string cannot fail.
        let _ = self.0.write_fmt(pieces);
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// A value as it may stand between tags and in quoted attributes.
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaped(f), "{}", self.0)
    }
}

struct Escaped<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for sign in text.chars() {
            match sign {
                '&' => self.0.write_str("&amp;")?,
                '<' => self.0.write_str("&lt;")?,
                '>' => self.0.write_str("&gt;")?,
                '"' => self.0.write_str("&quot;")?,
                '\'' => self.0.write_str("&#39;")?,
                // Neither may stand in HTML, nor would it be seen.
                sign if sign.is_control() && !matches!(sign, '\n' | '\t') => {
                    self.0.write_char('\u{fffd}')?;
                }
                sign => self.0.write_char(sign)?,
            }
        }
        Ok(())
    }
}

/// Appends to an [`Html`]: a form with `{}` for each value, and the values, which are escaped.
macro_rules! put {
    ($html:expr, $form:literal $(, $value:expr)* $(,)?) => {
        $html.write(format_args!($form $(, $crate::admin::page::html::Text(&$value))*))
    };
}
pub(super) use put;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_put_into_a_page_is_taken_for_html() {
        let mut html = Html::default();
        put!(
            html,
            "<a title=\"{}\">{}</a>",
            "\"><script>'",
            "a & b\u{1b}[0m"
        );
        assert_eq!(
            html.into_string(),
            "<a title=\"&quot;&gt;&lt;script&gt;&#39;\">a &amp; b\u{fffd}[0m</a>"
        );
    }
}
