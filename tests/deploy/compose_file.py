"""Fails unless a file is a Compose file in every key, with every network, volume and secret declared."""

import json
import sys

import compose_spec
import yaml

with open(sys.argv[1], encoding="utf-8") as file:
    document = yaml.safe_load(file)
# The native reader knows no anchors; they are resolved by now.
compose = compose_spec.PyCompose.from_json(json.dumps(document))
compose.validate()
compose.to_spec()
unknown = set(compose.extensions) - {key for key in document if key.startswith("x-")}
if unknown:
    sys.exit(f"unknown keys: {unknown}")
