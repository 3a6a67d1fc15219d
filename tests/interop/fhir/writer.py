"""A FHIR client that writes, and what is read off its answers."""

from __future__ import annotations

import json
from typing import Any

from tests.interop.fhir.house import Fhir

SYSTEM = "urn:picha:issuer:Portal"
JSON_PATCH = "application/json-patch+json"


class Writer(Fhir):
    """``fhir.send("POST", "Patient", resource, If_None_Exist="identifier=…")``"""

    def send(self, method: str, path: str, body: Any, kind: str = "application/fhir+json", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, (str, bytes)) else json.dumps(body)
        return self.client.generic(method, self.url(path), content, content_type=kind, headers=named)

    def patch(self, path: str, *steps: tuple[str, str, Any]) -> Any:
        made = [{"op": op, "path": where, "value": value} for op, where, value in steps]
        return self.send("PATCH", path, made, JSON_PATCH)

    @property
    def r5(self) -> Writer:
        return Writer(self.user, "r5", self.client)


def body(answer: Any) -> Any:
    return json.loads(answer.content)


def issues(answer: Any) -> list[tuple[str, str]]:
    return [(row["code"], row.get("expression", [""])[0]) for row in body(answer)["issue"]]


def person(number: str = "P-1", family: str = "Wanjiru", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": SYSTEM, "value": number}],
        "name": [{"use": "official", "family": family, "given": ["Achieng", "Faith"]}],
        "gender": "female",
        "birthDate": "1990-02-03",
        "telecom": [{"system": "phone", "value": "+254 700 123456"}],
        **more,
    }


def exam_request(who: str, code: str = "CTCHESTC", number: str = "", **more: Any) -> dict[str, Any]:
    placer = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "PLAC"}]}
    made = {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "code": {"coding": [{"system": "urn:picha:catalogue", "code": code}]},
        "subject": {"reference": who},
        "priority": "urgent",
        "reasonCode": [{"text": "Pulmonary embolism?"}],
        **more,
    }
    if number:
        made["identifier"] = [{"type": placer, "system": "urn:picha:issuer:WARD", "value": number}]
    return made


def bundle(kind: str, *entries: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def entry(method: str, url: str, resource: Any = None, full: str = "", **request: str) -> dict[str, Any]:
    made: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    if full:
        made["fullUrl"] = full
    return made
