"""What a service written against kazoo expects of the server it is connected to.

Takes the connect string, and behind it what the servers are too old for: `multi` (before 3.4). Prints one line per check; the first that fails ends the program with status 1.
"""

import sys
import threading
import uuid

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    BadVersionError,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.protocol.states import EventType
from kazoo.security import make_digest_acl

from over_tls import tls

LIMIT = 20  # seconds until an awaited event counts as lost
ROOT = "/kazoo-" + uuid.uuid4().hex


def check(what, holds):
    if not holds:
        raise AssertionError(what)
    print("ok", what, flush=True)


def raises(error, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except error:
        return True
    return False


class Once:
    """A one-shot watch that remembers all it was told."""

    def __init__(self):
        self.events = []
        self.fired = threading.Event()

    def __call__(self, event):
        self.events.append(event)
        self.fired.set()

    def was_told(self, event_type, path):
        self.fired.wait(LIMIT)
        return [(e.type, e.path) for e in self.events] == [(event_type, path)]


def connect(address):
    client = KazooClient(hosts=address, timeout=10, **tls())
    client.start(timeout=30)
    return client


def nodes(zk):
    check("create returns the path", zk.create(ROOT, b"root") == ROOT)
    check("create refuses what exists", raises(NodeExistsError, zk.create, ROOT))
    check("create refuses a missing parent", raises(NoNodeError, zk.create, ROOT + "/no/child"))
    data, stat = zk.get(ROOT)
    check("get returns the data", data == b"root")
    check("a fresh znode has version 0", (stat.version, stat.cversion, stat.aversion) == (0, 0, 0))
    check("czxid equals mzxid", stat.czxid == stat.mzxid > 0)
    stat = zk.set(ROOT, b"changed", version=0)
    check("set returns the new version", stat.version == 1 and stat.data_length == 7)
    check("set refuses an old version", raises(BadVersionError, zk.set, ROOT, b"x", version=0))
    check("a read after a write sees it", zk.get(ROOT)[0] == b"changed")
    for name in "abc":
        zk.create(f"{ROOT}/{name}", name.encode())
    children, stat = zk.get_children(ROOT, include_data=True)
    check("get_children lists them all", sorted(children) == ["a", "b", "c"])
    check("the parent counts its children", stat.children_count == 3 and stat.cversion == 3)
    check("delete refuses a parent", raises(NotEmptyError, zk.delete, ROOT))
    check("delete refuses an old version", raises(BadVersionError, zk.delete, f"{ROOT}/a", version=7))
    zk.delete(f"{ROOT}/a")
    check("exists knows that it is gone", zk.exists(f"{ROOT}/a") is None)
    big = bytes(range(256)) * 3000
    zk.create(f"{ROOT}/big", big)
    check("768 kB survive the way there and back", zk.get(f"{ROOT}/big")[0] == big)
    zk.create(f"{ROOT}/umläut ✓", "größe".encode())
    check("a path in UTF-8 survives", "umläut ✓" in zk.get_children(ROOT))


def sequences(zk):
    paths = [zk.create(f"{ROOT}/seq-", sequence=True) for _ in range(3)]
    numbers = [int(path[-10:]) for path in paths]
    check("sequence numbers rise by one", numbers == list(range(numbers[0], numbers[0] + 3)))


def watches(zk):
    path = f"{ROOT}/watched"
    created, changed, deleted, children = Once(), Once(), Once(), Once()
    zk.exists(path, watch=created)
    zk.get_children(ROOT, watch=children)
    zk.create(path, b"0")
    check("an exists watch tells of the creation", created.was_told(EventType.CREATED, path))
    check("a child watch tells of the creation", children.was_told(EventType.CHILD, ROOT))
    zk.get(path, watch=changed)
    zk.set(path, b"1")
    check("a data watch tells of the change", changed.was_told(EventType.CHANGED, path))
    zk.set(path, b"2")
    check("a one-shot watch fires once", len(changed.events) == 1)
    zk.get(path, watch=deleted)
    zk.delete(path)
    check("a data watch tells of the deletion", deleted.was_told(EventType.DELETED, path))


def watch_from_another_session(zk, other):
    path = f"{ROOT}/shared"
    zk.create(path, b"0")
    seen, complete = [], threading.Event()

    @other.DataWatch(path)
    def on_change(data, stat):
        seen.append(data)
        if data == b"last":
            complete.set()

    for value in (b"1", b"2", b"last"):
        zk.set(path, value)
    check("DataWatch reaches the last value", complete.wait(LIMIT))
    check("DataWatch never goes back", seen == sorted(seen) and len(set(seen)) == len(seen))


def transactions(zk):
    batch = zk.transaction()
    batch.create(f"{ROOT}/t1", b"1")
    batch.create(f"{ROOT}/t1/child", b"2")
    batch.set_data(f"{ROOT}/t1", b"3")
    batch.check(f"{ROOT}/t1", 1)
    results = batch.commit()
    check("a multi returns one result each", results[:2] == [f"{ROOT}/t1", f"{ROOT}/t1/child"])
    check("a multi is applied whole", zk.get(f"{ROOT}/t1")[0] == b"3")
    batch = zk.transaction()
    batch.create(f"{ROOT}/t2", b"")
    batch.check(f"{ROOT}/t1", 99)
    batch.delete(f"{ROOT}/t1/child")
    first, second, third = batch.commit()
    check("a refused multi says which and why", isinstance(first, RolledBackError)
          and isinstance(second, BadVersionError) and isinstance(third, RuntimeInconsistency))
    check("a refused multi changes nothing", zk.exists(f"{ROOT}/t2") is None
          and zk.exists(f"{ROOT}/t1/child") is not None)


def acls(zk, address):
    path = f"{ROOT}/private"
    zk.add_auth("digest", "ann:secret")
    acl = make_digest_acl("ann", "secret", all=True)
    zk.create(path, b"mine", acl=[acl])
    check("get_acls returns what was set", zk.get_acls(path)[0] == [acl])
    check("the owner reads", zk.get(path)[0] == b"mine")
    stranger = connect(address)
    check("a stranger does not read", raises(NoAuthError, stranger.get, path))
    check("a stranger does not write", raises(NoAuthError, stranger.set, path, b""))
    stranger.add_auth("digest", "ann:secret")
    check("a stranger with the password reads", stranger.get(path)[0] == b"mine")
    stranger.stop()
    stranger.close()


def ephemerals(zk, other):
    path = f"{ROOT}/ephemeral"
    other.create(path, b"", ephemeral=True)
    zk.sync(ROOT)
    stat = zk.exists(path)
    check("an ephemeral names its session", stat.ephemeralOwner == other.client_id[0])
    gone = Once()
    zk.exists(path, watch=gone)
    other.stop()
    check("closing the session deletes it", gone.was_told(EventType.DELETED, path))
    check("it is gone", zk.exists(path) is None)


def recipes(zk, address):
    second = connect(address)
    order = []
    holder = zk.Lock(f"{ROOT}/lock", "first")
    waiter = second.Lock(f"{ROOT}/lock", "second")
    check("the first takes the lock", holder.acquire(timeout=LIMIT))

    def wait():
        waiter.acquire(timeout=LIMIT)
        order.append("second")

    thread = threading.Thread(target=wait)
    thread.start()
    order.append("first")
    holder.release()
    thread.join(LIMIT)
    check("the second waits for the first", order == ["first", "second"])
    waiter.release()
    counter = second.Counter(f"{ROOT}/counter")
    counter += 2
    counter += 3
    check("a counter counts", zk.Counter(f"{ROOT}/counter").value == 5)
    second.stop()
    second.close()


def main(address, *missing):
    zk, other = connect(address), connect(address)
    check("two sessions have two ids", zk.client_id[0] != other.client_id[0])
    nodes(zk)
    sequences(zk)
    watches(zk)
    watch_from_another_session(zk, other)
    if "multi" not in missing:
        transactions(zk)
    acls(zk, address)
    ephemerals(zk, other)
    recipes(zk, address)
    zk.delete(ROOT, recursive=True)
    check("a recursive delete leaves nothing", zk.exists(ROOT) is None)
    check("nothing has disturbed the session", zk.state == KazooState.CONNECTED)
    zk.stop()
    zk.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
    print("all is well")
