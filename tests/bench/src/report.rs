//! The numbers side by side, with their ratio.

/// One thing that was measured on both.
pub(crate) struct Row {
    what: String,
    java: f64,
    outpost: f64,
    /// How many times better Outpost is.
    ratio: f64,
}

impl Row {
    /// Something of which less is better.
    pub(crate) fn less_is_better(what: &str, java: f64, outpost: f64) -> Row {
        Row {
            what: what.to_owned(),
            java,
            outpost,
            ratio: java / outpost,
        }
    }

    /// Something of which more is better.
    pub(crate) fn more_is_better(what: &str, java: f64, outpost: f64) -> Row {
        Row {
            what: what.to_owned(),
            java,
            outpost,
            ratio: outpost / java,
        }
    }
}

/// The median of one figure over all rounds.
pub(crate) fn median<T>(rounds: &[T], of: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prints all rows.
pub(crate) fn print(rows: &[Row]) {
    println!(
        "\n{:<46} {:>12} {:>12} {:>14}",
        "", "Java", "Outpost", "times better"
    );
    for Row {
        what,
        java,
        outpost,
        ratio,
    } in rows
    {
        println!("{what:<46} {java:>12.1} {outpost:>12.1} {ratio:>14.1}");
    }
}
