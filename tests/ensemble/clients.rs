//! Unmodified clients cannot tell the server under test from a ZooKeeper server.

use outpost_tests::clients;

use crate::stage::Stage;

#[test]
fn kazoo_is_served_like_by_any_zookeeper_server() {
    let stage = Stage::shared();
    clients::kazoo().check(&stage.observer.connect_string());
}
