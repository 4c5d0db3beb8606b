//! What must not be sent to a Java observer, because it forwards it and its leader does not survive it.
//!
//! Checked on the whole script before anything is sent; the list with reasons is `docs/forwarding.md`.

use outpost_wire::proto::{CreateMode, MultiOp, RequestBody};
use outpost_wire::{DecodeError, OpCode, Reader};

use crate::script::{Cast, Request, Script, Step};

/// The first request of `steps` that would hurt a leader, and how.
pub(crate) fn first_of(steps: &[Step]) -> Option<String> {
    steps.iter().find_map(|step| match step {
        Step::Send(_, request) => hurts(request).map(|why| format!("{why}: {step:?}")),
        _ => None,
    })
}

/// Whether every script that shows what Outpost refuses for the leader's sake would be kept from Java, and none
/// that both play.
pub(crate) fn catches(scripts: &[Script]) -> Result<(), String> {
    // These hurt by their size alone, which a single request does not show.
    let by_size = [
        "p9_what_grows_beyond_the_leaders_limits_is_refused_here",
        "p9_ephemerals_that_no_closing_transaction_could_hold_are_refused",
    ];
    for script in scripts {
        let caught = first_of(&script.steps("/run00000")).is_some();
        let for_both = !matches!(script.cast, Cast::Outpost);
        let hurts = script.name.starts_with("p9_") && !by_size.contains(&script.name);
        if (caught && for_both) || (hurts && !caught) {
            return Err(format!("{}: caught is {caught}", script.name));
        }
    }
    Ok(())
}

fn hurts(request: &Request) -> Option<&'static str> {
    let op = OpCode::from_code(request.op)?;
    let body = RequestBody::read(op, &mut Reader::new(&request.body));
    match (op, body) {
        (OpCode::Check, _) => Some("a stand-alone check may be forwarded by older releases"),
        // Read errors of a multi are caught by the leader, other exceptions are not.
        (OpCode::Multi, Ok(RequestBody::Multi(multi))) => multi.ops.iter().find_map(in_multi),
        (OpCode::Multi, Err(DecodeError::Null { .. })) => Some("null in a multi"),
        (OpCode::Multi, _) => None,
        (
            OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl
            | OpCode::Delete
            | OpCode::DeleteContainer
            | OpCode::SetData
            | OpCode::SetAcl
            | OpCode::Reconfig,
            Err(_),
        ) => Some("the leader cannot decode it"),
        (_, Ok(RequestBody::CreateTtl(create))) => {
            let flags = CreateMode::from_code(create.flags);
            let with_ttl = [
                Some(CreateMode::PersistentWithTtl),
                Some(CreateMode::PersistentSequentialWithTtl),
            ];
            (!with_ttl.contains(&flags) && create.ttl < 0).then_some("a negative TTL slips through")
        }
        (OpCode::Create | OpCode::Create2, Ok(RequestBody::Create(create))) => {
            let digest = create.mode() == Some(CreateMode::Container);
            let quota = names_quota(create.path, create.data);
            quota.or(digest.then_some("a container by create spoils the digest"))
        }
        (OpCode::CreateContainer, Ok(RequestBody::Create(create))) => {
            let digest = create.mode() != Some(CreateMode::Container);
            names_quota(create.path, create.data)
                .or(digest.then_some("no container by createContainer"))
        }
        (_, Ok(RequestBody::SetData(set))) => names_quota(set.path, set.data),
        (_, Ok(RequestBody::Delete(delete))) => names_quota(delete.path, Some(LIMITS)),
        _ => None,
    }
}

fn in_multi(op: &MultiOp<'_>) -> Option<&'static str> {
    match op {
        MultiOp::Create(create) | MultiOp::Create2(create) | MultiOp::CreateContainer(create) => {
            let null = create.acl.is_none().then_some("a null ACL in a multi");
            null.or_else(|| names_quota(create.path, create.data))
        }
        MultiOp::CreateTtl(create) => names_quota(create.path, create.data),
        MultiOp::Delete(delete) => names_quota(delete.path, Some(LIMITS)),
        MultiOp::SetData(set) => names_quota(set.path, set.data),
        _ => None,
    }
}

/// The only text of a quota that scripts use.
pub(crate) const LIMITS: &[u8] = b"count=100,bytes=-1";

fn names_quota(path: &[u8], data: Option<&[u8]>) -> Option<&'static str> {
    let special = path.ends_with(b"/zookeeper_limits") || path.ends_with(b"/zookeeper_stats");
    let in_order = path.starts_with(b"/zookeeper/quota/run") && data == Some(LIMITS);
    (special && !in_order).then_some("a quota's znode is parsed where nobody catches")
}
