"""After the downtime: a sheet becomes patient, order and exam, under its own number, with the times that are on it.

What is above (steps, images) follows in the same commit: it hears ``DowntimeFormEntered``. The history says who typed
it, when and through which door; the times of the exam are those of the paper.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from orders import permissions as perms
from orders import validation
from orders.downtime_lists import open_period_of
from orders.downtime_parts import department
from orders.events import DowntimeFormCorrected, DowntimeFormEntered
from orders.models import (
    DowntimeForm,
    FormStatus,
    PaperOutcome,
    Patient,
    ProcedureStatus,
    RequestedProcedure,
)
from orders.services.emergency import register_emergency
from orders.services.lifecycle import locked_procedure
from orders.services.orders import ProcedureRequest, create_order
from orders.services.patients import register_patient
from orders.validation import Errors
from ris.accounts.models import Practitioner
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.concepts import DISCONTINUATION_REASONS
from ris.core.errors import Conflict, InvalidData, InvalidTransition
from ris.events.bus import publish

LONGEST_EXAM = timedelta(hours=24)
OLDEST_PAPER = timedelta(days=62)
MOST_USED = 10
BEFORE_EXAM = (ProcedureStatus.ACCEPTED, ProcedureStatus.SCHEDULED, ProcedureStatus.ARRIVED)


@dataclass(frozen=True)
class Used:
    """Contrast or another thing used, as written: what, how much, from which lot."""

    label: str
    quantity: Decimal | str | int
    unit: str = "mL"
    lot: str = ""


@dataclass(frozen=True)
class PaperEntry:
    """What stands on the sheet. Without ``started_at`` the patient waits; without ``ended_at`` the exam runs."""

    arrived_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    code: str = ""
    laterality: str = ""
    indication: str = ""
    priority: str = "routine"
    patient_class: str = "O"
    requester: Practitioner | None = None
    technologist: str = ""
    station_ae_title: str = ""
    consumables: Sequence[Used] = field(default_factory=tuple)
    note: str = ""
    stop_code: str = ""

    @property
    def outcome(self) -> PaperOutcome:
        if self.started_at is None:
            return PaperOutcome.ARRIVED
        if self.ended_at is None:
            return PaperOutcome.STARTED
        return PaperOutcome.DISCONTINUED if self.stop_code else PaperOutcome.PERFORMED


@service(perms.ENTER_DOWNTIME, action=Action.CREATE)
def enter_downtime_form(
    form: DowntimeForm,
    *,
    entry: PaperEntry,
    patient: Patient | None = None,
    new_patient: Mapping[str, Any] | None = None,
    emergency: Mapping[str, Any] | None = None,
    procedure: RequestedProcedure | None = None,
    actor: Actor,
) -> DowntimeForm:
    """Replay a sheet. The patient is known (``patient``), registered now (``new_patient``: the fields of
    ``register_patient``), or nobody knows who it was (``emergency``: sex, estimated_age). ``procedure``: the sheet was
    used for an exam that was ordered before; then no other is made.

    The same sheet typed again with the same words answers what is there; with other words it is refused (Conflict).
    """
    form = DowntimeForm.locked(form.pk)
    digest = _digest(entry, patient, new_patient, emergency, procedure)
    if form.status == FormStatus.ENTERED:
        if form.entry_hash == digest:
            return form
        raise _entered_before(form)
    if not form.is_open:
        raise InvalidTransition(
            _("This form is void."),
            asked=_("To enter form %(label)s.") % {"label": form.label},
            found=_("It was made void: %(reason)s") % {"reason": form.void_reason},
            todo=_("If it was used after all, take it back first."),
        )
    errors = Errors()
    used = _checked(entry, errors, needs_exam=procedure is None)
    if sum(given is not None for given in (patient, new_patient, emergency)) != (0 if procedure else 1):
        errors.add("patient", _("Say who the patient is."))
    errors.raise_if_any(_("The form was not entered."))
    if procedure is not None:
        exam = _ordered_before(procedure)
    else:
        exam = _order(form, entry, patient or _register(new_patient, emergency, actor), actor)
    form.period = form.period or open_period_of(form.pack.site)
    form.move_to(FormStatus.ENTERED)
    form.procedure = exam
    form.outcome = entry.outcome
    form.arrived_at, form.started_at, form.ended_at = entry.arrived_at, entry.started_at, entry.ended_at
    form.station_ae_title = entry.station_ae_title[:16]
    form.technologist = entry.technologist.strip()[:100]
    form.consumables = used
    form.stop_code = entry.stop_code
    form.note = entry.note.strip()[:4000]
    form.entered_at, form.entered_by, form.entered_through = timezone.now(), actor.user, actor.source[:20]
    form.entry_hash = digest
    form.save_as(actor, _("Entered from paper"))
    publish(
        DowntimeFormEntered(
            str(form.uuid),
            accession_number=form.accession_number,
            version=form.version,
            procedure=str(exam.uuid),
            study_instance_uid=form.study_instance_uid,
        ),
        actor=actor,
    )
    return DowntimeForm.objects.select_related("pack__site", "procedure__order__patient").get(pk=form.pk)


@service(perms.ENTER_DOWNTIME)
def correct_downtime_times(
    form: DowntimeForm,
    *,
    arrived_at: datetime,
    started_at: datetime | None = None,
    ended_at: datetime | None = None,
    reason: str,
    actor: Actor,
) -> DowntimeForm:
    """The times were typed wrongly. How far the exam came stays: a time is corrected, not added or taken away."""
    form = DowntimeForm.locked(form.pk)
    errors = Errors()
    reason = validation.short_string(reason, "reason", errors, length=100, required=True)
    if form.status != FormStatus.ENTERED or form.procedure is None:
        raise InvalidTransition(
            _("Only an entered form has times to correct."),
            asked=_("To correct the times of form %(label)s.") % {"label": form.label},
            found=_("It is: %(status)s.") % {"status": form.get_status_display()},
            todo=_("Enter it."),
        )
    for name, at in (("started_at", started_at), ("ended_at", ended_at)):
        if (at is None) != (getattr(form, name) is None):
            errors.add(name, _("A time is corrected here, not added or taken away."))
    _check_times(PaperEntry(arrived_at, started_at, ended_at), errors)
    errors.raise_if_any(_("The times were not corrected."))
    form.arrived_at, form.started_at, form.ended_at = arrived_at, started_at, ended_at
    form.corrected_by, form.corrected_through = actor.user, actor.source[:20]
    form.save_as(actor, reason)
    is_done = form.outcome == PaperOutcome.PERFORMED
    record_paper_times(
        form.procedure,
        arrived_at=arrived_at,
        started_at=started_at,
        performed_at=ended_at if is_done else None,
        completed_at=ended_at if is_done else None,
        actor=actor,
    )
    publish(
        DowntimeFormCorrected(
            str(form.uuid),
            accession_number=form.accession_number,
            version=form.version,
            procedure=str(form.procedure.uuid),
        ),
        actor=actor,
    )
    return DowntimeForm.objects.select_related("pack__site", "procedure__order__patient").get(pk=form.pk)


def record_paper_times(
    procedure: RequestedProcedure,
    *,
    arrived_at: datetime | None,
    started_at: datetime | None,
    performed_at: datetime | None,
    completed_at: datetime | None,
    actor: Actor,
) -> RequestedProcedure:
    """The stations of an exam when they really were reached; for who replays it, in the transaction that does."""
    procedure = locked_procedure(procedure)
    real = {
        "arrived_at": arrived_at,
        "started_at": started_at,
        "performed_at": performed_at,
        "completed_by_technologist_at": completed_at,
    }
    changed = {name: at for name, at in real.items() if at is not None and getattr(procedure, name) != at}
    for name, at in changed.items():
        setattr(procedure, name, at)
    if changed:
        procedure.save_as(actor, _("Times from paper"))
    return procedure


# --- what was typed


def _digest(entry: PaperEntry, patient: Patient | None, *others: Any) -> str:
    said = {
        "entry": asdict(replace(entry, requester=None)),
        "requester": entry.requester.pk if entry.requester else None,
        "patient": patient.pk if patient else None,
        "others": [other.pk if isinstance(other, RequestedProcedure) else other for other in others],
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def _entered_before(form: DowntimeForm) -> Conflict:
    who = form.entered_by.display_name if form.entered_by else _("The system")
    when = f"{timezone.localtime(form.entered_at):%d.%m.%Y %H:%M}" if form.entered_at else ""
    return Conflict(
        _("This form was entered before, with other words."),
        asked=_("To enter form %(label)s.") % {"label": form.label},
        found=_("%(who)s entered it on %(when)s.") % {"who": who, "when": when},
        todo=_("Look at the exam that was made of it. Was it another sheet? Then look at the number again."),
    )


def _checked(entry: PaperEntry, errors: Errors, *, needs_exam: bool) -> list[dict[str, str]]:
    """Times in their order, a station that there is, what was used; answers the latter as it is kept."""
    _check_times(entry, errors)
    if needs_exam and not entry.code.strip():
        errors.add("code", _("Choose the exam."))
    if entry.stop_code and (entry.stop_code not in DISCONTINUATION_REASONS or entry.ended_at is None):
        errors.add("stop_code", _("A stopped exam has an end and a reason from the list."))
    known = [ae_title for ae_title, _words in department().stations()]
    if entry.station_ae_title and known and entry.station_ae_title not in known:
        errors.add("station_ae_title", _("There is no such station."))
    return _checked_used(entry.consumables, errors)


def _check_times(entry: PaperEntry, errors: Errors) -> None:
    moment = timezone.now()
    if entry.arrived_at > moment:
        errors.add("arrived_at", _("That is in the future."))
    elif entry.arrived_at < moment - OLDEST_PAPER:
        errors.add("arrived_at", _("That is too long ago. Is the date right?"))
    if entry.started_at is not None and entry.started_at < entry.arrived_at:
        errors.add("started_at", _("An exam starts after the arrival."))
    if entry.ended_at is not None and entry.started_at is None:
        errors.add("started_at", _("When did it start?"))
    if entry.started_at is not None and entry.ended_at is not None:
        if entry.ended_at < entry.started_at:
            errors.add("ended_at", _("An exam ends after its start."))
        elif entry.ended_at - entry.started_at > LONGEST_EXAM:
            errors.add("ended_at", _("An exam of more than a day? Look at the date."))
    for name in ("started_at", "ended_at"):
        at = getattr(entry, name)
        if at is not None and at > moment:
            errors.add(name, _("That is in the future."))


def _checked_used(rows: Sequence[Used], errors: Errors) -> list[dict[str, str]]:
    found = []
    for row in rows[:MOST_USED]:
        label = validation.short_string(row.label, "consumables", errors, length=100, required=True)
        try:
            quantity = Decimal(str(row.quantity).replace(",", ".")).quantize(Decimal("0.01"))
        except InvalidOperation:
            quantity = Decimal(0)
        if not 0 < quantity < 1_000_000:
            errors.add("consumables", _("Give an amount above zero."))
        unit = validation.short_string(row.unit, "consumables", errors, length=16) or "mL"
        lot = validation.short_string(row.lot, "consumables", errors, length=40)
        found.append({"label": label, "quantity": str(quantity), "unit": unit, "lot": lot})
    return found


# --- patient and order


def _register(new_patient: Mapping[str, Any] | None, emergency: Mapping[str, Any] | None, actor: Actor) -> Patient:
    if emergency is not None:
        return register_emergency(
            sex=emergency.get("sex", "U"), estimated_age=emergency.get("estimated_age"), actor=actor
        )
    return register_patient(**(new_patient or {}), actor=actor)


def _order(form: DowntimeForm, entry: PaperEntry, patient: Patient, actor: Actor) -> RequestedProcedure:
    request = ProcedureRequest(
        code=entry.code.strip(),
        laterality=entry.laterality,
        accession_number=form.accession_number,
        study_instance_uid=form.study_instance_uid,
    )
    order = create_order(
        patient=patient,
        procedures=[request],
        priority=entry.priority,
        indication=entry.indication,
        patient_class=entry.patient_class,
        requester=entry.requester,
        site=form.pack.site,
        ordered_at=entry.arrived_at,
        is_accepted=True,
        actor=actor,
    )
    exam = order.procedures.get()
    same = (exam.accession_number, exam.study_instance_uid) == (form.accession_number, form.study_instance_uid)
    if not same:
        raise Conflict(
            _("The number of this form belongs to another exam."),
            asked=_("To enter form %(label)s under its number.") % {"label": form.label},
            found=_("Another system has sent an order under %(number)s.") % {"number": form.accession_number},
            todo=_("Look at that order: if it is this exam, choose it as the exam of this sheet."),
        )
    return exam


def _ordered_before(procedure: RequestedProcedure) -> RequestedProcedure:
    exam = locked_procedure(procedure)
    if exam.status not in BEFORE_EXAM:
        raise InvalidTransition(
            _("That exam cannot be entered from paper any more."),
            asked=_("To enter a form for an exam that was ordered before."),
            found=_("It is: %(status)s.") % {"status": exam.get_status_display()},
            todo=_("Choose another exam of the patient, or enter the form as a new one."),
        )
    taken = DowntimeForm.objects.filter(procedure=exam).first()
    if taken is not None:
        raise InvalidData(
            _("That exam has a form already."),
            found=_("Form %(label)s was entered for it.") % {"label": taken.label},
            errors={"procedure": [_("That exam has a form already.")]},
        )
    return exam
