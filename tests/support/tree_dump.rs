//! A server's whole tree as a client sees it, to be held against another server's, field by field.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use bstr::{BString, ByteSlice};
use outpost_wire::{Acl, ErrorCode, Stat, Zxid};

use crate::raw::RawClient;
use crate::{four_letter, wait};

/// How many differences a failure's message names.
const DIFFERENCES_SHOWN: usize = 12;
/// How long two servers may take to come to rest at the same zxid.
const REST_LIMIT: Duration = Duration::from_secs(30);

/// One znode as one server shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its data; null and empty differ.
    pub data: Option<Vec<u8>>,
    /// Its metadata.
    pub stat: Stat,
    /// Its ACL.
    pub acl: Vec<Acl>,
}

/// All znodes of one server, and the ephemerals by session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TreeDump {
    /// Path to znode.
    pub nodes: BTreeMap<BString, Node>,
    /// The four-letter word `dump`: session to its ephemerals.
    pub ephemerals: BTreeMap<String, Vec<String>>,
}

impl TreeDump {
    /// Reads the whole tree through `client`, which should be the super user.
    pub fn of(client: &mut RawClient) -> Self {
        let mut dump = Self::default();
        let mut paths = vec![BString::from("/")];
        while let Some(path) = paths.pop() {
            // A znode may go while the dump is under way; two dumps that differ by it are not compared.
            let Ok((node, children)) = read_node(client, &path) else {
                continue;
            };
            for child in children {
                let separator: &[u8] = if path == "/" { b"" } else { b"/" };
                paths.push(
                    [path.as_bytes(), separator, child.as_bytes()]
                        .concat()
                        .into(),
                );
            }
            dump.nodes.insert(path, node);
        }
        dump
    }

    /// One line for each znode and field in which `other` differs; empty when nothing does.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, node) in &self.nodes {
            match other.nodes.get(path) {
                None => lines.push(format!("{path}: only in the first, {node:?}")),
                Some(theirs) => node.differences(theirs, path, &mut lines),
            }
        }
        for path in other
            .nodes
            .keys()
            .filter(|path| !self.nodes.contains_key(*path))
        {
            lines.push(format!(
                "{path}: only in the second, {:?}",
                other.nodes[path]
            ));
        }
        if self.ephemerals != other.ephemerals {
            lines.push(format!(
                "ephemerals: {:?} against {:?}",
                self.ephemerals, other.ephemerals
            ));
        }
        lines
    }
}

impl Node {
    fn differences(&self, other: &Self, path: &BString, lines: &mut Vec<String>) {
        if self.data != other.data {
            lines.push(format!(
                "{path}: data {:?} against {:?}",
                self.data, other.data
            ));
        }
        if self.acl != other.acl {
            lines.push(format!(
                "{path}: ACL {:?} against {:?}",
                self.acl, other.acl
            ));
        }
        if self.stat != other.stat {
            lines.push(format!(
                "{path}: {:?}\n    against {:?}",
                self.stat, other.stat
            ));
        }
    }
}

/// Waits until both servers rest at the same zxid and holds their trees against each other.
///
/// # Panics
/// When they differ, or do not come to rest.
pub fn assert_same_tree(first: SocketAddr, second: SocketAddr) {
    assert_same_tree_but(first, second, |_| ());
}

/// As [`assert_same_tree`], with `forget` applied to every Stat before they are compared.
///
/// # Panics
/// As [`assert_same_tree`].
pub fn assert_same_tree_but(first: SocketAddr, second: SocketAddr, forget: impl Fn(&mut Stat)) {
    let mut clients = [first, second].map(|server| {
        let mut client = RawClient::connect(server, 10_000);
        client.authenticate("super:secret");
        client
    });
    let what = format!("{first} and {second} to rest at the same zxid");
    let mut dumps = wait::until(&what, REST_LIMIT, || {
        clients.iter_mut().for_each(RawClient::sync);
        let before = resting_zxid(&mut clients)?;
        let mut dumps = clients.each_mut().map(TreeDump::of);
        dumps[0].ephemerals = ephemerals(first);
        dumps[1].ephemerals = ephemerals(second);
        (resting_zxid(&mut clients)? == before).then_some(dumps)
    });
    for node in dumps.iter_mut().flat_map(|dump| dump.nodes.values_mut()) {
        forget(&mut node.stat);
    }
    let [left, right] = dumps;
    assert!(left.nodes.len() > 1, "{first} shows an empty tree");
    let differences = left.differences(&right);
    if !differences.is_empty() {
        let mut message = format!(
            "{first} and {second} differ in {} places:",
            differences.len()
        );
        for line in differences.iter().take(DIFFERENCES_SHOWN) {
            let _ = write!(message, "\n  {line}");
        }
        panic!("{message}");
    }
    for client in clients {
        client
            .close()
            .unwrap_or_else(|error| panic!("a dumping client is cut off: {error}"));
    }
}

/// The zxid that both servers show, if they show the same.
fn resting_zxid(clients: &mut [RawClient; 2]) -> Option<Zxid> {
    let [first, second] = clients.each_mut().map(RawClient::ping);
    (first == second).then_some(first)
}

fn read_node(client: &mut RawClient, path: &BString) -> Result<(Node, Vec<BString>), ErrorCode> {
    let (mut data, mut stat) = client.get_data(path, false)?;
    let (acl, _) = client.get_acl(path)?;
    let (children, _) = client.get_children(path, false)?;
    if path == "/zookeeper/config" {
        // The one znode that each server keeps for itself: it is set again at each start, by the local clock,
        // and from the server's own file where reconfiguration is off.
        (data, stat) = (None, Stat::default());
    }
    Ok((Node { data, stat, acl }, children))
}

/// The second part of `dump`: session ids, and behind each its paths on lines of their own.
fn ephemerals(server: SocketAddr) -> BTreeMap<String, Vec<String>> {
    let text = four_letter::ask(server, "dump")
        .unwrap_or_else(|error| panic!("{server} does not answer `dump`: {error}"));
    let mut sessions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut session = None;
    let lines = text
        .lines()
        .skip_while(|line| !line.starts_with("Sessions with Ephemerals"));
    for line in lines.take_while(|line| !line.starts_with("Connections")) {
        if let Some(path) = line.strip_prefix('\t')
            && let Some(session) = &session
        {
            sessions
                .entry(String::clone(session))
                .or_default()
                .push(path.to_owned());
        } else if let Some(id) = line.strip_suffix(':') {
            session = Some(id.to_owned());
        }
    }
    sessions.values_mut().for_each(|paths| paths.sort());
    // A session may be listed without any path once its last ephemeral is gone.
    sessions.retain(|_, paths| !paths.is_empty());
    sessions
}
