"""Which exams the demo holds: who, what, when, and how far each has come."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from interop.demo.cast import PATIENTS, Person

#: (how far it came, how many): every status that people see, over three weeks
STAGES: tuple[tuple[str, int], ...] = (
    ("distributed", 13),
    ("final", 5),
    ("amended", 3),
    ("preliminary", 3),
    ("reading", 2),
    ("ready_to_read", 8),
    ("performed", 2),
    ("in_progress", 2),
    ("arrived", 3),
    ("scheduled", 7),
    ("accepted", 3),
    ("vetting", 1),
    ("info_requested", 1),
    ("on_hold", 1),
    ("requested", 1),
    ("rejected", 1),
    ("cancelled", 1),
    ("no_show", 1),
    ("discontinued", 1),
    ("replaced", 1),
)

#: modality: (code in the catalogue, clinical question, findings, impression)
TEXTS: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "CT": (
        (
            "CTPA",
            "Sudden breathlessness for 6 hours. Pulmonary embolism?",
            "No filling defect in the pulmonary arteries down to segmental level. Right ventricle not enlarged. "
            "Lungs clear, no effusion.",
            "No pulmonary embolism.",
        ),
        (
            "CTCAPC",
            "Colon carcinoma, restaging after 6 cycles.",
            "Liver lesion in segment 7 measures 14 mm, before 21 mm. No new lesion. No enlarged nodes.",
            "Partial response. No new metastasis.",
        ),
        (
            "CTKUB",
            "Left loin pain. Stone?",
            "4 mm calculus at the left vesico-ureteric junction with mild hydronephrosis. No other stone.",
            "Obstructing 4 mm distal ureteric stone on the left.",
        ),
    ),
    "MR": (
        (
            "MRLSPINE",
            "Saddle numbness and retention.",
            "Large central disc extrusion at L4/5 compressing the cauda equina. Conus normal.",
            "Cauda equina compression at L4/5.",
        ),
        (
            "MRKNEE",
            "Locked knee after football.",
            "Bucket-handle tear of the medial meniscus. Cruciate ligaments intact. Small effusion.",
            "Bucket-handle tear of the medial meniscus.",
        ),
    ),
    "DX": (
        (
            "XRCHEST",
            "Cough for three weeks, fever. Tuberculosis?",
            "Heart size normal. No consolidation, no cavity. Costophrenic angles clear.",
            "No sign of active pulmonary disease.",
        ),
        (
            "XRWRIST",
            "Fall on the outstretched hand.",
            "Undisplaced fracture of the distal radius. Joint congruent.",
            "Undisplaced distal radius fracture.",
        ),
    ),
    "US": (
        (
            "USLIVER",
            "Right upper quadrant pain after meals.",
            "Gallbladder with several mobile stones up to 9 mm. Wall 2 mm. Common duct 4 mm.",
            "Cholelithiasis without cholecystitis.",
        ),
    ),
    "MG": (
        (
            "MGSCREEN",
            "Screening.",
            "Breast density b. No mass, no suspicious calcification, no distortion on either side.",
            "BI-RADS 2 on both sides: benign.",
        ),
    ),
}
#: How the exams spread over the modalities
MIX = ("CT", "CT", "DX", "DX", "MR", "US", "CT", "DX", "MG", "MR")


@dataclass(frozen=True)
class PlannedExam:
    number: int
    stage: str
    modality: str
    station: str
    priority: str
    patient_class: str
    patient: int
    at: datetime
    text: tuple[str, str, str, str]


FUTURE = {"scheduled"}
NOW = {"arrived": 12, "in_progress": 25, "performed": 50}  # minutes ago it was to begin
UNSCHEDULED = {"accepted", "vetting", "info_requested", "on_hold", "requested", "rejected"}


def planned_exams(
    now: datetime, *, patients: int, stations: dict[str, list[str]], limit: int | None = None
) -> Iterator[PlannedExam]:
    """The exams, oldest first; the same seed gives the same plan relative to ``now`` (aware, facility's zone)."""
    draw = random.Random(2026)
    stages = [stage for stage, count in STAGES for _ in range(count)]
    if limit is not None:
        stages = [stage for stage, _count in STAGES][:limit]
    taken: dict[str, list[datetime]] = {}
    rows: list[PlannedExam] = []
    for number, stage in sorted(enumerate(stages), key=lambda pair: pair[1] not in NOW):  # the present comes first
        modality = MIX[number % len(MIX)]
        station = draw.choice(stations[modality])
        moment = _moment(stage, number, now, draw)
        while any(abs((moment - other).total_seconds()) < 65 * 60 for other in taken.get(station, [])):
            moment += timedelta(minutes=70) if stage in (*FUTURE, "arrived") else -timedelta(minutes=70)
        taken.setdefault(station, []).append(moment)
        priority = draw.choice(("routine", "routine", "routine", "urgent", "asap", "stat"))
        rows.append(
            PlannedExam(
                number=number,
                stage=stage,
                modality=modality,
                station=station,
                priority=priority,
                patient_class="E" if priority == "stat" else draw.choice("OOOI"),
                patient=_patient(number, modality, patients),
                at=moment,
                text=TEXTS[modality][number % len(TEXTS[modality])],
            )
        )
    yield from sorted(rows, key=lambda row: row.at)


def _patient(number: int, modality: str, patients: int) -> int:
    women = [index for index, person in enumerate(PATIENTS[:patients]) if person.sex == "F" and is_adult(person)]
    return women[number % len(women)] if modality == "MG" else (number * 7) % patients


def is_adult(person: Person) -> bool:
    return person.birth_date is None or person.birth_date.year < 2000


def _moment(stage: str, number: int, now: datetime, draw: random.Random) -> datetime:
    """When the exam itself is or was to begin, on five minutes."""
    if stage in NOW:
        moment = now - timedelta(minutes=NOW[stage] + 3 * (number % 3))
    elif stage in FUTURE and number % 2 and now.hour < 18:
        moment = now + timedelta(minutes=45 + 20 * (number % 9))
    elif stage in FUTURE:
        moment = (now + timedelta(days=number % 4)).replace(hour=8 + number % 8, minute=0)
        if moment <= now:
            moment += timedelta(days=1)
    elif stage in ("ready_to_read", "reading", "preliminary"):
        moment = now - timedelta(hours=1 + number % 7, minutes=draw.randrange(0, 60, 5))
    else:
        day = now - timedelta(days=1 + draw.randrange(20))
        moment = day.replace(hour=7 + draw.randrange(10), minute=draw.randrange(0, 60, 10))
    return moment.replace(second=0, microsecond=0, minute=moment.minute - moment.minute % 5)
