"""DocumentReference: a paper of a patient, kept with them or with their order. Its content comes inside (base64)."""

from __future__ import annotations

import base64
import binascii
from io import BytesIO
from typing import Any

from interop.fhir.server.call import Call, Resource
from interop.fhir.server.resources.documents import KINDS, TYPES
from interop.fhir.writing.conditional import Made, Writer
from interop.fhir.writing.reading import Problems, code_of, codings, first, line, refuse, words_of
from interop.fhir.writing.references import lead
from orders import permissions as perms
from orders import services as orders
from orders.models import Document, DocumentKind

NAME = "DocumentReference"
BY_LOINC = {code: kind for kind, (code, _name) in reversed(TYPES.items())}


def create(call: Call, resource: Resource) -> Made:
    problems = Problems(NAME)
    if resource.get("status", "current") != "current":
        problems.add("status", "A paper that is kept is current.", "business-rule")
    patient = lead(resource.get("subject"), "subject", call, problems, "Patient")
    if patient is None and not problems.found:
        problems.add("subject", "The patient is needed.", "required")
    attachment = first(resource.get("content")).get("attachment", {})
    content = content_of(attachment, "content[0].attachment", problems)
    order = _order(resource, call, problems)
    problems.raise_if_any()
    title = line(attachment.get("title") or resource.get("description") or words_of(resource.get("type")), 120)
    row = orders.add_document(patient, kind=_kind(resource), title=title, file=content, order=order, actor=call.actor)
    return Made(row)


def content_of(attachment: Resource, where: str, problems: Problems) -> BytesIO:
    """What an Attachment holds. Addresses are not fetched."""
    if not attachment.get("data"):
        problems.add(f"{where}.data", "The content comes inside, in base64; addresses are not fetched.", "required")
        return BytesIO()
    try:
        return BytesIO(base64.b64decode(str(attachment["data"]), validate=True))
    except (binascii.Error, ValueError):
        problems.add(f"{where}.data", "This is no base64.", "value")
        return BytesIO()


def _kind(resource: Resource) -> str:
    """Ours where it is named, else what LOINC calls it, else other."""
    own = code_of(resource.get("type"), KINDS)
    if own in DocumentKind.values:
        return own
    known = (BY_LOINC.get(str(row.get("code"))) for row in codings(resource.get("type")))
    return next((kind for kind in known if kind), DocumentKind.OTHER)


def _order(resource: Resource, call: Call, problems: Problems) -> Any:
    """R5 says it in basedOn, R4 in context.related."""
    rows = resource.get("basedOn") or resource.get("context", {}).get("related", [])
    for place, row in enumerate(rows):
        exam = lead(row, f"basedOn[{place}]", call, problems, "ServiceRequest")
        if exam is not None:
            return exam.order
    return None


def change(call: Call, row: Document, resource: Resource) -> Document:
    """A paper stays as it is; entered-in-error withdraws it."""
    status = resource.get("status")
    is_withdrawn = row.withdrawn_at is not None
    if status == "entered-in-error" and not is_withdrawn:
        reason = line(resource.get("description"), 150) or "FHIR entered-in-error"
        return orders.withdraw_document(row, reason=reason, actor=call.actor)
    if (status == "current") == is_withdrawn:
        raise refuse(NAME, "status", "A paper that was withdrawn stays so.", "business-rule")
    return row


WRITER = Writer(NAME, create, change, rights={"create": perms.ADD_DOCUMENT, "update": perms.ADD_DOCUMENT})
