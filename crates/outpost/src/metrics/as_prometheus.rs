//! `mntr` and `monitor` of a server whose provider is Prometheus': the samples that are scraped, one a line, each a
//! double (`PrometheusMetricsProvider.dump`).

use super::{Shown, exposition, monitor};
use crate::report::{Facts, Picture};

/// What stands before the metrics, whatever the provider: version, states, learner master.
const NO_METRICS: usize = 4;

/// What `mntr` shows behind `zk_`, and `monitor` without it.
pub fn monitor_as_prometheus(picture: &Picture<'_>, facts: &Facts) -> Vec<(String, Shown)> {
    let mut shown = monitor(picture, facts);
    shown.truncate(NO_METRICS);
    shown.extend(samples(&exposition(picture)));
    shown
}

fn samples(exposition: &str) -> impl Iterator<Item = (String, Shown)> + '_ {
    let lines = exposition.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        Some((series.to_owned(), Shown::Real(value.parse().ok()?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_doubles_under_the_names_that_are_scraped() {
        let text = "# HELP a b\n# TYPE a gauge\na 5\n\nb{quantile=\"0.5\",x=\"y z\"} 0.25\nc_sum 12345678\nd NaN\n";
        let shown: Vec<String> = samples(text)
            .map(|(key, value)| format!("{key} {value}"))
            .collect();
        let expected = [
            "a 5.0",
            "b{quantile=\"0.5\",x=\"y z\"} 0.25",
            "c_sum 1.2345678E7",
            "d NaN",
        ];
        assert_eq!(shown, expected);
    }
}
