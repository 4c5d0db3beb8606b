"""Prints the YAML documents of the files it is given as one JSON list, merged keys and anchors resolved."""

import json
import sys

import yaml

documents = []
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        documents.extend(document for document in yaml.safe_load_all(file) if document)
json.dump(documents, sys.stdout)
