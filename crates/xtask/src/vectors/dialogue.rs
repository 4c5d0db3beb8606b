//! What is said to a real server so that every kind of message crosses the relays once.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use bstr::BStr;
use bytes::{Bytes, BytesMut};
use outpost_tests::raw::RawClient;
use outpost_tests::run_dir::target_dir;
use outpost_tests::{Ensemble, Version};
use outpost_wire::proto::{
    AddWatchRequest, CheckVersionRequest, CheckWatchesRequest, ConnectRequest, CreateMode,
    CreateRequest, CreateTtlRequest, DeleteContainerRequest, DeleteRequest, ExistsRequest,
    GetAclRequest, GetAllChildrenNumberRequest, GetChildren2Request, GetChildrenRequest,
    GetDataRequest, GetEphemeralsRequest, GetSaslRequest, MultiOp, MultiRequest, ReconfigRequest,
    RemoveWatchesRequest, SetAclRequest, SetDataRequest, SetWatches, SetWatches2, SyncRequest,
};
use outpost_wire::quorum::{LearnerInfo, PROTOCOL_VERSION, PacketType, QuorumPacket};
use outpost_wire::{Acl, Id, OpCode, Perms, Record, ServerId, SessionId, Writer, Zxid};

const TIMEOUT_MS: i32 = 10_000;

fn path(text: &str) -> &BStr {
    BStr::new(text)
}

fn create<'a>(at: &'a str, data: Option<&'a [u8]>, mode: CreateMode) -> CreateRequest<'a> {
    CreateRequest {
        path: path(at),
        data,
        acl: Some(Acl::open()),
        flags: mode.code(),
    }
}

fn private_acl() -> Vec<Acl> {
    vec![
        Acl {
            perms: Perms::ALL,
            id: Id::new("digest", "ann:ztvDd8QcdxzKVgd32VVYbtHLzyA="),
        },
        Acl {
            perms: Perms::READ,
            id: Id::anyone(),
        },
    ]
}

/// A JAAS file with which a server offers SASL; the user is nobody's.
pub(crate) fn write_jaas_file() -> PathBuf {
    let file = target_dir().join("vectors-jaas.conf");
    let text = "Server {\n  org.apache.zookeeper.server.auth.DigestLoginModule required\n  \
                user_ann=\"secret\";\n};\n";
    std::fs::write(&file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    file
}

/// Makes a tree worth taking a snapshot of, through a voter.
pub(crate) fn seed(ensemble: &Ensemble) {
    let version = ensemble.settings().version;
    let mut client = connect(ensemble.server(1).client_address());
    let mut make = |op: OpCode, request: CreateRequest<'_>| {
        let reply = client.request(op, &request);
        assert!(reply.err().is_ok(), "{}: {}", request.path, reply.err());
    };
    make(
        OpCode::Create,
        create("/seed", Some(b"data"), CreateMode::Persistent),
    );
    make(
        OpCode::Create,
        create("/seed/null", None, CreateMode::Persistent),
    );
    make(
        OpCode::Create,
        create("/seed/empty", Some(b""), CreateMode::Persistent),
    );
    make(
        OpCode::Create,
        create("/seed/n-", Some(b"n"), CreateMode::PersistentSequential),
    );
    let private = CreateRequest {
        acl: Some(private_acl()),
        ..create("/seed/private", Some(b"p"), CreateMode::Persistent)
    };
    make(OpCode::Create, private);
    make(
        OpCode::Create,
        create("/seed/mine", Some(b"e"), CreateMode::Ephemeral),
    );
    if version >= Version::V3_5_10 {
        make(
            OpCode::CreateContainer,
            create("/seed/box", Some(b"c"), CreateMode::Container),
        );
        let ttl = client.create_ttl("/seed/ttl", 3_600_000);
        assert!(ttl.is_ok(), "{ttl:?}");
    }
    // The session and its ephemeral are still alive when the observer gets its snapshot.
    client.abandon();
}

/// Everything that the release knows, through an observer.
pub(crate) fn everything(version: Version, observer: SocketAddr) {
    let mut client = connect(observer);
    client.authenticate("ann:secret");
    client.authenticate("super:secret");
    writes(version, &mut client);
    reads(version, &mut client);
    watches(version, &mut client);
    if version >= Version::V3_4_5 {
        multis(version, &mut client);
    }
    client
        .try_request_body(OpCode::Ping, &[])
        .expect("a ping is answered");
    ask(
        &mut client,
        OpCode::Create,
        &create("/v/mine", Some(b"e"), CreateMode::Ephemeral),
    );
    client.close().expect("a session can be closed");
    sessions(observer);
    if version >= Version::V3_4_5 {
        sasl(observer);
    }
}

/// Changes that an observer misses.
pub(crate) fn while_the_observer_is_away(ensemble: &Ensemble) {
    let mut client = connect(ensemble.server(1).client_address());
    ask(
        &mut client,
        OpCode::Create,
        &create("/away", Some(b"1"), CreateMode::Persistent),
    );
    ask(&mut client, OpCode::SetData, &set_data("/away", -1));
    client.close().expect("a session can be closed");
}

/// A session of its own.
pub(crate) fn connect(server: SocketAddr) -> RawClient {
    RawClient::connect(server, TIMEOUT_MS)
}

/// Asks, and takes any answer.
fn ask<'r>(client: &mut RawClient, op: OpCode, request: &impl Record<'r>) {
    client.request(op, request);
}

fn set_data(at: &str, version: i32) -> SetDataRequest<'_> {
    SetDataRequest {
        path: path(at),
        data: Some(b"changed"),
        version,
    }
}

fn writes(version: Version, client: &mut RawClient) {
    ask(
        client,
        OpCode::Create,
        &create("/v", Some(b"data"), CreateMode::Persistent),
    );
    ask(
        client,
        OpCode::Create,
        &create("/v", Some(b"data"), CreateMode::Persistent),
    );
    ask(
        client,
        OpCode::Create,
        &create("/none/child", None, CreateMode::Persistent),
    );
    ask(
        client,
        OpCode::Create,
        &create("/v/null", None, CreateMode::Persistent),
    );
    ask(
        client,
        OpCode::Create,
        &create("/v/empty", Some(b""), CreateMode::Persistent),
    );
    ask(
        client,
        OpCode::Create,
        &create("/v/own", Some(b"o"), CreateMode::Ephemeral),
    );
    let nobody = CreateRequest {
        acl: None,
        ..create("/v/no", None, CreateMode::Persistent)
    };
    ask(client, OpCode::Create, &nobody);
    let private = CreateRequest {
        acl: Some(private_acl()),
        ..create("/v/private-", Some(b"p"), CreateMode::PersistentSequential)
    };
    ask(client, OpCode::Create, &private);
    ask(client, OpCode::SetData, &set_data("/v", 0));
    ask(client, OpCode::SetData, &set_data("/v", 0));
    let acl = SetAclRequest {
        path: path("/v/empty"),
        acl: Some(private_acl()),
        version: -1,
    };
    ask(client, OpCode::SetAcl, &acl);
    ask(
        client,
        OpCode::Delete,
        &DeleteRequest {
            path: path("/v"),
            version: -1,
        },
    );
    ask(
        client,
        OpCode::Create,
        &create("/v/gone", None, CreateMode::Persistent),
    );
    ask(
        client,
        OpCode::Delete,
        &DeleteRequest {
            path: path("/v/gone"),
            version: 0,
        },
    );
    ask(client, OpCode::Sync, &SyncRequest { path: path("/v") });
    if version < Version::V3_5_10 {
        return;
    }
    ask(
        client,
        OpCode::Create2,
        &create("/v/two", Some(b"2"), CreateMode::Persistent),
    );
    ask(
        client,
        OpCode::CreateContainer,
        &create("/v/box", Some(b"c"), CreateMode::Container),
    );
    ask(client, OpCode::CreateTtl, &create_ttl("/v/ttl"));
    // Before 3.9 no learner can ask for this: the leader takes the whole packet for the path.
    let container = DeleteContainerRequest {
        path: path("/v/box"),
    };
    ask(client, OpCode::DeleteContainer, &container);
    // The leader deletes a container that has lost its last child.
    ask(
        client,
        OpCode::CreateContainer,
        &create("/v/sweep", None, CreateMode::Container),
    );
    ask(
        client,
        OpCode::Create,
        &create("/v/sweep/child", None, CreateMode::Persistent),
    );
    ask(
        client,
        OpCode::Delete,
        &DeleteRequest {
            path: path("/v/sweep/child"),
            version: -1,
        },
    );
}

fn create_ttl(at: &str) -> CreateTtlRequest<'_> {
    CreateTtlRequest {
        path: path(at),
        data: Some(b"t"),
        acl: Some(Acl::open()),
        flags: CreateMode::PersistentWithTtl.code(),
        ttl: 3_600_000,
    }
}

fn reads(version: Version, client: &mut RawClient) {
    for at in ["/v", "/v/null", "/v/empty", "/none"] {
        let (path, watch) = (path(at), false);
        ask(client, OpCode::Exists, &ExistsRequest { path, watch });
        ask(client, OpCode::GetData, &GetDataRequest { path, watch });
        ask(
            client,
            OpCode::GetChildren,
            &GetChildrenRequest { path, watch },
        );
        ask(
            client,
            OpCode::GetChildren2,
            &GetChildren2Request { path, watch },
        );
        ask(client, OpCode::GetAcl, &GetAclRequest { path });
    }
    ask(
        client,
        OpCode::GetAcl,
        &GetAclRequest {
            path: path("/v/empty"),
        },
    );
    if version >= Version::V3_6_4 {
        let prefix_path = Some(path("/v"));
        ask(
            client,
            OpCode::GetEphemerals,
            &GetEphemeralsRequest { prefix_path },
        );
        let below = GetAllChildrenNumberRequest { path: path("/v") };
        ask(client, OpCode::GetAllChildrenNumber, &below);
        let read = |at| {
            MultiOp::GetData(GetDataRequest {
                path: path(at),
                watch: false,
            })
        };
        let children = GetChildrenRequest {
            path: path("/v"),
            watch: false,
        };
        let good = MultiRequest {
            ops: vec![read("/v"), MultiOp::GetChildren(children)],
        };
        ask(client, OpCode::MultiRead, &good);
        ask(
            client,
            OpCode::MultiRead,
            &MultiRequest {
                ops: vec![read("/v"), read("/none")],
            },
        );
    }
    if version >= Version::V3_7_2 {
        client
            .try_request_body(OpCode::WhoAmI, &[])
            .expect("whoAmI is answered");
    }
}

fn watches(version: Version, client: &mut RawClient) {
    let (at, below) = (path("/v/w"), "/v/w/child");
    ask(
        client,
        OpCode::Exists,
        &ExistsRequest {
            path: at,
            watch: true,
        },
    );
    ask(
        client,
        OpCode::Create,
        &create("/v/w", Some(b"1"), CreateMode::Persistent),
    );
    ask(
        client,
        OpCode::GetData,
        &GetDataRequest {
            path: at,
            watch: true,
        },
    );
    ask(
        client,
        OpCode::GetChildren,
        &GetChildrenRequest {
            path: at,
            watch: true,
        },
    );
    ask(client, OpCode::SetData, &set_data("/v/w", -1));
    ask(
        client,
        OpCode::Create,
        &create(below, None, CreateMode::Persistent),
    );
    ask(
        client,
        OpCode::GetData,
        &GetDataRequest {
            path: path(below),
            watch: true,
        },
    );
    ask(
        client,
        OpCode::Delete,
        &DeleteRequest {
            path: path(below),
            version: -1,
        },
    );
    let (data, exist, child) = (
        vec![path("/v"), at],
        vec![path("/none")],
        vec![path("/v/w")],
    );
    let set = SetWatches {
        relative_zxid: client.last_zxid(),
        data_watches: data.clone(),
        exist_watches: exist.clone(),
        child_watches: child.clone(),
    };
    ask(client, OpCode::SetWatches, &set);
    if version >= Version::V3_5_10 {
        for kind in [3, 2] {
            ask(
                client,
                OpCode::CheckWatches,
                &CheckWatchesRequest { path: at, kind },
            );
            ask(
                client,
                OpCode::RemoveWatches,
                &RemoveWatchesRequest { path: at, kind },
            );
        }
    }
    if version >= Version::V3_6_4 {
        for mode in [0, 1] {
            ask(
                client,
                OpCode::AddWatch,
                &AddWatchRequest { path: at, mode },
            );
        }
        ask(client, OpCode::SetData, &set_data("/v/w", -1));
        let set = SetWatches2 {
            relative_zxid: client.last_zxid(),
            data_watches: data,
            exist_watches: exist,
            child_watches: child,
            persistent_watches: vec![path("/v/p")],
            persistent_recursive_watches: vec![path("/v/r"), at],
        };
        ask(client, OpCode::SetWatches2, &set);
    }
}

fn multis(version: Version, client: &mut RawClient) {
    let check = |version| {
        MultiOp::Check(CheckVersionRequest {
            path: path("/v/m"),
            version,
        })
    };
    let delete = || {
        MultiOp::Delete(DeleteRequest {
            path: path("/v/m"),
            version: -1,
        })
    };
    let make = |at| create(at, Some(b"m"), CreateMode::Persistent);
    let mut ops = vec![
        MultiOp::Create(make("/v/m")),
        MultiOp::SetData(set_data("/v/m", 0)),
        check(1),
        delete(),
    ];
    if version >= Version::V3_5_10 {
        ops.push(MultiOp::Create2(make("/v/m2")));
        let container = create("/v/mbox", None, CreateMode::Container);
        ops.push(MultiOp::CreateContainer(container));
        ops.push(MultiOp::CreateTtl(create_ttl("/v/mttl")));
    }
    ask(client, OpCode::Multi, &MultiRequest { ops });
    let failing = vec![MultiOp::Create(make("/v/m")), check(7), delete()];
    ask(client, OpCode::Multi, &MultiRequest { ops: failing });
    ask(client, OpCode::Multi, &MultiRequest::default());
}

/// Sessions that move, that do not exist any more, and that say a wrong password.
fn sessions(observer: SocketAddr) {
    let (session, last_zxid) = connect(observer).abandon();
    let client = RawClient::reopen(observer, &session, last_zxid).expect("it is still alive");
    client.close().expect("a session can be closed");
    RawClient::reopen(observer, &session, last_zxid).expect_err("it is closed");
    let old = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        time_out: TIMEOUT_MS,
        session_id: SessionId::NONE,
        passwd: Some(&[0; 16]),
        read_only: None,
    };
    let mut client = RawClient::tcp(observer).expect("the observer listens");
    client.handshake(&old).expect("an old client is served");
    client.close().expect("a session can be closed");
}

/// The first step of DIGEST-MD5, which the server answers with a challenge.
fn sasl(observer: SocketAddr) {
    let mut client = connect(observer);
    ask(
        &mut client,
        OpCode::Sasl,
        &GetSaslRequest { token: Some(b"") },
    );
    let (_, _) = client.abandon();
}

/// A learner that claims more transactions than the leader has, and must give them back.
pub(crate) fn observer_from_the_future(version: Version, ensemble: &Ensemble, leader: SocketAddr) {
    let mut client = connect(ensemble.server(ensemble.wait_for_leader()).client_address());
    client.sync();
    let ahead = Zxid(client.last_zxid().0 + 10);
    Link::attach(leader, version, scripted_observer(ensemble), ahead);
    client.close().expect("a session can be closed");
}

/// Removes a server that is not there, which makes a new configuration of the same servers, while
/// an observer listens.
pub(crate) fn reconfiguration(ensemble: &Ensemble, leader: SocketAddr, server: SocketAddr) {
    let version = ensemble.settings().version;
    let mut client = connect(server);
    client.authenticate("super:secret");
    client.sync();
    let mut link = Link::attach(
        leader,
        version,
        scripted_observer(ensemble),
        client.last_zxid(),
    );
    let request = ReconfigRequest {
        joining_servers: None,
        leaving_servers: Some(path("77")),
        new_members: None,
        cur_config_id: -1,
    };
    ask(&mut client, OpCode::Reconfig, &request);
    link.read_until(PacketType::InformAndActivate);
    client.close().expect("a session can be closed");
}

fn scripted_observer(ensemble: &Ensemble) -> ServerId {
    ServerId(i64::try_from(ensemble.listed_observers()[1].0).expect("a small id"))
}

/// A learner's connection that does as little as possible.
struct Link {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Link {
    /// Connects and synchronises until the leader says UPTODATE.
    fn attach(leader: SocketAddr, version: Version, id: ServerId, last: Zxid) -> Link {
        let stream = TcpStream::connect(leader).expect("the leader listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a timeout can be set");
        let mut link = Link {
            stream,
            buffer: BytesMut::new(),
        };
        link.introduce(version, id, last);
        let newleader = link.read_until(PacketType::NewLeader);
        link.send(&QuorumPacket::new(PacketType::Ack, newleader.zxid, None));
        link.read_until(PacketType::UpToDate);
        link
    }

    fn introduce(&mut self, version: Version, server_id: ServerId, last: Zxid) {
        let mut data = Vec::new();
        let (protocol_version, config_version) = (PROTOCOL_VERSION, 0);
        LearnerInfo {
            server_id,
            protocol_version,
            config_version,
        }
        .write(&mut Writer::new(&mut data));
        if version < Version::V3_4_5 {
            // 3.3 has no exchange of epochs: the id alone, and the last zxid at once.
            data.truncate(8);
            self.send(&QuorumPacket::new(
                PacketType::ObserverInfo,
                last,
                Some(data.into()),
            ));
            return;
        }
        let epoch = Zxid::of_epoch(last.epoch());
        self.send(&QuorumPacket::new(
            PacketType::ObserverInfo,
            epoch,
            Some(data.into()),
        ));
        self.read_until(PacketType::LeaderInfo);
        let epoch = Bytes::copy_from_slice(&last.epoch().to_be_bytes());
        self.send(&QuorumPacket::new(PacketType::AckEpoch, last, Some(epoch)));
    }

    fn send(&mut self, packet: &QuorumPacket) {
        let mut bytes = Vec::new();
        packet.write(&mut Writer::new(&mut bytes));
        self.stream.write_all(&bytes).expect("the leader reads");
    }

    fn read_until(&mut self, wanted: PacketType) -> QuorumPacket {
        loop {
            let packet = QuorumPacket::take(&mut self.buffer, 4 << 20).expect("a packet");
            match packet {
                Some(packet) if packet.packet_type() == Some(wanted) => return packet,
                Some(_) => {}
                None => {
                    let mut bytes = [0; 4096];
                    let count = self.stream.read(&mut bytes).expect("the leader writes");
                    assert!(count > 0, "the leader hangs up before {wanted:?}");
                    self.buffer.extend_from_slice(&bytes[..count]);
                }
            }
        }
    }
}
