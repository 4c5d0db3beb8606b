//! What a server tells Prometheus, read once: names with their labels, and values.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server may take for its answer.
const LIMIT: Duration = Duration::from_secs(30);

/// The metrics of one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Reads `/metrics` at `address`.
    ///
    /// # Errors
    /// When nobody answers with such a page.
    pub fn read(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::parse(&page(address)?))
    }

    fn parse(page: &str) -> Self {
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let values = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(values.collect())
    }

    /// The value of this name, without labels or with all of them.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// The sum over all labels of this name; 0 when there is none.
    pub fn sum(&self, name: &str) -> f64 {
        let of_name = |key: &str| {
            key.strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
        };
        let values = self.0.iter().filter(|(key, _)| of_name(key));
        values.map(|(_, value)| value).sum()
    }

    /// Every value whose name, labels included, begins so.
    pub fn beginning(&self, prefix: &str) -> Vec<(&str, f64)> {
        let values = self.0.iter().filter(|(name, _)| name.starts_with(prefix));
        values
            .map(|(name, value)| (name.as_str(), *value))
            .collect()
    }
}

/// The page `/metrics` at `address`, its head included.
///
/// # Errors
/// When nobody answers with such a page.
pub fn page(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    let line = page.lines().next().unwrap_or_default();
    if !line.contains(" 200 ") {
        return Err(io::Error::other(format!("/metrics answers {line}")));
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_name_and_summed_over_labels() {
        let page = "HTTP/1.1 200 OK\r\n\r\n# HELP a b\na 1\nlost{reason=\"x y\"} 2\nlost{reason=\"z\"} 3\nlost_ever 7\n";
        let metrics = Metrics::parse(page);
        assert_eq!(metrics.get("a"), Some(1.0));
        assert_eq!(metrics.sum("lost"), 5.0);
        assert_eq!(metrics.get("lost{reason=\"x y\"}"), Some(2.0));
        assert_eq!(metrics.beginning("lost_").len(), 1);
        assert_eq!(metrics.sum("none"), 0.0);
    }
}
