//! The form of an answer: what a script relies on that parses it. Two answers of the same form differ in figures only.

use std::collections::BTreeMap;

use serde_json::Value;

/// A text with every figure replaced by a sign for its kind.
///
/// `0x#` for hexadecimal numbers, `#` for whole ones, `#.#` for those with decimals.
pub(crate) fn of_text(text: &str) -> String {
    let mut form = String::new();
    let mut rest = text;
    let mut in_word = false;
    while let Some(sign) = rest.chars().next() {
        if let Some(digits) = rest.strip_prefix("0x").filter(|_| !in_word) {
            rest = digits.trim_start_matches(|sign: char| sign.is_ascii_hexdigit());
            form.push_str("0x#");
        } else if sign.is_ascii_digit() && !in_word {
            rest = rest.trim_start_matches(|sign: char| sign.is_ascii_digit());
            form.push('#');
        } else {
            in_word = sign.is_ascii_alphabetic() || (in_word && sign.is_ascii_digit());
            form.push(sign);
            rest = &rest[sign.len_utf8()..];
        }
    }
    form.replace("-#", "#")
}

/// The types in a JSON value, place by place: `.connections[].session_id` is a `whole`.
///
/// Members of an object whose names are figures or paths count as one, and so do those of a list.
pub(crate) fn of_json(value: &Value) -> BTreeMap<String, String> {
    let mut form = BTreeMap::new();
    visit(value, String::new(), &mut form);
    form
}

fn visit(value: &Value, place: String, form: &mut BTreeMap<String, String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "decimal",
        Value::Number(_) => "whole",
        Value::String(_) => "text",
        Value::Array(values) => {
            for value in values {
                visit(value, format!("{place}[]"), form);
            }
            "list"
        }
        Value::Object(members) => {
            for (name, value) in members {
                let is_key = name.starts_with('/') || name.parse::<i64>().is_ok();
                let name = if is_key { "*" } else { name };
                visit(value, format!("{place}.{name}"), form);
            }
            "object"
        }
    };
    let before = form.entry(place).or_insert_with(|| kind.to_owned());
    if before != kind && !before.split('|').any(|one| one == kind) {
        before.push('|');
        before.push_str(kind);
    }
}

/// Names of members in the order in which they stand, for objects whose names are no figures.
pub(crate) fn order(value: &Value) -> Vec<String> {
    let members = value.as_object().into_iter().flatten();
    members.map(|(name, _)| name.clone()).collect()
}

#[test]
fn figures_are_replaced_and_names_with_digits_are_not() {
    assert_eq!(
        of_text(" /127.0.0.1:80[1](sid=0xab01,p99=-1,avg=1.5)"),
        " /#.#.#.#:#[#](sid=0x#,p99=#,avg=#.#)"
    );
}

#[test]
fn two_kinds_at_one_place_are_both_told() {
    let value = serde_json::json!({ "a": { "1": [1, "x"], "/p": null } });
    let form = of_json(&value);
    assert_eq!(form[".a.*"], "list|null");
    assert_eq!(form[".a.*[]"], "whole|text");
}
