"""What was done without an order gets one: patient, order, exam and link in one action, or none of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import Order, Patient, Priority, RequestedProcedure
from orders.services import ProcedureRequest
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData
from ris.core.ids import is_valid_uid
from worklist import permissions as perms
from worklist.models import ExceptionItem
from worklist.services.exceptions import link_exception
from worklist.services.reconciliation import check_reason


@service(perms.RESOLVE_EXCEPTION)
def order_from_exception(
    item: ExceptionItem,
    *,
    code: str,
    patient: Patient | None = None,
    new_patient: Mapping[str, Any] | None = None,
    laterality: str = "",
    indication: str = "",
    priority: str = Priority.ROUTINE,
    reason: str,
    actor: Actor,
) -> Order:
    """Order the exam that was done, for ``patient`` or for one who is registered now, and link what waits to it.

    The exam takes the Study Instance UID of what was done, so that what still comes under it finds its way. It is
    accepted: who did it has vetted it. Raises InvalidData (field by field), Conflict (settled already, or the evidence
    names an exam), NotPermitted (no right to order, or to register).
    """
    reason = check_reason(reason)
    if (patient is None) == (new_patient is None):
        words = _("Choose a patient, or register one.")
        raise InvalidData(words, errors={"patient": words})
    item = ExceptionItem.locked(item.pk)
    thing = item.study or item.performed_step
    if item.resolved_at is not None:
        raise Conflict(_("This was resolved already."), found=item.resolution, todo=_("Nothing more is to be done."))
    if thing is None or _is_linked(item):
        raise Conflict(
            _("There is an order for this already."), todo=_("Link it to another exam, if it was another one.")
        )
    if patient is None:
        patient = orders.register_patient(**dict(new_patient or {}), actor=actor)
    request = ProcedureRequest(code=code, laterality=laterality, study_instance_uid=_free_uid(thing.study_instance_uid))
    order = orders.create_order(
        patient=patient,
        procedures=[request],
        priority=priority,
        indication=indication,
        is_accepted=True,
        actor=actor,
    )
    link_exception(item, procedure=order.procedures.get(), reason=reason, actor=actor)
    return order


def _is_linked(item: ExceptionItem) -> bool:
    if item.study is not None and item.study.procedures.exists():
        return True
    return item.performed_step is not None and item.performed_step.scheduled_steps.exists()


def may_be_ordered(item: ExceptionItem) -> bool:
    """Something was done that no order names."""
    return item.resolved_at is None and bool(item.study or item.performed_step) and not _is_linked(item)


def _free_uid(uid: str) -> str:
    """Of the study, unless another exam has it."""
    taken = RequestedProcedure.objects.filter(study_instance_uid=uid).exists()
    return uid if is_valid_uid(uid) and not taken else ""
