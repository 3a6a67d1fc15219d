"""What would CT1 see now? The worklist as the SCP answers it, asked by a person; and why a step is not in the answer.

The query is the very statement that scanners reach, with the rights and the spelling of the peer's row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from django.db import DatabaseError, connection
from django.utils import timezone
from django.utils.translation import gettext as _
from psycopg.pq import ExecStatus
from pydicom import Dataset
from pydicom.datadict import dictionary_description
from pydicom.multival import MultiValue
from pydicom.uid import ImplicitVRLittleEndian

from interop.dicom.admission import fits, specificity
from interop.dicom.dimse import Answer, Caller, Question, Request, Status, allow, answer_to, handler_for, perform
from interop.dicom.elements import IMPLICIT, Malformed
from interop.dicom.emulator import worklist_keys
from interop.dicom.messages import Field
from interop.dicom.worklist import MODALITY_WORKLIST, parse_identifier
from interop.models import DicomPeer
from ris.core.actor import Actor
from ris.core.errors import DomainError
from ris.tenants.context import require_facility
from worklist.data import MwlPeer, MwlQuery, MwlScope
from worklist.models import ScheduledProcedureStep
from worklist.permissions import VIEW_STEP
from worklist.selectors import why_withheld, worklist_items

#: Keys that are tried alone, by their names in the data dictionary; date, time and accession number are apart.
KEYS = {
    "station_ae_title": "Scheduled Station AE Title",
    "modality": "Modality",
    "performing_physician": "Scheduled Performing Physician's Name",
    "patient_name": "Patient's Name",
    "patient_id": "Patient ID",
    "study_instance_uid": "Study Instance UID",
    "requested_procedure_id": "Requested Procedure ID",
    "scheduled_procedure_step_id": "Scheduled Procedure Step ID",
}


class Visitor(Caller):
    """A person who asks in a scanner's name; what is read is recorded as read by the person."""

    def __init__(self, caller: Caller, who: Actor) -> None:
        super().__init__(caller.facility, caller.peer, caller.calling_ae_title, caller.called_ae_title, caller.address)
        self.who = who

    def actor(self, door: str) -> Actor:
        return self.who


@dataclass(frozen=True)
class Told:
    """One answer as the peer gets it, and the step it is about."""

    status: int
    dataset: Dataset
    step: ScheduledProcedureStep | None

    @cached_property
    def keys(self) -> dict[str, str]:
        """{keyword: value}, those of the step beside the others."""
        inner = (self.dataset.get("ScheduledProcedureStepSequence") or [Dataset()])[0]
        return {
            element.keyword: joined(element.value)
            for part in (self.dataset, inner)
            for element in part
            if element.VR != "SQ"
        }

    @property
    def starts(self) -> str:
        """When it is planned, as a person reads it."""
        day, clock = (self.keys.get(f"ScheduledProcedureStepStart{part}", "") for part in ("Date", "Time"))
        return (
            f"{day[:4]}-{day[4:6]}-{day[6:8]} {clock[:2]}:{clock[2:4]}" if day and clock else f"{day} {clock}".strip()
        )


@dataclass(frozen=True)
class Answered:
    """The final status with its comment, and all items. ``hidden``: items about whom the person may not see."""

    status: int
    comment: str
    items: tuple[Told, ...]
    hidden: int = 0

    @property
    def status_text(self) -> str:
        return f"{self.status:04X}"


def peer_called(ae_title: str) -> DicomPeer | None:
    """The row that decides for a calling title, wherever it calls from."""
    exact = DicomPeer.objects.filter(ae_title=ae_title).first()
    if exact is not None:
        return exact
    wild = DicomPeer.objects.filter(is_active=True, ae_title__regex=r"[*?]")
    return min((row for row in wild if fits(row.ae_title, ae_title)), key=specificity, default=None)


def newcomer(ae_title: str) -> DicomPeer:
    """The row that this title would get when it were added now; it is not stored."""
    return DicomPeer(ae_title=ae_title, may_query_worklist=True)


def caller_for(peer: DicomPeer, ae_title: str = "") -> Caller:
    facility = require_facility()
    return Caller(facility, peer, ae_title or peer.ae_title, facility.ae_title, "")


def question(
    *, station: str = "", modality: str = "", date: str | None = None, accession_number: str = "", name: str = ""
) -> Dataset:
    """A scanner's broad query. ``date``: DA, a range, "" for any; today without."""
    keys = worklist_keys(station, modality, f"{timezone.localdate():%Y%m%d}" if date is None else date)
    keys.AccessionNumber, keys.PatientName = accession_number, name
    return keys


def told(keys: Dataset, *, caller: Caller, actor: Actor) -> tuple[Answer, list[tuple[int, Dataset]]]:
    """The final answer of the SCP and what came before it; recorded as read by ``actor``."""
    request = _request(keys, Visitor(caller, actor))
    handler = handler_for(Field.C_FIND, MODALITY_WORKLIST)
    assert handler is not None and handler.asks is not None
    try:
        allow(handler, request)
        question = handler.asks(request, actor)
    except (DomainError, Malformed) as refused:
        return answer_to(refused, Field.C_FIND, request), []
    if question is None:
        *matches, last = list(perform(handler, request))
        found = [(answer.status, answer.data) for answer in matches]
    else:
        last, found = Answer(Status.SUCCESS), list(question.answers(_column(question)))
    return last, [(status, replace(request, data=data).dataset()) for status, data in found]


def _column(question: Question) -> list[bytes]:
    """The listener's statement on Django's connection, so that it sees what this transaction has changed."""
    connection.ensure_connection()
    line = connection.connection.pgconn
    result = line.exec_params(question.sql.encode(), question.parameters, result_format=1)
    if result.status != ExecStatus.TUPLES_OK:
        raise DatabaseError(result.error_message.decode("utf-8", "replace"))
    return [result.get_value(row, 0) for row in range(result.ntuples)]


def ask(keys: Dataset, *, caller: Caller, actor: Actor) -> Answered:
    """The same with the steps that the answers are about, as far as the person may see them.

    ``keys`` ask for the step's ID. Who may see no steps at all gets every item, to be shown without the patient.
    """
    last, read = told(keys, caller=caller, actor=actor)
    steps = _steps([dataset for _status, dataset in read], actor)
    items = tuple(Told(status, dataset, steps.get(_step_id(dataset))) for status, dataset in read)
    seen = tuple(item for item in items if item.step is not None) if actor.may(VIEW_STEP) else items
    return Answered(last.status, last.comment, seen, len(items) - len(seen))


def _request(keys: Dataset, caller: Caller) -> Request:
    request = Request(caller, 1, MODALITY_WORKLIST, "", str(ImplicitVRLittleEndian))
    return replace(request, data=request.encoded(keys))


def _step_id(dataset: Dataset) -> str:
    inner = (dataset.get("ScheduledProcedureStepSequence") or [Dataset()])[0]
    return str(inner.get("ScheduledProcedureStepID", ""))


def _steps(datasets: list[Dataset], actor: Actor) -> dict[str, ScheduledProcedureStep]:
    rows = ScheduledProcedureStep.objects.visible_to(actor).filter(
        scheduled_procedure_step_id__in=[_step_id(dataset) for dataset in datasets]
    )
    return {row.scheduled_procedure_step_id: row for row in rows.for_display()}


def joined(value: Any) -> str:
    return "\\".join(str(part) for part in value) if isinstance(value, (list, MultiValue)) else str(value or "")


# --- why not


@dataclass(frozen=True)
class Reason:
    """Why a step is not in the answer; empty when it is."""

    step: ScheduledProcedureStep | None
    words: tuple[str, ...]


def why_not(accession_number: str, keys: Dataset, *, caller: Caller, actor: Actor) -> list[Reason]:
    """For each step of an accession number, everything that stands between it and the answer to ``keys``."""
    planned = ScheduledProcedureStep.objects.all()
    if actor.may(VIEW_STEP):  # others are told nothing of the patient
        planned = planned.visible_to(actor)
    steps = list(planned.filter(procedure__accession_number=accession_number).for_display().order_by("pk"))
    if not steps:
        return [Reason(None, (_("No exam of this accession number is planned here, or it is none that you may see."),))]
    standing = tuple(_standing(caller))
    query, _shape = parse_identifier(_request(keys, caller).data, IMPLICIT)
    return [Reason(step, (*standing, *_obstacles(step, query, caller))) for step in steps]


def _standing(caller: Caller) -> Iterator[str]:
    """What keeps the peer from every answer."""
    peer = caller.peer
    if peer.pk is None:
        yield _("No peer has the AE title %(title)s: its associations are turned away.") % {"title": caller.ae_title}
    elif not peer.is_active:
        yield _("The peer %(title)s is switched off.") % {"title": peer.ae_title}
    if not peer.may_query_worklist:
        yield _("The peer %(title)s may not query the worklist.") % {"title": peer.ae_title}


def _obstacles(step: ScheduledProcedureStep, query: MwlQuery, caller: Caller) -> Iterator[str]:
    withheld = why_withheld(step)
    if withheld:
        yield withheld
        return
    stopped = [*_by_scope(step, caller, query), *_by_keys(step, query)]
    yield from stopped
    if not stopped:
        yield from _by_limit(step, query, caller)


def _is_found(step: ScheduledProcedureStep, query: MwlQuery, peer: Any = None) -> bool:
    query = replace(query, accession_number=step.key_accession_number)
    return any(pk == step.pk for pk, _item in worklist_items(query, peer=peer))


def _by_scope(step: ScheduledProcedureStep, caller: Caller, query: MwlQuery) -> Iterator[str]:
    """Each limit of the peer's row, tried alone."""
    title, scope = caller.ae_title, caller.scope
    undated = MwlQuery(start_date=query.start_date)
    if not caller.sees_all_stations and not _is_found(step, MwlQuery(), MwlPeer(title)):
        yield _("The peer sees only its own station; this step is for %(station)s.") % {"station": station_of(step)}
    words = {
        "stations": _("The peer sees only the stations %(value)s; this step is for %(station)s."),
        "modalities": _("The peer sees only the modalities %(value)s; this step is %(modality)s."),
        "hidden_statuses": _("The peer does not see steps that are %(value)s."),
        "hides_blocked": _("Safety screening blocks it, and the peer does not see blocked steps."),
        "hides_restricted": _("The patient is restricted, and the peer does not see restricted patients."),
        "days_back": _("The query names no date, and the peer then sees %(value)s days back only."),
        "days_ahead": _("The query names no date, and the peer then sees %(value)s days ahead only."),
    }
    for part in fields(MwlScope):
        value = getattr(scope, part.name)
        alone = MwlPeer(title, sees_all_stations=True, scope=MwlScope(**{part.name: value}))
        if value != part.default and not _is_found(step, undated if "days" in part.name else MwlQuery(), alone):
            shown = ", ".join(value) if isinstance(value, tuple) else value
            yield words[part.name] % {"value": shown, "station": station_of(step), "modality": step.modality}


def _by_keys(step: ScheduledProcedureStep, query: MwlQuery) -> Iterator[str]:
    """Each key of the query, tried alone; date and time are one interval."""
    moment = {"start_date": query.start_date, "start_time": query.start_time}
    if any(moment.values()) and not _is_found(step, MwlQuery(**moment)):
        when = " ".join(value for value in moment.values() if value)
        planned = f"{step.key_date:%Y%m%d} {step.key_time:%H%M%S}"
        yield _("The query asks for %(asked)s; this step is planned for %(found)s.") % {
            "asked": when,
            "found": planned,
        }
    held = {"station_ae_title": station_of(step), "modality": step.modality}
    for name, label in KEYS.items():
        value = getattr(query, name)
        if value and not _is_found(step, MwlQuery(**{name: value})):
            yield _other(label, value if isinstance(value, str) else ", ".join(value), held.get(name, ""))
    asked = MwlQuery(accession_number=query.accession_number)
    if query.accession_number and all(pk != step.pk for pk, _item in worklist_items(asked)):
        yield _("The query's accession number is another one.")
    for key, value in query.others.items():
        if not _is_found(step, MwlQuery(others={key: value})):
            yield _other(dictionary_description(key.rpartition(".")[2]), value, "")


def _other(key: str, asked: str, held: str) -> str:
    words = _("%(key)s does not match: the query asks for “%(asked)s”.") % {"key": key, "asked": asked}
    return f"{words} {_('The step has “%(held)s”.') % {'held': held}}" if held else words


def _by_limit(step: ScheduledProcedureStep, query: MwlQuery, caller: Caller) -> Iterator[str]:
    most = caller.max_results
    if not most:
        return
    endless = MwlPeer(caller.ae_title, caller.sees_all_stations, 0, caller.scope)
    for number, (pk, _item) in enumerate(worklist_items(query, peer=endless), 1):
        if pk == step.pk and number > most:
            yield _("It is number %(number)d of the answers, and the peer gets %(most)d at most: ask for less.") % {
                "number": number,
                "most": most,
            }


def station_of(step: ScheduledProcedureStep) -> str:
    return step.key_station_ae or _("any station for %(modality)s") % {"modality": step.modality}
