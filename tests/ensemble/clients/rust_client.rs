//! The `zookeeper-client` crate, as a service written in Rust uses it.

use std::time::Duration;

use zookeeper_client as zk;
use zookeeper_client::{
    Acl, Acls, AddWatchMode, AuthId, Client, CreateMode, Error, EventType, MultiReadResult,
    Permission,
};

/// Until an awaited event counts as lost.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs the whole scenario; a failed expectation is a panic.
pub(super) fn run(connect_string: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime can be built");
    runtime
        .block_on(scenario(connect_string))
        .expect("an operation that must succeed");
}

async fn scenario(connect_string: &str) -> Result<(), Error> {
    let root = format!("/rust-{:x}", fastrand::u64(..));
    let client = connect(connect_string).await?;
    let other = connect(connect_string).await?;
    nodes(&client, &root).await?;
    watches(&client, &other, &root).await?;
    persistent_watches(&client, &other, &root).await?;
    transactions(&client, &root).await?;
    identities(&client, &other, &root).await?;
    locks(&client, &other, &root).await?;
    ephemerals(&client, other, &root).await
}

async fn connect(connect_string: &str) -> Result<Client, Error> {
    let connector = Client::connector().with_session_timeout(Duration::from_secs(10));
    connector.connect(connect_string).await
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing for {LIMIT:?}"),
    }
}

async fn nodes(client: &Client, root: &str) -> Result<(), Error> {
    let persistent = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let (created, _) = client.create(root, b"root", &persistent).await?;
    assert_eq!(
        client.get_data(root).await?,
        (b"root".to_vec(), created),
        "create returns what getData shows"
    );
    assert_eq!(
        client.create(root, b"", &persistent).await.err(),
        Some(Error::NodeExists)
    );
    let changed = client.set_data(root, b"changed", Some(0)).await?;
    assert_eq!(
        client.check_stat(root).await?,
        Some(changed),
        "setData returns what exists shows"
    );
    assert_eq!(
        client.set_data(root, b"", Some(0)).await.err(),
        Some(Error::BadVersion)
    );
    let sequential = CreateMode::PersistentSequential.with_acls(Acls::anyone_all());
    let (_, first) = client
        .create(&format!("{root}/seq-"), b"", &sequential)
        .await?;
    let (_, second) = client
        .create(&format!("{root}/seq-"), b"", &sequential)
        .await?;
    assert!(
        first.into_i64() < second.into_i64(),
        "sequence numbers rise"
    );
    let container = CreateMode::Container.with_acls(Acls::anyone_all());
    client
        .create(&format!("{root}/container"), b"", &container)
        .await?;
    let lasting = CreateMode::Persistent
        .with_acls(Acls::anyone_all())
        .with_ttl(Duration::from_secs(3600));
    client.create(&format!("{root}/ttl"), b"", &lasting).await?;
    assert_eq!(client.count_descendants_number(root).await?, 4);
    assert_eq!(client.list_children(root).await?.len(), 4);
    let (config, _) = client.get_config().await?;
    assert!(
        String::from_utf8_lossy(&config).contains("server.1="),
        "the configuration names the voters"
    );
    client.sync(root).await
}

async fn watches(client: &Client, other: &Client, root: &str) -> Result<(), Error> {
    let path = format!("{root}/watched");
    let persistent = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let (stat, created) = client.check_and_watch_stat(&path).await?;
    assert_eq!(stat, None);
    let (_, _, children) = client.get_and_watch_children(root).await?;
    other.create(&path, b"1", &persistent).await?;
    let event = within("an exists watch", created.changed()).await;
    assert_eq!(
        (event.event_type, event.path.as_str()),
        (EventType::NodeCreated, path.as_str())
    );
    let event = within("a child watch", children.changed()).await;
    assert_eq!(
        (event.event_type, event.path.as_str()),
        (EventType::NodeChildrenChanged, root)
    );
    let (_, _, changed) = client.get_and_watch_data(&path).await?;
    let stat = other.set_data(&path, b"2", None).await?;
    let event = within("a data watch", changed.changed()).await;
    assert_eq!(
        (event.event_type, event.zxid),
        (EventType::NodeDataChanged, stat.mzxid)
    );
    let (_, _, deleted) = client.get_and_watch_data(&path).await?;
    other.delete(&path, None).await?;
    let event = within("a data watch", deleted.changed()).await;
    assert_eq!(
        (event.event_type, event.path.as_str()),
        (EventType::NodeDeleted, path.as_str())
    );
    Ok(())
}

async fn persistent_watches(client: &Client, other: &Client, root: &str) -> Result<(), Error> {
    let path = format!("{root}/tree");
    let child = format!("{path}/child");
    let persistent = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let mut watcher = client
        .watch(&path, AddWatchMode::PersistentRecursive)
        .await?;
    other.create(&path, b"", &persistent).await?;
    other.create(&child, b"", &persistent).await?;
    other.set_data(&child, b"x", None).await?;
    other.delete(&child, None).await?;
    for (event_type, path) in [
        (EventType::NodeCreated, &path),
        (EventType::NodeCreated, &child),
        (EventType::NodeDataChanged, &child),
        (EventType::NodeDeleted, &child),
    ] {
        let event = within("a recursive watch", watcher.changed()).await;
        assert_eq!((event.event_type, &event.path), (event_type, path));
    }
    drop(watcher);
    client.sync(root).await
}

async fn transactions(client: &Client, root: &str) -> Result<(), Error> {
    let path = format!("{root}/multi");
    let persistent = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let mut writer = client.new_multi_writer();
    writer.add_create(&path, b"1", &persistent)?;
    writer.add_set_data(&path, b"2", Some(0))?;
    writer.add_check_version(&path, 1)?;
    assert_eq!(writer.commit().await.expect("a multi").len(), 3);
    let mut refused = client.new_multi_writer();
    refused.add_delete(&path, None)?;
    refused.add_check_version(root, 99)?;
    let error = refused
        .commit()
        .await
        .expect_err("a multi with a wrong version");
    assert!(
        matches!(
            error,
            zk::MultiWriteError::OperationFailed {
                index: 1,
                source: Error::BadVersion
            }
        ),
        "a failed multi says which operation failed and why: {error:?}"
    );
    let mut reader = client.new_multi_reader();
    reader.add_get_data(&path)?;
    reader.add_get_children(&path)?;
    let results = reader.commit().await?;
    assert!(
        matches!(&results[..], [MultiReadResult::Data { data, .. }, MultiReadResult::Children { .. }] if data == b"2")
    );
    Ok(())
}

async fn identities(client: &Client, other: &Client, root: &str) -> Result<(), Error> {
    let path = format!("{root}/private");
    client.auth("digest", b"ann:secret").await?;
    let users = client.list_auth_users().await?;
    assert!(
        users
            .iter()
            .any(|user| user.scheme() == "digest" && user.user() == "ann"),
        "whoAmI: {users:?}"
    );
    let mine = CreateMode::Persistent.with_acls(Acls::creator_all());
    client.create(&path, b"mine", &mine).await?;
    assert_eq!(other.get_data(&path).await.err(), Some(Error::NoAuth));
    let (acl, stat) = client.get_acl(&path).await?;
    assert_eq!((acl.len(), acl[0].scheme()), (1, "digest"));
    client
        .set_acl(
            &path,
            &[Acl::new(Permission::READ, AuthId::anyone())],
            Some(stat.aversion),
        )
        .await?;
    assert_eq!(other.get_data(&path).await?.0, b"mine");
    Ok(())
}

async fn locks(client: &Client, other: &Client, root: &str) -> Result<(), Error> {
    let dir = format!("{root}/lock");
    let options = zk::LockOptions::new(Acls::anyone_all())
        .with_ancestor_options(CreateMode::Persistent.with_acls(Acls::anyone_all()))?;
    let prefix = || zk::LockPrefix::new_curator(&dir, "latch-");
    let held = client.lock(prefix()?, b"", options.clone()).await?;
    let waiting = other.lock(prefix()?, b"", options);
    tokio::pin!(waiting);
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("a held lock is taken"),
        synced = client.sync(root) => synced?,
    }
    drop(held);
    within("a released lock", waiting).await.map(drop)
}

async fn ephemerals(client: &Client, other: Client, root: &str) -> Result<(), Error> {
    let path = format!("{root}/ephemeral");
    let ephemeral = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    other.create(&path, b"", &ephemeral).await?;
    assert_eq!(
        other.list_ephemerals(root).await?,
        std::slice::from_ref(&path)
    );
    let (stat, gone) = client.check_and_watch_stat(&path).await?;
    assert_eq!(
        stat.map(|stat| stat.ephemeral_owner),
        Some(other.session_id().0)
    );
    drop(other);
    let event = within("the end of a session", gone.changed()).await;
    assert_eq!(
        (event.event_type, event.path.as_str()),
        (EventType::NodeDeleted, path.as_str())
    );
    Ok(())
}
