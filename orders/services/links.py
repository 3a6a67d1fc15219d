"""What a person decides about two records: they are one person and both stay (link), or a row is the other one's."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from orders import permissions as perms
from orders.events import PatientsUnmerged, PatientUpdated
from orders.models import Document, Order, Patient, PatientAlert, PatientIdentifier, PatientLink, PatientMerge, Visit
from orders.services.identity import locked_pair
from orders.services.patients import refuse_merged, sign
from orders.validation import Errors, short_string
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData, NotKnown
from ris.events.bus import publish

#: What may be given to the other record after an unmerge, beside orders, which take their documents along.
Movable = Document | PatientAlert | Visit | PatientIdentifier


def _reason(reason: str) -> str:
    errors = Errors()
    reason = short_string(reason, "reason", errors, length=200, required=True)
    errors.raise_if_any(_("This needs a reason."))
    return reason


@service(perms.MERGE_PATIENTS, action=Action.CREATE)
def link_patients(*, patient: Patient, other: Patient, reason: str, actor: Actor) -> PatientLink:
    """Say that both records are one person, and leave both in use: another registry keeps the second one.

    Repeating it changes nothing.
    """
    reason = _reason(reason)
    if patient.pk == other.pk:
        raise InvalidData(
            _("A record cannot be linked with itself."),
            asked=_("A link of two records."),
            found=_("Both are the same record."),
            todo=_("Choose the other record."),
            errors={"other": [_("This is the same record.")]},
        )
    patient, other = locked_pair(patient, other)
    for row in (patient, other):
        refuse_merged(row)
    first, second = sorted((patient, other), key=lambda row: row.pk)
    known = PatientLink.objects.filter(first=first, second=second, ended_at__isnull=True).first()
    if known is not None:
        return known
    link = PatientLink(first=first, second=second, reason=reason, source=actor.source[:20])
    sign(link, actor, reason)
    _tell(link, actor, reason)
    return link


@service(perms.MERGE_PATIENTS)
def unlink_patients(link: PatientLink, *, reason: str, actor: Actor) -> PatientLink:
    """They are two people after all; the row stays. Repeating it changes nothing."""
    reason = _reason(reason)
    locked_pair(link.first, link.second)
    link = PatientLink.objects.select_for_update(of=("self",)).get(pk=link.pk)
    if link.ended_at is None:
        link.ended_at = timezone.now()
        sign(link, actor, reason)
        _tell(link, actor, reason)
    return link


def _tell(link: PatientLink, actor: Actor, reason: str) -> None:
    for row in (link.first, link.second):
        row.refresh_from_db()
        row.save_as(actor, reason)
        publish(PatientUpdated(str(row.uuid), version=row.version), actor=actor)


def _refuse_target(patient: Patient) -> None:
    if patient.merged_into_id is not None:
        raise Conflict(_("This record has been merged into another one."), todo=_("Choose the one that is still used."))


@service(perms.MERGE_PATIENTS)
def move_order(order: Order, *, patient: Patient, reason: str, actor: Actor) -> Order:
    """Give one order to another patient, with its documents: what a person decides after an unmerge."""
    reason = _reason(reason)
    before, patient = locked_pair(order.patient, patient)
    _refuse_target(patient)
    order = Order.locked(order.pk)
    if order.patient_id == patient.pk:
        return order
    order.patient, order.visit = patient, None
    order.save_as(actor, reason)
    for document in order.documents.all():
        document.patient = patient
        sign(document, actor, reason)
    uuids = [str(uuid) for uuid in order.procedures.order_by("pk").values_list("uuid", flat=True)]
    _tell_both(before, patient, uuids, actor, reason)
    return order


@service(perms.MERGE_PATIENTS)
def move_row(row: Movable, *, patient: Patient, reason: str, actor: Actor) -> Movable:
    """Give a document, an alert, a visit or a number to another patient, after an unmerge."""
    reason = _reason(reason)
    before, patient = locked_pair(row.patient, patient)
    _refuse_target(patient)
    row = type(row).objects.select_for_update(of=("self",)).get(pk=row.pk)
    if row.patient_id == patient.pk:
        return row
    if isinstance(row, Document) and row.order is not None:
        raise Conflict(_("This document belongs to an order."), todo=_("Move the order; its documents go with it."))
    if isinstance(row, PatientIdentifier) and before.identifiers.count() == 1:
        raise Conflict(_("This is the only identifier that the patient has."), todo=_("Add another one first."))
    row.patient = patient
    sign(row, actor, reason)
    _tell_both(before, patient, [], actor, reason)
    return row


def _tell_both(before: Patient, after: Patient, procedures: list[str], actor: Actor, reason: str) -> None:
    people: tuple[Any, ...] = (before, after)
    for person in people:
        person.save_as(actor, reason)
    publish(
        PatientsUnmerged(str(before.uuid), version=before.version, loser=str(after.uuid), procedures=procedures),
        actor=actor,
    )


@service(perms.MERGE_PATIENTS)
def give_after_unmerge(merge: PatientMerge, *, kind: str, row: Any, reason: str, actor: Actor) -> Any:
    """Give one row that came while a merge held (``selectors.rows_after_merge``) to the record that was merged.

    ``kind``: order, document, alert, visit or identifier; ``row``: its UUID.
    """
    from orders.selectors import rows_after_merge

    if merge.undone_at is None:
        raise Conflict(
            _("This merge still holds."),
            asked=_("To give what came after it to the other record."),
            found=_("Both records are one."),
            todo=_("Undo the merge first."),
        )
    found = next((came for came in rows_after_merge(merge).get(f"{kind}s", []) if str(came.uuid) == str(row)), None)
    if found is None:
        raise NotKnown(_("There is no such entry that came after the merge, or it has moved already."))
    if isinstance(found, Order):
        return move_order(found, patient=merge.loser, reason=reason, actor=actor)
    return move_row(found, patient=merge.loser, reason=reason, actor=actor)
