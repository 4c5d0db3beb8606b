//! Every record survives the way to bytes and back, whatever its fields hold; and a record that is
//! cut off is an error, never another record.

// A record that does not come back fails the test.
#![allow(clippy::unwrap_used)]

use bstr::{BStr, BString};
use bytes::{Bytes, BytesMut};
use outpost_wire::files::{
    LogReader, SnapshotDecoder, SnapshotDigest, SnapshotEncoder, SnapshotFileDecoder,
    SnapshotFileEncoder, SnapshotItem, SnapshotTrailer, log,
};
use outpost_wire::proto::*;
use outpost_wire::quorum::{ForwardedRequest, LearnerInfo, QuorumPacket};
use outpost_wire::txn::{CreateKind, CreateTxn, SubTxn, Txn, TxnDigest, TxnEntry, TxnHeader};
use outpost_wire::{
    Acl, DecodeError, ErrorCode, Id, OpCode, Perms, Record, ServerId, SessionId, Stat,
    StatPersisted, Writer, Xid, Zxid,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const BYTES_MAX: usize = 1 << 16;

/// What fields are filled with.
#[derive(Debug, Clone)]
struct Parts {
    texts: [Vec<u8>; 3],
    names: Vec<Vec<u8>>,
    data: Option<Vec<u8>>,
    acl: Option<Vec<Acl>>,
    ints: [i32; 4],
    longs: [i64; 6],
    flag: bool,
}

fn parts() -> impl Strategy<Value = Parts> {
    let text = || vec(any::<u8>(), 0..12);
    let acl = vec((any::<i32>(), text(), text()), 0..4).prop_map(|entries| {
        let entry = |(perms, scheme, id)| Acl {
            perms: Perms(perms),
            id: Id {
                scheme: BString::new(scheme),
                id: BString::new(id),
            },
        };
        entries.into_iter().map(entry).collect()
    });
    let texts = [text(), text(), text()];
    let lists = (
        texts,
        vec(text(), 0..5),
        option::of(vec(any::<u8>(), 0..40)),
        option::of(acl),
    );
    (lists, any::<[i32; 4]>(), any::<[i64; 6]>(), any::<bool>()).prop_map(
        |((texts, names, data, acl), ints, longs, flag)| Parts {
            texts,
            names,
            data,
            acl,
            ints,
            longs,
            flag,
        },
    )
}

impl Parts {
    fn path(&self) -> &BStr {
        BStr::new(&self.texts[0])
    }

    fn data(&self) -> Option<&[u8]> {
        self.data.as_deref()
    }

    fn names(&self) -> Vec<&BStr> {
        self.names.iter().map(BStr::new).collect()
    }

    fn acl(&self) -> Vec<Acl> {
        self.acl.clone().unwrap_or_default()
    }

    fn stat(&self) -> Stat {
        let persisted = self.stat_persisted();
        Stat {
            czxid: persisted.czxid,
            mzxid: persisted.mzxid,
            ctime: persisted.ctime,
            mtime: persisted.mtime,
            version: persisted.version,
            cversion: persisted.cversion,
            aversion: persisted.aversion,
            ephemeral_owner: persisted.ephemeral_owner,
            data_length: self.ints[3],
            num_children: self.ints[0],
            pzxid: persisted.pzxid,
        }
    }

    fn stat_persisted(&self) -> StatPersisted {
        StatPersisted {
            czxid: Zxid(self.longs[0]),
            mzxid: Zxid(self.longs[1]),
            ctime: self.longs[2],
            mtime: self.longs[3],
            version: self.ints[0],
            cversion: self.ints[1],
            aversion: self.ints[2],
            ephemeral_owner: self.longs[4],
            pzxid: Zxid(self.longs[5]),
        }
    }

    fn create(&self, flags: i32) -> CreateRequest<'_> {
        CreateRequest {
            path: self.path(),
            data: self.data(),
            acl: self.acl.clone(),
            flags,
        }
    }

    fn create_ttl(&self) -> CreateTtlRequest<'_> {
        CreateTtlRequest {
            path: self.path(),
            data: self.data(),
            acl: self.acl.clone(),
            flags: self.ints[0],
            ttl: self.longs[0],
        }
    }

    fn delete(&self) -> DeleteRequest<'_> {
        DeleteRequest {
            path: self.path(),
            version: self.ints[0],
        }
    }

    fn set_data(&self) -> SetDataRequest<'_> {
        SetDataRequest {
            path: self.path(),
            data: self.data(),
            version: self.ints[0],
        }
    }

    fn check(&self) -> CheckVersionRequest<'_> {
        CheckVersionRequest {
            path: self.path(),
            version: self.ints[1],
        }
    }

    fn get_data(&self) -> GetDataRequest<'_> {
        GetDataRequest {
            path: self.path(),
            watch: self.flag,
        }
    }

    fn get_children(&self) -> GetChildrenRequest<'_> {
        GetChildrenRequest {
            path: self.path(),
            watch: self.flag,
        }
    }

    fn header(&self, kind: OpCode) -> TxnHeader {
        TxnHeader {
            session: SessionId(self.longs[0]),
            cxid: Xid(self.ints[0]),
            zxid: Zxid(self.longs[1]),
            time: self.longs[2],
            kind: kind.code(),
        }
    }

    /// One transaction of each kind that a multi may hold.
    fn single_txns(&self) -> Vec<(OpCode, Txn<'_>)> {
        let create = |kind| {
            Txn::Create(CreateTxn {
                path: self.path(),
                data: self.data(),
                acl: self.acl(),
                kind,
                parent_cversion: self.ints[1],
            })
        };
        let path = self.path();
        let set_data = Txn::SetData {
            path,
            data: self.data(),
            version: self.ints[2],
        };
        vec![
            (OpCode::Create, create(CreateKind::Persistent)),
            (OpCode::Create2, create(CreateKind::Ephemeral)),
            (OpCode::CreateContainer, create(CreateKind::Container)),
            (OpCode::CreateTtl, create(CreateKind::Ttl(self.longs[3]))),
            (OpCode::Delete, Txn::Delete { path }),
            (OpCode::DeleteContainer, Txn::Delete { path }),
            (OpCode::SetData, set_data.clone()),
            (OpCode::Reconfig, set_data),
            (
                OpCode::SetAcl,
                Txn::SetAcl {
                    path,
                    acl: self.acl(),
                    version: self.ints[2],
                },
            ),
            (
                OpCode::Check,
                Txn::Check {
                    path,
                    version: self.ints[2],
                },
            ),
            (
                OpCode::Error,
                Txn::Error {
                    error: ErrorCode(self.ints[3]),
                },
            ),
        ]
    }
}

/// Decodes the type of `_example`.
fn decode_like<'a, R: Record<'a>>(_example: &R, bytes: &'a [u8]) -> Result<R, DecodeError> {
    R::decode("record", bytes)
}

/// Decoded from its encoding each record is itself; from less than that it is nothing.
macro_rules! survive {
    ($($record:expr;)*) => {
        $({
            let record = $record;
            let bytes = record.encode();
            let decoded = decode_like(&record, &bytes);
            prop_assert_eq!(decoded.as_ref(), Ok(&record));
            for cut in 0..bytes.len() {
                prop_assert!(decode_like(&record, &bytes[..cut]).is_err(), "{record:?} {cut}");
            }
        })*
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn requests_survive(p in parts()) {
        survive! {
            RequestHeader { xid: Xid(p.ints[0]), op: p.ints[1] };
            p.create(p.ints[0]);
            p.create_ttl();
            p.delete();
            DeleteContainerRequest { path: p.path() };
            p.set_data();
            SetAclRequest { path: p.path(), acl: p.acl.clone(), version: p.ints[0] };
            p.check();
            ReconfigRequest {
                joining_servers: p.data().map(BStr::new),
                leaving_servers: p.flag.then(|| p.path()),
                new_members: Some(BStr::new(&p.texts[1])),
                cur_config_id: p.longs[0],
            };
            ExistsRequest { path: p.path(), watch: p.flag };
            p.get_data();
            GetAclRequest { path: p.path() };
            p.get_children();
            GetChildren2Request { path: p.path(), watch: p.flag };
            SyncRequest { path: p.path() };
            GetAllChildrenNumberRequest { path: p.path() };
            GetEphemeralsRequest { prefix_path: p.data().map(BStr::new) };
            AddWatchRequest { path: p.path(), mode: p.ints[0] };
            CheckWatchesRequest { path: p.path(), kind: p.ints[0] };
            RemoveWatchesRequest { path: p.path(), kind: p.ints[0] };
            SetWatches {
                relative_zxid: Zxid(p.longs[0]),
                data_watches: p.names(),
                exist_watches: vec![p.path()],
                child_watches: p.names(),
            };
            SetWatches2 {
                relative_zxid: Zxid(p.longs[0]),
                data_watches: p.names(),
                exist_watches: vec![p.path()],
                child_watches: p.names(),
                persistent_watches: Vec::new(),
                persistent_recursive_watches: p.names(),
            };
            AuthPacket { kind: p.ints[0], scheme: p.path(), auth: p.data() };
            GetSaslRequest { token: p.data() };
        }
    }

    #[test]
    fn replies_survive(p in parts()) {
        let stat = p.stat();
        survive! {
            ReplyHeader { xid: Xid(p.ints[0]), zxid: Zxid(p.longs[0]), err: ErrorCode(p.ints[1]) };
            ErrorResponse { err: ErrorCode(p.ints[0]) };
            CreateResponse { path: p.path() };
            Create2Response { path: p.path(), stat };
            SetDataResponse { stat };
            SetAclResponse { stat };
            ExistsResponse { stat };
            GetDataResponse { data: p.data(), stat };
            GetChildrenResponse { children: p.names() };
            GetChildren2Response { children: p.names(), stat };
            GetAclResponse { acl: p.acl(), stat };
            SyncResponse { path: p.path() };
            GetAllChildrenNumberResponse { total_number: p.ints[0] };
            GetEphemeralsResponse { ephemerals: p.names() };
            WatcherEvent { kind: p.ints[0], state: p.ints[1], path: p.path() };
            SetSaslResponse { token: p.data() };
            WhoAmIResponse {
                client_info: p
                    .names()
                    .into_iter()
                    .map(|user| ClientInfo { auth_scheme: p.path(), user })
                    .collect(),
            };
            stat;
            p.stat_persisted();
        }
    }

    #[test]
    fn multis_survive(p in parts(), flags in 0..=6) {
        let (data, stat) = (p.data(), p.stat());
        survive! {
            MultiHeader { kind: p.ints[0], done: p.flag, err: p.ints[1] };
            MultiRequest {
                ops: vec![
                    MultiOp::Create(p.create(flags)),
                    MultiOp::Create2(p.create(flags)),
                    MultiOp::CreateContainer(p.create(flags)),
                    MultiOp::CreateTtl(p.create_ttl()),
                    MultiOp::Delete(p.delete()),
                    MultiOp::SetData(p.set_data()),
                    MultiOp::Check(p.check()),
                ],
            };
            MultiRequest {
                ops: vec![MultiOp::GetData(p.get_data()), MultiOp::GetChildren(p.get_children())],
            };
            MultiResponse {
                results: vec![
                    MultiResult::Create(CreateResponse { path: p.path() }),
                    MultiResult::Create2(Create2Response { path: p.path(), stat }),
                    MultiResult::Delete,
                    MultiResult::SetData(SetDataResponse { stat }),
                    MultiResult::Check,
                    MultiResult::GetData(GetDataResponse { data, stat }),
                    MultiResult::GetChildren(GetChildrenResponse { children: p.names() }),
                    MultiResult::Error(ErrorCode(p.ints[0])),
                ],
            };
        }
    }

    #[test]
    fn connect_records_survive_with_and_without_their_last_byte(
        p in parts(),
        read_only in option::of(any::<bool>()),
    ) {
        let request = ConnectRequest {
            protocol_version: p.ints[0],
            last_zxid_seen: Zxid(p.longs[0]),
            time_out: p.ints[1],
            session_id: SessionId(p.longs[1]),
            passwd: p.data(),
            read_only,
        };
        let response = ConnectResponse {
            protocol_version: p.ints[0],
            time_out: p.ints[1],
            session_id: SessionId(p.longs[1]),
            passwd: p.data(),
            read_only,
        };
        let (request_bytes, response_bytes) = (request.encode(), response.encode());
        let decoded = decode_like(&request, &request_bytes);
        prop_assert_eq!(decoded.as_ref(), Ok(&request));
        let decoded = decode_like(&response, &response_bytes);
        prop_assert_eq!(decoded.as_ref(), Ok(&response));
    }

    #[test]
    fn transactions_survive(p in parts(), digest in option::of(any::<i64>())) {
        let digest = digest.map(|tree_digest| TxnDigest { version: 2, tree_digest });
        let singles = p.single_txns();
        let subs = singles.iter().map(|(op, txn)| SubTxn { kind: op.code(), txn: txn.clone() });
        let mut txns = vec![(OpCode::Multi, Txn::Multi(subs.collect()))];
        txns.push((OpCode::CreateSession, Txn::CreateSession { timeout_ms: p.ints[2] }));
        txns.push((OpCode::CloseSession, Txn::CloseSession { paths: None }));
        // No path is empty: two that were would be read as a digest.
        let paths: Vec<Vec<u8>> = p.names.iter().map(|name| [b"/", name.as_slice()].concat()).collect();
        let paths = paths.iter().map(BStr::new).collect();
        txns.push((OpCode::CloseSession, Txn::CloseSession { paths: Some(paths) }));
        txns.extend(singles);
        for (op, txn) in txns {
            let entry = TxnEntry { header: p.header(op), txn, digest };
            let bytes = entry.encode();
            let decoded = TxnEntry::decode(&bytes);
            prop_assert_eq!(decoded.as_ref(), Ok(&entry));
        }
    }

    #[test]
    fn packets_survive(p in parts()) {
        let ids = p.acl.clone().map(|acl| acl.into_iter().map(|entry| entry.id).collect());
        let packet = QuorumPacket {
            kind: p.ints[0],
            zxid: Zxid(p.longs[0]),
            data: p.data.clone().map(Bytes::from),
            authinfo: ids,
        };
        let mut bytes = Vec::new();
        packet.write(&mut Writer::new(&mut bytes));
        bytes.extend_from_slice(b"more");
        let mut buffer = BytesMut::from(&bytes[..]);
        prop_assert_eq!(QuorumPacket::take(&mut buffer, BYTES_MAX), Ok(Some(packet)));
        prop_assert_eq!(&buffer[..], b"more");

        let info = LearnerInfo {
            server_id: ServerId(p.longs[0]),
            protocol_version: p.ints[0],
            config_version: p.longs[1],
        };
        let mut bytes = Vec::new();
        info.write(&mut Writer::new(&mut bytes));
        prop_assert_eq!(LearnerInfo::read(&bytes), Ok(info));

        let request = ForwardedRequest {
            session: SessionId(p.longs[0]),
            cxid: Xid(p.ints[0]),
            op: p.ints[1],
            body: p.path(),
        };
        let mut bytes = Vec::new();
        request.write(&mut Writer::new(&mut bytes));
        prop_assert_eq!(ForwardedRequest::read(&bytes), Ok(request));
    }

    #[test]
    fn snapshots_survive_as_streams_and_as_files(nodes in vec(parts(), 0..6), chunk in 1..300_usize) {
        let items = snapshot_items(&nodes);
        let mut bytes = Vec::new();
        let mut encoder = SnapshotEncoder::new(&mut bytes);
        write_snapshot(&nodes, &mut encoder);
        encoder.end();
        let (mut decoder, mut buffer) = (SnapshotDecoder::new(BYTES_MAX), BytesMut::new());
        let mut decoded = Vec::new();
        for part in bytes.chunks(chunk) {
            buffer.extend_from_slice(part);
            while let Some(item) = decoder.next(&mut buffer).unwrap() {
                decoded.push(item);
            }
        }
        prop_assert_eq!(&decoded, &items);
        prop_assert!(buffer.is_empty());

        let long = |at: usize| nodes.first().map(|node| node.longs[at]);
        let digest = long(0).map(|tree_digest| SnapshotDigest { zxid: Zxid(1), version: 2, tree_digest });
        let trailer = SnapshotTrailer { digest, last_zxid: long(1).map(Zxid) };
        let mut encoder = SnapshotFileEncoder::new();
        write_snapshot(&nodes, &mut encoder.body());
        let file = [encoder.take(), encoder.finish(&trailer)].concat();
        let mut decoder = SnapshotFileDecoder::new(Bytes::from(file), BYTES_MAX).unwrap();
        for item in &items {
            prop_assert_eq!(&decoder.next().unwrap(), item);
        }
        prop_assert_eq!(decoder.trailer(), Ok(trailer));
    }

    #[test]
    fn logs_survive(txns in vec(vec(any::<u8>(), 1..50), 0..8), padding in 0..100_usize) {
        let mut file = Vec::new();
        log::write_header(&mut file);
        txns.iter().for_each(|txn| log::write_entry(&mut file, txn));
        let end = file.len();
        file.resize(end + padding, 0);
        let mut reader = LogReader::new(&file, BYTES_MAX).unwrap();
        let read: Vec<Vec<u8>> = reader.by_ref().map(|entry| entry.unwrap().txn.to_vec()).collect();
        prop_assert_eq!(read, txns);
        prop_assert_eq!(reader.position(), end);
    }
}

/// Paths that no node has would end the snapshot.
fn node_path(node: &Parts) -> Vec<u8> {
    [b"/n", &node.texts[0][..]].concat()
}

fn snapshot_items(nodes: &[Parts]) -> Vec<SnapshotItem> {
    let sessions = nodes.iter().map(|node| SnapshotItem::Session {
        id: SessionId(node.longs[0]),
        timeout_ms: node.ints[0],
    });
    let acls = nodes.iter().map(|node| SnapshotItem::Acl {
        id: node.longs[1],
        acl: node.acl(),
    });
    let znodes = nodes.iter().map(|node| SnapshotItem::Node {
        path: Bytes::from(node_path(node)),
        data: node.data.clone().map(Bytes::from),
        acl_id: node.longs[1],
        stat: node.stat_persisted(),
    });
    sessions
        .chain(acls)
        .chain(znodes)
        .chain([SnapshotItem::End])
        .collect()
}

fn write_snapshot(nodes: &[Parts], encoder: &mut SnapshotEncoder<'_>) {
    encoder.sessions(
        nodes
            .iter()
            .map(|node| (SessionId(node.longs[0]), node.ints[0])),
    );
    let acls: Vec<Vec<Acl>> = nodes.iter().map(Parts::acl).collect();
    encoder.acls(
        nodes
            .iter()
            .zip(&acls)
            .map(|(node, acl)| (node.longs[1], &acl[..])),
    );
    for node in nodes {
        encoder.node(
            &node_path(node),
            node.data(),
            node.longs[1],
            &node.stat_persisted(),
        );
    }
}
