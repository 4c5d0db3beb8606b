"""What kazoo makes of a server that is read-only, and of the same server when it is not any more.

Takes the connect string of a server in read-only mode with a znode /left that holds "behind". Prints `reads` when it is to be given its link back; then it must come to write by itself.
"""

import queue
import sys

from kazoo.client import KazooClient
from kazoo.exceptions import NotReadOnlyCallError
from kazoo.protocol.states import KeeperState

LIMIT = 60  # seconds until an awaited state counts as missed


def check(what, holds):
    if not holds:
        raise AssertionError(what)
    print("ok", what, flush=True)


def refused(call, *args):
    try:
        call(*args)
    except NotReadOnlyCallError:
        return True
    return False


def main(address):
    client = KazooClient(hosts=address, timeout=10, read_only=True)
    states = queue.Queue()
    client.add_listener(lambda _: states.put(client.client_state))
    client.start(timeout=30)
    check("the client knows that its server is read-only", client.client_state == KeeperState.CONNECTED_RO)
    check("it reads", client.get("/left")[0] == b"behind")
    check("what is not there is not there", client.exists("/right") is None)
    check("it lists children", "left" in client.get_children("/"))
    check("a write is refused", refused(client.set, "/left", b"alone"))
    check("a create is refused", refused(client.create, "/right"))
    transaction = client.transaction()
    transaction.set_data("/left", b"alone")
    check("a transaction is refused", refused(transaction.commit))
    check("it still reads", client.get("/left")[0] == b"behind")
    print("reads", flush=True)
    while client.client_state != KeeperState.CONNECTED:
        states.get(timeout=LIMIT)
    client.create("/kazoo", b"written", ephemeral=True)
    check("it writes as soon as its server does", client.get("/kazoo")[0] == b"written")
    client.stop()
    client.close()


main(sys.argv[1])
