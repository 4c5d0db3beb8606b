//! The leader is taken out of the ensemble by a reconfiguration, and put back.

use bstr::BStr;
use outpost_tests::ensemble::Server;
use outpost_tests::raw::{RawClient, Refusal};
use outpost_tests::tree_dump::assert_same_tree;
use outpost_tests::{ObserverSettings, Settings, wait};
use outpost_wire::OpCode;
use outpost_wire::proto::{CreateMode, ReconfigRequest};

use crate::region::{SESSION_TIMEOUT_MS, patient};
use crate::stage::Stage;

/// Until something that must happen counts as not happening.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

impl Stage {
    /// A session of the super user at the server under test.
    fn operator(&self) -> RawClient {
        let mut client = RawClient::connect(self.observer.client_address(), SESSION_TIMEOUT_MS);
        client.authenticate("super:secret");
        client
    }

    /// Asks through the server under test for a change of members. A change that takes the leader away
    /// may cost the connection, and the answer with it.
    fn reconfigure(&self, joining: Option<&str>, leaving: Option<&str>) {
        let mut client = self.operator();
        let request = ReconfigRequest {
            joining_servers: joining.map(BStr::new),
            leaving_servers: leaving.map(BStr::new),
            new_members: None,
            cur_config_id: -1,
        };
        if let Ok(reply) = client.try_request(OpCode::Reconfig, &request) {
            assert!(
                reply.header.err.is_ok(),
                "reconfig {joining:?} {leaving:?}: {:?}",
                reply.header
            );
        }
    }

    /// Waits until the observer shows a configuration with, or without, this server.
    fn wait_for_member(&self, id: u64, listed: bool) {
        let what = format!(
            "server.{id} to be {}",
            if listed { "listed" } else { "gone" }
        );
        wait::until(&what, LIMIT, || {
            let mut client =
                RawClient::try_connect(self.observer.client_address(), SESSION_TIMEOUT_MS).ok()?;
            let (config, _) = client.get_data(b"/zookeeper/config", false).ok()?;
            let config = String::from_utf8(config?).expect("the configuration is text");
            (config.contains(&format!("server.{id}=")) == listed).then_some(())
        });
    }
}

fn line(server: &Server) -> String {
    let ports = server.ports;
    format!(
        "server.{}=127.0.0.1:{}:{}:participant;127.0.0.1:{}",
        server.id, ports.quorum, ports.election, ports.client
    )
}

#[test]
fn an_observer_follows_the_ensemble_when_its_leader_is_reconfigured_away_and_back() {
    let settings = Settings {
        reconfig: true,
        listed_observers: 1,
        ..patient(Settings::default())
    };
    let stage = Stage::with(settings.super_secret(), &ObserverSettings::default());
    // Longer than nobody leads.
    let mut client = RawClient::connect(stage.observer.client_address(), SESSION_TIMEOUT_MS);
    client
        .create("/members", b"0", CreateMode::Ephemeral)
        .expect("a new path");
    let (session, _) = client.abandon();

    // The leader goes: another one leads, and the observer finds it.
    let leader = stage.ensemble.wait_for_leader();
    stage.reconfigure(None, Some(&leader.to_string()));
    stage.wait_for_member(leader, false);
    let mut client = wait::until(
        "the session to be opened again",
        LIMIT,
        || match RawClient::reopen(
            stage.observer.client_address(),
            &session,
            outpost_wire::Zxid(0),
        ) {
            Ok(client) => Some(client),
            Err(Refusal::Closed(_)) => None,
            Err(Refusal::Expired) => panic!("the session has expired"),
        },
    );
    let stat = client
        .set_data("/members", b"1")
        .expect("the session writes under the new leader");
    assert_eq!(stat.ephemeral_owner, session.id.0);

    // And comes back as a follower.
    stage.reconfigure(Some(&line(stage.ensemble.server(leader))), None);
    stage.wait_for_member(leader, true);
    let voter = stage.ensemble.wait_for_leader();
    assert_same_tree(
        stage.observer.client_address(),
        stage.ensemble.server(voter).client_address(),
    );
}
