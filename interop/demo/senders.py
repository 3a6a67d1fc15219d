"""What the hospital's system has sent: an order under a code that nobody has explained, and reports from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils import timezone

from interop.hl7.door import Door
from interop.hl7.intake import receive_here
from interop.hl7.messages import build
from interop.hl7.outbound.envelope import Segments, pid
from interop.models import InboundMessage
from orders.models import Patient

DOOR = Door(0, "127.0.0.1")
SENDER, HOUSE = "HIS", "KNH"


def _day(days: int) -> str:
    return (timezone.localtime() - timedelta(days=days)).strftime("%Y%m%d%H%M%S")


def _header(kind: tuple[str, ...], control_id: str) -> tuple[str, list]:
    now = datetime.now().strftime("%Y%m%d%H%M%S")
    return "MSH", [
        SENDER,
        HOUSE,
        "RIS",
        "DEMO",
        now,
        None,
        kind,
        control_id,
        "P",
        "2.5.1",
        *[None] * 5,
        "UNICODE UTF-8",
    ]


def _order(patient: Patient, placer: str, code: str, words: str) -> Segments:
    exam = ["1", (placer, SENDER), None, (code, words, "99KNH"), *[None] * 26, ("", "Chronic cough, weight loss")]
    return [
        _header(("ORM", "O01"), f"{placer}-NW"),
        pid(patient),
        ("ORC", ["NW", (placer, SENDER)]),
        ("OBR", exam),
    ]


def _report(patient: Patient, number: str, days: int, exam: str, service: str, text: str) -> Segments:
    obr = [
        "1",
        None,
        number,
        ("OUT", exam, "99X"),
        None,
        None,
        _day(days),
        *[None] * 14,
        _day(days - 1),
        None,
        service,
        "F",
    ]
    return [
        _header(("ORU", "R01", "ORU_R01"), f"{number}-F"),
        pid(patient),
        ("OBR", obr),
        ("OBX", ["1", "FT", ("18782-3", "Findings", "LN"), None, text, *[None] * 5, "F"]),
    ]


def ensure_messages(patients: Sequence[Patient]) -> None:
    """Once; a facility that has heard of this sender is left as it is."""
    if len(patients) < 3 or InboundMessage.objects.filter(sending_application=SENDER, sending_facility=HOUSE).exists():
        return
    messages = [
        _order(patients[0], "KNH-4711", "XR-CHEST-PA2", "Chest two views, old tariff"),
        _order(patients[1], "KNH-4712", "XR-CHEST-PA2", "Chest two views, old tariff"),
        _report(
            patients[0],
            "COAST-881",
            420,
            "CT chest",
            "CT",
            "Calcified granuloma of 4 mm in the right upper lobe.\nNo effusion.",
        ),
        _report(patients[2], "COAST-902", 200, "Ultrasound abdomen", "US", "Liver, spleen and kidneys of normal size."),
    ]
    for message in messages:
        receive_here(build(message, charset="UNICODE UTF-8"), DOOR)
