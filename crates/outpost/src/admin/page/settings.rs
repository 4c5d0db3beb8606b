//! The settings in force, without secrets, and where each comes from.

use super::html::{Html, put};
use super::words;
use crate::config::Place;
use crate::report::{Report, SettingReport};

/// The section.
pub(super) fn settings(html: &mut Html, report: &Report<'_>) {
    let settings = &report.facts().settings;
    let (set, unset): (Vec<_>, Vec<_>) = settings.iter().partition(|one| one.place.is_some());
    put!(
        html,
        "<section id=\"settings\" aria-labelledby=\"settings-h\"><h2 id=\"settings-h\">Configuration</h2>\n"
    );
    let file = report.facts().file.display();
    table(
        html,
        report,
        "settings-set",
        &format!("Set, in {file} unless another place is named"),
        &set,
    );
    let defaults = words::counted(unset.len() as u64, "default", "defaults");
    put!(html, "<details><summary>{} in force</summary>\n", defaults);
    table(html, report, "settings-unset", "Not set", &unset);
    put!(html, "</details></section>\n");
}

fn table(
    html: &mut Html,
    report: &Report<'_>,
    id: &str,
    caption: &str,
    settings: &[&SettingReport],
) {
    put!(
        html,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"{}\"><table class=\"settings\">\
         <caption id=\"{}\">{}</caption><thead><tr><th scope=\"col\">Key</th><th scope=\"col\">Value</th>\
         <th scope=\"col\">From</th></tr></thead><tbody>\n",
        id,
        id,
        caption
    );
    for setting in settings {
        let place = match &setting.place {
            None => "default".to_owned(),
            Some(Place::Line(file, line)) if *file == report.facts().file => format!("line {line}"),
            Some(place) => place.to_string(),
        };
        let effect = if setting.honoured {
            ""
        } else {
            "no effect here"
        };
        put!(html, "<tr><th scope=\"row\">");
        for (n, part) in setting.key.split('.').enumerate() {
            // A long key may go on in another line behind a dot.
            html.write(format_args!("{}", if n == 0 { "" } else { ".<wbr>" }));
            put!(html, "{}", part);
        }
        put!(
            html,
            "</th><td>{}</td><td>{} <small>{}</small></td></tr>\n",
            setting.value,
            place,
            effect
        );
    }
    put!(html, "</tbody></table></div>\n");
}
