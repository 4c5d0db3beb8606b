//! Bytes read or written, by namespace: the first component of a path, as ZooKeeper calls it.

use std::collections::{BTreeMap, HashMap};

use bstr::{BStr, ByteSlice};

use crate::latencies::{Latencies, LatencySummary};

/// Namespaces that are told apart; whatever comes later counts as [`OTHERS`].
pub const NAMESPACES_MAX: usize = 100;

/// Everything beyond [`NAMESPACES_MAX`]: no namespace has such a name.
pub const OTHERS: &str = "/";

/// Sizes in bytes by namespace. Bounded, whatever paths there are.
#[derive(Debug, Default)]
pub struct Namespaces {
    known: HashMap<Box<[u8]>, Box<Latencies>>,
    others: Latencies,
}

impl Namespaces {
    /// Counts a size for the namespace of `path`. The root has none.
    pub fn note(&mut self, path: &BStr, bytes: u64) {
        let Some(namespace) = namespace(path) else {
            return;
        };
        if let Some(known) = self.known.get(namespace) {
            known.note(bytes, 1);
        } else if self.known.len() < NAMESPACES_MAX {
            let new = Box::<Latencies>::default();
            new.note(bytes, 1);
            self.known.insert(Box::from(namespace), new);
        } else {
            self.others.note(bytes, 1);
        }
    }

    /// What several come to together, in the order of their names.
    pub fn sum<'a>(all: impl Iterator<Item = &'a Namespaces>) -> Vec<(String, LatencySummary)> {
        let mut parts = BTreeMap::<&BStr, Vec<&Latencies>>::new();
        for one in all {
            for (namespace, sizes) in &one.known {
                parts.entry(BStr::new(namespace)).or_default().push(sizes);
            }
            if one.others.has_any() {
                let others = BStr::new(OTHERS);
                parts.entry(others).or_default().push(&one.others);
            }
        }
        let sums = parts.into_iter();
        sums.map(|(namespace, parts)| (namespace.to_string(), LatencySummary::of(parts)))
            .collect()
    }
}

/// What stands between the first slash and the second.
fn namespace(path: &BStr) -> Option<&[u8]> {
    let rest = path.strip_prefix(b"/")?;
    let end = rest.find_byte(b'/').unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(all: &[Namespaces]) -> Vec<(String, u64, u64)> {
        let sums = Namespaces::sum(all.iter()).into_iter();
        sums.map(|(name, sizes)| (name, sizes.count, sizes.sum))
            .collect()
    }

    #[test]
    fn sizes_are_summed_by_the_first_component_of_the_path_over_all_who_count() {
        let mut all: [Namespaces; 2] = Default::default();
        all[0].note("/b/x".into(), 5);
        all[0].note("/a".into(), 1);
        all[1].note("/b/y/z".into(), 7);
        all[1].note("/".into(), 100);
        all[1].note("".into(), 100);
        assert_eq!(
            sums(&all),
            [("a".to_owned(), 1, 1), ("b".to_owned(), 2, 12)]
        );
    }

    #[test]
    fn p6_however_many_namespaces_there_are_only_so_many_are_told_apart() {
        let mut one = Namespaces::default();
        for number in 0..3 * NAMESPACES_MAX {
            one.note(BStr::new(&format!("/{number}")), 1);
        }
        one.note("/0/again".into(), 1);
        let sums = sums(&[one]);
        assert_eq!(sums.len(), NAMESPACES_MAX + 1);
        assert!(sums.contains(&("0".to_owned(), 2, 2)));
        let others = 2 * NAMESPACES_MAX as u64;
        assert!(sums.contains(&(OTHERS.to_owned(), others, others)));
    }
}
