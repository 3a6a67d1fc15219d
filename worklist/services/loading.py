"""Worklist items from outside: patient, order and step in one go, with the identities they came with."""

from __future__ import annotations

from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import Patient, RequestedProcedure
from ris.accounts.models import Practitioner
from ris.accounts.selectors import facility_settings
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData
from worklist import permissions as perms
from worklist.data import WorklistItem
from worklist.models import ScheduledProcedureStep, Station
from worklist.services.matching import Agreement, Sent, agreement
from worklist.services.steps import ensure_step


@service(perms.LOAD_WORKLIST, action=Action.CREATE)
def load_worklist_item(item: WorklistItem, *, actor: Actor) -> ScheduledProcedureStep:
    """Create patient, order and step, keeping UIDs and numbers. The same item again moves its step, nothing else.

    Raises InvalidData (patient or exam missing), Conflict (the numbers belong to another patient's exam).
    """
    _check(item)
    station = _station(item)
    patient = _patient(item, actor)
    procedure = _known_procedure(item, patient) or _order(item, patient, station, actor)
    known = ScheduledProcedureStep.objects.filter(
        procedure=procedure, scheduled_procedure_step_id=item.scheduled_procedure_step_id
    )
    step_id = "" if known.exists() else _free_step_id(item)
    return ensure_step(procedure, station=station, starts_at=item.starts_at, step_id=step_id, actor=actor)


def _check(item: WorklistItem) -> None:
    errors: dict[str, str] = {}
    if not item.patient_id.strip():
        errors["patient_id"] = _("This is needed.")
    if not item.family_name.strip():
        errors["family_name"] = _("This is needed.")
    if not (item.code or item.description):
        errors["code"] = _("Say which exam, by code or description.")
    if not (item.modality or item.station_ae_title):
        errors["modality"] = _("Say the modality or the station.")
    if errors:
        raise InvalidData(_("The worklist item was not loaded."), errors=errors)


def _station(item: WorklistItem) -> Station | None:
    title = item.station_ae_title.strip()
    if not title:
        return None
    station = Station.objects.filter(ae_title=title, is_active=True).select_related("room").first()
    if station is None:
        words = _("There is no station %(title)s.") % {"title": title}
        raise InvalidData(words, errors={"station_ae_title": words})
    return station


def _patient(item: WorklistItem, actor: Actor) -> Patient:
    issuer = item.issuer_of_patient_id.strip() or facility_settings().patient_id_issuer
    value = item.patient_id.strip()
    known = orders.resolve_patient(identifiers=[(value, issuer)], actor=actor)
    if known is not None:
        _refuse_another(known, item)
        return known
    return orders.register_patient(
        family_name=item.family_name,
        given_name=item.given_name,
        middle_name=item.middle_name,
        prefix=item.prefix,
        suffix=item.suffix,
        ideographic_name=item.ideographic_name,
        phonetic_name=item.phonetic_name,
        birth_date=item.birth_date,
        sex=item.sex or "U",
        weight_kg=item.weight_kg,
        height_m=item.height_m,
        identifiers=[{"value": value, "issuer": issuer, "type": "MR", "use": "usual"}],
        actor=actor,
    )


def _refuse_another(patient: Patient, item: WorklistItem) -> None:
    """The identifier is known, and name and birth date are somebody else's: a person must look."""
    name = "^".join((item.family_name, item.given_name, item.middle_name))
    born = f"{item.birth_date:%Y%m%d}" if item.birth_date else ""
    if agreement(patient, Sent(item.patient_id, "", name, born)) is Agreement.DIFFERS:
        raise Conflict(
            _("This identifier belongs to another patient."),
            asked=_("To load a worklist item."),
            found=_("Name and date of birth differ from the patient who has this identifier."),
            todo=_("Correct the identifier, or the patient."),
            errors={"patient_id": _("It belongs to another patient.")},
        )


def _known_procedure(item: WorklistItem, patient: Patient) -> RequestedProcedure | None:
    rows = RequestedProcedure.objects.select_related("order__patient", "catalogue")
    known = rows.filter(study_instance_uid=item.study_instance_uid).first() if item.study_instance_uid else None
    if known is None and item.accession_number:
        same = rows.filter(accession_number=item.accession_number)
        if item.requested_procedure_id:
            known = same.filter(requested_procedure_id=item.requested_procedure_id).first()
        elif not item.study_instance_uid:
            known = same.first()
        _refuse_taken(same.first(), patient)
    _refuse_taken(known, patient)
    return known


def _refuse_taken(procedure: RequestedProcedure | None, patient: Patient) -> None:
    if procedure is not None and procedure.order.patient_id != patient.pk:
        raise Conflict(
            _("These numbers belong to an exam of another patient."),
            asked=_("To load a worklist item."),
            found=_("The accession number or Study Instance UID is another patient's."),
            todo=_("Give numbers that are free, or none."),
            errors={"accession_number": _("It belongs to another patient's exam.")},
        )


def _order(item: WorklistItem, patient: Patient, station: Station | None, actor: Actor) -> RequestedProcedure:
    request = orders.ProcedureRequest(
        code=item.code or "UNCODED",
        scheme=item.code_scheme,
        description=item.description,
        laterality=item.laterality,
        accession_number=item.accession_number,
        study_instance_uid=item.study_instance_uid,
        requested_procedure_id=item.requested_procedure_id,
        protocol=item.protocol,
        contrast=item.contrast,
        modality=item.modality or (station.modality if station else ""),
    )
    order = orders.create_order(
        patient=patient,
        procedures=[request],
        priority=item.priority or "routine",
        indication=item.indication,
        patient_class=item.patient_class or "O",
        requester=_requester(item),
        transport=item.transport,
        location=item.location,
        placer_order_number=item.placer_order_number,
        placer_issuer=item.placer_issuer,
        allow_unmapped=True,
        is_accepted=True,
        actor=actor,
    )
    return order.procedures.select_related("order__patient", "catalogue").get()


def _requester(item: WorklistItem) -> Practitioner | None:
    if not item.requester_family_name:
        return None
    return Practitioner.objects.filter(
        family_name__iexact=item.requester_family_name, given_name__iexact=item.requester_given_name, is_active=True
    ).first()


def _free_step_id(item: WorklistItem) -> str:
    """The sender's own when nobody else's step has it; ours otherwise."""
    wanted = item.scheduled_procedure_step_id.strip()
    taken = ScheduledProcedureStep.objects.filter(scheduled_procedure_step_id=wanted).exists()
    return "" if taken or len(wanted) > 16 or "\\" in wanted else wanted
