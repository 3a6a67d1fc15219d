"""What becomes of a row: patient, order and step by the services that pages call, once per change over there.

A row that has not changed costs a hash and its part of one look-up: it is not even mapped. Numbers and UIDs stay with
their row for ever; a sync never lowers a status: once the exam has begun, only the patient's details are corrected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from interop.models import RowState, Source, SourceRow
from interop.sources.mapping import (
    CANCELLED,
    EDITION,
    ELSEWHERE,
    PRIVATE,
    Entry,
    entry_of,
    entry_of_json,
    hash_of,
    names_of,
)
from interop.sources.plugin import Row
from orders import services as orders
from orders.models import Patient, ProcedureStatus, RequestedProcedure
from orders.models.orders import OPEN_BEFORE_EXAM
from ris.accounts.models import Practitioner
from ris.accounts.selectors import facility_settings
from ris.audit.service import flush_refusals
from ris.core.actor import Actor
from ris.core.errors import Conflict, DomainError, InvalidData
from worklist import services as worklist
from worklist.data import WorklistItem
from worklist.models import Reservation, ReservationKind, ReservationStatus, Station
from worklist.services.matching import Agreement, Sent, agreement

log = structlog.get_logger(__name__)

CREATED, UPDATED, UNCHANGED, GONE, REJECTED, KEPT, PASSED = (
    "created", "updated", "unchanged", "cancelled", "rejected", "kept", "passed",
)  # fmt: skip
UNSPECIFIED = "110513"
FIRST_RETRY, LAST_RETRY = timedelta(minutes=15), timedelta(hours=24)
PERSON = (
    "family_name", "given_name", "middle_name", "prefix", "suffix", "birth_date", "birth_date_is_estimated", "sex",
    "weight_kg", "height_m",
)  # fmt: skip
PLAN = ("starts_at", "station", "duration_minutes")
EXAM = ("code", "code_scheme", "laterality")
ORDER = ("priority", "indication", "location", "requester")
OPEN_APPOINTMENT = (ReservationStatus.BOOKED, ReservationStatus.ARRIVED)


@dataclass(frozen=True)
class Change:
    """One field of an entry, before and after; ``is_private``: it tells of the patient."""

    name: str
    before: str
    after: str
    is_private: bool


@dataclass(frozen=True)
class Outcome:
    what: str
    external_id: str
    changes: tuple[Change, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    accession_number: str = ""


class _Undo(Exception):
    """A dry run has seen enough."""


def actor_for(source: Source) -> Actor:
    return Actor("source", ae_title=source.name[:16])


@dataclass(frozen=True)
class Reading:
    """A row with what the mapping makes of it; ``cancelled``: why it is gone, None while it is planned."""

    row: Row
    entry: Entry
    errors: Mapping[str, str]
    content_hash: str
    raw_hash: str
    cancelled: str | None

    @classmethod
    def of(cls, source: Source, row: Row, raw_hash: str) -> Reading:
        if row.is_gone:
            return cls(row, Entry(), {}, "", "", row.reason)
        entry, errors = entry_of(source.mapping, row.values, source.zone)
        if entry.status == CANCELLED:
            return cls(row, entry, errors, "", raw_hash, entry.status_reason or _("It was cancelled there."))
        values = entry.as_json()
        content_hash = hash_of({**values, "errors": sorted(errors)} if errors else values)
        return cls(row, entry, errors, content_hash, raw_hash, None)


@dataclass(frozen=True)
class Seen:
    """What is stored of a row, as far as it tells whether the row says anything new."""

    pk: int
    raw_hash: str
    content_hash: str
    state: str


def apply_rows(
    source: Source, rows: Iterable[Row], *, again: frozenset[str] = frozenset(), dry_run: bool = False
) -> Iterator[Outcome]:
    """Each row that says something new in a transaction of its own; of all others, one query for the whole batch.

    ``again``: rejected rows that are to be tried whether changed or not.
    """
    batch = list(rows)
    of_batch = SourceRow.objects.filter(source=source, external_id__in=[row.external_id for row in batch])
    stored = of_batch.values_list("external_id", "pk", "raw_hash", "content_hash", "state")
    seen = {external_id: Seen(*further) for external_id, *further in stored}
    readings, outcomes, written_anew = _told_apart(source, batch, seen, again)
    if written_anew and not dry_run:
        SourceRow.objects.bulk_update(written_anew, ["raw_hash"], batch_size=500)
    yield from outcomes
    new = [reading.row.external_id for reading in readings]
    full = of_batch.filter(external_id__in=new).select_related("procedure__order__patient") if new else ()
    known = {row.external_id: row for row in full}
    for reading in readings:
        try:
            with transaction.atomic():
                outcome = _apply(source, reading, known.get(reading.row.external_id))
                if dry_run:
                    raise _Undo
        except _Undo:
            log.debug("source_row_previewed", source=source.name)
        flush_refusals()
        yield outcome


def _told_apart(
    source: Source, batch: list[Row], seen: Mapping[str, Seen], again: frozenset[str]
) -> tuple[list[Reading], list[Outcome], list[SourceRow]]:
    """The rows that say something new; what became of the others; those that say the same in other words."""
    readings: list[Reading] = []
    outcomes: list[Outcome] = []
    written_anew: list[SourceRow] = []
    recipe = recipe_of(source)
    for row in batch:
        before, raw_hash = seen.get(row.external_id), "" if row.is_gone else raw_hash_of(row, recipe)
        is_again = before is not None and before.state == RowState.REJECTED and row.external_id in again
        if before is not None and raw_hash and before.raw_hash == raw_hash and not is_again:
            outcomes.append(Outcome(UNCHANGED, row.external_id))
            continue
        reading = Reading.of(source, row, raw_hash)
        what = _settled(reading, before, is_again=is_again)
        if not what:
            readings.append(reading)
            continue
        outcomes.append(Outcome(what, row.external_id))
        if before is not None and raw_hash:
            written_anew.append(SourceRow(pk=before.pk, raw_hash=raw_hash))
    return readings, outcomes, written_anew


def recipe_of(source: Source) -> str:
    """What an entry depends on beside its row. With a new edition of ours every row is mapped once again."""
    return hash_of({"mapping": source.mapping, "zone": source.zone.key, "edition": EDITION})


def raw_hash_of(row: Row, recipe: str) -> str:
    return hash_of({"": recipe, **row.values})


def _settled(reading: Reading, seen: Seen | None, *, is_again: bool) -> str:
    """What became of a row that says nothing new; empty for all others."""
    if reading.cancelled is not None:
        kept = (RowState.KEPT, "")
        is_over = seen is not None and (seen.state == RowState.CANCELLED or (seen.state, seen.content_hash) == kept)
        return PASSED if seen is None else UNCHANGED if is_over else ""
    if reading.entry.status == ELSEWHERE:
        return PASSED if seen is None else UNCHANGED
    if seen is None or seen.content_hash != reading.content_hash or is_again:
        return ""
    return UNCHANGED


def _apply(source: Source, reading: Reading, known: SourceRow | None) -> Outcome:
    row, entry, errors = reading.row, reading.entry, reading.errors
    if reading.cancelled is not None:
        assert known is not None
        return _cancel(source, known, reading)
    changes = _changes(entry_of_json(known.values) if known is not None else Entry(), entry)
    target = known or SourceRow(source=source, external_id=row.external_id)
    target.content_hash, target.raw_hash, target.starts_at = reading.content_hash, reading.raw_hash, entry.starts_at
    exam = target.procedure
    if errors:
        return _reject(target, entry, errors, changes)
    try:
        with transaction.atomic():
            what, reasons = _carry_out(source, target, entry)
    except DomainError as refusal:
        target.procedure = exam
        return _reject(target, entry, _reasons_of(refusal), changes)
    except (OperationalError, InterfaceError):
        raise
    except Exception as problem:  # one row that nobody foresaw must not keep the others from the worklist
        target.procedure = exam
        log.error("source_row_failed", source=source.name, error=type(problem).__name__)
        return _reject(target, entry, {"": _("It could not be stored (%(type)s).") % _type(problem)}, changes)
    target.state = RowState.KEPT if what == KEPT else RowState.APPLIED
    target.values, target.reasons, target.tries, target.retry_at = entry.as_json(), reasons, 0, None
    _save(target)
    return Outcome(what, row.external_id, changes, reasons, target.accession_number)


def _type(problem: Exception) -> dict[str, str]:
    return {"type": type(problem).__name__}


def _save(row: SourceRow) -> None:
    row.changed_at = timezone.now()
    row.save()


def _reasons_of(refusal: DomainError) -> dict[str, str]:
    """Why, per field, in words without patient data (errors of the house never hold any)."""
    found = {
        name: " ".join(map(str, words)) if isinstance(words, (list, tuple)) else str(words)
        for name, words in refusal.errors.items()
    }
    return found or {"": " ".join(part for part in (refusal.detail, refusal.found, refusal.todo) if part)}


def _reject(row: SourceRow, entry: Entry, reasons: Mapping[str, str], changes: tuple[Change, ...]) -> Outcome:
    """What is on the worklist already stays there as it was, and the row waits for a person or for its correction."""
    row.state, row.reasons = RowState.REJECTED, dict(reasons)
    if row.procedure_id is None:
        row.values = entry.as_json()
    row.tries += 1
    row.retry_at = timezone.now() + min(FIRST_RETRY * 2 ** min(row.tries - 1, 10), LAST_RETRY)
    _save(row)
    return Outcome(REJECTED, row.external_id, changes, row.reasons, row.accession_number)


def _changes(before: Entry, after: Entry) -> tuple[Change, ...]:
    old, new = before.as_json(), after.as_json()
    return tuple(
        Change(name, str(old.get(name, "")), str(new.get(name, "")), name in PRIVATE)
        for name in dict.fromkeys((*new, *old))
        if old.get(name) != new.get(name) and name != "status"
    )


# --- cancelled or deleted over there


def _cancel(source: Source, known: SourceRow, reading: Reading) -> Outcome:
    reason = reading.cancelled or ""
    known.content_hash, known.raw_hash, known.retry_at, known.tries = "", reading.raw_hash, None, 0
    what, reasons = GONE, {"": reason[:300]}
    procedure = known.procedure
    if procedure is not None and procedure.status in OPEN_BEFORE_EXAM:
        try:
            with transaction.atomic():
                text = f"{source.name}: {reason}"[:200]
                orders.cancel_procedure(procedure, reason_code=UNSPECIFIED, reason_text=text, actor=actor_for(source))
        except DomainError as refusal:
            what, reasons = KEPT, _reasons_of(refusal)
    elif procedure is not None and procedure.status not in (ProcedureStatus.CANCELLED, ProcedureStatus.REJECTED):
        what, reasons = KEPT, {"": _("It is gone there, and the exam has begun or is over here: it stays.")}
    known.state, known.reasons = (RowState.KEPT if what == KEPT else RowState.CANCELLED), reasons
    _save(known)
    return Outcome(what, known.external_id, (), reasons, known.accession_number)


# --- new and changed


def _carry_out(source: Source, row: SourceRow, entry: Entry) -> tuple[str, dict[str, str]]:
    actor = actor_for(source)
    station = _station_of(entry)
    if row.procedure is None:
        step = worklist.load_worklist_item(_item_of(entry, station), actor=actor)
        row.procedure = step.procedure
        _correct(row.procedure.order.patient, Entry(), entry, source, actor)
        _reserve(source, row.procedure, entry, station, actor)
        return CREATED, {}
    return _change(source, row, entry, station, actor)


def _station_of(entry: Entry) -> Station | None:
    if not entry.station:
        return None
    active = Station.objects.filter(is_active=True).select_related("room")
    found = active.filter(ae_title=entry.station).first() or active.filter(name__iexact=entry.station).first()
    if found is None:
        words = _("There is no active station of this AE title or name: %(name)s.") % {"name": entry.station}
        raise InvalidData(words, errors={"station": words})
    return found


def _item_of(entry: Entry, station: Station | None) -> WorklistItem:
    requester = names_of(entry.requester)
    return WorklistItem(
        patient_id=entry.patient_id,
        issuer_of_patient_id=entry.issuer,
        family_name=entry.family_name,
        given_name=entry.given_name,
        middle_name=entry.middle_name,
        prefix=entry.prefix,
        suffix=entry.suffix,
        birth_date=entry.birth_date,
        sex=entry.sex,
        weight_kg=entry.weight_kg,
        height_m=entry.height_m,
        accession_number=entry.accession_number,
        study_instance_uid=entry.study_instance_uid,
        requested_procedure_id=entry.requested_procedure_id,
        code=entry.code,
        code_scheme=entry.code_scheme,
        description=entry.description or entry.code,
        laterality=entry.laterality,
        modality=entry.modality,
        station_ae_title=station.ae_title if station is not None else "",
        starts_at=entry.starts_at,
        priority=entry.priority or "routine",
        indication=entry.indication,
        protocol=entry.protocol,
        requester_family_name=requester.get("family_name", ""),
        requester_given_name=requester.get("given_name", ""),
        location=entry.location,
    )


def _change(
    source: Source, row: SourceRow, entry: Entry, station: Station | None, actor: Actor
) -> tuple[str, dict[str, str]]:
    procedure = row.procedure
    assert procedure is not None
    before = entry_of_json(row.values)
    was_gone = row.state == RowState.CANCELLED or (row.state == RowState.KEPT and not row.content_hash)
    is_open = procedure.status in OPEN_BEFORE_EXAM
    if (entry.patient_id, entry.issuer) != (before.patient_id, before.issuer):
        _give_to_other(procedure, entry, source, actor, is_open=is_open)
    else:
        _correct(procedure.order.patient, before, entry, source, actor)
    if procedure.status in (ProcedureStatus.CANCELLED, ProcedureStatus.REJECTED):
        if not was_gone and row.state != RowState.REJECTED:
            return KEPT, {"": _("The exam was cancelled here: what changes there does not bring it back.")}
        orders.reopen_procedure(procedure, reason_text=_("Planned again in %(name)s") % _name(source), actor=actor)
        procedure = _fresh(procedure)
        if procedure.status == ProcedureStatus.VETTING:  # who plans it over there has accepted it
            procedure = orders.mark_scheduled(procedure, actor=actor)
        before = Entry(**{name: getattr(before, name) for name in (*EXAM, *ORDER)})
        is_open = True
    if not is_open:
        touched = any(getattr(before, name) != getattr(entry, name) for name in (*PLAN, *EXAM, *ORDER))
        words = _("The exam has begun or is over: only the patient's details are corrected.")
        return (KEPT, {"": words}) if touched else (UPDATED, {})
    reasons = _change_exam(procedure, before, entry, source, actor)
    if any(getattr(before, name) != getattr(entry, name) for name in PLAN):
        _plan(source, _fresh(procedure), entry, station, actor)
    return UPDATED, reasons


def _name(source: Source) -> dict[str, str]:
    return {"name": source.name}


def _fresh(procedure: RequestedProcedure) -> RequestedProcedure:
    return RequestedProcedure.objects.select_related("order__patient", "catalogue").get(pk=procedure.pk)


def _correct(patient: Patient, before: Entry, entry: Entry, source: Source, actor: Actor) -> None:
    """What has changed over there is corrected here; what was corrected here alone stays."""
    _refuse_another(patient, entry)
    fields = {
        name: getattr(entry, name)
        for name in PERSON
        if getattr(entry, name) not in ("", None) and getattr(entry, name) != getattr(before, name)
    }
    if "birth_date" in fields:
        fields["birth_date_is_estimated"] = entry.birth_date_is_estimated
    if before == Entry():  # an entry for somebody known: their weight may be news, who they are is not
        fields = {name: fields[name] for name in ("weight_kg", "height_m") if name in fields}
    if fields:
        orders.update_patient(patient, reason=_("Corrected in %(name)s") % _name(source), actor=actor, **fields)


def _refuse_another(patient: Patient, entry: Entry) -> None:
    name = "^".join((entry.family_name, entry.given_name, entry.middle_name))
    born = f"{entry.birth_date:%Y%m%d}" if entry.birth_date and not entry.birth_date_is_estimated else ""
    if agreement(patient, Sent(entry.patient_id, "", name, born)) is Agreement.DIFFERS:
        raise Conflict(
            _("This identifier belongs to another patient."),
            errors={"patient_id": _("Name and date of birth are not those of the patient who has this number.")},
        )


def _give_to_other(procedure: RequestedProcedure, entry: Entry, source: Source, actor: Actor, *, is_open: bool) -> None:
    """The number of the patient was wrong over there: the order goes to whom it is meant for, if nothing was done."""
    if not is_open:
        raise Conflict(
            _("The patient of an exam that has begun is not changed by a source."),
            errors={"patient_id": _("Another patient now, and the exam has begun: a person must look.")},
        )
    issuer = entry.issuer or facility_settings().patient_id_issuer
    patient = orders.resolve_patient(identifiers=[(entry.patient_id, issuer)], actor=actor)
    if patient is None:
        fields = {name: getattr(entry, name) for name in PERSON if getattr(entry, name) not in ("", None)}
        number = {"value": entry.patient_id, "issuer": issuer, "type": "MR", "use": "usual"}
        patient = orders.register_patient(identifiers=[number], actor=actor, **fields)
    _refuse_another(patient, entry)
    orders.move_order(procedure.order, patient=patient, reason=_("Corrected in %(name)s") % _name(source), actor=actor)


def _change_exam(
    procedure: RequestedProcedure, before: Entry, entry: Entry, source: Source, actor: Actor
) -> dict[str, str]:
    reason = _("Changed in %(name)s") % _name(source)
    reasons: dict[str, str] = {}
    if any(getattr(before, name) != getattr(entry, name) for name in EXAM) and entry.code:
        if orders.find_catalogue(entry.code, entry.code_scheme) is None:
            reasons["code"] = _("The catalogue does not know the new exam: the one there was is kept.")
        else:
            orders.change_procedure(
                procedure,
                code=entry.code,
                scheme=entry.code_scheme,
                laterality=entry.laterality,
                reason=reason,
                actor=actor,
            )
    fields: dict[str, Any] = {
        name: getattr(entry, name)
        for name in ("priority", "indication", "location")
        if getattr(entry, name) and getattr(entry, name) != getattr(before, name)
    }
    if entry.requester and entry.requester != before.requester:
        requester = _practitioner(entry.requester)
        if requester is not None:
            fields["requester"] = requester
    if fields:
        orders.change_order(procedure.order, reason=reason, actor=actor, **fields)
    return reasons


def _practitioner(whole: str) -> Practitioner | None:
    names = names_of(whole)
    return Practitioner.objects.filter(
        family_name__iexact=names.get("family_name", ""), given_name__iexact=names.get("given_name", ""), is_active=True
    ).first()


# --- time and place


def _plan(source: Source, procedure: RequestedProcedure, entry: Entry, station: Station | None, actor: Actor) -> None:
    if not _reserve(source, procedure, entry, station, actor):
        worklist.ensure_step(procedure, station=station, starts_at=entry.starts_at, actor=actor)


def _reserve(
    source: Source, procedure: RequestedProcedure, entry: Entry, station: Station | None, actor: Actor
) -> bool:
    """An appointment, where the source is to reserve rooms and says when and where; one there is moves along."""
    appointment = Reservation.objects.filter(
        procedure=procedure, kind=ReservationKind.APPOINTMENT, status__in=OPEN_APPOINTMENT
    ).first()
    if entry.starts_at is None or (appointment is None and not _may_reserve(source, entry.starts_at, station)):
        return False
    if appointment is None:
        worklist.book_appointment(
            procedure, station=station, starts_at=entry.starts_at, duration_minutes=entry.duration_minutes, actor=actor
        )
    else:
        worklist.reschedule_appointment(
            appointment,
            station=station,
            starts_at=entry.starts_at,
            duration_minutes=entry.duration_minutes,
            reason=_("Moved in %(name)s") % _name(source),
            actor=actor,
        )
    return True


def _may_reserve(source: Source, starts_at: datetime, station: Station | None) -> bool:
    return source.reserves_room and station is not None and starts_at > timezone.now()
