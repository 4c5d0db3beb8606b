//! JAAS files that change while the process runs. They are looked at as the stores of TLS are; what a section means is
//! its reader's to know.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::tls::handle::{Seen, seen};

/// How often changed files were read again, over all who go by one.
#[derive(Debug, Default)]
pub struct JaasReloads {
    /// They could be used.
    pub loaded: AtomicU64,
    /// They could not.
    pub failed: AtomicU64,
}

/// What one reader has seen of its file.
#[derive(Debug, Default)]
pub struct Watched {
    /// The file as it was at the last look; whatever happened to it since the start shows at the first one.
    seen: Mutex<Option<Seen>>,
    reloads: Arc<JaasReloads>,
}

impl Watched {
    /// A file that is part of the configuration, not looked at since that was read.
    pub fn new(reloads: Arc<JaasReloads>) -> Watched {
        Watched {
            seen: Mutex::new(None),
            reloads,
        }
    }

    /// Reads the file again if it has changed. `None` if there is nothing new, compared with `current`. Blocks while it
    /// reads.
    pub fn look<T: PartialEq>(
        &self,
        file: &Path,
        current: &T,
        read: impl FnOnce() -> Result<T, String>,
    ) -> Option<Result<T, String>> {
        let now = seen(file);
        let mut before = self.seen.lock();
        if before.as_ref() == Some(&now) {
            return None;
        }
        let is_first = before.replace(now).is_none();
        let read = read();
        let is_same = read.as_ref() == Ok(current);
        let count = match read {
            Ok(_) => &self.reloads.loaded,
            Err(_) => &self.reloads.failed,
        };
        // Nothing has happened yet where the first look finds what the configuration has found.
        if !(is_first && is_same) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        (!is_same).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::certified::Stores;

    #[test]
    fn a_changed_file_is_read_once_and_counted_by_whether_it_could_be_used() {
        let dir = Stores::new();
        let reloads = Arc::new(JaasReloads::default());
        let watched = Watched::new(Arc::clone(&reloads));
        let counted = || {
            let counts = [&reloads.loaded, &reloads.failed];
            counts.map(|count| count.load(Ordering::Relaxed))
        };
        // Each time another file takes the place of the one before.
        let steps = [
            ("as configured", None, [0, 0]),
            ("another", Some(Ok("another")), [1, 0]),
            ("broken", Some(Err("broken")), [1, 1]),
            ("as configured", None, [2, 1]),
        ];
        for (text, told, counts) in steps {
            let file = dir.write("jaas.conf", text).location;
            let read = || match text {
                "broken" => Err(text.to_owned()),
                _ => Ok(text.to_owned()),
            };
            let current = "as configured".to_owned();
            let looked = watched.look(&file, &current, read);
            let told = told.map(|told| told.map(str::to_owned).map_err(str::to_owned));
            assert_eq!((looked, counted()), (told, counts), "{text}");
            let again = watched.look(&file, &current, || -> Result<String, String> {
                panic!("{text} is read a second time")
            });
            assert_eq!((again, counted()), (None, counts), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_broken_at_the_first_look_has_changed_since_the_start() {
        let dir = Stores::new();
        let file = dir.write("jaas.conf", "broken").location;
        let watched = Watched::default();
        let looked = watched.look(&file, &"", || Err("broken".to_owned()));
        assert_eq!(looked, Some(Err("broken".to_owned())));
        assert_eq!(watched.reloads.failed.load(Ordering::Relaxed), 1);
    }
}
