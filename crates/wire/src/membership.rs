//! Who belongs to the ensemble: `server.N` lines and the text that is made of them.
//!
//! The same text stands in `zoo.cfg`, in dynamic configuration files, in `/zookeeper/config`, in
//! NEWLEADER and in the transaction of a reconfiguration. This module turns it into a
//! [`Membership`] and back. It resolves no name and decides nothing about quorums: groups and weights
//! are kept only so that the text can be written again.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::ids::ServerId;

/// Host of a client port for which none is written: every address of the machine.
pub const WILDCARD_HOST: &str = "0.0.0.0";
/// Weight of a participant for which none is written.
const WEIGHT_DEFAULT: i64 = 1;

/// What a member does in the ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Votes; may become leader.
    Participant,
    /// Learns and serves, never votes.
    Observer,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Participant => "participant",
            Role::Observer => "observer",
        })
    }
}

/// A host, by name or address, and a port. IPv6 addresses stand without their brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Name or address as it was written, without brackets.
    pub host: String,
    /// TCP port; 0 lets the system choose one.
    pub port: u16,
}

impl Endpoint {
    /// `host` and `port` as they are.
    pub fn new(host: impl Into<String>, port: u16) -> Endpoint {
        Endpoint {
            host: host.into(),
            port,
        }
    }

    /// Whether the host is an unspecified address. A Java server listens on both families then,
    /// whichever of the two is written.
    pub fn is_wildcard(&self) -> bool {
        self.host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_unspecified())
    }

    /// Reads `port` or `host:port`; without a host it is [`WILDCARD_HOST`].
    fn parse_client(text: &str) -> Result<Endpoint, MembershipError> {
        let shape = || MembershipError::ClientPart(text.to_owned());
        if let Ok(port) = text.parse() {
            return Ok(Endpoint::new(WILDCARD_HOST, port));
        }
        let (host, rest) = split_host(text)?;
        let port = rest.ok_or_else(shape)?;
        if host.is_empty() || port.contains(':') {
            return Err(shape());
        }
        Ok(Endpoint::new(host, parse_port(port)?))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", HostText(&self.host), self.port)
    }
}

/// One of the addresses at which a member is reached by the others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Name or address as it was written, without brackets.
    pub host: String,
    /// Port on which a leader serves its learners.
    pub quorum_port: u16,
    /// Port on which elections are held.
    pub election_port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (quorum, election) = (self.quorum_port, self.election_port);
        write!(f, "{}:{quorum}:{election}", HostText(&self.host))
    }
}

/// One server of the ensemble, as its `server.N` line describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The N of `server.N`.
    pub id: ServerId,
    /// At least one; in the order in which they are written.
    pub addresses: Vec<Address>,
    /// Participant when the line does not say.
    pub role: Role,
    /// Where it serves clients, if the line says.
    pub client: Option<Endpoint>,
    /// Where it serves clients over TLS, if the line says; newer than ZooKeeper 3.9.
    pub secure_client: Option<Endpoint>,
}

impl Member {
    /// Reads what stands behind `server.N=`.
    ///
    /// # Errors
    /// A [`MembershipError`] that says which part of the line is not understood.
    pub fn parse(id: ServerId, line: &str) -> Result<Member, MembershipError> {
        let mut parts = line.split(';').map(str::trim);
        let (addresses, role) = parse_addresses(parts.next().unwrap_or_default())?;
        let client = parse_client_part(parts.next())?;
        let secure_client = parse_client_part(parts.next())?;
        if let Some(surplus) = parts.find(|part| !part.is_empty()) {
            return Err(MembershipError::Surplus(surplus.to_owned()));
        }
        Ok(Member {
            id,
            addresses,
            role: role.unwrap_or(Role::Participant),
            client,
            secure_client,
        })
    }
}

/// What stands behind `server.N=`, in the canonical form: addresses sorted by host, the role always written.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut addresses: Vec<&Address> = self.addresses.iter().collect();
        addresses.sort_by_key(|address| HostText(&address.host).unbracketed());
        for (n, address) in addresses.into_iter().enumerate() {
            let separator = if n == 0 { "" } else { "|" };
            write!(f, "{separator}{address}")?;
        }
        write!(f, ":{}", self.role)?;
        match (&self.client, &self.secure_client) {
            (None, None) => Ok(()),
            (Some(client), None) => write!(f, ";{client}"),
            (None, Some(secure)) => write!(f, ";;{secure}"),
            (Some(client), Some(secure)) => write!(f, ";{client};{secure}"),
        }
    }
}

/// The servers of an ensemble.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership {
    /// Every member by its id.
    pub members: BTreeMap<ServerId, Member>,
    /// `group.G` lines of a hierarchical quorum: which servers are in which group.
    pub groups: BTreeMap<i64, Vec<ServerId>>,
    /// `weight.N` lines of a hierarchical quorum.
    pub weights: BTreeMap<ServerId, i64>,
    /// The zxid of the reconfiguration that made it so; 0 for a configuration from a file.
    pub version: i64,
}

impl Membership {
    /// Reads the text of `/zookeeper/config`, NEWLEADER or a reconfiguration.
    ///
    /// Lines with an unknown key are passed over: a newer ensemble may have them, and losing the link
    /// over them would help nobody.
    ///
    /// # Errors
    /// [`ParseError`] with the first line that is not understood.
    pub fn parse(text: &[u8]) -> Result<Membership, ParseError> {
        let text = std::str::from_utf8(text).map_err(|_| ParseError {
            line: 0,
            error: MembershipError::NotText,
        })?;
        let mut membership = Membership::default();
        for (n, line) in text.lines().enumerate() {
            let Some((key, value)) = split_line(line) else {
                continue;
            };
            if let Some(Err(error)) = membership.set(key, value) {
                return Err(ParseError { line: n + 1, error });
            }
        }
        Ok(membership)
    }

    /// Takes in one `key=value`; `None` if the key has nothing to do with membership.
    ///
    /// A key that was set before is replaced.
    ///
    /// # Errors
    /// A [`MembershipError`] that says what is not understood; nothing is changed then.
    pub fn set(&mut self, key: &str, value: &str) -> Option<Result<(), MembershipError>> {
        let value = value.trim();
        let result = match key.split_once('.') {
            Some(("server", id)) => self.set_server(id, value),
            Some(("group", id)) => self.set_group(id, value),
            Some(("weight", id)) => self.set_weight(id, value),
            _ if key == "version" => self.set_version(value),
            _ => return None,
        };
        Some(result)
    }

    fn set_server(&mut self, id: &str, value: &str) -> Result<(), MembershipError> {
        let id = parse_server_id(id)?;
        self.members.insert(id, Member::parse(id, value)?);
        Ok(())
    }

    fn set_group(&mut self, id: &str, value: &str) -> Result<(), MembershipError> {
        let group = parse_number(id)?;
        let servers: Vec<ServerId> = value
            .split(':')
            .map(|id| parse_server_id(id.trim()))
            .collect::<Result<_, _>>()?;
        let elsewhere = |id: &ServerId| {
            let mut others = self.groups.iter().filter(|(other, _)| **other != group);
            others.any(|(_, members)| members.contains(id))
        };
        if let Some(twice) = servers.iter().find(|id| elsewhere(id)) {
            return Err(MembershipError::TwoGroups(*twice));
        }
        self.groups.insert(group, servers);
        Ok(())
    }

    fn set_weight(&mut self, id: &str, value: &str) -> Result<(), MembershipError> {
        let id = parse_server_id(id)?;
        self.weights.insert(id, parse_number(value)?);
        Ok(())
    }

    fn set_version(&mut self, value: &str) -> Result<(), MembershipError> {
        let version = u64::from_str_radix(value, 16)
            .map_err(|_| MembershipError::Version(value.to_owned()))?;
        self.version = version.cast_signed();
        Ok(())
    }

    /// The member with this id, if it is listed.
    pub fn get(&self, id: ServerId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// The voters, in the order of their ids.
    pub fn participants(&self) -> impl Iterator<Item = &Member> {
        self.with_role(Role::Participant)
    }

    /// The observers that are listed, in the order of their ids.
    pub fn observers(&self) -> impl Iterator<Item = &Member> {
        self.with_role(Role::Observer)
    }

    fn with_role(&self, role: Role) -> impl Iterator<Item = &Member> {
        self.members.values().filter(move |m| m.role == role)
    }

    /// Whether quorums are made of groups (`group.G`, `weight.N`) and not of a plain majority.
    pub fn is_hierarchical(&self) -> bool {
        !self.groups.is_empty() || !self.weights.is_empty()
    }

    /// The participants that stand in no group although there are groups; a Java server refuses that.
    pub fn participants_without_group(&self) -> Vec<ServerId> {
        if !self.is_hierarchical() {
            return Vec::new();
        }
        let grouped = |m: &&Member| self.groups.values().any(|group| group.contains(&m.id));
        self.participants()
            .filter(|m| !grouped(m))
            .map(|m| m.id)
            .collect()
    }

    /// The canonical text: members, groups and weights in the order of their ids, then the version,
    /// without a line end behind it.
    pub fn to_text(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for member in self.members.values() {
            lines.push(format!("server.{}={member}", member.id));
        }
        for (group, servers) in &self.groups {
            let servers: Vec<String> = servers.iter().map(ServerId::to_string).collect();
            lines.push(format!("group.{group}={}", servers.join(":")));
        }
        for (id, weight) in self.weights_in_full() {
            lines.push(format!("weight.{id}={weight}"));
        }
        lines.push(format!("version={:x}", self.version));
        lines.join("\n")
    }

    /// The weights as a Java server writes them: in a hierarchical quorum one for every participant.
    fn weights_in_full(&self) -> BTreeMap<ServerId, i64> {
        let mut weights = self.weights.clone();
        if self.is_hierarchical() {
            for member in self.participants() {
                weights.entry(member.id).or_insert(WEIGHT_DEFAULT);
            }
        }
        weights
    }
}

/// What is wrong with a line about members.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// The N of `server.N` or `weight.N`, or a member of a group.
    #[error("`{0}` is not a server id; ids are whole numbers")]
    ServerId(String),
    /// A group's number or a weight.
    #[error("`{0}` is not a whole number")]
    Number(String),
    /// An address with too few or too many parts.
    #[error(
        "`{0}` is not host:quorumPort:electionPort or host:quorumPort:electionPort:role (an IPv6 address needs brackets)"
    )]
    Address(String),
    /// A client part with too many parts or without a port.
    #[error("`{0}` is not a client port or host:port (an IPv6 address needs brackets)")]
    ClientPart(String),
    /// An opening bracket without its partner.
    #[error("`{0}` opens a bracket and does not close it before the port")]
    Bracket(String),
    /// Not a port number.
    #[error("`{0}` is not a port; ports are whole numbers up to 65535")]
    Port(String),
    /// Neither of the two roles.
    #[error("`{0}` is neither participant nor observer")]
    Role(String),
    /// Several addresses of one server with different roles.
    #[error("the addresses of one server must all have the same role")]
    RolesDiffer,
    /// One port for learners and elections.
    #[error("quorum port and election port are both {0}; they must differ")]
    SamePort(u16),
    /// More than two `;`.
    #[error(
        "`;{0}` is one part too many; a line has at most a client part and a secure client part"
    )]
    Surplus(String),
    /// A server in more than one group.
    #[error("server {0} is in two groups")]
    TwoGroups(ServerId),
    /// A version that is not hexadecimal.
    #[error("`{0}` is not a version; versions are hexadecimal numbers")]
    Version(String),
    /// Bytes that are not UTF-8.
    #[error("not UTF-8 text")]
    NotText,
}

/// A [`MembershipError`] and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("membership line {line}: {error}")]
pub struct ParseError {
    /// Counted from 1; 0 means the text as a whole.
    pub line: usize,
    /// What is wrong there.
    pub error: MembershipError,
}

/// A host as canonical text writes it: IPv6 in brackets and in full, as Java prints it
/// (`[0:0:0:0:0:0:0:1]`), everything else as it is.
struct HostText<'a>(&'a str);

impl HostText<'_> {
    /// What addresses are sorted by.
    fn unbracketed(&self) -> String {
        self.to_string().replace(['[', ']'], "")
    }
}

impl fmt::Display for HostText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(address) = self.0.parse::<Ipv6Addr>() else {
            return match self.0.contains(':') {
                true => write!(f, "[{}]", self.0),
                false => f.write_str(self.0),
            };
        };
        if let Some(mapped) = address.to_ipv4_mapped() {
            return write!(f, "{mapped}");
        }
        let [first, rest @ ..] = address.segments();
        write!(f, "[{first:x}")?;
        for segment in rest {
            write!(f, ":{segment:x}")?;
        }
        f.write_str("]")
    }
}

/// Key and value of one line; `None` for blank lines and comments.
fn split_line(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', '!']) {
        return None;
    }
    let end = line.find(|c: char| c == '=' || c == ':' || c.is_whitespace())?;
    let value = line[end..].trim_start();
    let value = value.strip_prefix(['=', ':']).unwrap_or(value);
    Some((&line[..end], value.trim()))
}

fn parse_addresses(text: &str) -> Result<(Vec<Address>, Option<Role>), MembershipError> {
    let mut addresses: Vec<Address> = Vec::new();
    let mut role = None;
    // As in ZooKeeper, separators at the end separate nothing.
    for part in text.trim_end_matches('|').split('|').map(str::trim) {
        let (address, own_role) = parse_address(part)?;
        if role.is_some() && own_role.is_some() && role != own_role {
            return Err(MembershipError::RolesDiffer);
        }
        role = role.or(own_role);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok((addresses, role))
}

fn parse_address(text: &str) -> Result<(Address, Option<Role>), MembershipError> {
    let shape = || MembershipError::Address(text.to_owned());
    let (host, rest) = split_host(text)?;
    // As in ZooKeeper, colons at the end separate nothing either.
    let rest = rest.ok_or_else(shape)?.trim_end_matches(':');
    let parts: Vec<&str> = rest.split(':').collect();
    let (quorum, election, role) = match parts[..] {
        [quorum, election] => (quorum, election, None),
        [quorum, election, role] => (quorum, election, Some(role)),
        _ => return Err(shape()),
    };
    if host.is_empty() {
        return Err(shape());
    }
    let address = Address {
        host: host.to_owned(),
        quorum_port: parse_port(quorum)?,
        election_port: parse_port(election)?,
    };
    if address.quorum_port == address.election_port {
        return Err(MembershipError::SamePort(address.quorum_port));
    }
    Ok((address, role.map(parse_role).transpose()?))
}

/// An absent or empty part is no client port: `;;2281` has only a secure one.
fn parse_client_part(part: Option<&str>) -> Result<Option<Endpoint>, MembershipError> {
    part.filter(|text| !text.is_empty())
        .map(Endpoint::parse_client)
        .transpose()
}

/// The host without its brackets, and what stands behind the colon after it.
fn split_host(text: &str) -> Result<(&str, Option<&str>), MembershipError> {
    let Some(bracketed) = text.strip_prefix('[') else {
        return Ok(match text.split_once(':') {
            Some((host, rest)) => (host, Some(rest)),
            None => (text, None),
        });
    };
    let unclosed = || MembershipError::Bracket(text.to_owned());
    let (host, rest) = bracketed.split_once(']').ok_or_else(unclosed)?;
    match rest.strip_prefix(':') {
        Some(rest) => Ok((host, Some(rest))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(unclosed()),
    }
}

fn parse_port(text: &str) -> Result<u16, MembershipError> {
    text.trim()
        .parse()
        .map_err(|_| MembershipError::Port(text.to_owned()))
}

fn parse_role(text: &str) -> Result<Role, MembershipError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "participant" => Ok(Role::Participant),
        "observer" => Ok(Role::Observer),
        _ => Err(MembershipError::Role(text.to_owned())),
    }
}

fn parse_server_id(text: &str) -> Result<ServerId, MembershipError> {
    text.parse()
        .map(ServerId)
        .map_err(|_| MembershipError::ServerId(text.to_owned()))
}

fn parse_number(text: &str) -> Result<i64, MembershipError> {
    text.parse()
        .map_err(|_| MembershipError::Number(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(line: &str) -> Result<String, MembershipError> {
        Member::parse(ServerId(1), line).map(|member| member.to_string())
    }

    #[test]
    fn every_form_of_a_server_line_has_one_canonical_form() {
        for (line, expected) in [
            ("zk1:2888:3888", "zk1:2888:3888:participant"),
            ("zk1:2888:3888:OBSERVER", "zk1:2888:3888:observer"),
            ("zk1:2888:3888::", "zk1:2888:3888:participant"),
            (
                " zk1:2888:3888 ; 2181 ",
                "zk1:2888:3888:participant;0.0.0.0:2181",
            ),
            (
                "zk1:2888:3888:participant;10.0.0.1:2181",
                "zk1:2888:3888:participant;10.0.0.1:2181",
            ),
            (
                "zk1:2888:3888;;2281",
                "zk1:2888:3888:participant;;0.0.0.0:2281",
            ),
            (
                "zk1:2888:3888;2181;zk1:2281",
                "zk1:2888:3888:participant;0.0.0.0:2181;zk1:2281",
            ),
            ("zk1:2888:3888;", "zk1:2888:3888:participant"),
            (
                "[::1]:2888:3888:observer;[::1]:2181",
                "[0:0:0:0:0:0:0:1]:2888:3888:observer;[0:0:0:0:0:0:0:1]:2181",
            ),
            (
                "[::ffff:10.0.0.1]:2888:3888",
                "10.0.0.1:2888:3888:participant",
            ),
            (
                "b:2888:3888|a:2889:3889;2181",
                "a:2889:3889|b:2888:3888:participant;0.0.0.0:2181",
            ),
            (
                "9.0.0.1:1:2|[2001:db8::3]:1:2|10.0.0.1:1:2|",
                "10.0.0.1:1:2|[2001:db8:0:0:0:0:0:3]:1:2|9.0.0.1:1:2:participant",
            ),
            (
                "a:2888:3888:observer|b:2888:3888|a:2888:3888",
                "a:2888:3888|b:2888:3888:observer",
            ),
        ] {
            assert_eq!(canonical(line).as_deref(), Ok(expected), "{line}");
            assert_eq!(canonical(expected).as_deref(), Ok(expected), "{expected}");
        }
    }

    #[test]
    fn a_bad_server_line_is_refused_with_the_part_that_is_bad() {
        use MembershipError as E;
        for (line, expected) in [
            ("", E::Address("".into())),
            ("zk1", E::Address("zk1".into())),
            ("zk1:2888", E::Address("zk1:2888".into())),
            (":2888:3888", E::Address(":2888:3888".into())),
            ("::1:2888:3888", E::Address("::1:2888:3888".into())),
            ("zk1:2888:3888:observer:2181", {
                E::Address("zk1:2888:3888:observer:2181".into())
            }),
            ("a:1:2||b:1:2", E::Address("".into())),
            ("[::1:2888:3888", E::Bracket("[::1:2888:3888".into())),
            ("[::1]2888:3888", E::Bracket("[::1]2888:3888".into())),
            ("zk1:2888:x", E::Port("x".into())),
            ("zk1:2888:65536", E::Port("65536".into())),
            ("zk1:2888:3888:voter", E::Role("voter".into())),
            ("zk1:2888:2888", E::SamePort(2888)),
            ("a:1:2:observer|b:1:2:participant", E::RolesDiffer),
            ("zk1:1:2;zk1", E::ClientPart("zk1".into())),
            ("zk1:1:2;::1:2181", E::ClientPart("::1:2181".into())),
            ("zk1:1:2;zk1:99999", E::Port("99999".into())),
            ("zk1:1:2;2181;2281;9", E::Surplus("9".into())),
        ] {
            assert_eq!(canonical(line), Err(expected), "{line}");
        }
    }

    /// As a 3.9.3 ensemble keeps it in `/zookeeper/config`.
    const TEXT: &str = "server.1=127.0.0.1:31101:31201:participant;127.0.0.1:31001\n\
        server.2=127.0.0.1:31102:31202:participant;127.0.0.1:31002\n\
        server.4=127.0.0.1:31104:31204:observer;127.0.0.1:31004\n\
        version=100000000";

    #[test]
    fn the_text_of_a_real_ensemble_survives_reading_and_writing() {
        let membership = Membership::parse(TEXT.as_bytes()).unwrap();
        assert_eq!(membership.version, 0x1_0000_0000);
        let ids = |m: &mut dyn Iterator<Item = &Member>| m.map(|m| m.id.0).collect::<Vec<_>>();
        assert_eq!(ids(&mut membership.participants()), [1, 2]);
        assert_eq!(ids(&mut membership.observers()), [4]);
        assert_eq!(membership.to_text(), TEXT);
    }

    #[test]
    fn a_hierarchical_quorum_is_written_with_every_weight() {
        let text = b"server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2:observer\n\
            group.1=1:2\nweight.2=3\nversion=0";
        let membership = Membership::parse(text).unwrap();
        assert!(membership.is_hierarchical());
        assert!(membership.participants_without_group().is_empty());
        assert_eq!(
            membership.to_text(),
            "server.1=a:1:2:participant\nserver.2=b:1:2:participant\nserver.3=c:1:2:observer\n\
             group.1=1:2\nweight.1=1\nweight.2=3\nversion=0"
        );
        let two_groups = Membership::parse(b"group.1=1:2\ngroup.2=2:3").unwrap_err();
        assert_eq!(two_groups.line, 2);
        assert_eq!(two_groups.error, MembershipError::TwoGroups(ServerId(2)));
        let ungrouped = Membership::parse(b"server.1=a:1:2\nweight.1=1").unwrap();
        assert_eq!(ungrouped.participants_without_group(), [ServerId(1)]);
    }

    #[test]
    fn lines_that_a_newer_ensemble_may_add_do_not_spoil_the_rest() {
        let text = b"# comment\n\nfuture.1=x\nlone\nserver.1 = a:1:2\nversion : a";
        let membership = Membership::parse(text).unwrap();
        assert_eq!(
            membership.to_text(),
            "server.1=a:1:2:participant\nversion=a"
        );
    }

    #[test]
    fn a_line_that_is_not_understood_is_named_by_its_number() {
        let error = Membership::parse(b"server.1=a:1:2\nserver.x=b:1:2").unwrap_err();
        assert_eq!(
            error.to_string(),
            "membership line 2: `x` is not a server id; ids are whole numbers"
        );
        assert!(Membership::parse(b"server.1=\xff").is_err());
        assert!(Membership::parse(b"version=0x10").is_err());
    }

    #[test]
    fn an_unspecified_address_of_either_family_is_a_wildcard() {
        assert!(Endpoint::new("0.0.0.0", 1).is_wildcard());
        assert!(Endpoint::new("::", 1).is_wildcard());
        assert!(!Endpoint::new("127.0.0.1", 1).is_wildcard());
        assert!(!Endpoint::new("zk1", 1).is_wildcard());
    }

    proptest! {
        #[test]
        fn whatever_can_be_read_is_written_so_that_it_reads_the_same(
            lines in proptest::collection::vec(
                "(server\\.[0-9]|group\\.[1-3]|weight\\.[0-9]|version)=[a-c1-4:;|\\[\\]]{0,16}(:observer)?", 0..5),
        ) {
            let text = lines.join("\n");
            if let Ok(membership) = Membership::parse(text.as_bytes()) {
                let canonical = membership.to_text();
                let again = Membership::parse(canonical.as_bytes()).map(|m| m.to_text());
                prop_assert_eq!(again, Ok(canonical));
            }
        }

        #[test]
        fn no_text_at_all_stops_the_parser(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Membership::parse(&text);
            let mut line = b"server.1=".to_vec();
            line.extend_from_slice(&text);
            let _ = Membership::parse(&line);
        }
    }
}
