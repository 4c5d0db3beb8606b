//! The status page: what an operator wants to know who opens a browser first.
//!
//! One page, whole without JavaScript and without anything from elsewhere. Where there is JavaScript, a small
//! script fetches the page again every two seconds and puts what has changed in its place. Everything on it is
//! also told by the metrics and the commands; nothing is kept for it but [`History`].

mod chart;
mod clients;
pub(super) mod html;
mod link;
mod settings;
mod words;

use std::sync::LazyLock;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use sha2::{Digest, Sha256};

use super::history::History;
use super::http::Answer;
use crate::report::{Report, java};
use crate::serve::service::Service;
use html::{Html, put};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Only the style and the script of this page, and only questions to this server.
static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    HeaderValue::try_from(policy).ok()
});

/// Whether somebody who accepts this wants a page rather than plain text.
pub(super) fn is_wanted(accept: Option<&str>) -> bool {
    let kinds = accept.unwrap_or_default().split(',');
    let mut kinds = kinds.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    kinds.any(|kind| kind.eq_ignore_ascii_case("text/html"))
}

/// The page as it is now.
pub(super) fn page(service: &Service, history: &History, command_url: &str) -> Answer {
    let html = whole(service, history, command_url).into_string();
    let fixed = |name: HeaderName, value: &'static str| (name, HeaderValue::from_static(value));
    let mut answer = Answer::new(StatusCode::OK, "text/html; charset=utf-8", html);
    answer.headers = vec![
        fixed(CACHE_CONTROL, "no-store"),
        fixed(REFERRER_POLICY, "no-referrer"),
        fixed(VARY, "Accept"),
        fixed(X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let policy = POLICY.clone();
    let policy = policy.map(|policy| (CONTENT_SECURITY_POLICY, policy));
    answer.headers.extend(policy);
    answer
}

fn whole(service: &Service, history: &History, command_url: &str) -> Html {
    let report = Report::of(service);
    // Looked at once: the title says what the page says.
    let now = link::Now::of(&report);
    let mut html = Html::default();
    head(&mut html, &report, now.condition.word, command_url);
    put!(html, "<main id=\"main\">\n");
    link::present(&mut html, &report, &now, &history.samples(service));
    clients::figures(&mut html, &report);
    clients::talkers(&mut html, service, history);
    link::losses(&mut html, &report);
    link::ensemble(&mut html, &report, &now);
    settings::settings(&mut html, &report);
    put!(html, "</main>\n");
    foot(&mut html, &report);
    html
}

fn head(html: &mut Html, report: &Report<'_>, word: &str, command_url: &str) {
    let id = report.facts().server_id;
    put!(
        html,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\"><link rel=\"icon\" href=\"data:,\">\n\
         <title>{} · Outpost {}</title>\n",
        word,
        id
    );
    html.write(format_args!("<style>{STYLE}</style></head>\n<body>\n"));
    put!(
        html,
        "<a class=\"skip\" href=\"#main\">To the content</a>\n\
         <header><h1>Outpost <span>server {}</span></h1>\n\
         <nav aria-label=\"For scripts\"><a href=\"/ready\">ready</a> <a href=\"/metrics\">metrics</a> \
         <a href=\"{}/link\">link</a> <a href=\"{}\">all commands</a></nav>\n\
         <p class=\"live\"><span id=\"live\" role=\"status\">As of {} UTC.</span> \
         <button id=\"pause\" type=\"button\" hidden>Pause</button></p></header>\n",
        id,
        command_url,
        command_url,
        time_of_day()
    );
}

fn foot(html: &mut Html, report: &Report<'_>) {
    put!(html, "<footer><p>{}</p></footer>\n", report.facts().version);
    html.write(format_args!("<script>{SCRIPT}</script>\n</body></html>\n"));
}

fn time_of_day() -> String {
    let now = java::instant(SystemTime::now());
    let time = now.split(['T', '.']).nth(1);
    time.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_shown_the_page_and_scripts_plain_text() {
        let firefox = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for accept in [firefox, "text/html", "application/json, TEXT/HTML;q=0.1"] {
            assert!(is_wanted(Some(accept)), "{accept}");
        }
        for accept in [None, Some("*/*"), Some("text/plain"), Some("")] {
            assert!(!is_wanted(accept), "{accept:?}");
        }
    }

    #[test]
    fn style_and_script_end_where_their_elements_end() {
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
