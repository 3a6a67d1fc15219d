"""Two independent judges of a resource: fhir.resources' models, and HL7's own JSON schema of the release."""

from __future__ import annotations

import functools
import gzip
import json
from pathlib import Path
from typing import Any

from jsonschema import Draft6Validator

from interop.fhir.server.call import R4, VERSIONS, Version
from interop.fhir.server.shape import model_of

DATA = Path(__file__).parent / "data"


@functools.cache
def _schema(release: str, type_name: str) -> Any:
    schema = _whole(release)
    return Draft6Validator({**schema, "$ref": f"#/definitions/{type_name}"} | {"$id": schema["$id"] + "/" + type_name})


@functools.cache
def _whole(release: str) -> Any:
    return json.loads(gzip.decompress((DATA / f"{release}.schema.json.gz").read_bytes()))


def faults(resource: Any, release: str) -> list[str]:
    """What either judge has against it."""
    version: Version = VERSIONS[release]
    name = resource["resourceType"]
    found = [
        f"{name} schema: {list(error.path)} {error.message[:200]}"
        for error in _schema(release, name).iter_errors(resource)
    ]
    try:
        model_of(version, name).model_validate_json(json.dumps(resource))
    except ValueError as error:
        found.append(f"{name} models: {error}")
    return found


def examples() -> list[Any]:
    """Official examples of FHIR 4.0.1."""
    lines = gzip.decompress((DATA / f"{R4.name}.examples.ndjson.gz").read_bytes()).decode().splitlines()
    return [json.loads(line) for line in lines]
