"""A client of the REST interface in one file. It needs httpx and nothing else; copy it and change what you like.

    from picha_client import Picha

    with Picha("https://ris.example.org", api_key="...") as ris:
        patient = ris.patients.create({"family_name": "Wanjiru", "given_name": "Achieng", "sex": "F"})
        order = ris.orders.create({"patient": patient["id"], "procedures": [{"code": "CTCHESTC"}]})
        for procedure in ris.procedures.all(patient=patient["id"]):
            print(procedure["accession_number"], procedure["life_cycle"])

Every write carries an Idempotency-Key, so that a request whose answer was lost is simply asked again. Changes carry the
ETag of what was read. 429 and 503 are waited out. Refusals are ``Problem``, with what was asked, found and what to do.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NotRequired, TypedDict, TypeVar

import httpx

TRIES = 4
LONGEST_PAUSE = 30.0
AGAIN = (429, 503)


class Identifier(TypedDict):
    value: str
    issuer: str
    type: str


class Patient(TypedDict):
    id: str
    family_name: str
    given_name: str
    birth_date: str | None
    sex: str
    identifiers: list[Identifier]


class Procedure(TypedDict):
    id: str
    order: str
    accession_number: str
    study_instance_uid: str
    code: str
    status: str
    life_cycle: str


class Order(TypedDict):
    id: str
    patient: str
    priority: str
    indication: str
    procedures: list[Procedure]


class Appointment(TypedDict):
    id: str
    procedure: str | None
    starts_at: str
    status: str


class Report(TypedDict):
    id: str
    procedures: list[str]
    status: str
    sections: dict[str, str]
    versions: NotRequired[list[Any]]


Row = TypeVar("Row", bound=Mapping[str, Any])


@dataclass
class Problem(Exception):
    """A refusal (RFC 9457). ``kind`` is the last word of its type, such as ``invalid_transition``."""

    status: int
    kind: str
    detail: str
    errors: dict[str, Any]
    asked: str = ""
    found: str = ""
    todo: str = ""
    request_id: str = ""

    def __str__(self) -> str:
        told = " ".join(part for part in (self.detail, self.found, self.todo) if part)
        return f"{self.status} {self.kind}: {told}"


class Resource(Generic[Row]):
    """One resource, for example ``ris.orders``."""

    def __init__(self, client: Picha, name: str) -> None:
        self._client, self._name = client, name

    def _path(self, *parts: str) -> str:
        return "/".join(["/api/v1", self._name, *parts, ""])

    def all(self, **filters: Any) -> Iterator[Row]:
        """Every row, page after page. Filters are those of the document: ``status="scheduled", ordering="-id"``."""
        address: str | None = self._path()
        query: dict[str, Any] | None = filters
        while address:
            page = self._client.ask("GET", address, query=query).json()
            yield from page["results"]
            address, query = page["next"], None

    def get(self, row_id: str) -> Row:
        answer = self._client.ask("GET", self._path(row_id))
        return self._kept(answer)

    def create(self, body: Mapping[str, Any], *, key: str = "") -> Row:
        """``key``: one of your own, where you would ask again after a crash."""
        return self._kept(self._client.ask("POST", self._path(), body=body, key=key))

    def change(self, row: Row, **changes: Any) -> Row:
        """Only in the version that was read: ``Problem`` 412 when somebody was faster."""
        known = self._client.etags.get(row["id"])
        return self._kept(self._client.ask("PATCH", self._path(row["id"]), body=changes, if_match=known))

    def do(self, row_id: str, verb: str, body: Mapping[str, Any] | None = None, *, key: str = "") -> Any:
        """An action: ``ris.procedures.do(id, "accept")``."""
        return self._client.ask("POST", self._path(row_id, verb), body=body or {}, key=key).json()

    def do_all(self, verb: str, body: Mapping[str, Any], *, key: str = "") -> Any:
        """An action of the resource as a whole: ``ris.patients.do_all("search", {"query": "wanj"})``."""
        return self._client.ask("POST", self._path(verb), body=body, key=key).json()

    def table(self, **filters: Any) -> Iterator[str]:
        """The list as lines of CSV, as they come."""
        yield from self._client.lines(self._path(), filters)

    def _kept(self, answer: httpx.Response) -> Row:
        row: Row = answer.json()
        if "ETag" in answer.headers:
            self._client.etags[row["id"]] = answer.headers["ETag"]
        return row


class Picha:
    """``api_key`` for programs; ``sign_in`` for people who have typed a password."""

    def __init__(self, base_url: str, *, api_key: str = "", transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(base_url=base_url, transport=transport, timeout=30.0)
        if api_key:
            self._http.headers["Authorization"] = f"Api-Key {api_key}"
        self.etags: dict[str, str] = {}
        self.patients: Resource[Patient] = Resource(self, "patients")
        self.orders: Resource[Order] = Resource(self, "orders")
        self.procedures: Resource[Procedure] = Resource(self, "procedures")
        self.appointments: Resource[Appointment] = Resource(self, "appointments")
        self.reports: Resource[Report] = Resource(self, "reports")

    def resource(self, name: str) -> Resource[dict[str, Any]]:
        """Any other: ``ris.resource("critical-results")``."""
        return Resource(self, name)

    def sign_in(self, username: str, password: str) -> None:
        answer = self.ask("POST", "/api/v1/auth/token", body={"username": username, "password": password}, key="-")
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def __enter__(self) -> Picha:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        key: str = "",
        if_match: str | None = None,
    ) -> httpx.Response:
        """One request, asked again while the other side is busy or cannot be reached."""
        headers = {"Accept": "application/json"}
        if method != "GET" and key != "-":
            headers["Idempotency-Key"] = key or str(uuid.uuid4())
        if if_match:
            headers["If-Match"] = if_match
        for attempt in range(1, TRIES + 1):
            try:
                answer = self._http.request(method, path, json=body, params=query or None, headers=headers)
            except httpx.TransportError:
                if attempt == TRIES:
                    raise
                time.sleep(min(2.0**attempt, LONGEST_PAUSE))
                continue
            busy = answer.status_code in AGAIN or _is_being_done(answer)
            if busy and attempt < TRIES:
                time.sleep(min(float(answer.headers.get("Retry-After", 2**attempt)), LONGEST_PAUSE))
                continue
            break
        if answer.is_error:
            raise _problem(answer)
        return answer

    def lines(self, path: str, query: Mapping[str, Any]) -> Iterator[str]:
        with self._http.stream("GET", path, params=query, headers={"Accept": "text/csv"}) as answer:
            if answer.is_error:
                answer.read()
                raise _problem(answer)
            yield from answer.iter_lines()


def _is_being_done(answer: httpx.Response) -> bool:
    return answer.status_code == 409 and answer.json().get("type", "").endswith(":request_in_progress")


def _problem(answer: httpx.Response) -> Problem:
    try:
        told = answer.json()
    except ValueError:
        told = {"detail": answer.text[:200]}
    return Problem(
        status=answer.status_code,
        kind=str(told.get("type", "")).rpartition(":")[2],
        detail=told.get("detail", ""),
        errors=told.get("errors") or {},
        asked=told.get("asked", ""),
        found=told.get("found", ""),
        todo=told.get("todo", ""),
        request_id=answer.headers.get("X-Request-ID", ""),
    )


def verify_webhook(secret: str, headers: Mapping[str, str], body: bytes, *, tolerance: float = 300.0) -> bool:
    """Whether a webhook came from us, was not changed, and is not older than ``tolerance`` seconds.

    ``secret``: ``whsec_...``. ``headers``: with lower-case names. ``body``: as it came, not parsed and written again.
    Keep the ``webhook-id`` of what you have done: the same one may come again.
    """
    message_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent_at.isdigit() or abs(time.time() - int(sent_at)) > tolerance:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{message_id}.{sent_at}.".encode() + body, hashlib.sha256)
    wanted = "v1," + base64.b64encode(mac.digest()).decode()
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(one, wanted) for one in given)
