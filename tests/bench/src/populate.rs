//! The tree that is read: many small znodes, a thousand under each parent.

use std::net::SocketAddr;

use bstr::BStr;
use outpost_tests::raw::RawClient;
use outpost_wire::proto::{CreateRequest, MultiOp, MultiRequest};
use outpost_wire::{Acl, OpCode};

/// Bytes of data in each znode.
pub(crate) const DATA_BYTES: usize = 100;
const PER_PARENT: usize = 1_000;
const PER_MULTI: usize = 250;

/// The path of znode `number`.
pub(crate) fn path(number: usize) -> String {
    format!("/bench/d{:03}/n{number:07}", number / PER_PARENT)
}

/// Creates znodes 0 to `count`.
pub(crate) fn populate(server: SocketAddr, count: usize) {
    let mut client = RawClient::connect(server, 30_000);
    let mut paths = vec!["/bench".to_owned()];
    paths.extend((0..count.div_ceil(PER_PARENT)).map(|parent| format!("/bench/d{parent:03}")));
    paths.extend((0..count).map(path));
    let data = [b'x'; DATA_BYTES];
    for chunk in paths.chunks(PER_MULTI) {
        let ops = chunk.iter().map(|path| {
            MultiOp::Create(CreateRequest {
                path: BStr::new(path),
                data: Some(&data),
                acl: Some(Acl::open()),
                flags: 0,
            })
        });
        client.request(OpCode::Multi, &MultiRequest { ops: ops.collect() });
    }
    client.close().expect("closing the session");
}
