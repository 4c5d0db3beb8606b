//! Which series an expression of PromQL needs.
//!
//! No parser: it finds the names that are no functions, keywords, labels or numbers, and the matchers behind
//! them. What it takes for a name though it is none fails the tests that use it, so it cannot hide anything.

use std::collections::BTreeSet;

/// A name, and the label values that its matchers name.
#[derive(Debug, PartialEq)]
pub(crate) struct Selector {
    pub(crate) name: String,
    /// Each label with the values that it may have.
    pub(crate) labels: Vec<(String, Vec<String>)>,
}

const KEYWORDS: [&str; 4] = ["and", "or", "unless", "bool"];
/// Behind these stand labels in parentheses.
const GROUPINGS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];
/// Labels that Prometheus adds to what it scrapes.
const OF_THE_TARGET: [&str; 2] = ["job", "instance"];

/// The selectors of an expression, in order.
pub(crate) fn selectors(expression: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        if first == '[' {
            rest = behind(rest, ']').1;
        } else if first.is_ascii_digit() {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        } else if is_of_a_name(first) {
            let end = rest.find(|c| !is_of_a_name(c)).unwrap_or(rest.len());
            let (name, next) = rest.split_at(end);
            let next = next.trim_start();
            rest = next;
            if GROUPINGS.contains(&name) {
                rest = behind(next, ')').1;
            } else if next.starts_with('{') {
                let (matchers, next) = behind(next, '}');
                found.push(selector(name, matchers));
                rest = next;
            } else if !next.starts_with('(') && !KEYWORDS.contains(&name) {
                // An aggregation may be followed by its labels: `sum by (x) (…)`.
                let follows_grouping = GROUPINGS.iter().any(|word| {
                    next.strip_prefix(word)
                        .is_some_and(|next| next.starts_with([' ', '(']))
                });
                if !follows_grouping {
                    found.push(selector(name, ""));
                }
            }
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    found
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// What stands up to a closing bracket, without the opening one, and what stands behind it.
fn behind(text: &str, close: char) -> (&str, &str) {
    let (inside, rest) = text
        .split_once(close)
        .unwrap_or_else(|| panic!("no {close} in {text}"));
    (&inside[1..], rest)
}

fn selector(name: &str, matchers: &str) -> Selector {
    let asked = matchers.split(", ").filter(|matcher| !matcher.is_empty());
    let labels = asked.filter_map(|matcher| {
        let operator = matcher.find(['=', '!']);
        let operator = operator.unwrap_or_else(|| panic!("{matcher}"));
        let (label, value) = matcher.split_at(operator);
        if OF_THE_TARGET.contains(&label) {
            return None;
        }
        let value = value.trim_start_matches(['=', '!', '~']).trim_matches('"');
        let values = value.split('|').map(str::to_owned).collect();
        Some((label.to_owned(), values))
    });
    Selector {
        name: name.to_owned(),
        labels: labels.collect(),
    }
}

/// Fails unless the exposition has each series that the expression asks for, label values included.
pub(crate) fn assert_known(expression: &str, series: &BTreeSet<String>) {
    let selectors = selectors(expression);
    assert!(!selectors.is_empty(), "no metric in {expression}");
    for Selector { name, labels } in selectors {
        // Whether a target answers is known to Prometheus alone.
        if name == "up" {
            continue;
        }
        let labelled = format!("{name}{{");
        let exists = |s: &String| *s == name || s.starts_with(&labelled);
        assert!(series.iter().any(exists), "no metric {name}: {expression}");
        for (label, values) in labels {
            for value in values {
                let wanted = format!("{label}=\"{value}\"");
                let has = |s: &&String| s.starts_with(&labelled) && s.contains(&wanted);
                assert!(
                    series.iter().any(|s| has(&s)),
                    "no {name} with {wanted}: {expression}"
                );
            }
        }
    }
}

#[test]
fn names_and_the_values_of_labels_are_found_in_expressions() {
    let names = |expression: &str| -> Vec<String> {
        let found = selectors(expression).into_iter();
        found.map(|selector| selector.name).collect()
    };
    assert_eq!(
        names("a > b / 3 and (c == 1 or d == 1)"),
        ["a", "b", "c", "d"]
    );
    assert_eq!(
        names("sum without (reason) (increase(a{b!~\"c|d\"}[15m])) >= 4e3"),
        ["a"]
    );
    assert_eq!(
        names("histogram_quantile(0.5, sum by (le) (rate(a_bucket[$__rate_interval])))"),
        ["a_bucket"]
    );
    assert_eq!(names("sum(a) by (le) / on (job) b"), ["a", "b"]);
    let found = selectors("a{instance=~\"$i\", cause=~\"x|y\"}");
    let values = vec!["x".to_owned(), "y".to_owned()];
    assert_eq!(found[0].labels, [("cause".to_owned(), values)]);
}

#[test]
#[should_panic(expected = "no a with cause=\"y\"")]
fn a_value_that_no_series_has_is_noticed() {
    let series = BTreeSet::from(["a{cause=\"x\"}".to_owned()]);
    assert_known("a{cause=~\"x|y\"}", &series);
}
