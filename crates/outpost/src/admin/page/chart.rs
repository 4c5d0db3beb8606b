//! A line over the last minutes as inline SVG, with words beside it that say the same.
//!
//! The drawing is stretched to whatever width there is, so it holds shapes only; its labels are HTML.

use std::fmt::Write as _;
use std::time::Duration;

use super::html::{Html, put};
use super::words;
use crate::admin::history::{SAMPLE_EVERY, SAMPLES_MAX, Sample, Standing};

/// Seconds that a chart shows; also its width in its own units.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 100.0;
/// What a chart shows when every sample is there.
pub(super) const SPAN: Duration = Duration::from_secs(SAMPLE_EVERY.as_secs() * SAMPLES_MAX as u64);
const _: () = assert!(SPAN.as_secs() == 600);

/// What is drawn.
pub(super) struct Chart<'a> {
    /// A word for its ids.
    pub(super) id: &'a str,
    /// What it is called.
    pub(super) title: &'a str,
    /// What it shows, in words.
    pub(super) description: &'a str,
    /// Seconds ago and a value, oldest first.
    pub(super) points: &'a [(f64, f64)],
    /// The least that the upper edge stands for.
    pub(super) top_min: f64,
    /// How the upper edge's value is written.
    pub(super) write: fn(f64) -> String,
    /// Seconds ago, from and to, in which no learner master was followed.
    pub(super) gaps: &'a [(f64, f64)],
}

/// Seconds ago for each sample.
pub(super) fn ages(samples: &[Sample]) -> Vec<f64> {
    let Some(now) = samples.last().map(|sample| sample.at) else {
        return Vec::new();
    };
    let age = |sample: &Sample| now.saturating_duration_since(sample.at).as_secs_f64();
    samples.iter().map(age).collect()
}

/// When no learner master was followed, in seconds ago: from the first such sample to the next other one.
pub(super) fn gaps(samples: &[Sample], ages: &[f64]) -> Vec<(f64, f64)> {
    let mut gaps = Vec::new();
    let mut from = None;
    for (sample, age) in samples.iter().zip(ages) {
        if sample.standing == Standing::Attached {
            gaps.extend(from.take().map(|from| (from, *age)));
        } else {
            from.get_or_insert(*age);
        }
    }
    gaps.extend(from.map(|from| (from, 0.0)));
    gaps
}

/// The chart with its labels.
pub(super) fn chart(html: &mut Html, chart: &Chart<'_>) {
    let highest = chart.points.iter().map(|point| point.1).fold(0.0, f64::max);
    let top = round_up(highest.max(chart.top_min));
    let (line, area) = paths(chart.points, top);
    put!(
        html,
        "<figure class=\"chart\"><figcaption><strong>{}</strong> <span>{}</span></figcaption>\n",
        chart.title,
        chart.description
    );
    put!(
        html,
        "<div class=\"plot\"><svg role=\"img\" aria-labelledby=\"{0}-title {0}-desc\" viewBox=\"0 0 600 100\" \
         preserveAspectRatio=\"none\"><title id=\"{0}-title\">{1}</title><desc id=\"{0}-desc\">{2}</desc>",
        chart.id,
        chart.title,
        chart.description,
    );
    for (from, to) in chart.gaps {
        let (x, end) = (WIDTH - from.min(WIDTH), WIDTH - to.min(WIDTH));
        put!(
            html,
            "<rect class=\"gap\" x=\"{}\" y=\"0\" width=\"{}\" height=\"100\"/>",
            format_args!("{x:.1}"),
            format_args!("{:.1}", (end - x).max(2.0))
        );
    }
    put!(
        html,
        "<path class=\"grid\" d=\"M0 .5H600M0 50H600M0 99.5H600\"/>\
         <path class=\"area\" d=\"{}\"/><path class=\"line\" d=\"{}\"/></svg>\n",
        area,
        line
    );
    put!(
        html,
        "<span class=\"top\" aria-hidden=\"true\">{}</span></div>\n",
        (chart.write)(top)
    );
    html.write(format_args!(
        "<div class=\"times\" aria-hidden=\"true\"><span>10 min ago</span><span>5 min ago</span>\
         <span>now</span></div></figure>\n"
    ));
}

/// The line, and the area below it.
fn paths(points: &[(f64, f64)], top: f64) -> (String, String) {
    let visible = points.iter().filter(|(age, _)| *age <= WIDTH);
    let places: Vec<(f64, f64)> = visible
        .map(|(age, value)| {
            (
                WIDTH - age,
                HEIGHT - (value / top).min(1.0) * (HEIGHT - 2.0) - 1.0,
            )
        })
        .collect();
    let (Some(first), Some(last)) = (places.first(), places.last()) else {
        return (String::new(), String::new());
    };
    let mut line = String::new();
    for (n, (x, y)) in places.iter().enumerate() {
        let sign = if n == 0 { 'M' } else { 'L' };
        let _ = write!(line, "{sign}{x:.1} {y:.1}");
    }
    let area = format!("{line}L{:.1} {HEIGHT}L{:.1} {HEIGHT}Z", last.0, first.0);
    (line, area)
}

/// The next of 1, 2, 5, 10, 20, 50 …
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= value * 0.999);
    step.unwrap_or(10.0) * power
}

/// Seconds, for the edge of a chart.
pub(super) fn seconds(value: f64) -> String {
    match value {
        value if value >= 1.0 => words::duration(Duration::from_secs_f64(value.round())),
        value => format!("{:.0} ms", value * 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_edge_is_a_round_number_that_holds_the_highest_value() {
        for (value, edge) in [
            (1.0, 1.0),
            (1.2, 2.0),
            (4.9, 5.0),
            (5.1, 10.0),
            (130.0, 200.0),
        ] {
            assert!((round_up(value) - edge).abs() < 1e-9, "{value}");
        }
        assert!((round_up(0.3) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_line_ends_at_the_right_edge_and_stays_within_the_picture() {
        let (line, area) = paths(&[(700.0, 3.0), (600.0, 1.0), (0.0, 9.0)], 2.0);
        assert_eq!(line, "M0.0 50.0L600.0 1.0");
        assert!(area.ends_with("L600.0 100L0.0 100Z"), "{area}");
        assert_eq!(paths(&[], 1.0).0, "");
    }
}
