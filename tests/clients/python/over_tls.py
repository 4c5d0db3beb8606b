"""TLS for kazoo."""

import os


def tls():
    """How to speak TLS, where the environment says so."""
    trust_store, key_store = os.environ.get("TLS_TRUST_STORE"), os.environ.get("TLS_KEY_STORE")
    if trust_store is None:
        return {}
    return {"use_ssl": True, "verify_certs": True, "ca": trust_store, "certfile": key_store, "keyfile": key_store}
