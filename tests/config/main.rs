//! What `outpost` makes of a configuration, beside what ZooKeeper's own classes make of it.
//!
//! `corpus` holds the configurations, `reading` tells field by field how Outpost understands one, and
//! `clients/java-config` does the same with the classes of ZooKeeper 3.9.5. Whatever differs stands in `known`, with
//! the heading under which `docs/differences.md` gives the reason.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod corpus;
mod known;
mod reading;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use outpost_tests::clients;
use outpost_tests::run_dir::{RunDir, source_dir};

use corpus::Case;
use known::KNOWN;
use reading::Reading;

/// One thing that Java and Outpost do not make the same of.
struct Difference {
    case: String,
    /// The field; or who refuses.
    what: String,
    in_full: String,
}

#[test]
fn a_configuration_means_to_outpost_what_it_means_to_zookeeper() {
    let dir = RunDir::new("configurations");
    let cases = corpus::all();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "two cases have one name");
    let places: Vec<_> = (0..cases.len())
        .map(|n| dir.path().join(format!("{n:04}")))
        .collect();
    for (case, place) in cases.iter().zip(&places) {
        case.write(place);
    }
    clients::java_reads_configs(dir.path());
    let mut differences = Vec::new();
    for (case, place) in cases.iter().zip(&places) {
        differences.extend(compare(case, place));
    }
    judge(&differences);
}

fn compare(case: &Case, place: &Path) -> Vec<Difference> {
    let java = Reading::of_java(&fs::read_to_string(place.join("java.txt")).unwrap());
    let outpost = Reading::of_outpost(case, place);
    let difference = |what: &str, in_full: String| Difference {
        // One line, whatever stands in the file.
        case: case.name.replace('\n', "; "),
        what: what.to_owned(),
        in_full,
    };
    match (java, outpost) {
        (Reading::Refused(_), Reading::Refused(_)) => Vec::new(),
        (Reading::Refused(why), Reading::Understood(_)) => vec![difference(known::ONLY_JAVA, why)],
        (Reading::Understood(_), Reading::Refused(why)) => {
            vec![difference(known::ONLY_OUTPOST, why)]
        }
        (Reading::Understood(java), Reading::Understood(outpost)) => {
            let fields: BTreeSet<&String> = java.keys().chain(outpost.keys()).collect();
            let differ = fields
                .into_iter()
                .filter(|field| java.get(*field) != outpost.get(*field));
            let tell = |field: &String| {
                let in_full = format!("{:?} and {:?}", java.get(field), outpost.get(field));
                difference(field, in_full)
            };
            differ.map(tell).collect()
        }
    }
}

/// Every difference is known, every known one shows, and each has its reason in the documentation.
fn judge(differences: &[Difference]) {
    let documented = fs::read_to_string(source_dir().join("../docs/differences.md")).unwrap();
    let mut wrong = Vec::new();
    for found in differences {
        let known = KNOWN
            .iter()
            .any(|known| known.covers(&found.case, &found.what));
        if !known {
            wrong.push(format!(
                "unknown: {}: {}: {}",
                found.case, found.what, found.in_full
            ));
        }
    }
    for known in KNOWN {
        for pattern in known.cases {
            let shows = |found: &&Difference| known.covers_as(pattern, &found.case, &found.what);
            if !differences.iter().any(|found| shows(&found)) {
                wrong.push(format!("does not show: {}: {pattern}", known.heading));
            }
        }
        let reason = format!("\n- **{}**", known.heading);
        if !documented.contains(&reason) {
            wrong.push(format!("not in docs/differences.md: {}", known.heading));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
