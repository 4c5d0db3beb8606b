//! What a Java server holds: live objects by class, and threads, as its own virtual machine counts them (`jcmd`).

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use crate::process;
use crate::run_dir::RunDir;

/// How long a virtual machine may take for an answer, a full collection included.
const LIMIT: Duration = Duration::from_secs(60);

/// Objects of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Objects {
    /// How many there are.
    pub count: u64,
    /// What they take, without what they point to.
    pub bytes: u64,
}

/// Everything that can be reached at one moment, right behind a full collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heap {
    classes: BTreeMap<String, Objects>,
}

impl Heap {
    /// Lets the virtual machine collect what it can, and counts what is left.
    ///
    /// # Panics
    /// When there is no such process, or it does not answer.
    pub fn live(process_id: u32) -> Self {
        Self::parse(&ask(process_id, "GC.class_histogram"))
    }

    fn parse(histogram: &str) -> Self {
        let classes = histogram.lines().filter_map(|line| {
            // "   1:   23456   1234567  [B (java.base@17)"
            let mut words = line.split_whitespace();
            words
                .next()?
                .strip_suffix(':')?
                .parse::<u64>()
                .ok()
                .and_then(|_| {
                    let count = words.next()?.parse().ok()?;
                    let bytes = words.next()?.parse().ok()?;
                    Some((words.next()?.to_owned(), Objects { count, bytes }))
                })
        });
        Self {
            classes: classes.collect(),
        }
    }

    /// Everything.
    pub fn bytes(&self) -> u64 {
        self.classes.values().map(|objects| objects.bytes).sum()
    }

    /// The objects of the class of this full name.
    pub fn of(&self, class: &str) -> Objects {
        self.classes.get(class).copied().unwrap_or_default()
    }

    /// The classes that have grown most since `before`, for a failure's message.
    pub fn growth_since(&self, before: &Self, lines: usize) -> String {
        let mut growth: Vec<(i64, i64, &str)> = self
            .classes
            .iter()
            .map(|(name, now)| {
                let then = before.of(name);
                let bytes = now.bytes.cast_signed() - then.bytes.cast_signed();
                let count = now.count.cast_signed() - then.count.cast_signed();
                (bytes, count, name.as_str())
            })
            .collect();
        growth.sort_by_key(|(bytes, _, _)| -bytes);
        growth
            .iter()
            .take(lines)
            .map(|(bytes, count, name)| format!("{bytes:+} bytes, {count:+} {name}\n"))
            .collect()
    }
}

/// How many threads a virtual machine runs whose names begin so.
///
/// # Panics
/// When there is no such process, or it does not answer.
pub fn threads(process_id: u32, name: &str) -> usize {
    let beginning = format!("\"{name}");
    let dump = ask(process_id, "Thread.print");
    dump.lines()
        .filter(|line| line.starts_with(&beginning))
        .count()
}

fn ask(process_id: u32, question: &str) -> String {
    let mut jcmd = Command::new("jcmd");
    jcmd.arg(process_id.to_string()).arg(question);
    // A small machine of its own; it only carries the question.
    jcmd.args([
        "-J-Xmx32m",
        "-J-XX:+UseSerialGC",
        "-J-XX:TieredStopAtLevel=1",
    ]);
    let dir = RunDir::new("jcmd");
    process::run("jcmd", &jcmd, LIMIT, &dir.path().join("answer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_read_by_class_and_compared() {
        let before = Heap::parse(
            "123:\n num     #instances         #bytes  class name (module)\n---\n   1:   2   48  [B (java.base@17.0.15)\n",
        );
        let after = Heap::parse(
            "   1:   5   90  [B (java.base@17.0.15)\n   2:  1  16  a.B$C\nTotal  6  106\n",
        );
        assert_eq!(before.bytes(), 48);
        assert_eq!(after.bytes(), 106);
        assert_eq!(
            after.of("a.B$C"),
            Objects {
                count: 1,
                bytes: 16
            }
        );
        assert_eq!(after.of("a.D"), Objects::default());
        assert_eq!(after.growth_since(&before, 1), "+42 bytes, +3 [B\n",);
    }
}
