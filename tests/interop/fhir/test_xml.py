"""The XML of FHIR, and the examples of HL7."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from interop.fhir.server import wire
from interop.fhir.server.call import R4, R5
from interop.fhir.server.errors import Refused
from interop.fhir.server.shape import model_of
from interop.fhir.server.xml import parsed, written
from tests.interop.fhir.validators import examples, faults

PATIENT = '<Patient xmlns="http://hl7.org/fhir">{}</Patient>'


def test_the_official_examples_are_accepted_and_come_back_from_xml() -> None:
    taken = 0
    for example in examples():
        body = json.dumps(example).encode()
        resource = wire.body_of(body, wire.JSON, R4)
        model_of(R4, resource["resourceType"]).model_validate_json(body)
        again = parsed(written(resource, R4, pretty=taken % 2 == 0), R4)
        for one in (resource, again):
            one.pop("text", None)  # a narrative's markup has many spellings
        assert _numbers(again) == _numbers(resource), f"{example['resourceType']}/{example.get('id')}"
        taken += 1
    assert taken == 163


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(one) for key, one in value.items() if key != "div"}
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    return Decimal(str(value)) if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) else value


def test_the_judges_find_faults() -> None:
    """Both would notice; a validator that accepts everything proves nothing."""
    assert faults({"resourceType": "Patient", "gender": "female"}, "r4") == []
    assert len(faults({"resourceType": "Patient", "nonsense": 1}, "r4")) == 2
    assert len(faults({"resourceType": "Patient", "gender": "nonsense"}, "r4")) == 1
    assert len(faults({"resourceType": "Patient", "birthDate": "yesterday"}, "r5")) == 2


@pytest.mark.parametrize(
    "content",
    [
        '<!DOCTYPE Patient [<!ENTITY x "y">]>' + PATIENT.format('<language value="&x;"/>'),
        '<!DOCTYPE Patient SYSTEM "file:///etc/passwd">' + PATIENT.format(""),
        PATIENT.format('<language value="&x;"/>'),
        PATIENT.format("<nonsense/>"),
        PATIENT.format('<active value="perhaps"/>'),
        PATIENT.format('<active value="true"/><active value="true"/>'),
        PATIENT.format("words"),
        PATIENT.format('<active x="1" value="true"/>').replace(' value="true"', ""),
        PATIENT.format("<text><status value='generated'/><div>no XHTML</div></text>"),
        "<Nonsense xmlns='http://hl7.org/fhir'/>",
        "<Patient/>",
        "<Patient",
        "",
        "<a>" * 200,
    ],
)
def test_what_is_no_fhir_xml_is_refused_in_words(content: str) -> None:
    with pytest.raises(Refused) as refusal:
        wire.body_of(content.encode(), wire.XML, R4)
    assert refusal.value.http_status == 400 and "nternal" not in refusal.value.detail


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", wire.JSON, 400), (b"{", wire.JSON, 400), (b"[]", wire.JSON, 400), (b'{"a":1,"a":2}', wire.JSON, 400),
        (b'{"resourceType":"Patient","x":NaN}', wire.JSON, 400), (b"\xff{}", wire.JSON, 400),
        (b'{"resourceType":"Patient"}', "text/csv", 415),
        (b'{"resourceType":"Patient"}', f"{wire.JSON}; fhirVersion=5.0", 415),
        (b"[" * 5000, wire.JSON, 400),
        (b'{"a":' * 150 + b"1" + b"}" * 150, wire.JSON, 400), (b" " * (wire.LARGEST + 1), wire.JSON, 413),
    ],
)  # fmt: skip
def test_what_is_no_body_is_refused(content: bytes, kind: str, status: int) -> None:
    with pytest.raises(Refused) as refusal:
        wire.body_of(content, kind, R4)
    assert refusal.value.http_status == status


def test_words_of_every_kind_survive() -> None:
    words = 'Zoë <b>&amp; "it\'s"\nline two\ttab ①'
    for version in (R4, R5):
        resource = {
            "resourceType": "Patient",
            "id": "a",
            "name": [{"id": "n", "text": words}],
            "_birthDate": {"id": "b"},
        }
        assert parsed(written(resource, version), version) == resource
    assert b"\x00" not in written({"resourceType": "Patient", "language": "a\x00b"}, R4)
    with pytest.raises(Refused):
        written({"resourceType": "Patient", "nonsense": 1}, R4)
