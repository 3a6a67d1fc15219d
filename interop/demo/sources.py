"""A study's REDCap as it stands after a week: visits on the worklist, two rows rejected, one given up, and an outage.

Nothing is asked over any network: the rows are what REDCap would have sent. The source is switched off, so that it
stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.utils import timezone

from interop.demo import clock
from interop.demo.house import SEEDER
from interop.models import RunState, RunTrigger, Source, SourceRun
from interop.sources.applying import apply_rows
from interop.sources.plugin import Row
from interop.sources.services import save_source, switch_source
from orders.models import CatalogueProcedure, Patient
from ris.core.actor import SYSTEM
from worklist.models import Station

NAME = "knee-study"
MAPPING = [
    {"target": "patient_id", "source": "hospital_number"},
    {"target": "patient_name", "template": "{last_name}^{first_name}"},
    {"target": "birth_date", "source": "dob"},
    {"target": "sex", "source": "sex:label"},
    {"target": "weight_kg", "source": "weight"},
    {"target": "start_date", "source": "mri_date"},
    {"target": "start_time", "source": "mri_time"},
    {"target": "duration_minutes", "default": "45"},
    {"target": "station", "source": "scanner"},
    {"target": "modality", "default": "MR"},
    {"target": "indication", "default": "Study visit"},
]
VISITS = 6


def ensure_source(patients: Sequence[Patient]) -> None:
    if Source.objects.exists():
        return
    exam = CatalogueProcedure.objects.filter(modality="MR", is_active=True, has_laterality=False).order_by("pk").first()
    station = Station.objects.filter(modality="MR", is_active=True).order_by("pk").first()
    if exam is None or station is None or len(patients) <= VISITS + 1:
        return
    with clock.at(timezone.now() - timedelta(days=7)):
        source = save_source(
            name=NAME,
            kind="redcap",
            config={
                "url": "https://redcap.example.org/api/", "instrument": "mri", "required": ["mri_date", "mri_time"],
                "site": "ziwa",
            },
            secrets={"token": "0" * 32},
            mapping=[*MAPPING, {"target": "code", "default": exam.code}],
            interval_seconds=300,
            actor=SEEDER,
        )  # fmt: skip
        _run(source, minutes=4, read=VISITS, created=VISITS)
    with clock.at(timezone.now() - timedelta(days=2)):
        rows = [_visit(number, patient, station) for number, patient in enumerate(patients[:VISITS])]
        list(apply_rows(source, rows))
    with clock.at(timezone.now() - timedelta(hours=9)):
        words = "The source cannot be reached, or broke off."
        _run(source, minutes=1, state=RunState.FAILED, error=words, error_code="outage", repeats=4)
    with clock.at(timezone.now() - timedelta(minutes=40)):
        wrong = _visit(VISITS, patients[VISITS], station)
        unknown = _visit(VISITS + 1, patients[VISITS + 1], station)
        bad = [
            Row(wrong.external_id, {**wrong.values, "dob": "31.02.1988"}),
            Row(unknown.external_id, {**unknown.values, "scanner": "MR9"}),
            Row(rows[1].external_id, is_gone=True, reason="It is no longer planned in REDCap."),
        ]
        list(apply_rows(source, bad))
        _run(source, minutes=1, read=3, rejected=2, cancelled=1)
    with clock.at(timezone.now() - timedelta(minutes=12)):
        _run(source, minutes=1, read=VISITS + 1, repeats=5)
        now = timezone.now()
        Source.objects.filter(pk=source.pk).update(synced_until=now, last_run_at=now, last_success_at=now)
        switch_source(source, is_active=False, actor=SYSTEM)


def _visit(number: int, patient: Patient, station: Station) -> Row:
    when = timezone.localtime() + timedelta(days=4 + number // 3)
    identifier = patient.primary_identifier
    return Row(
        f"KN-{101 + number}|visit_1_arm_1|mri|1",
        {
            "hospital_number": identifier.value if identifier is not None else "",
            "last_name": patient.family_name,
            "first_name": patient.given_name,
            "dob": patient.birth_date.isoformat() if patient.birth_date else "",
            "sex:label": {"F": "Female", "M": "Male"}.get(patient.sex, "Unknown"),
            "weight": str(62 + 3 * number),
            "mri_date": f"{when:%Y-%m-%d}",
            "mri_time": f"{17 + number % 3}:15",
            "scanner": station.ae_title,
        },
    )


def _run(source: Source, *, minutes: int, state: str = RunState.DONE, **counts: object) -> None:
    now = timezone.now()
    SourceRun.objects.create(
        source=source,
        trigger=RunTrigger.SCHEDULE,
        state=state,
        started_at=now - timedelta(minutes=minutes),
        finished_at=now,
        read_until=now,
        **counts,
    )
