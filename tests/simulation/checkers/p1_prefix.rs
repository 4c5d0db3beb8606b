//! P1, prefix: everything a client is shown is the ensemble's tree as it was after some committed transaction.
//!
//! Demanded:
//!
//! * The zxid in a reply's header, and that of an event, belongs to a transaction that was committed before, or
//!   names the start of an epoch whose leader had been elected by then. So nothing is shown that is not committed,
//!   or never will be.
//! * What a read is answered (data, Stat, names, whether the znode is there at all) is what the model tree has
//!   after exactly that zxid. The model has no state in the middle of a transaction, so a multi cannot be seen in
//!   part; and an answer out of two states at once fits neither.
//! * Whoever looks into the mirror itself finds the model's znodes and sessions after the mirror's zxid: all of
//!   them, and none besides.
//!
//! That is the promise as a client can hold us to it: the zxid is the server's claim to have applied everything up
//! to there, and the answer is the proof. What each server decides on its own (the membership's text, the usage of
//! quotas) is left out.

use std::collections::BTreeMap;

use bstr::{BStr, ByteSlice};
use outpost_wire::{ErrorCode, Zxid};

use super::model::{self, Model, Node};
use super::transcript::{Item, Moment, Reply, Transcript, Verdict, Violation};
use crate::history::{Reply as Body, Request as Asked, Sight};

/// See the module.
pub(crate) fn check(transcript: &Transcript<'_>) -> Verdict {
    for connection in &transcript.connections {
        for item in &connection.items {
            match item {
                Item::Request(_) => {}
                Item::Event(event) => committed(transcript, event.moment, event.zxid)?,
                Item::Reply(reply) => {
                    committed(transcript, reply.moment, reply.zxid)?;
                    if let Some(request) = connection.request_of(reply) {
                        read(&transcript.model, request.asked, reply).map_err(|message| {
                            let records = [request.moment.record, reply.moment.record];
                            Violation::new("P1", message, &records)
                        })?;
                    }
                }
            }
        }
    }
    for (moment, sight) in &transcript.sights {
        committed(transcript, *moment, sight.zxid)?;
        mirrors(&transcript.model, sight)
            .map_err(|message| Violation::new("P1", message, &[moment.record]))?;
    }
    Ok(())
}

/// There is such a transaction, and there was by then.
fn committed(transcript: &Transcript<'_>, moment: Moment, zxid: Zxid) -> Verdict {
    if zxid <= Zxid::ZERO {
        return Ok(());
    }
    let violation = |message: String, records: &[usize]| Violation::new("P1", message, records);
    match transcript.model.step(zxid) {
        Some(step) if step.record < moment.record => Ok(()),
        Some(step) => {
            let message = format!("{zxid} is shown before it is committed");
            Err(violation(message, &[moment.record, step.record]))
        }
        None => {
            let begins = zxid.counter() == 0
                && transcript.elected.iter().any(|(elected, epoch)| {
                    *epoch == zxid.epoch() && elected.record < moment.record
                });
            if begins {
                return Ok(());
            }
            let message = format!("{zxid} is shown, and was never committed");
            Err(violation(message, &[moment.record]))
        }
    }
}

/// The answer to a read is the state after the reply's zxid.
fn read(model: &Model, asked: &Asked, reply: &Reply<'_>) -> Result<(), String> {
    let path = match asked {
        Asked::Exists { path, .. }
        | Asked::GetData { path, .. }
        | Asked::GetChildren { path, .. } => path.as_bstr(),
        _ => return Ok(()),
    };
    let zxid = reply.zxid;
    let node = model.node(path, zxid);
    let told = |what: &str| Err(format!("{path} after {zxid} is told {what}: {reply:?}"));
    let node = match (node, reply.error) {
        (None, ErrorCode::NO_NODE) => return Ok(()),
        (None, ErrorCode::OK) => return told("though it was not there"),
        (Some(_), ErrorCode::NO_NODE) => return told("missing, and was there"),
        (Some(node), ErrorCode::NO_AUTH) => {
            return match model::everybody_reads(&node.acl) {
                Some(true) => told("forbidden, and everybody may read it"),
                _ => Ok(()),
            };
        }
        (Some(node), ErrorCode::OK) => node,
        // Whatever else was wrong with the request says nothing of the tree.
        _ => return Ok(()),
    };
    if model::everybody_reads(&node.acl) == Some(false) {
        return told("though nobody may read it");
    }
    match differs(path, node, asked, reply.body) {
        None => Ok(()),
        Some(what) => told(&format!("with {what}; the model has {node:?}")),
    }
}

/// What of an answer is not what the model has.
fn differs(path: &BStr, node: &Node, asked: &Asked, body: &Body) -> Option<&'static str> {
    let kept_by_each = model::is_kept_by_each_server(path);
    let stat = match (asked, body) {
        (Asked::Exists { .. }, Body::Stat(stat)) => stat,
        (Asked::GetData { .. }, Body::Data { data, stat }) => {
            if !kept_by_each && data.as_deref() != node.data.as_deref() {
                return Some("other data");
            }
            stat
        }
        (Asked::GetChildren { .. }, Body::Children { names, stat }) => {
            let mut names: Vec<&BStr> = names.iter().map(|name| name.as_bstr()).collect();
            names.sort_unstable();
            if !names
                .into_iter()
                .eq(node.children.iter().map(|n| n.as_bstr()))
            {
                return Some("other children");
            }
            stat
        }
        _ => return Some("another kind of answer"),
    };
    (!kept_by_each && *stat != node.shown()).then_some("another Stat")
}

/// The mirror has what the model has.
fn mirrors(model: &Model, sight: &Sight) -> Result<(), String> {
    let zxid = sight.zxid;
    let mut expected: BTreeMap<&BStr, &Node> = model
        .paths()
        .filter(|path| !is_internal(path.as_bstr()))
        .filter_map(|path| Some((path.as_bstr(), model.node(path.as_bstr(), zxid)?)))
        .collect();
    for znode in &sight.znodes {
        let path = match znode.path.as_bstr() {
            empty if empty.is_empty() => BStr::new("/"),
            path => path,
        };
        let Some(node) = expected.remove(path) else {
            return Err(format!(
                "the mirror at {zxid} has {path}, which is not there"
            ));
        };
        let same = znode.data.as_deref() == node.data.as_deref()
            && znode.acl[..] == node.acl[..]
            && znode.stat == node.shown();
        if !same {
            return Err(format!("the mirror at {zxid} has {znode:?} for {node:?}"));
        }
    }
    // Whoever looks may leave out the root.
    expected.remove(BStr::new("/"));
    if let Some((path, _)) = expected.pop_first() {
        return Err(format!("the mirror at {zxid} lacks {path}"));
    }
    let sessions = model.sessions(zxid);
    if sight.sessions != sessions {
        let has = &sight.sessions;
        return Err(format!(
            "the mirror at {zxid} has the sessions {has:?} for {sessions:?}"
        ));
    }
    Ok(())
}

fn is_internal(path: &BStr) -> bool {
    path == "/zookeeper" || model::is_below(path, BStr::new("/zookeeper"))
}

#[cfg(test)]
mod tests {
    use bstr::BString;
    use outpost_wire::{ErrorCode, Stat, Zxid};

    use crate::checkers::specimen::{
        OTHER, Story, create, data, delete, exists, get, list, multi, stat,
    };
    use crate::history::{AtObserver, Reply, Sight, Znode};

    fn names(names: &[&str], stat: Stat) -> Reply {
        let names = names.iter().map(|&name| BString::from(name)).collect();
        Reply::Children { names, stat }
    }

    /// The root's Stat with so many children, of which `made` were created by transactions.
    fn root(pzxid: Zxid, made: i32, children: i32) -> Stat {
        Stat {
            pzxid,
            cversion: made * 2 - children,
            num_children: children,
            ..Stat::default()
        }
    }

    #[test]
    fn answers_that_are_states_of_the_tree_pass() {
        let mut story = Story::new();
        let c = story.client();
        let missing = story.last;
        let made = story.plant("/a");
        let set = story.touch("/a", b"xyz", 1);
        let gone = story.commit(OTHER, 0, delete("/a"));
        // An observer may be behind, and answers from where it is.
        story.send(c, 1, exists("/a", false));
        story.fail(c, 1, missing, ErrorCode::NO_NODE);
        story.ask(
            c,
            2,
            get("/a", false),
            made,
            data(b"", stat(made, made, 0, 0)),
        );
        story.ask(
            c,
            3,
            get("/a", false),
            set,
            data(b"xyz", stat(made, set, 1, 3)),
        );
        story.send(c, 4, exists("/a", false));
        story.fail(c, 4, gone, ErrorCode::NO_NODE);
        story.holds();
    }

    #[test]
    fn data_of_another_moment_than_the_zxid_is_caught() {
        let mut story = Story::new();
        let c = story.client();
        let made = story.plant("/a");
        let set = story.touch("/a", b"new", 1);
        let wrong = [
            (made, data(b"new", stat(made, made, 0, 0))),
            (made, data(b"", stat(made, set, 1, 0))),
            (set, data(b"", stat(made, set, 1, 0))),
            (set, data(b"new", stat(made, set, 2, 3))),
            (set, Reply::Stat(stat(made, set, 1, 3))),
        ];
        for (zxid, reply) in wrong {
            let mut story = story.clone();
            story.ask(c, 1, get("/a", false), zxid, reply);
            story.breaks("P1");
        }
    }

    #[test]
    fn a_znode_that_is_there_is_not_missing_and_the_other_way_round() {
        let mut story = Story::new();
        let c = story.client();
        let before = story.last;
        let made = story.plant("/a");
        let mut hidden = story.clone();
        hidden.send(c, 1, exists("/a", false));
        hidden.fail(c, 1, made, ErrorCode::NO_NODE);
        hidden.breaks("P1");
        let there = Reply::Stat(stat(made, made, 0, 0));
        story.ask(c, 1, exists("/a", false), before, there);
        story.breaks("P1");
    }

    #[test]
    fn a_multi_that_is_seen_in_part_is_caught() {
        let mut story = Story::new();
        let c = story.client();
        let both = multi(vec![create("/a", b""), create("/b", b"")]);
        let zxid = story.commit(OTHER, 0, both);
        let whole = names(&["b", "zookeeper", "a"], root(zxid, 2, 3));
        let mut seen_whole = story.clone();
        seen_whole.ask(c, 1, list("/", false), zxid, whole);
        seen_whole.holds();
        let part = names(&["a", "zookeeper"], root(zxid, 1, 2));
        story.ask(c, 1, list("/", false), zxid, part);
        story.breaks("P1");
    }

    #[test]
    fn a_name_that_is_listed_twice_is_caught() {
        let mut story = Story::new();
        let c = story.client();
        let zxid = story.plant("/a");
        let twice = names(&["a", "a", "zookeeper"], root(zxid, 1, 2));
        story.ask(c, 1, list("/", false), zxid, twice);
        story.breaks("P1");
    }

    #[test]
    fn what_is_not_committed_or_not_yet_is_not_shown() {
        let mut story = Story::new();
        let c = story.client();
        let never = Zxid(story.last.0 + 5);
        story.ping(c, story.last);
        let mut lost = story.clone();
        lost.ping(c, never);
        lost.breaks("P1");
        let reply = story.ping(c, Zxid(story.last.0 + 1));
        let committed = story.records.len();
        story.plant("/a");
        story.breaks("P1");
        // The same in the other order: committed, then shown.
        let early = story.bent(|records| {
            let commit = records.remove(committed);
            records.insert(reply, commit);
        });
        early.holds();
    }

    #[test]
    fn the_start_of_an_epoch_is_shown_only_once_it_has_begun() {
        let mut story = Story::new();
        let c = story.client();
        let next = Zxid::of_epoch(2);
        let mut early = story.clone();
        early.ping(c, next);
        early.breaks("P1");
        story.lose();
        story.elect(2);
        story.reattach(crate::history::SyncKind::Diff, next);
        story.ping(c, next);
        story.holds();
    }

    #[test]
    fn a_mirror_that_has_more_or_less_or_something_else_is_caught() {
        let mut story = Story::new();
        let c = story.client();
        let zxid = story.plant("/a");
        let znode = Znode {
            path: "/a".into(),
            data: Some(bytes::Bytes::new()),
            acl: outpost_wire::Acl::open(),
            stat: stat(zxid, zxid, 0, 0),
        };
        let sight = Sight {
            zxid,
            znodes: vec![znode.clone()],
            sessions: vec![(c.session, crate::checkers::specimen::TIMEOUT_MS)],
        };
        let seen = |sight: Sight| {
            let mut story = story.clone();
            story.observer(AtObserver::Seen(sight));
            story
        };
        seen(sight.clone()).holds();
        let other = Znode {
            path: "/b".into(),
            ..znode.clone()
        };
        let changed = Znode {
            data: Some(bytes::Bytes::from_static(b"x")),
            ..znode.clone()
        };
        for znodes in [vec![], vec![znode, other], vec![changed]] {
            let sight = Sight {
                znodes,
                ..sight.clone()
            };
            seen(sight).breaks("P1");
        }
        let forgotten = Sight {
            sessions: vec![],
            ..sight
        };
        seen(forgotten).breaks("P1");
    }
}
