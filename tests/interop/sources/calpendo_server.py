"""A Calpendo of our own on loopback: its WebDAV queries, single bookings, and HTTP Basic."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.interop.sources.redcap_server import Quiet


class CalpendoServer:
    def __init__(self) -> None:
        self.bookings: dict[int, dict[str, Any]] = {}
        self.login = ("picha", "s3cret")
        self.asked: list[str] = []
        self.trouble = ""

    def book(
        self,
        number: int,
        title: str,
        start: str,
        end: str,
        *,
        resource: str = "3T Diagnostic",
        status: str = "Approved",
        project: str = "BRISKP (Brain network models)",
        **properties: Any,
    ) -> None:
        self.bookings[number] = {
            "id": number,
            "formattedName": f"[{start}:00.0, {end}:00.0]",
            "title": title,
            "status": status,
            "biskitType": "MRIScan",
            "properties": {
                "resource": {"formattedName": resource, "id": 7, "name": resource},
                "project": {"formattedName": project, "id": 4, "name": project.split(" ")[0]},
                "cancelled": False,
                **properties,
            },
        }

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if parts[:3] == ["webdav", "b", "Calpendo.Booking"]:
            found = self.bookings.get(int(parts[3]))
            return (200, found) if found else (404, {"error": "No such biskit"})
        if parts[:3] == ["webdav", "q", "Calpendo.Booking"]:
            return 200, {"biskits": [_short(row) for row in self._matching(parts[3:])]}
        if parts[:3] == ["webdav", "q", "MRIScan"] and query.get("paths") == ["Operator.name"]:
            return 200, {"biskits": [{"id": int(parts[5]), "Operator.name": {"formattedName": "Jane Smith", "id": 2}}]}
        return 400, {"error": "Bad query"}

    def _matching(self, terms: list[str]) -> list[dict[str, Any]]:
        assert terms[0] == "AND" and terms[1:3] == ["dateRange.start", "GE"] and terms[4:6] == ["dateRange.start", "LT"]
        first, last = (datetime.strptime(text, "%Y%m%d-%H%M") for text in (terms[3], terms[6]))
        assert terms[7] == "OR"
        resources = terms[10::3]
        return [
            row
            for row in self.bookings.values()
            if first <= datetime.strptime(row["formattedName"][1:17], "%Y-%m-%d %H:%M") < last
            and row["properties"]["resource"]["name"] in resources
        ]


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "properties"}


class CalpendoHandler(Quiet):
    def do_GET(self) -> None:
        self.state.asked.append(self.path)
        login = base64.b64encode(":".join(self.state.login).encode()).decode()
        if self.headers.get("Authorization") != f"Basic {login}":
            self.send(401, b'{"error": "Unauthorized"}')
            return
        address = urlsplit(self.path)
        status, found = self.state.answer(address.path, parse_qs(address.query))
        self.send(status, json.dumps(found).encode())
