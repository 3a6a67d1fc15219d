"""A REDCap of our own on loopback: the parts of its API that we speak, with its errors."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

TOKEN = "9A81268476645C4E5F03428B8AC3AA7B"
#: What its own clock shows.
CLOCK = ZoneInfo("Africa/Nairobi")
REPEATS = ("redcap_repeat_instrument", "redcap_repeat_instance")


class RedCapServer:
    """``records``: record -> rows (one per event and instance); ``changed``: record -> wall time of its last change."""

    def __init__(self) -> None:
        self.records: dict[str, list[dict[str, str]]] = {}
        self.changed: dict[str, datetime] = {}
        self.metadata: list[dict[str, str]] = [{"field_name": "record_id", "field_type": "text"}]
        self.asked: list[dict[str, Any]] = []
        self.token = TOKEN
        #: how the next answers go wrong: drop, 500, html, cut, slow, list_of_numbers
        self.trouble = ""

    def field(self, name: str, kind: str = "text", choices: str = "") -> None:
        row = {"field_name": name, "field_type": kind, "select_choices_or_calculations": choices}
        self.metadata.append(row)

    def put(self, record: str, *rows: dict[str, str], at: datetime | None = None) -> None:
        self.records[record] = [{"record_id": record, **row} for row in rows]
        self.changed[record] = at or datetime.now(CLOCK).replace(tzinfo=None)

    # --- the API

    def answer(self, form: dict[str, Any]) -> tuple[int, Any]:
        if form.get("token") != self.token:
            return 403, {"error": "You do not have permissions to use the API"}
        match form.get("content"):
            case "project":
                return 200, {"project_id": 12, "project_title": "Study", "is_longitudinal": 0}
            case "metadata":
                return 200, self.metadata
            case "exportFieldNames":
                return 200, [
                    {
                        "original_field_name": row["field_name"],
                        "choice_value": "",
                        "export_field_name": row["field_name"],
                    }
                    for row in self.metadata
                ]
            case "record":
                return 200, self._records(form)
        return 400, {"error": 'The value of the parameter "content" is not valid'}

    def _records(self, form: dict[str, Any]) -> list[dict[str, str]]:
        wanted, fields = form.get("records"), form.get("fields") or []
        wanted = set(wanted) if wanted is not None else None
        begin, end = (_wall(form.get(name, "")) for name in ("dateRangeBegin", "dateRangeEnd"))
        rows = []
        for record, own in self.records.items():
            moment = self.changed[record]
            if (wanted is not None and record not in wanted) or (begin and moment < begin) or (end and moment > end):
                continue
            keys = (*fields, *REPEATS, "redcap_event_name")
            found = [{name: row.get(name, "") for name in keys if name in row or name in fields} for row in own]
            if fields == ["record_id"]:
                found = found[:1]
            rows += found
        return _eav(rows) if form.get("type") == "eav" else rows


def _wall(text: str) -> datetime | None:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S") if text else None


def _eav(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    values = []
    for row in rows:
        place = {name: row[name] for name in (*REPEATS, "redcap_event_name") if name in row}
        for name, value in row.items():
            if name not in place and value != "":
                values.append({"record": row["record_id"], **place, "field_name": name, "value": value})
    return values


def _form(body: str) -> dict[str, Any]:
    form: dict[str, Any] = {}
    for name, value in parse_qsl(body, keep_blank_values=True):
        if name.endswith("]"):
            form.setdefault(name.split("[")[0], []).append(value)
        else:
            form[name] = value
    return form


@contextmanager
def serving(state: Any, handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (handler,), {"state": state}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Quiet(BaseHTTPRequestHandler):
    state: Any
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: Any) -> None:
        """Tests keep their output."""

    def send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        trouble = self.state.trouble
        if trouble == "drop":
            self.close_connection = True
            return
        if trouble == "500":
            status, body, kind = 500, b"<html>Internal error at /var/www</html>", "text/html"
        if trouble == "html":
            status, body, kind = 200, b"<!DOCTYPE html><p>Maintenance</p>", "text/html"
        if trouble == "list_of_numbers":
            body = b"[1, 2]"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if trouble == "cut":
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        if trouble == "slow":
            for number in range(len(body)):
                try:
                    self.wfile.write(body[number : number + 1])
                    self.wfile.flush()
                except OSError:
                    return
                time.sleep(0.3)
            return
        self.wfile.write(body)


class RedCapHandler(Quiet):
    def do_POST(self) -> None:
        form = _form(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.state.asked.append(form)
        status, found = self.state.answer(form)
        self.send(status, json.dumps(found).encode())
