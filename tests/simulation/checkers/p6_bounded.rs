//! P6, bounded: nothing that a peer can fill grows past its bound, or outlives its peer.
//!
//! Demanded of every gauge that somebody has read:
//!
//! * It never exceeds its bound.
//! * Read for the last time, and after the last connection has ended, it holds no more than it may at rest: what
//!   was held for peers has gone with them.

use std::collections::HashMap;

use super::transcript::{Gauge, Transcript, Verdict, Violation};

/// See the module.
pub(crate) fn check(transcript: &Transcript<'_>) -> Verdict {
    let mut last: HashMap<&str, &Gauge<'_>> = HashMap::new();
    for gauge in &transcript.gauges {
        let Gauge {
            name, value, bound, ..
        } = gauge;
        if value > bound {
            let message = format!("{name} holds {value} of {bound}");
            return Err(Violation::new("P6", message, &[gauge.moment.record]));
        }
        last.insert(name, gauge);
    }
    let Some(rest) = at_rest(transcript) else {
        return Ok(());
    };
    for (name, gauge) in last {
        if gauge.moment.record > rest && gauge.value > gauge.at_rest {
            let message = format!("{name} still holds {} with every peer gone", gauge.value);
            return Err(Violation::new("P6", message, &[rest, gauge.moment.record]));
        }
    }
    Ok(())
}

/// Where the last connection ends; `None` if one does not.
fn at_rest(transcript: &Transcript<'_>) -> Option<usize> {
    transcript
        .connections
        .iter()
        .map(|connection| connection.ended.map(|(moment, _)| moment.record))
        .try_fold(0, |last, ended| Some(last.max(ended?)))
}

#[cfg(test)]
mod tests {
    use crate::checkers::specimen::Story;
    use crate::history::{AtObserver, Closer};

    fn gauge(value: u64) -> AtObserver {
        AtObserver::Gauge {
            name: "writes in flight".to_owned(),
            value,
            bound: 10,
            at_rest: 0,
        }
    }

    #[test]
    fn a_queue_within_its_bound_that_empties_passes_and_others_do_not() {
        let mut story = Story::new();
        let c = story.client();
        story.observer(gauge(10));
        let mut full = story.clone();
        story.close(c, Closer::Client);
        let mut held = story.clone();
        story.observer(gauge(0));
        story.holds();
        held.observer(gauge(1));
        held.breaks("P6");
        full.observer(gauge(11));
        full.breaks("P6");
    }
}
