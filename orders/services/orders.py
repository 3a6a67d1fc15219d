"""Orders: placed, changed, cancelled, replaced. Accession number and Study Instance UID exist from the first moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, LiteralString

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from orders import permissions as perms
from orders import validation
from orders.events import OrderChanged, OrderCreated, ProcedureChanged
from orders.models import (
    CatalogueProcedure,
    Laterality,
    Modality,
    Order,
    Patient,
    PatientClass,
    Priority,
    ProcedureCode,
    ProcedureStatus,
    RequestedProcedure,
    Visit,
)
from orders.models.orders import OPEN_BEFORE_EXAM
from orders.querysets import is_bound_to_own_orders
from orders.services import accession, lifecycle
from orders.services.patients import refuse_merged
from orders.validation import Errors
from ris.accounts.memory import remembered
from ris.accounts.models import Practitioner, Site
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, Conflict, InvalidData, InvalidTransition
from ris.core.lifecycle import signed
from ris.events.bus import publish

S = ProcedureStatus
LOCAL_SCHEMES = ("", "99PICHA", "L")
CHOSEN_FIELDS = {"priority": Priority, "patient_class": PatientClass}
LONG_FIELDS = ("indication", "clinical_information")
SHORT_FIELDS = ("transport", "isolation", "location", "placer_order_number", "placer_issuer")
TYPED_FIELDS = frozenset({*CHOSEN_FIELDS, *LONG_FIELDS, *SHORT_FIELDS})
#: What was decided for another exam does not hold for this one.
UNPROTOCOLLED: dict[str, Any] = {
    "contrast": "",
    "contrast_decision": "",
    "protocolled_at": None,
    "protocolled_by": None,
}
NEXT_KEY: LiteralString = "select nextval(pg_get_serial_sequence(%s, 'id'))"


@dataclass(frozen=True)
class ProcedureRequest:
    """One exam as it is asked for. ``code`` is the catalogue's, or one of another ``scheme`` that it knows."""

    code: str
    scheme: str = ""
    description: str = ""
    laterality: str = ""
    accession_number: str = ""
    study_instance_uid: str = ""
    requested_procedure_id: str = ""
    protocol: str = ""
    contrast: str = ""
    modality: str = ""
    due_by: date | None = None


def find_catalogue(code: str, scheme: str = "") -> CatalogueProcedure | None:
    """The active catalogue row of a code, by the house's own code first, then by other schemes."""
    return remembered(f"exam {scheme}|{code}", lambda: _find_catalogue(code, scheme))


def _find_catalogue(code: str, scheme: str) -> CatalogueProcedure | None:
    active = CatalogueProcedure.objects.filter(is_active=True)
    if scheme in LOCAL_SCHEMES:
        own = active.filter(code=code).first()
        if own is not None:
            return own
    codes = ProcedureCode.objects.filter(value=code, procedure__is_active=True).select_related("procedure")
    found = list((codes.filter(scheme=scheme) if scheme else codes)[:2])
    return found[0].procedure if len(found) == 1 else None


def _checked_procedure(
    number: int, request: ProcedureRequest, *, allow_unmapped: bool, errors: Errors
) -> tuple[ProcedureRequest, CatalogueProcedure | None, dict[str, Any]]:
    """The catalogue row and the fields of a procedure to be; what is wrong is said with the number of its line."""
    own = Errors()
    code = validation.short_string(request.code, "code", own, length=16, required=not allow_unmapped)
    catalogue = find_catalogue(code, request.scheme) if code else None
    if catalogue is None and not allow_unmapped and "code" not in own.found:
        own.add("code", _("The catalogue does not know this exam."))
    if request.laterality not in Laterality.values:
        own.add("laterality", _("A side is L, R, B or nothing."))
    elif catalogue is not None and catalogue.has_laterality and not request.laterality and not allow_unmapped:
        own.add("laterality", _("Choose the side: left, right or both."))
    elif catalogue is not None and not catalogue.has_laterality and request.laterality and not allow_unmapped:
        own.add("laterality", _("This exam has no side."))
    described = request.description or (catalogue.name if catalogue else "") or code
    modality = catalogue.modality if catalogue else (request.modality or "").upper()
    if modality not in ("", *Modality.values):
        modality = Modality.OT
    fields = {
        "catalogue": catalogue,
        "code": code,
        "code_scheme": validation.short_string(request.scheme or "99PICHA", "scheme", own, length=16),
        "description": validation.short_string(described, "description", own, length=64, required=True),
        "modality": modality,
        "body_region": catalogue.body_region if catalogue else "",
        "laterality": request.laterality if request.laterality in Laterality.values else "",
        "is_unmapped": catalogue is None,
        "protocol": validation.long_text(
            request.protocol or (catalogue.default_protocol if catalogue else ""), "protocol", own
        ),
        "contrast": validation.short_string(request.contrast, "contrast", own, length=64),
        "due_by": request.due_by,
    }
    for field, messages in own.found.items():
        for message in messages:
            errors.add(f"procedures.{number}.{field}", message)
    return request, catalogue, fields


def _checked_order(values: dict[str, Any], errors: Errors) -> dict[str, Any]:
    cleaned: dict[str, Any] = {}
    for field, choices in CHOSEN_FIELDS.items():
        if field in values:
            cleaned[field] = validation.choice(values[field], choices, field, errors)
    for field in LONG_FIELDS:
        if field in values:
            cleaned[field] = validation.long_text(values[field], field, errors)
    for field in SHORT_FIELDS:
        if field in values:
            cleaned[field] = validation.short_string(values[field], field, errors, length=64)
    return cleaned


def _next_key(model: type[Order] | type[RequestedProcedure]) -> int:
    """A key taken ahead, so that numbers made from it need no counter and no lock."""
    with connection.cursor() as cursor:
        cursor.execute(NEXT_KEY, [model._meta.db_table])
        return int(cursor.fetchone()[0])


def _insert(row: Order | RequestedProcedure, actor: Actor, reason: str) -> None:
    row._history_user = actor.user
    row._change_reason = signed(reason, actor)
    row.save(force_insert=True)


def _refuse_known_placer_number(number: str, issuer: str) -> None:
    if number and Order.objects.filter(placer_order_number=number, placer_issuer=issuer).exists():
        raise AlreadyExists(
            _("This order is known already."),
            asked=_("A new order under a placer order number."),
            found=_("There is an order with this number of the same placer."),
            todo=_("Change or replace that order instead of sending it as new."),
            errors={"placer_order_number": [_("There is an order with this number.")]},
        )


def _requester_of(requester: Practitioner | None, actor: Actor) -> Practitioner | None:
    """Who is a referring physician and nothing else orders in their own name."""
    if actor.user is None or not is_bound_to_own_orders(actor.user):
        return requester
    own = Practitioner.objects.filter(user=actor.user, is_active=True).first()
    if own is None:
        raise Conflict(
            _("You are not registered as a physician here."),
            asked=_("An order in your name."),
            found=_("Your user is not linked to a practitioner."),
            todo=_("Ask your administrator to link it."),
        )
    return own


@service(perms.CREATE_ORDER, action=Action.CREATE)
def create_order(
    *,
    patient: Patient,
    procedures: Sequence[ProcedureRequest],
    priority: str = "routine",
    indication: str = "",
    patient_class: str = "O",
    requester: Practitioner | None = None,
    copies_to: Iterable[Practitioner] = (),
    site: Site | None = None,
    visit: Visit | None = None,
    clinical_information: str = "",
    transport: str = "",
    isolation: str = "",
    location: str = "",
    placer_order_number: str = "",
    placer_issuer: str = "",
    ordered_at: datetime | None = None,
    allow_unmapped: bool = False,
    is_accepted: bool = False,
    actor: Actor,
) -> Order:
    """Place an order. ``allow_unmapped``: an interface sends codes of its own; what the catalogue does not know waits
    as ``requested``. ``is_accepted``: the sender has scheduled it, so nothing is vetted here.
    """
    values = {name: value for name, value in locals().items() if name in TYPED_FIELDS}
    patient = Patient.locked(patient.pk)
    refuse_merged(patient)
    errors = Errors()
    cleaned = _checked_order(values, errors)
    if not procedures:
        errors.add("procedures", _("Choose at least one exam."))
    checked = [
        _checked_procedure(number, request, allow_unmapped=allow_unmapped, errors=errors)
        for number, request in enumerate(procedures)
    ]
    if visit is not None and visit.patient_id != patient.pk:
        errors.add("visit", _("This visit is another patient's."))
    errors.raise_if_any(_("The order was not placed."))
    _refuse_known_placer_number(cleaned["placer_order_number"], cleaned["placer_issuer"])
    key = _next_key(Order)
    order = Order(
        pk=key,
        patient=patient,
        visit=visit,
        site=site,
        requester=_requester_of(requester, actor),
        filler_order_number=f"F{key:08}",
        ordered_at=ordered_at or timezone.now(),
        source=actor.source[:20],
        **cleaned,
    )
    statuses = [_first_status(catalogue, is_accepted) for __, catalogue, __ in checked]
    order.status = lifecycle.derived_status(statuses)
    _insert(order, actor, _("Ordered"))
    copies = list(copies_to)
    if copies:
        order.copies_to.set(copies)
    rows = _insert_procedures(order, checked, statuses, actor)
    publish(
        OrderCreated(
            str(order.uuid),
            accession_number=rows[0].accession_number,
            version=order.version,
            patient=str(patient.uuid),
            procedures=[str(row.uuid) for row in rows],
        ),
        actor=actor,
    )
    return order


def _first_status(catalogue: CatalogueProcedure | None, is_accepted: bool) -> str:
    if is_accepted:
        return S.ACCEPTED
    if catalogue is None:
        return S.REQUESTED
    return S.VETTING if catalogue.needs_vetting else S.ACCEPTED


def _insert_procedures(
    order: Order,
    checked: Sequence[tuple[ProcedureRequest, CatalogueProcedure | None, dict[str, Any]]],
    statuses: Sequence[str],
    actor: Actor,
) -> list[RequestedProcedure]:
    """Numbers are taken here, last of all, because the counter stays locked until the commit."""
    keys = [_next_key(RequestedProcedure) for _row in checked]
    numbers = accession.accession_numbers_for(order, [request.accession_number for request, __, __ in checked])
    used: set[str] = set()
    rows = []
    for key, number, status, (request, __, fields) in zip(keys, numbers, statuses, checked, strict=True):
        uid = accession.study_instance_uid_for(request.study_instance_uid, used)
        used.add(uid)
        wanted = (request.requested_procedure_id or "").strip()
        taken = wanted in {row.requested_procedure_id for row in rows if row.accession_number == number}
        row = RequestedProcedure(
            pk=key,
            order=order,
            accession_number=number,
            study_instance_uid=uid,
            requested_procedure_id=wanted if validation.fits_sh(wanted) and not taken else f"RP{key:08}",
            status=status,
            **fields,
        )
        _insert(row, actor, _("Ordered"))
        rows.append(row)
    return rows


@service(perms.CHANGE_ORDER)
def change_order(order: Order, *, reason: str = "", actor: Actor, **fields: Any) -> Order:
    """Change what belongs to the order as a whole: priority, patient_class, indication, clinical_information,
    transport, isolation, location, requester, copies_to, site. Refused when all its exams are over.
    """
    Patient.locked(order.patient_id)
    order = Order.locked(order.pk)
    errors = Errors()
    plain = {name: value for name, value in fields.items() if name not in ("requester", "copies_to", "site")}
    cleaned = _checked_order(plain, errors)
    for name in plain.keys() - cleaned.keys():
        errors.add(name, _("This cannot be set."))
    errors.raise_if_any(_("The order was not changed."))
    if order.status not in (*OPEN_BEFORE_EXAM, S.IN_PROGRESS, S.PERFORMED, S.READY_TO_READ, S.READING):
        raise InvalidTransition(
            _("This order is over."),
            asked=_("A change to an order."),
            found=_("It is %(status)s.") % {"status": order.get_status_display()},
            todo=_("Place a new order, or write an addendum to the report."),
        )
    for name in ("requester", "site"):
        if name in fields:
            cleaned[name] = fields[name]
    for name, value in cleaned.items():
        setattr(order, name, value)
    if "copies_to" in fields:
        order.copies_to.set(fields["copies_to"])
    order.save_as(actor, reason or _("Order changed"))
    procedures = list(order.procedures.order_by("pk"))
    publish(
        OrderChanged(
            str(order.uuid),
            accession_number=procedures[0].accession_number if procedures else "",
            version=order.version,
            patient=str(order.patient.uuid),
            procedures=[str(row.uuid) for row in procedures],
        ),
        actor=actor,
    )
    return order


@transaction.atomic
def add_copy(order: Order, practitioner: Practitioner, *, reason: str, actor: Actor) -> Order:
    """Results go to them too, and they see the order, also when its exams are over. Callers check the right."""
    Patient.locked(order.patient_id)
    order = Order.locked(order.pk)
    if not order.copies_to.filter(pk=practitioner.pk).exists():
        order.copies_to.add(practitioner)
        order.save_as(actor, reason)
    return order


@service(perms.CANCEL_ORDER)
def cancel_procedure(
    procedure: RequestedProcedure, *, reason_code: str, reason_text: str = "", actor: Actor
) -> RequestedProcedure:
    """Refused once the exam has begun; ``reason_code`` is of CID 9300/9301."""
    return lifecycle.stop(procedure, S.CANCELLED, reason_code=reason_code, reason_text=reason_text, actor=actor)


@service(perms.CANCEL_ORDER)
def cancel_order(order: Order, *, reason_code: str, reason_text: str = "", actor: Actor) -> Order:
    """Cancel what has not begun; refused as a whole when one of its exams has."""
    lifecycle.check_reason(reason_code, reason_text)
    order = Order.locked(order.pk)
    living = list(order.procedures.exclude(status__in=lifecycle.STOPPED).order_by("pk"))
    if not living and order.status != S.CANCELLED:
        raise InvalidTransition(
            _("This order is over."),
            asked=_("To cancel the order."),
            found=_("It is %(status)s.") % {"status": order.get_status_display()},
            todo=_("Nothing is left to cancel."),
        )
    for procedure in living:
        if procedure.status not in OPEN_BEFORE_EXAM:
            refusal = lifecycle.too_far(procedure, _("To cancel the order."))
            refusal.found = f"{procedure.accession_number}: {refusal.found}"
            raise refusal
        cancel_procedure(procedure, reason_code=reason_code, reason_text=reason_text, actor=actor)
    order.refresh_from_db()
    return order


@service(perms.CHANGE_ORDER)
def change_procedure(
    procedure: RequestedProcedure,
    *,
    code: str = "",
    scheme: str = "",
    laterality: str | None = None,
    reason: str = "",
    actor: Actor,
) -> RequestedProcedure:
    """Another exam or side under the same accession number and UID, before it begins; vetting starts anew if the exam
    demands it. Also how a code that the catalogue did not know is mapped.
    """
    procedure = lifecycle.locked_procedure(procedure)
    if procedure.status not in OPEN_BEFORE_EXAM:
        raise lifecycle.too_far(procedure, _("Another exam or side."))
    request = ProcedureRequest(
        code=code or procedure.code,
        scheme=scheme if code else procedure.code_scheme,
        laterality=procedure.laterality if laterality is None else laterality,
        protocol="" if code not in ("", procedure.code) else procedure.protocol,
        contrast=procedure.contrast,
        due_by=procedure.due_by,
    )
    errors = Errors()
    __, catalogue, fields = _checked_procedure(0, request, allow_unmapped=False, errors=errors)
    if errors.found:
        raise InvalidData(
            _("The exam was not changed."),
            errors={name.rpartition(".")[2]: messages for name, messages in errors.found.items()},
        )
    is_other = catalogue is None or procedure.catalogue_id != catalogue.pk
    if is_other:
        fields.update(UNPROTOCOLLED)
    for name, value in fields.items():
        setattr(procedure, name, value)
    procedure.save_as(actor, reason or _("Exam changed"))
    _follow_catalogue(procedure, catalogue, is_other=is_other, actor=actor)
    publish(
        ProcedureChanged(str(procedure.uuid), accession_number=procedure.accession_number, version=procedure.version),
        actor=actor,
    )
    return procedure


def _follow_catalogue(
    procedure: RequestedProcedure, catalogue: CatalogueProcedure | None, *, is_other: bool, actor: Actor
) -> None:
    if not is_other or catalogue is None:
        return
    if catalogue.needs_vetting and procedure.can_move_to(S.VETTING):
        lifecycle.shift(procedure, S.VETTING, actor=actor, reason=_("Another exam: vetted anew"))
    elif procedure.status == S.REQUESTED and not catalogue.needs_vetting:
        lifecycle.shift(procedure, S.ACCEPTED, actor=actor, reason=_("Mapped to the catalogue"))


@service(perms.CHANGE_ORDER, action=Action.CREATE)
def replace_procedure(
    procedure: RequestedProcedure, *, by: ProcedureRequest, reason_code: str, reason_text: str = "", actor: Actor
) -> RequestedProcedure:
    """Another exam in its place, with numbers of its own; the old one stays, replaced, and links to the new."""
    lifecycle.check_reason(reason_code, reason_text)
    Patient.locked(procedure.order.patient_id)
    old = lifecycle.locked_procedure(procedure)
    lifecycle.check_possible(old, S.REPLACED, _("Another exam in its place."))
    errors = Errors()
    checked = _checked_procedure(0, by, allow_unmapped=False, errors=errors)
    errors.raise_if_any(_("The exam was not replaced."))
    status = _first_status(checked[1], False)
    new = _insert_procedures(old.order, [checked], [status], actor)[0]
    lifecycle.stop(old, S.REPLACED, reason_code=reason_code, reason_text=reason_text, actor=actor, replaced_by=new)
    publish(
        OrderCreated(
            str(old.order.uuid),
            accession_number=new.accession_number,
            version=old.order.version,
            patient=str(old.order.patient.uuid),
            procedures=[str(new.uuid)],
        ),
        actor=actor,
    )
    return new


@service(perms.CHANGE_ORDER)
def supersede_procedure(
    procedure: RequestedProcedure, *, by: RequestedProcedure, reason_code: str, reason_text: str = "", actor: Actor
) -> RequestedProcedure:
    """An exam of another order stands in its place (ORC-1 RP with RO): it stays, replaced, and links to that one."""
    if by.order.patient_id != procedure.order.patient_id:
        raise InvalidData(_("The other exam is another patient's."), errors={"by": [_("Another patient's.")]})
    return lifecycle.stop(
        procedure, S.REPLACED, reason_code=reason_code, reason_text=reason_text, actor=actor, replaced_by=by
    )
