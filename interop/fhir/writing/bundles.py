"""Batch and transaction (R4 3.1.0.11). A batch's entries stand alone; a transaction's stand or fall together.

A transaction's entries are done in the order of the standard: DELETE, POST, PUT and PATCH, GET; among those that are
created, what others refer to goes first. ``urn:uuid:`` addresses and conditional references become real ones.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from django.db import transaction

from interop.fhir.server import engine
from interop.fhir.server.call import Answer, Call, Resource
from interop.fhir.server.errors import ISSUE_TYPES, Refused, issue, outcome_of
from interop.fhir.writing.references import matches
from orders.services.documents import papers_fall_with_it
from ris.core.errors import DomainError
from ris.core.expectations import expectations

MOST_ENTRIES = 200
ORDER = ("DELETE", "POST", "PUT", "PATCH", "GET", "HEAD")
HEADERS = {
    "ifMatch": "If-Match",
    "ifNoneExist": "If-None-Exist",
    "ifNoneMatch": "If-None-Match",
    "ifModifiedSince": "If-Modified-Since",
}
PATCH_TYPE = "application/json-patch+json"
REASONS = {200: "OK", 201: "Created", 204: "No Content", 304: "Not Modified"}


@dataclass
class Entry:
    """One request of a bundle, at its place."""

    place: int
    url: str
    method: str
    path: tuple[str, ...]
    params: list[tuple[str, str]]
    headers: dict[str, str]
    resource: Any
    prefer: str


def answered(call: Call) -> Answer:
    """``POST [base]``. Raises Refused for what is no bundle, and for a transaction that cannot be done."""
    bundle = call.body
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise Refused(400, "A Bundle is posted here.", issue="invalid", expression="Bundle")
    kind = bundle.get("type")
    if kind not in ("batch", "transaction"):
        raise Refused(422, "A Bundle here is a batch or a transaction.", issue="value", expression="Bundle.type")
    rows = bundle.get("entry", [])
    if not isinstance(rows, list):
        raise Refused(400, "The entries are a list.", issue="structure", expression="Bundle.entry")
    if len(rows) > MOST_ENTRIES:
        words = f"At most {MOST_ENTRIES} entries in one bundle."
        raise Refused(413, words, issue="too-costly", expression="Bundle.entry")
    made = _batch(rows, call) if kind == "batch" else _transaction(rows, call)
    answer: Resource = {"resourceType": "Bundle", "type": f"{kind}-response"}
    if made:
        answer["entry"] = made
    return Answer(answer)


def _entry(place: int, row: Any, call: Call) -> Entry:
    where = f"Bundle.entry[{place}].request"
    request = row.get("request") if isinstance(row, dict) else None
    if not isinstance(request, dict):
        raise Refused(400, "An entry has a request.", issue="required", expression=where)
    method, url = str(request.get("method", "")), str(request.get("url", "")).removeprefix(f"{call.base}/")
    if method not in ORDER:
        raise Refused(400, f"The method is one of {', '.join(ORDER)}.", issue="value", expression=f"{where}.method")
    address, _mark, query = url.partition("?")
    path = tuple(unquote(part) for part in address.split("/") if part)
    if not path or "://" in url or path == ("metadata",) or path[0].startswith("$"):
        raise Refused(400, "The address is one of a type or a resource here.", issue="value", expression=f"{where}.url")
    headers = {HEADERS[key]: str(request[key]) for key in HEADERS if request.get(key)}
    prefer = call.header("Prefer")
    if prefer:
        headers["Prefer"] = prefer
    params = parse_qsl(query, keep_blank_values=True)
    resource = row.get("resource")
    if method == "PATCH":
        resource = _patch(resource, f"Bundle.entry[{place}].resource")
    return Entry(place, str(row.get("fullUrl", "")), method, path, params, headers, resource, prefer)


def _patch(resource: Any, where: str) -> Any:
    """A JSON Patch travels in a Binary."""
    is_binary = isinstance(resource, dict) and resource.get("resourceType") == "Binary"
    if not is_binary or resource.get("contentType") != PATCH_TYPE:
        raise Refused(400, f"A patch is a Binary of {PATCH_TYPE}.", issue="invalid", expression=where)
    try:
        return json.loads(base64.b64decode(str(resource.get("data", "")), validate=True))
    except (ValueError, RecursionError, binascii.Error):
        raise Refused(400, "The patch is no JSON in base64.", issue="structure", expression=where) from None


def _done(entry: Entry, call: Call) -> Answer:
    inner = Call(
        call.version, call.actor, entry.method, entry.path, call.base, entry.params, entry.headers, entry.resource
    )
    return engine.answer(inner)


def _told(answer: Answer) -> Resource:
    response: Resource = {"status": f"{answer.status} {REASONS.get(answer.status, '')}".strip()}
    location = answer.headers.get("Location") or answer.headers.get("Content-Location")
    if location:
        response["location"] = location
    if "ETag" in answer.headers:
        response["etag"] = answer.headers["ETag"]
    made: Resource = {}
    resource = answer.resource
    if resource is not None:
        if resource.get("resourceType") == "OperationOutcome":
            response["outcome"] = resource
        else:
            made["resource"] = resource
            updated = resource.get("meta", {}).get("lastUpdated")
            if updated:
                response["lastModified"] = updated
    return {**made, "response": response}


# --- batch


def _batch(rows: list[Any], call: Call) -> list[Resource]:
    return [_alone(place, row, call) for place, row in enumerate(rows)]


def _alone(place: int, row: Any, call: Call) -> Resource:
    try:
        with expectations(), papers_fall_with_it(), transaction.atomic():
            return _told(_done(_entry(place, row, call), call))
    except Exception as refusal:  # one entry's refusal is its own answer; a defect is logged by outcome_of
        status, resource, _headers = outcome_of(refusal)
        return {"response": {"status": f"{status} {ISSUE_TYPES.get(status, '')}".strip(), "outcome": resource}}


# --- transaction


def _transaction(rows: list[Any], call: Call) -> list[Resource]:
    entries = [_entry(place, row, call) for place, row in enumerate(rows)]
    _refuse_overlap(entries)
    made: dict[int, Resource] = {}
    known: dict[str, str] = {}
    for entry in _in_order(entries):
        where = f"Bundle.entry[{entry.place}]"
        try:
            entry.resource = _resolved(entry.resource, known, call, where)
            answer = _done(entry, call)
        except DomainError as refusal:  # the same, told with the place of its entry
            raise _at(where, refusal) from None
        made[entry.place] = _told(answer)
        location = answer.headers.get("Location") or answer.headers.get("Content-Location", "")
        if entry.url and entry.method == "POST" and location:
            known[entry.url] = location.removeprefix(f"{call.base}/").split("/_history/")[0]
    return [made[place] for place in range(len(entries))]


def _at(where: str, refusal: DomainError) -> Refused:
    """The same refusal, with the place of its entry before each expression."""
    status, resource, headers = outcome_of(refusal)
    issues = [
        {**row, "expression": [f"{where}.resource.{one}" for one in row.get("expression", [])] or [where]}
        for row in resource["issue"]
    ]
    return Refused(status, refusal.detail, headers=headers, issues=issues)


def _refuse_overlap(entries: list[Entry]) -> None:
    """A transaction says one thing about a resource (3.1.0.11.2)."""
    seen: set[Any] = set()
    for entry in entries:
        if entry.method not in ("PUT", "PATCH", "DELETE"):
            continue
        key = (entry.path, tuple(entry.params))
        if key in seen:
            words = "Two entries of a transaction change the same resource."
            raise Refused(400, words, issue="invalid", expression=f"Bundle.entry[{entry.place}]")
        seen.add(key)
    urls = [entry.url for entry in entries if entry.url and entry.method == "POST"]
    if len(urls) != len(set(urls)):
        raise Refused(400, "Two entries have the same fullUrl.", issue="invalid", expression="Bundle.entry.fullUrl")


def _in_order(entries: list[Entry]) -> list[Entry]:
    """By method; among the created, after what they refer to. A circle is refused: ids are given here."""
    created = [entry for entry in entries if entry.method == "POST"]
    waiting, done, ordered = list(created), set[str](), list[Entry]()
    urls = {entry.url for entry in created if entry.url}
    needed = {entry.place: (set(_references(entry.resource)) & urls) - {entry.url} for entry in created}
    while waiting:
        free = [entry for entry in waiting if not needed[entry.place] - done]
        if not free:
            place = waiting[0].place
            words = "The entries refer to each other in a circle."
            raise Refused(400, words, issue="invalid", expression=f"Bundle.entry[{place}]")
        ordered += free
        done |= {entry.url for entry in free}
        taken = {entry.place for entry in free}
        waiting = [entry for entry in waiting if entry.place not in taken]
    others = sorted((e for e in entries if e.method != "POST"), key=lambda e: (ORDER.index(e.method), e.place))
    return [*(e for e in others if e.method == "DELETE"), *ordered, *(e for e in others if e.method != "DELETE")]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "reference" and isinstance(inner, str):
                yield inner
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _resolved(value: Any, known: dict[str, str], call: Call, where: str) -> Any:
    if isinstance(value, list):
        return [_resolved(inner, known, call, where) for inner in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _address(inner, known, call, where)
        if key == "reference" and isinstance(inner, str)
        else _resolved(inner, known, call, where)
        for key, inner in value.items()
    }


def _address(reference: str, known: dict[str, str], call: Call, where: str) -> str:
    if reference in known:
        return known[reference]
    if reference.startswith("urn:uuid:"):
        words = "No entry that is created has this address."
        raise Refused(400, words, issues=[issue("not-found", words, expression="reference")])
    name, mark, query = reference.partition("?")
    if not mark or not name.isalpha():
        return reference
    rows = matches(name, parse_qsl(query, keep_blank_values=True), call)
    if len(rows) != 1:
        words = "A conditional reference finds one resource; this one finds " + ("none." if not rows else "several.")
        raise Refused(412, words, issues=[issue("multiple-matches" if rows else "not-found", words)])
    return f"{name}/{rows[0].uuid}"
