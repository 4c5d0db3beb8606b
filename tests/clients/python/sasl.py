"""What users that log in with SASL (DIGEST-MD5) may do, as kazoo sees it.

Takes the connect string of a server with the users bob, eve and root, each with the password NAME-secret; root is a
super user, and entries for `anybody` mean every user (letAnySaslUserDoX).
"""

import sys
import threading

from kazoo.client import KazooClient
from kazoo.exceptions import InvalidACLError, NoAuthError
from kazoo.protocol.states import KeeperState
from kazoo.security import OPEN_ACL_UNSAFE, make_acl

from over_tls import tls

LIMIT = 30  # seconds until an awaited state counts as missed


def check(what, holds):
    if not holds:
        raise AssertionError(what)
    print("ok", what, flush=True)


def fails(what, error, call, *args, **named):
    try:
        call(*args, **named)
    except error:
        print("ok", what, flush=True)
        return
    raise AssertionError(what)


def options(user, password):
    return {"mechanism": "DIGEST-MD5", "username": user, "password": password}


def connected(address, user=None):
    sasl = options(user, user + "-secret") if user else None
    client = KazooClient(hosts=address, timeout=10, sasl_options=sasl, **tls())
    client.start(timeout=LIMIT)
    return client


def is_refused(address, sasl):
    """Whether a client with these options hears that it has failed to log in."""
    client = KazooClient(hosts=address, timeout=10, sasl_options=sasl, **tls())
    refused = threading.Event()
    client.add_listener(lambda _: refused.set() if client.client_state == KeeperState.AUTH_FAILED else None)
    client.start_async()
    heard = refused.wait(LIMIT)
    client.stop()
    client.close()
    return heard


def main(address):
    bob, eve, root, nobody = (connected(address, user) for user in ("bob", "eve", "root", None))
    bob.create("/kazoo-sasl", b"", acl=OPEN_ACL_UNSAFE)
    bob.create("/kazoo-sasl/own", b"bob's", acl=[make_acl("sasl", "bob", all=True)])
    check("what bob may read he reads", bob.get("/kazoo-sasl/own")[0] == b"bob's")
    fails("eve may not read it", NoAuthError, eve.get, "/kazoo-sasl/own")
    fails("nor may nobody", NoAuthError, nobody.get, "/kazoo-sasl/own")
    check("a super user reads it", root.get("/kazoo-sasl/own")[0] == b"bob's")
    bob.set("/kazoo-sasl/own", b"still bob's")
    fails("eve may not write it", NoAuthError, eve.set, "/kazoo-sasl/own", b"eve's")
    root.set("/kazoo-sasl/own", b"root's")
    eve.sync("/kazoo-sasl")
    check("its ACL names bob", eve.get_acls("/kazoo-sasl")[0] == OPEN_ACL_UNSAFE)
    bob.create("/kazoo-sasl/auth", b"mine", acl=[make_acl("auth", "whoever", all=True)])
    check("scheme auth stands for the user", bob.get_acls("/kazoo-sasl/auth")[0][0].id.id == "bob")
    fails("and not for another", NoAuthError, eve.get, "/kazoo-sasl/auth")
    bob.create("/kazoo-sasl/all", b"ours", acl=[make_acl("sasl", "anybody", read=True)])
    eve.sync("/kazoo-sasl")
    check("an entry for anybody means every user", eve.get("/kazoo-sasl/all")[0] == b"ours")
    fails("but not nobody", NoAuthError, nobody.get, "/kazoo-sasl/all")
    fails("a name that is none cannot stand in an ACL", InvalidACLError, bob.create, "/kazoo-sasl/x", b"",
          acl=[make_acl("sasl", "a@b@c", all=True)])
    check("a wrong password is refused", is_refused(address, options("bob", "guess")))
    check("so is a stranger", is_refused(address, options("mallory", "bob-secret")))
    root.delete("/kazoo-sasl", recursive=True)
    for client in (bob, eve, root, nobody):
        client.stop()
        client.close()


main(sys.argv[1])
