//! Where vectors stand until they are written: one per name, the first that came.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use outpost_tests::Version;

/// The vectors of one release.
#[derive(Debug)]
pub(crate) struct Shelf {
    version: Version,
    vectors: BTreeMap<String, Vector>,
}

#[derive(Debug)]
struct Vector {
    meaning: String,
    bytes: Vec<u8>,
}

impl Shelf {
    pub(crate) fn new(version: Version) -> Shelf {
        Shelf {
            version,
            vectors: BTreeMap::new(),
        }
    }

    /// Whose vectors these are.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Adds a vector unless there is one of this name.
    pub(crate) fn put(&mut self, name: &str, meaning: &str, bytes: &[u8]) {
        self.vectors
            .entry(name.to_owned())
            .or_insert_with(|| Vector {
                meaning: meaning.to_owned(),
                bytes: bytes.to_owned(),
            });
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.vectors.contains_key(name)
    }

    /// Writes all vectors into `dir`, which holds nothing else afterwards; how many there are.
    pub(crate) fn write(&self, dir: &Path) -> usize {
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        for (name, vector) in &self.vectors {
            let text = format!("{}\n\n", vector.meaning);
            for (extension, bytes) in [("bin", &vector.bytes[..]), ("txt", text.as_bytes())] {
                let path = dir.join(format!("{name}.{extension}"));
                fs::write(&path, bytes)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            }
        }
        self.vectors.len()
    }
}
