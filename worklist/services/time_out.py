"""The last look before an exam: what must be confirmed of it, by whom, and whether an earlier look still holds."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from orders.models.orders import Order
from ris.accounts.selectors import facility_settings
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData, InvalidTransition
from ris.core.gs1 import plain_code
from ris.events.bus import publish
from worklist import permissions as perms
from worklist.codes import IDENTIFIED_BY, TIME_OUT_CHECKS
from worklist.events import TimeOutDone
from worklist.models import TimeOut
from worklist.services.screening import has_contrast
from worklist.services.support import lock_procedure, sign

IDENTIFIERS_NEEDED = 2
MAY_BE_PREGNANT = (10, 60)


def checks_needed(procedure: RequestedProcedure) -> list[str]:
    """Keys of TIME_OUT_CHECKS that this exam of this patient asks for, in the order of asking."""
    patient, catalogue = procedure.order.patient, procedure.catalogue
    needed = ["exam"]
    if procedure.laterality or (catalogue and catalogue.has_laterality):
        needed.append("side")
    youngest, oldest = MAY_BE_PREGNANT
    if patient.sex != "M" and (patient.age is None or youngest <= patient.age <= oldest):
        needed.append("pregnancy")
    needed.append("allergy")
    if has_contrast(procedure):
        needed.append("renal")
    if catalogue and catalogue.needs_consent:
        needed.append("consent")
    return [*needed, "entry"]


def is_wristband_of(order: Order, code: str) -> bool:
    """The bars hold an identifier of the patient; a wristband may say the issuer too (HL7 CX)."""
    said = plain_code(code).partition("^")[0].strip().upper()
    return bool(said) and any(row.value.upper() == said for row in order.patient.identifiers.all())


@service(perms.PERFORM_STEP, action=Action.CREATE)
def record_time_out(
    procedure: RequestedProcedure,
    *,
    identifiers: Iterable[str],
    checks: Iterable[str],
    wristband: str = "",
    actor: Actor,
) -> TimeOut:
    """Who it is by two identifiers, and that exam, side, safety and entry are right. A scanned ``wristband`` of
    another patient refuses it all.
    """
    procedure = lock_procedure(procedure)
    methods, confirmed = set(identifiers), set(checks)
    if wristband.strip():
        if not is_wristband_of(procedure.order, wristband):
            raise InvalidData(
                _("This wristband is another patient's."),
                asked=_("To confirm who is here."),
                found=_("The scanned code is none of this patient's identifiers."),
                todo=_("Stop. Ask name and date of birth, and look which exam is open here."),
                errors={"wristband": _("Another patient's.")},
            )
        methods.add("wristband")
    errors: dict[str, str] = {}
    if not methods <= IDENTIFIED_BY.keys() or len(methods) < IDENTIFIERS_NEEDED:
        errors["identifiers"] = _("Confirm two identifiers.")
    missing = [str(TIME_OUT_CHECKS[key]) for key in checks_needed(procedure) if key not in confirmed]
    if missing or not confirmed <= TIME_OUT_CHECKS.keys():
        errors["checks"] = _("Not confirmed: %(what)s.") % {"what": ", ".join(missing) or _("an unknown check")}
    if errors:
        raise InvalidData(_("The time-out is not complete."), errors=errors)
    row = TimeOut(
        procedure=procedure,
        identifiers=sorted(methods),
        checks=sorted(confirmed),
        is_wristband_verified=bool(wristband.strip()),
        patient=procedure.order.patient.uuid,
        exam_code=procedure.code[:16],
        laterality=procedure.laterality,
        done_by=actor.user,
    )
    sign(row, actor, "Time-out")
    publish(
        TimeOutDone(str(row.uuid), accession_number=procedure.accession_number, procedure=str(procedure.uuid)),
        actor=actor,
    )
    return row


def standing_time_out(procedure: RequestedProcedure) -> TimeOut | None:
    """The newest look, while what was looked at is still what will be done."""
    row = procedure.time_outs.order_by("-pk").first()
    return row if row is not None and row.still_holds else None


def refuse_without_time_out(procedure: RequestedProcedure) -> None:
    """Where the facility asks for it."""
    if not facility_settings().require_time_out or standing_time_out(procedure) is not None:
        return
    changed = procedure.time_outs.exists()
    raise InvalidTransition(
        _("The time-out has not been done."),
        asked=_("To start the exam."),
        found=_("Patient, exam or side have changed since it was done.")
        if changed
        else _("Nobody has confirmed patient, exam and side."),
        todo=_("Do the time-out, then start."),
    )
