//! JSON as a Java server's admin server lays it out: two blanks for each level, `"key" : value`, lists on
//! one line. Health probes search the text for `"error" : null`.

use std::io::{self, Write};

use serde_json::ser::Formatter;
use serde_json::{Map, Serializer, Value};

/// The text of an answer.
pub(super) fn to_text(answer: &Map<String, Value>) -> String {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, Layout::default());
    // Neither a map with text for keys nor a vector has a way to fail.
    let written = serde::Serialize::serialize(answer, &mut serializer);
    debug_assert!(written.is_ok(), "{written:?}");
    String::from_utf8_lossy(&text).into_owned()
}

/// The layout of Jackson's `DefaultPrettyPrinter`.
#[derive(Default)]
struct Layout {
    /// Objects around the present place.
    depth: usize,
    /// The object that ends next has something in it.
    filled: bool,
}

impl Layout {
    fn line<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        for _ in 0..self.depth {
            writer.write_all(b"  ")?;
        }
        Ok(())
    }
}

impl Formatter for Layout {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"[")
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b" " } else { b", " })
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b" ]")
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        writer.write_all(b"{")
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        self.line(writer)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b" : ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        if self.filled {
            self.line(writer)?;
        } else {
            writer.write_all(b" ")?;
        }
        writer.write_all(b"}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_is_laid_out_as_by_a_java_server() {
        let value = json!({
            "tick_time": 2000,
            "avg_latency": 0.0,
            "list": ["/a", "/b\"\n"],
            "none": [],
            "empty": {},
            "connections": [{ "session_id": 288_230_609_570_103_296_i64 }, {}],
            "nested": { "inner": { "deep": true } },
            "error": null
        });
        let Value::Object(map) = value else {
            unreachable!()
        };
        let text = r#"{
  "tick_time" : 2000,
  "avg_latency" : 0.0,
  "list" : [ "/a", "/b\"\n" ],
  "none" : [ ],
  "empty" : { },
  "connections" : [ {
    "session_id" : 288230609570103296
  }, { } ],
  "nested" : {
    "inner" : {
      "deep" : true
    }
  },
  "error" : null
}"#;
        assert_eq!(to_text(&map), text);
    }
}
