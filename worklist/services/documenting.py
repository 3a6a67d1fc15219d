"""What the technologist writes down: used, exposed, thrown away, gone wrong, counted, told.

All of it is corrected afterwards, with its history, until the exam is completed and its report signed. A reaction may
come late, and is written down always.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import Laterality, PatientAlert, ProcedureStatus, RequestedProcedure
from orders.permissions import MANAGE_CHARGE, UPDATE_PATIENT
from ris.accounts.models import User
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import InvalidData, InvalidTransition
from ris.events.bus import publish
from worklist import permissions as perms
from worklist.codes import NOTE_CHIPS, REJECT_REASONS, ROUTE_ALIASES
from worklist.events import AdverseEventRecorded, ConsumableUsed, ConsumableWithdrawn, ExposureRecorded
from worklist.models import (
    AdverseEvent,
    AdverseKind,
    AdverseOutcome,
    ConsumableKind,
    ConsumableUse,
    DeviationReason,
    Exposure,
    ImageCount,
    Product,
    RejectedExposure,
    Route,
    Severity,
    Station,
    TechnologistNote,
)
from worklist.services.support import lock_procedure, now, sign

SIGNED = (ProcedureStatus.FINAL, ProcedureStatus.AMENDED, ProcedureStatus.DISTRIBUTED)
ALLERGY_TEXT = 200


def is_locked(procedure: RequestedProcedure) -> bool:
    """Completed by the technologist, and read: what was written stands."""
    return procedure.completed_by_technologist_at is not None and procedure.status in SIGNED


def open_exam(procedure: RequestedProcedure) -> RequestedProcedure:
    """The exam, locked for this transaction; refused when its papers are closed."""
    procedure = lock_procedure(procedure)
    if is_locked(procedure):
        raise InvalidTransition(
            _("The papers of this exam are closed."),
            asked=_("To change what the technologist wrote."),
            found=_("It was completed, and its report is signed."),
            todo=_("Tell the radiologist, who can add to the report."),
        )
    return procedure


def number(
    value: Any, name: str, errors: dict[str, str], *, places: str, most: int = 1_000_000, required: bool = False
) -> Decimal | None:
    """A decimal above zero, with point or comma; its problem goes into ``errors``."""
    given = str(value if value is not None else "").strip().replace(",", ".")
    if not given and not required:
        return None
    try:
        found = Decimal(given)
    except ArithmeticError:
        found = Decimal("NaN")
    if not found.is_finite() or not 0 < found < most:
        errors[name] = _("Give an amount above zero.")
        return None
    return found.quantize(Decimal(places))


def choice(value: str, choices: Iterable[str], name: str, errors: dict[str, str]) -> str:
    if value not in choices:
        errors[name] = _("Choose from the list.")
    return value


def station_of_exam(procedure: RequestedProcedure) -> Station | None:
    step = procedure.steps.filter(station__isnull=False).select_related("station").order_by("-pk").first()
    return step.station if step else None


# --- used


@service(perms.PERFORM_STEP, action=Action.CREATE)
def record_consumable(
    procedure: RequestedProcedure,
    *,
    label: str = "",
    quantity: Any = None,
    unit: str = "",
    kind: str = "",
    product: Product | None = None,
    lot: str = "",
    expires_on: date | None = None,
    route: str = "",
    rate: Any = None,
    code: str = "",
    has_extravasated: bool = False,
    given_by: User | None = None,
    used_at: datetime | None = None,
    actor: Actor,
) -> ConsumableUse:
    """``rate``: mL/s. ``route``: of CID 11, or as it is commonly written (IV). A product tells what is not given."""
    errors: dict[str, str] = {}
    if product is not None and not str(quantity if quantity is not None else "").strip():
        quantity = product.usual_quantity
    amount = number(quantity, "quantity", errors, places="0.01", required=True)
    speed = number(rate, "rate", errors, places="0.1", most=100)
    label = label.strip() or (product.name if product else "")
    if not label:
        errors["label"] = _("Say what was used.")
    route = ROUTE_ALIASES.get(route.strip().upper(), route.strip()) or (product.route if product else "")
    choice(route, ("", *Route.values), "route", errors)
    kind = kind or (product.kind if product else ConsumableKind.CONTRAST)
    choice(kind, ConsumableKind.values, "kind", errors)
    if errors or amount is None:
        raise InvalidData(_("What was used is not recorded."), errors=errors)
    procedure = open_exam(procedure)
    row = ConsumableUse(
        procedure=procedure,
        label=label[:100],
        code=(code or (product.code if product else ""))[:32],
        kind=kind,
        product=product,
        quantity=amount,
        unit=(unit.strip() or (product.unit if product else "mL"))[:16],
        lot=lot.strip()[:40],
        expires_on=expires_on,
        route=route,
        rate=speed,
        has_extravasated=has_extravasated,
        given_by=given_by or actor.user,
        used_at=used_at or now(),
        recorded_by=actor.user,
    )
    sign(row, actor, "Recorded")
    _charge(procedure, row, actor)
    publish(
        ConsumableUsed(
            str(row.uuid),
            accession_number=procedure.accession_number,
            procedure=str(procedure.uuid),
            product=str(product.uuid) if product else "",
        ),
        actor=actor,
    )
    return row


def _charging(actor: Actor) -> Actor:
    """Charges follow what was done, whether or not who did it may touch money."""
    return actor if actor.may(MANAGE_CHARGE) else SYSTEM


def _charge(procedure: RequestedProcedure, row: ConsumableUse, actor: Actor) -> None:
    orders.draft_supply(
        procedure,
        source=row.uuid,
        label=row.label,
        code=row.code,
        quantity=row.quantity,
        unit=row.unit,
        actor=_charging(actor),
    )


@service(perms.PERFORM_STEP)
def withdraw_consumable(use: ConsumableUse, *, actor: Actor) -> ConsumableUse:
    """Written down by mistake: it stays, crossed out."""
    procedure = open_exam(use.procedure)
    use = ConsumableUse.objects.select_for_update().get(pk=use.pk)
    if use.withdrawn_at is None:
        use.withdrawn_at = now()
        sign(use, actor, "Withdrawn")
        orders.void_supply(procedure, source=use.uuid, actor=_charging(actor))
        publish(
            ConsumableWithdrawn(
                str(use.uuid), accession_number=procedure.accession_number, procedure=str(procedure.uuid)
            ),
            actor=actor,
        )
    return use


CORRECTABLE = (
    "label",
    "quantity",
    "unit",
    "kind",
    "product",
    "lot",
    "expires_on",
    "route",
    "rate",
    "code",
    "has_extravasated",
    "given_by",
    "used_at",
)


@service(perms.PERFORM_STEP)
def correct_consumable(use: ConsumableUse, *, actor: Actor, **changes: Any) -> ConsumableUse:
    """The wrong row is crossed out and a right one takes its place, and its charge with it."""
    if use.withdrawn_at is not None:
        raise InvalidTransition(_("This entry is crossed out."), todo=_("Record what was used anew."))
    values = {name: changes.get(name, getattr(use, name)) for name in CORRECTABLE}
    row = record_consumable(use.procedure, **values, actor=actor)
    row.corrects = use
    sign(row, actor, "Corrected")
    withdraw_consumable(use, actor=actor)
    return row


# --- exposed, and thrown away


def _exposure_values(values: Mapping[str, Any]) -> dict[str, Any]:
    errors: dict[str, str] = {}
    count = values.get("count", 1)
    if not isinstance(count, int) or not 1 <= count <= 999:
        errors["count"] = _("Give a count of 1 to 999.")
    seconds = values.get("fluoroscopy_seconds")
    if seconds is not None and not 0 < seconds < 86_400:
        errors["fluoroscopy_seconds"] = _("Give seconds above zero.")
    found = {
        "view": str(values.get("view") or "").strip()[:64],
        "laterality": choice(values.get("laterality") or "", ("", *Laterality.values), "laterality", errors),
        "count": count,
        "kvp": number(values.get("kvp"), "kvp", errors, places="0.1", most=1000),
        "mas": number(values.get("mas"), "mas", errors, places="0.01", most=100_000),
        "dap": number(values.get("dap"), "dap", errors, places="0.001"),
        "fluoroscopy_seconds": seconds,
    }
    if errors:
        raise InvalidData(_("The exposure is not recorded."), errors=errors)
    return found


@service(perms.PERFORM_STEP, action=Action.CREATE)
def record_exposure(
    procedure: RequestedProcedure, *, station: Station | None = None, actor: Actor, **values: Any
) -> Exposure:
    """``kvp``: kV; ``mas``: mAs; ``dap``: Gy·cm²; ``fluoroscopy_seconds``: s. Where no MPPS and no dose report tell."""
    found = _exposure_values(values)
    procedure = open_exam(procedure)
    row = Exposure(procedure=procedure, station=station or station_of_exam(procedure), recorded_by=actor.user, **found)
    row.save_as(actor, "Recorded")
    publish(
        ExposureRecorded(
            str(row.uuid),
            accession_number=procedure.accession_number,
            version=row.version,
            procedure=str(procedure.uuid),
        ),
        actor=actor,
    )
    return row


@service(perms.PERFORM_STEP)
def change_exposure(exposure: Exposure, *, actor: Actor, **changes: Any) -> Exposure:
    open_exam(exposure.procedure)
    exposure = Exposure.locked(exposure.pk)
    names = ("view", "laterality", "count", "kvp", "mas", "dap", "fluoroscopy_seconds")
    found = _exposure_values({name: changes.get(name, getattr(exposure, name)) for name in names})
    for name, value in found.items():
        setattr(exposure, name, value)
    exposure.save_as(actor, "Corrected")
    return exposure


@service(perms.PERFORM_STEP)
def withdraw_exposure(exposure: Exposure, *, actor: Actor) -> Exposure:
    open_exam(exposure.procedure)
    exposure = Exposure.locked(exposure.pk)
    exposure.withdrawn_at = exposure.withdrawn_at or now()
    exposure.save_as(actor, "Withdrawn")
    return exposure


@service(perms.PERFORM_STEP, action=Action.CREATE)
def record_reject(
    procedure: RequestedProcedure,
    *,
    reason_code: str,
    count: int = 1,
    view: str = "",
    note: str = "",
    is_repeated: bool = True,
    made_by: User | None = None,
    station: Station | None = None,
    actor: Actor,
) -> RejectedExposure:
    """An exposure that was thrown away (CID 7011), and whether it was made again."""
    errors: dict[str, str] = {}
    if reason_code not in REJECT_REASONS:
        errors["reason_code"] = _("Choose a reason from the list.")
    if not 1 <= count <= 999:
        errors["count"] = _("Give a count of 1 to 999.")
    if errors:
        raise InvalidData(_("The reject was not recorded."), errors=errors)
    procedure = open_exam(procedure)
    row = RejectedExposure(
        procedure=procedure,
        station=station or station_of_exam(procedure),
        view=view.strip()[:64],
        reason_code=reason_code,
        note=note.strip()[:200],
        count=count,
        is_repeated=is_repeated,
        made_by=made_by or actor.user,
        recorded_by=actor.user,
    )
    sign(row, actor, "Recorded")
    return row


@service(perms.PERFORM_STEP)
def withdraw_reject(reject: RejectedExposure, *, actor: Actor) -> RejectedExposure:
    """Written down by mistake; it stays, crossed out, and is not counted."""
    open_exam(reject.procedure)
    reject = RejectedExposure.objects.select_for_update().get(pk=reject.pk)
    if reject.withdrawn_at is None:
        reject.withdrawn_at = now()
        sign(reject, actor, "Withdrawn")
    return reject


# --- gone wrong


@service(perms.PERFORM_STEP, action=Action.CREATE)
def record_adverse_event(
    procedure: RequestedProcedure,
    *,
    kind: str,
    severity: str,
    description: str,
    treatment: str = "",
    outcome: str = AdverseOutcome.OBSERVED,
    consumable: ConsumableUse | None = None,
    happened_at: datetime | None = None,
    keep_as_allergy: bool = False,
    actor: Actor,
) -> AdverseEvent:
    """``keep_as_allergy``: the patient's alert from now on, on every page and on the worklist."""
    description, treatment = description.strip(), treatment.strip()
    _refuse_bad_event(kind, severity, outcome, description, treatment)
    procedure = lock_procedure(procedure)
    if consumable is not None and consumable.procedure_id != procedure.pk:
        words = _("That was used in another exam.")
        raise InvalidData(words, errors={"consumable": words})
    row = AdverseEvent(
        procedure=procedure,
        consumable=consumable,
        kind=kind,
        severity=severity,
        outcome=outcome,
        happened_at=happened_at or now(),
        description=description[:400],
        treatment=treatment[:400],
        recorded_by=actor.user,
    )
    row.save_as(actor, "Recorded")
    if keep_as_allergy:
        what = consumable.label if consumable else _("contrast medium")
        text = _("%(what)s: %(severity)s reaction") % {"what": what, "severity": row.get_severity_display().lower()}
        door = actor if actor.may(UPDATE_PATIENT) else SYSTEM
        orders.add_alert(procedure.order.patient, kind=PatientAlert.Kind.ALLERGY, text=text[:ALLERGY_TEXT], actor=door)
    publish(
        AdverseEventRecorded(
            str(row.uuid),
            accession_number=procedure.accession_number,
            version=row.version,
            procedure=str(procedure.uuid),
            kind=kind,
            severity=severity,
        ),
        actor=actor,
    )
    return row


def _refuse_bad_event(kind: str, severity: str, outcome: str, description: str, treatment: str) -> None:
    errors: dict[str, str] = {}
    choice(kind, AdverseKind.values, "kind", errors)
    choice(severity, Severity.values, "severity", errors)
    choice(outcome, AdverseOutcome.values, "outcome", errors)
    if not description:
        errors["description"] = _("Say what was seen.")
    if severity in (Severity.MODERATE, Severity.SEVERE) and not treatment:
        errors["treatment"] = _("Say what was done.")
    if errors:
        raise InvalidData(_("The event is not recorded."), errors=errors)


@service(perms.PERFORM_STEP)
def change_adverse_event(event: AdverseEvent, *, actor: Actor, **changes: Any) -> AdverseEvent:
    """How it went on: outcome, severity, treatment. Also after the report is signed."""
    event = AdverseEvent.locked(event.pk)
    for name in ("kind", "severity", "outcome", "description", "treatment", "happened_at"):
        if changes.get(name) is not None:
            value = changes[name]
            setattr(event, name, value.strip()[:400] if isinstance(value, str) else value)
    _refuse_bad_event(event.kind, event.severity, event.outcome, event.description, event.treatment)
    event.save_as(actor, "Changed")
    return event


@service(perms.PERFORM_STEP)
def withdraw_adverse_event(event: AdverseEvent, *, actor: Actor) -> AdverseEvent:
    event = AdverseEvent.locked(event.pk)
    event.withdrawn_at = event.withdrawn_at or now()
    event.save_as(actor, "Withdrawn")
    return event


# --- counted, and told


@service(perms.PERFORM_STEP, action=Action.CREATE)
def count_images(procedure: RequestedProcedure, *, count: int, actor: Actor) -> ImageCount:
    """How many images were made, by who made them; the newest count is held against what the scanner says."""
    if not 0 <= count <= 100_000:
        words = _("Give a count of 0 to 100 000.")
        raise InvalidData(words, errors={"count": words})
    row = ImageCount(procedure=open_exam(procedure), count=count, recorded_by=actor.user)
    row.save_as(actor, "Counted")
    return row


@service(perms.PERFORM_STEP, action=Action.CREATE)
def write_note(
    procedure: RequestedProcedure,
    *,
    text: str = "",
    chips: Iterable[str] = (),
    is_as_protocolled: bool = True,
    protocol_used: str = "",
    deviation_reason: str = "",
    deviation: str = "",
    actor: Actor,
) -> TechnologistNote:
    """The note to the radiologist, and the protocol that was used; the newest one counts."""
    deviation = deviation.strip()
    errors: dict[str, str] = {}
    choice(deviation_reason, ("", *DeviationReason.values), "deviation_reason", errors)
    if not is_as_protocolled and not deviation and deviation_reason not in ("", DeviationReason.OTHER):
        deviation = str(DeviationReason(deviation_reason).label)
    if not is_as_protocolled and not deviation:
        errors["deviation"] = _("Say what was changed, and why.")
    if errors:
        raise InvalidData(next(iter(errors.values())), errors=errors)
    row = TechnologistNote(
        procedure=open_exam(procedure),
        text=text.strip()[:4000],
        chips=sorted(set(chips) & NOTE_CHIPS.keys()),
        is_as_protocolled=is_as_protocolled,
        protocol_used=protocol_used.strip()[:64],
        deviation_reason="" if is_as_protocolled else deviation_reason,
        deviation="" if is_as_protocolled else deviation[:200],
        written_by=actor.user,
    )
    sign(row, actor, "Written")
    return row
