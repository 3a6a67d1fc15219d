"""ServiceRequest: an exam ordered, changed, held, released, cancelled or replaced, through the order services.

One resource is one exam (RequestedProcedure). Sent again under the same placer order number it is answered as it is.
"""

from __future__ import annotations

from typing import Any

from interop.fhir.server.call import VERSIONS, Call, Resource
from interop.fhir.server.params import issuer_of
from interop.fhir.server.registry import type_of
from interop.fhir.server.resources import common
from interop.fhir.writing.conditional import Made, Writer
from interop.fhir.writing.reading import (
    Problems,
    codings,
    day,
    first,
    has_type,
    line,
    moment,
    notes_of,
    refuse,
    text,
    words_of,
)  # fmt: skip
from interop.fhir.writing.references import lead
from orders import permissions as perms
from orders import services as orders
from orders.models import Laterality, Order, Patient, Priority, RequestedProcedure
from ris.accounts.models import Practitioner

NAME = "ServiceRequest"
INTENTS = ("order", "original-order", "filler-order", "instance-order", "reflex-order")
SCHEMES = {system: scheme for scheme, system in common.SCHEMES.items() if scheme not in ("SRT", "C4", "ICD-10")}
SIDES = {
    "7771000": Laterality.LEFT,
    "24028007": Laterality.RIGHT,
    "51440002": Laterality.BOTH,
    "L": Laterality.LEFT,
    "R": Laterality.RIGHT,
    "B": Laterality.BOTH,
}
DOCTOR_CANCELED, ENTERED_IN_ERROR = "110500", "110514"
CODE_LENGTH = 16


def create(call: Call, resource: Resource) -> Made:
    problems = Problems(NAME)
    if resource.get("intent") not in INTENTS:
        problems.add("intent", f"An order is placed: {', '.join(INTENTS)}.", "business-rule")
    if resource.get("status") not in ("active", "on-hold"):
        problems.add("status", "A new order is active or on-hold.", "business-rule")
    patient = lead(resource.get("subject"), "subject", call, problems, "Patient")
    if patient is None and not problems.found:
        problems.add("subject", "The patient is needed.", "required")
    placer, issuer = _placer(resource)
    known = _known(placer, issuer, patient)
    if known is not None:
        problems.raise_if_any()
        return Made(known, is_new=False)
    requester = _requester(resource, call, problems)
    request = _exam(resource, call, problems)
    replaced = [
        lead(row, f"replaces[{place}]", call, problems, NAME) for place, row in enumerate(resource.get("replaces", []))
    ]
    problems.raise_if_any()
    if replaced and replaced[0] is not None:
        row = _replaced(replaced[0], request, patient, resource, call)
    else:
        row = _placed(resource, patient, request, requester, (placer, issuer), call)
    if resource.get("status") == "on-hold":
        row = orders.hold_procedure(row, reason_text=_why(resource) or "FHIR on-hold", actor=call.actor)
    return Made(row)


def _placed(
    resource: Resource,
    patient: Patient,
    request: orders.ProcedureRequest,
    requester: Practitioner | None,
    placer: tuple[str, str],
    call: Call,
) -> RequestedProcedure:
    order = orders.create_order(
        patient=patient,
        procedures=[request],
        priority=resource.get("priority", "routine"),
        indication=_indication(resource),
        clinical_information=notes_of(resource.get("note")),
        requester=requester,
        placer_order_number=placer[0],
        placer_issuer=placer[1],
        ordered_at=moment(resource.get("authoredOn")),
        allow_unmapped=_takes_unmapped(call),
        actor=call.actor,
    )
    return order.procedures.get()


def _replaced(
    old: RequestedProcedure, request: orders.ProcedureRequest, patient: Patient, resource: Resource, call: Call
) -> RequestedProcedure:
    if old.order.patient_id != patient.pk:
        raise refuse(NAME, "replaces", "It is an exam of another patient.", "business-rule")
    return orders.replace_procedure(old, by=request, reason_code="110502", reason_text=_why(resource), actor=call.actor)


def _takes_unmapped(call: Call) -> bool:
    """``Prefer: handling=lenient``: a code that the catalogue does not know waits for a person, as HL7's do."""
    return call.preference("handling") == "lenient"


def _known(placer: str, issuer: str, patient: Patient | None) -> RequestedProcedure | None:
    """What was ordered under this number before, for the same patient; another patient's is refused below."""
    if not placer or patient is None:
        return None
    order = Order.objects.filter(placer_order_number=placer, placer_issuer=issuer, patient=patient).first()
    return order.procedures.order_by("pk").first() if order is not None else None


# --- what the resource says


def _placer(resource: Resource) -> tuple[str, str]:
    """The sender's own number: typed PLAC, else one of a system that is not ours."""
    ours = (common.ACCESSION, common.FILLER, common.DICOM_UID, common.URI)
    rows = [row for row in resource.get("identifier", []) if row.get("value")]
    row = next((one for one in rows if has_type(one, "PLAC")), None)
    if row is None:
        row = next((one for one in rows if one.get("system") not in ours and not has_type(one, "ACSN", "FILL")), None)
    if row is None:
        return "", ""
    system = row.get("system", "")
    issuer = first([row.get("assigner")]) or {}
    name = issuer.get("display", "") if system in ("", common.PLACER) else issuer_of(system)
    return line(row["value"]), line(name)


def _accession(resource: Resource) -> str:
    rows = resource.get("identifier", [])
    row = next((one for one in rows if one.get("system") == common.ACCESSION or has_type(one, "ACSN")), {})
    return line(row.get("value"), 16)


def _exam(resource: Resource, call: Call, problems: Problems) -> orders.ProcedureRequest:
    """The first of the codes that the catalogue knows; else the first as it is, where that is allowed."""
    rows = codings(resource.get("code"))
    catalogue, chosen = None, first(rows)
    for row in rows:
        scheme = _scheme(row.get("system", ""))
        code = str(row.get("code", ""))
        catalogue = orders.find_catalogue(code, scheme) if code and len(code) <= CODE_LENGTH else None
        if catalogue is not None:
            chosen = row
            break
    told = words_of(resource.get("code"))
    if catalogue is None and not _takes_unmapped(call):
        words = "The facility's catalogue does not know this exam."
        problems.add("code", words if rows else "A code of the facility's catalogue is needed.", "code-invalid")
    code = line(chosen.get("code"), CODE_LENGTH) if catalogue or len(str(chosen.get("code", ""))) <= CODE_LENGTH else ""
    side = _side(resource)
    return orders.ProcedureRequest(
        code=code,
        scheme=_scheme(chosen.get("system", "")),
        description=catalogue.name if catalogue is not None else line(told or chosen.get("code")),
        laterality=side if catalogue is None or catalogue.has_laterality else "",
        accession_number=_accession(resource),
        due_by=day(str(resource.get("occurrenceDateTime") or resource.get("occurrencePeriod", {}).get("end", ""))[:10]),
    )


def _scheme(system: str) -> str:
    if system in ("", common.CATALOGUE):
        return ""
    return line(SCHEMES.get(system, system.removeprefix("urn:picha:scheme:")), 16)


def _side(resource: Resource) -> str:
    """From the body site's or the code's qualifiers (SNOMED), or from what we write ourselves."""
    rows = [*resource.get("bodySite", []), *resource.get("orderDetail", [])]
    for row in rows:
        for one in codings(row):
            if one.get("code") in SIDES:
                return SIDES[one["code"]]
    return ""


def _indication(resource: Resource) -> str:
    rows = [*resource.get("reasonCode", []), *resource.get("reason", [])]
    return "\n".join(dict.fromkeys(filter(None, map(words_of, rows))))


def _why(resource: Resource) -> str:
    return line(notes_of(resource.get("note")), 200)


def _requester(resource: Resource, call: Call, problems: Problems) -> Practitioner | None:
    row = lead(resource.get("requester"), "requester", call, problems, "Practitioner", "PractitionerRole")
    return row if isinstance(row, Practitioner) else getattr(row, "practitioner", None)


# --- changes


def change(call: Call, row: RequestedProcedure, resource: Resource) -> RequestedProcedure:
    """Bring the exam to what the resource says: its order's words, its code and side, and its status last."""
    kind = type_of(NAME)
    assert kind is not None
    pair = kind.find(call.actor, str(row.uuid))
    before = pair[0].to_fhir(row, VERSIONS[call.version.name]) if pair is not None else {}
    before = before or {}
    status = resource.get("status")
    if status in ("revoked", "entered-in-error") and before.get("status") not in ("revoked", "entered-in-error"):
        code = DOCTOR_CANCELED if status == "revoked" else ENTERED_IN_ERROR
        return orders.cancel_procedure(row, reason_code=code, reason_text=_why(resource), actor=call.actor)
    problems = Problems(NAME)
    _same_subject(resource, row, call, problems)
    fields = _changed_words(resource, before, row, call, problems)
    exam = _changed_exam(resource, before, row, call, problems)
    if status != before.get("status") and (before.get("status"), status) not in _MOVES:
        problems.add("status", f"An order that is {before.get('status')} is not made {status} here.", "business-rule")
    problems.raise_if_any()
    if fields:
        orders.change_order(row.order, reason="FHIR", actor=call.actor, **fields)
    if exam:
        row = orders.change_procedure(row, reason="FHIR", actor=call.actor, **exam)
    if status != before.get("status"):
        row = _MOVES[before.get("status", ""), str(status)](row, resource, call)
    return row


def _hold(row: RequestedProcedure, resource: Resource, call: Call) -> RequestedProcedure:
    return orders.hold_procedure(row, reason_text=_why(resource) or "FHIR on-hold", actor=call.actor)


def _release(row: RequestedProcedure, resource: Resource, call: Call) -> RequestedProcedure:
    return orders.release_procedure(row, reason_text=_why(resource), actor=call.actor)


_MOVES = {("active", "on-hold"): _hold, ("on-hold", "active"): _release}


def _same_subject(resource: Resource, row: RequestedProcedure, call: Call, problems: Problems) -> None:
    patient = lead(resource.get("subject"), "subject", call, problems, "Patient")
    if patient is not None and patient.pk != row.order.patient_id:
        problems.add("subject", "An order is not moved to another patient here.", "business-rule")


def _changed_words(
    resource: Resource, before: Resource, row: RequestedProcedure, call: Call, problems: Problems
) -> dict[str, Any]:
    """What belongs to the order as a whole. What the resource does not say stays."""
    fields: dict[str, Any] = {}
    if resource.get("priority", before.get("priority")) != before.get("priority"):
        fields["priority"] = Priority(resource["priority"])
    indication, was = _indication(resource), _indication(before)
    if indication and indication != was:
        fields["indication"] = text(indication, 10_000)
    notes = notes_of(resource.get("note"))
    if notes and notes != notes_of(before.get("note")):
        fields["clinical_information"] = text(notes, 10_000)
    if resource.get("requester") and resource["requester"] != before.get("requester"):
        requester = _requester(resource, call, problems)
        if requester is not None and requester.pk != row.order.requester_id:
            fields["requester"] = requester
    return fields


def _changed_exam(
    resource: Resource, before: Resource, row: RequestedProcedure, call: Call, problems: Problems
) -> dict[str, Any]:
    def told(one: Resource) -> list[tuple[Any, Any]]:
        return sorted((str(code.get("system")), str(code.get("code"))) for code in codings(one.get("code")))

    exam: dict[str, Any] = {}
    if told(resource) != told(before):
        wanted = _exam(resource, call, problems)
        exam = {"code": wanted.code, "scheme": wanted.scheme, "laterality": wanted.laterality}
    side = _side(resource)
    if side and side != row.laterality:
        exam["laterality"] = side
    return exam


WRITER = Writer(NAME, create, change, rights={"create": perms.CREATE_ORDER, "update": perms.CHANGE_ORDER})
