"""Holds Kubernetes' custom resources against the definitions of their kinds.

Takes a file with resources, the group whose kinds are meant, and the files with the definitions. Prints the kinds it has
held against a schema. More strictly than an API server, which drops what it does not know, it refuses a field that the
schema does not have. Rules in CEL (x-kubernetes-validations) are not looked at.
"""

import sys

import jsonschema
import yaml


def documents(path):
    with open(path, encoding="utf-8") as file:
        return [document for document in yaml.safe_load_all(file) if document]


def strict(schema):
    """An OpenAPI schema of Kubernetes as JSON Schema, in which objects have the named fields and no others."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    if schema.get("nullable") is True:
        return {"anyOf": [{"type": "null"}, made]}
    return made


def schemas(paths):
    """By group, version and kind."""
    found = {}
    for definition in (document for path in paths for document in documents(path)):
        spec = definition["spec"]
        for version in spec["versions"]:
            name = spec["group"] + "/" + version["name"], spec["names"]["kind"]
            found[name] = strict(version["schema"]["openAPIV3Schema"])
    return found


def main(resources, group, *definitions):
    known = schemas(definitions)
    mistakes = []
    for resource in documents(resources):
        name = resource["apiVersion"], resource["kind"]
        if not name[0].startswith(group + "/"):
            continue
        if name not in known:
            mistakes.append(f"no definition of {name}")
            continue
        validator = jsonschema.Draft202012Validator(known[name])
        for error in validator.iter_errors(resource):
            mistakes.append(f"{name[1]} {error.json_path}: {error.message}")
        print(name[1])
    sys.exit("\n".join(mistakes) or None)


main(*sys.argv[1:])
