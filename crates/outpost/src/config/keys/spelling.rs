//! What a misspelled name was most likely meant to be.

use super::all;

/// The known key that an unknown one was most likely meant to be.
pub(in crate::config) fn nearest(key: &str) -> Option<&'static str> {
    let wanted = comparable(key);
    let distances = all().map(|known| {
        let name = comparable(known.name);
        (distance(&wanted, &name), name.len(), known.name)
    });
    let (distance, length, name) = distances.min()?;
    (distance * 4 <= length.min(8)).then_some(name)
}

/// The one of `names` that `word` was most likely meant to be, at most one letter away.
pub(in crate::config) fn nearest_of<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let near = |name: &&&str| distance(word, name) <= 1;
    names.iter().find(near).copied()
}

/// Keys differ in more than upper and lower case, and members of a family by more than their number.
fn comparable(key: &str) -> String {
    let key = key.to_ascii_lowercase();
    match key.rsplit_once('.') {
        Some((stem, n)) if n == "n" || n.parse::<u64>().is_ok() => format!("{stem}.n"),
        _ => key,
    }
}

/// How many letters must be added, removed or changed to get from one word to the other (Levenshtein).
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
