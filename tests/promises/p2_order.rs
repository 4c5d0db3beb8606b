//! P2: requests of one session are answered in the order sent; a read after a write of the same session sees
//! that write, and one before it does not.

use std::collections::BTreeMap;

use bstr::BStr;
use outpost_tests::raw::{RawClient, Reply};
use outpost_wire::proto::{
    CreateMode, CreateRequest, DeleteRequest, ExistsRequest, GetChildrenRequest,
    GetChildrenResponse, GetDataRequest, GetDataResponse, SetDataRequest, SetDataResponse,
    SyncRequest,
};
use outpost_wire::{Acl, ErrorCode, OpCode, Record, Xid};

use crate::stage::Site;

fn get(path: &str) -> Vec<u8> {
    let path = BStr::new(path);
    GetDataRequest { path, watch: false }.encode()
}

fn set(path: &str, data: &str) -> Vec<u8> {
    SetDataRequest {
        path: BStr::new(path),
        data: Some(data.as_bytes()),
        version: -1,
    }
    .encode()
}

#[test]
fn p2_a_read_between_two_writes_sees_the_first_and_not_the_second() {
    const ROUNDS: i32 = 400;
    for delay_ms in [0, 20] {
        let site = Site::with_commit_delay(delay_ms);
        let observer = site.observer();
        let mut client = observer.client();
        client
            .create("/a", b"", CreateMode::Persistent)
            .expect("created");
        let mut burst = Vec::new();
        for round in 1..=ROUNDS {
            burst.push((OpCode::SetData, set("/a", &round.to_string())));
            burst.push((OpCode::GetData, get("/a")));
        }
        let xids: Vec<Xid> = burst
            .iter()
            .map(|(op, body)| client.send_body(*op, body).expect("sent"))
            .collect();
        for (round, xids) in (1..).zip(xids.chunks(2)) {
            let [wrote, read] = [(); 2].map(|()| client.reply().expect("answered"));
            assert_eq!([wrote.header.xid, read.header.xid], [xids[0], xids[1]]);
            assert_eq!(wrote.record::<SetDataResponse>().stat.version, round);
            let read: GetDataResponse<'_> = read.record();
            assert_eq!(read.data, Some(round.to_string().as_bytes()));
            assert_eq!(read.stat.version, round);
        }
    }
}

/// What one session alone has made, so that every answer to it can be foretold.
#[derive(Default)]
struct Model {
    nodes: BTreeMap<String, (String, i32)>,
}

/// A request, and what it must be answered.
struct Foretold {
    op: OpCode,
    body: Vec<u8>,
    answer: Answer,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Error(ErrorCode),
    Nothing,
    Data(String, i32),
    Names(Vec<String>),
    Version(i32),
}

impl Model {
    fn any(&mut self, random: &mut fastrand::Rng) -> Foretold {
        let name = format!("n{}", random.u8(0..6));
        let path = format!("/home/{name}");
        let data = random.u32(..).to_string();
        let there = self.nodes.contains_key(&name);
        let no_node = Answer::Error(ErrorCode::NO_NODE);
        let (op, body, answer) = match random.u8(0..20) {
            0..3 => {
                let create = CreateRequest {
                    path: BStr::new(&path),
                    data: Some(data.as_bytes()),
                    acl: Some(Acl::open()),
                    flags: 0,
                };
                let body = create.encode();
                let answer = if there {
                    Answer::Error(ErrorCode::NODE_EXISTS)
                } else {
                    self.nodes.insert(name, (data, 0));
                    Answer::Nothing
                };
                (OpCode::Create, body, answer)
            }
            3..5 => {
                let request = DeleteRequest {
                    path: BStr::new(&path),
                    version: -1,
                };
                let gone = self.nodes.remove(&name);
                let answer = gone.map_or(no_node, |_| Answer::Nothing);
                (OpCode::Delete, request.encode(), answer)
            }
            5..8 => {
                let answer = self.nodes.get_mut(&name).map_or(no_node, |node| {
                    *node = (data.clone(), node.1 + 1);
                    Answer::Version(node.1)
                });
                (OpCode::SetData, set(&path, &data), answer)
            }
            8..12 => {
                let node = self.nodes.get(&name).cloned();
                let answer = node.map_or(no_node, |(data, version)| Answer::Data(data, version));
                (OpCode::GetData, get(&path), answer)
            }
            12..15 => {
                let path = BStr::new(&path);
                let body = ExistsRequest { path, watch: false }.encode();
                let node = self.nodes.get(&name);
                let answer = node.map_or(no_node, |(_, version)| Answer::Version(*version));
                (OpCode::Exists, body, answer)
            }
            15..17 => {
                let path = BStr::new("/home");
                let body = GetChildrenRequest { path, watch: false }.encode();
                let names = self.nodes.keys().cloned().collect();
                (OpCode::GetChildren, body, Answer::Names(names))
            }
            17 => {
                let path = BStr::new("/home");
                (OpCode::Sync, SyncRequest { path }.encode(), Answer::Nothing)
            }
            // Refused at the gate: it must keep its place between the others.
            18 => {
                let refused = Answer::Error(ErrorCode::MARSHALLING_ERROR);
                (OpCode::SetData, vec![0xff; 3], refused)
            }
            _ => (OpCode::Ping, Vec::new(), Answer::Nothing),
        };
        Foretold { op, body, answer }
    }
}

fn answer_of(op: OpCode, reply: &Reply) -> Answer {
    if !reply.err().is_ok() {
        return Answer::Error(reply.err());
    }
    match op {
        OpCode::GetData => {
            let read: GetDataResponse<'_> = reply.record();
            let data = String::from_utf8_lossy(read.data.unwrap_or_default());
            Answer::Data(data.into_owned(), read.stat.version)
        }
        OpCode::GetChildren => {
            let read: GetChildrenResponse<'_> = reply.record();
            let mut names: Vec<String> = read.children.iter().map(ToString::to_string).collect();
            names.sort();
            Answer::Names(names)
        }
        // Their answers are a Stat alone.
        OpCode::SetData | OpCode::Exists => {
            Answer::Version(reply.record::<SetDataResponse>().stat.version)
        }
        _ => Answer::Nothing,
    }
}

/// Sends everything at once, then reads the answers.
fn burst(client: &mut RawClient, requests: &[Foretold], seed: u64) {
    let mut xids = Vec::new();
    for request in requests {
        xids.push(client.send_body(request.op, &request.body).expect("sent"));
    }
    for (at, (request, xid)) in requests.iter().zip(xids).enumerate() {
        let reply = client.reply().expect("answered");
        assert_eq!(reply.header.xid, xid, "seed {seed}, request {at}");
        assert_eq!(
            answer_of(request.op, &reply),
            request.answer,
            "seed {seed}, request {at}: {:?}",
            request.op
        );
    }
}

#[test]
fn p2_whatever_one_session_asks_for_at_once_is_answered_as_if_asked_one_by_one() {
    let seed = fastrand::u64(..);
    for delay_ms in [0, 3] {
        let site = Site::with_commit_delay(delay_ms);
        let observer = site.observer();
        let mut client = observer.client();
        client
            .create("/home", b"", CreateMode::Persistent)
            .expect("created");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut model = Model::default();
        // The longest is deeper than the line in which one session's requests may stand.
        for count in [1, 10, 100, 1_500] {
            let requests: Vec<Foretold> = (0..count).map(|_| model.any(&mut random)).collect();
            burst(&mut client, &requests, seed);
        }
        client.close().expect("closed");
    }
}

#[test]
fn p2_a_sync_shows_what_another_server_has_acknowledged_before_it() {
    let site = Site::with_commit_delay(5);
    let observer = site.observer();
    observer.wait_for(site.write("/a", b"0"));
    let mut client = observer.client();
    for round in 1..=20 {
        let zxid = site.write("/a", b"x");
        let sync = SyncRequest {
            path: BStr::new("/a"),
        };
        client.send(OpCode::Sync, &sync).expect("sent");
        client.send_body(OpCode::GetData, &get("/a")).expect("sent");
        let (synced, read) = (
            client.reply().expect("synced"),
            client.reply().expect("read"),
        );
        assert!(synced.header.zxid >= zxid);
        let read: GetDataResponse<'_> = read.record();
        assert_eq!(read.stat.version, round);
    }
}

#[test]
fn p2_what_stands_behind_the_close_of_a_session_is_not_answered() {
    let site = Site::with_commit_delay(5);
    let observer = site.observer();
    let mut client = observer.client();
    client
        .create("/a", b"", CreateMode::Persistent)
        .expect("created");
    client
        .send_body(OpCode::SetData, &set("/a", "x"))
        .expect("sent");
    client.send_body(OpCode::CloseSession, &[]).expect("sent");
    client.send_body(OpCode::GetData, &get("/a")).expect("sent");
    assert!(client.reply().expect("answered").err().is_ok());
    assert!(client.reply().expect("answered").err().is_ok());
    assert!(client.reply().is_err(), "the session was over");
}
