//! Which environment variable overrides which key.

use super::{Key, all};

/// Variables with our prefix that are no settings of an observer.
const OTHER_VARIABLES: &[&str] = &["OUTPOST_LOG", "OUTPOST_LOG_FORMAT"];

/// The variable that overrides a key: upper case, everything but letters and digits an underscore.
/// Outpost's own keys do not repeat the prefix.
pub(in crate::config) fn variable(key: &str) -> String {
    let key = key.strip_prefix("outpost.").unwrap_or(key);
    let upper = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    let name: String = key.chars().map(upper).collect();
    format!("OUTPOST_{name}")
}

/// The key that a variable overrides; `None` if there is none. Of a family's names only the stem can be told
/// back from a variable, the rest comes out in lower case.
pub(in crate::config) fn of_variable(name: &str) -> Option<String> {
    if let Some(known) = all().find(|known| variable(known.name) == name) {
        return Some(known.name.to_owned());
    }
    let families = all().filter_map(Key::family);
    let matching = families.filter_map(|stem| {
        let rest = name.strip_prefix(variable(stem).as_str())?;
        (!rest.is_empty()).then_some((stem, rest))
    });
    let (stem, rest) = matching.max_by_key(|(stem, _)| stem.len())?;
    Some(format!("{stem}{}", rest.to_ascii_lowercase()))
}

/// Whether a variable with our prefix is meant for something else: for another part of the program, or put there
/// by Kubernetes or Docker for a service that happens to be called `outpost`.
pub(in crate::config) fn is_other_variable(name: &str, value: &str) -> bool {
    let of_a_service = ["_SERVICE_HOST", "_SERVICE_PORT"];
    let addresses = ["tcp://", "udp://", "sctp://"];
    OTHER_VARIABLES.contains(&name)
        || of_a_service.iter().any(|part| name.contains(part))
        || addresses.iter().any(|scheme| value.starts_with(scheme))
        || is_service_port_variable(name)
}

/// Such as `OUTPOST_PORT_2181_TCP_ADDR`.
fn is_service_port_variable(name: &str) -> bool {
    let Some((_, rest)) = name.split_once("_PORT_") else {
        return false;
    };
    let (port, protocol) = rest.split_once('_').unwrap_or_default();
    let protocols = ["TCP", "UDP", "SCTP"];
    port.parse::<u16>().is_ok() && protocols.iter().any(|name| protocol.starts_with(name))
}
