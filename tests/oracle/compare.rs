//! Two transcripts side by side: where they differ, and whether each difference is a listed one.

use crate::differences::Difference;

/// Lines of one transcript that stand where the other has others.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hunk<'a> {
    /// What Java said.
    pub(crate) java: &'a [String],
    /// What Outpost said.
    pub(crate) outpost: &'a [String],
}

/// The places where the transcripts differ.
pub(crate) fn hunks<'a>(java: &'a [String], outpost: &'a [String]) -> Vec<Hunk<'a>> {
    let common = lengths_of_common(java, outpost);
    let (mut hunks, mut i, mut j) = (Vec::new(), 0, 0);
    let (mut from_i, mut from_j) = (0, 0);
    while i < java.len() || j < outpost.len() {
        if i < java.len() && j < outpost.len() && java[i] == outpost[j] {
            if from_i < i || from_j < j {
                hunks.push(Hunk {
                    java: &java[from_i..i],
                    outpost: &outpost[from_j..j],
                });
            }
            i += 1;
            j += 1;
            (from_i, from_j) = (i, j);
        } else if j == outpost.len() || (i < java.len() && common[i + 1][j] >= common[i][j + 1]) {
            i += 1;
        } else {
            j += 1;
        }
    }
    if from_i < i || from_j < j {
        hunks.push(Hunk {
            java: &java[from_i..i],
            outpost: &outpost[from_j..j],
        });
    }
    hunks
}

/// For each pair of positions, how many lines their remainders have in common, in order.
fn lengths_of_common(java: &[String], outpost: &[String]) -> Vec<Vec<u32>> {
    let mut lengths = vec![vec![0; outpost.len() + 1]; java.len() + 1];
    for i in (0..java.len()).rev() {
        for j in (0..outpost.len()).rev() {
            lengths[i][j] = match java[i] == outpost[j] {
                true => lengths[i + 1][j + 1] + 1,
                false => lengths[i + 1][j].max(lengths[i][j + 1]),
            };
        }
    }
    lengths
}

/// What is wrong with two transcripts of `script`: a difference that nobody has listed, or a listed one that no
/// longer shows.
pub(crate) fn verdict(
    java: &[String],
    outpost: &[String],
    listed: &[&Difference],
) -> Result<(), String> {
    let mut shown = vec![false; listed.len()];
    let mut unlisted = String::new();
    for hunk in hunks(java, outpost) {
        let known = listed.iter().position(|difference| difference.is(&hunk));
        match known {
            Some(index) => shown[index] = true,
            None => {
                unlisted.push_str("\n  Java said:\n");
                hunk.java
                    .iter()
                    .for_each(|line| unlisted.push_str(&format!("    {line}\n")));
                unlisted.push_str("  and Outpost:\n");
                hunk.outpost
                    .iter()
                    .for_each(|line| unlisted.push_str(&format!("    {line}\n")));
            }
        }
    }
    let silent = listed
        .iter()
        .zip(&shown)
        .filter(|(difference, shown)| !**shown && !difference.sometimes);
    let silent: Vec<&str> = silent.map(|(difference, _)| difference.name).collect();
    if unlisted.is_empty() && silent.is_empty() {
        return Ok(());
    }
    let mut message = String::new();
    if !unlisted.is_empty() {
        message.push_str(&format!("the servers differ:{unlisted}"));
        message.push_str("\n  the whole of what Outpost said:\n");
        outpost
            .iter()
            .for_each(|line| message.push_str(&format!("    {line}\n")));
    }
    for name in silent {
        message.push_str(&format!("the listed difference `{name}` no longer shows\n"));
    }
    Err(message)
}

/// Whether [`verdict`] can tell: a pair of short transcripts, with and without a listed difference.
pub(crate) fn finds_what_differs() -> Result<(), String> {
    let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (java, outpost) = (lines("one two three"), lines("one 2 three four"));
    let known = |java, outpost| Difference {
        name: "known",
        script: "",
        java,
        outpost,
        sometimes: false,
    };
    let first = known(&["two"], &["2"]);
    let second = known(&[], &["four"]);
    let ok = [
        verdict(&java, &java, &[]).is_ok(),
        verdict(&java, &outpost, &[]).is_err(),
        verdict(&java, &outpost, &[&first]).is_err(),
        verdict(&java, &outpost, &[&first, &second]).is_ok(),
        verdict(&java, &java, &[&first]).is_err(),
        verdict(&outpost, &java, &[&first, &second]).is_err(),
    ];
    match ok.iter().all(|ok| *ok) {
        true => Ok(()),
        false => Err(format!("as it must be, or not: {ok:?}")),
    }
}
