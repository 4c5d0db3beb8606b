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

    /// Something of which no ratio is taken: what is good may be none at all.
    pub(crate) fn plain(what: &str, java: f64, outpost: f64) -> Row {
        Row {
            what: what.to_owned(),
            java,
            outpost,
            ratio: f64::NAN,
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

/// The median of values in their order; NaN when there are none.
pub(crate) fn median_of_sorted(values: &[f64]) -> f64 {
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Small numbers with more of their digits; NaN stands for what did not come about.
pub(crate) fn number(value: f64) -> String {
    match value {
        value if value.is_nan() => "-".to_owned(),
        value if value.fract() == 0.0 || value.abs() >= 100.0 => format!("{value:.0}"),
        value if value.abs() >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.3}"),
    }
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
        let ratio = if ratio.is_finite() {
            format!("{ratio:.1}")
        } else {
            String::new()
        };
        let [java, outpost] = [*java, *outpost].map(number);
        println!("{what:<46} {java:>12} {outpost:>12} {ratio:>14}");
    }
}
