"""The exams that senders name: by their own codes where a person has said what those mean, else by the catalogue's."""

from __future__ import annotations

import re
from collections.abc import Sequence

from django.utils.translation import gettext as _

from interop.hl7.mapping import OrderData, ProcedureData
from interop.hl7.messages import TABLE_VALUE, Hl7Error
from interop.hl7.processor import Context
from interop.models import CodeAlias, UnmappedCode
from orders import services as orders
from orders.models import CatalogueProcedure, Order, RequestedProcedure
from orders.models.orders import OPEN_BEFORE_EXAM

LOCAL_SCHEMES = ("", "L", "LOCAL")
CODE_LENGTH, LONGEST = 16, 199


def line(text: str, length: int) -> str:
    """Descriptive text of a sender as one DICOM line: no control characters, no backslash, not too long."""
    return re.sub(r"\s+", " ", re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text)).replace("\\", "/").strip()[:length].strip()


def _scheme(scheme: str) -> str:
    return "" if scheme.upper() in LOCAL_SCHEMES else line(scheme, 16)


def _alias(procedure: ProcedureData, context: Context) -> CodeAlias | None:
    """What a person has said that one of these codes means when it comes from this sender."""
    if context.sender.pk is None:
        return None
    wanted = [(code[:LONGEST], scheme[:64]) for code, _meaning, scheme in procedure.codes]
    rows = CodeAlias.objects.filter(sender=context.sender, is_active=True, code__in=[code for code, _scheme in wanted])
    known = {(row.code, row.scheme): row for row in rows.select_related("procedure") if row.procedure.is_active}
    return next((known[key] for key in wanted if key in known), None)


def _chosen_code(procedure: ProcedureData) -> tuple[str, str, str]:
    """The first of the sender's codes that the catalogue knows, else the first."""
    for code, meaning, scheme in procedure.codes:
        if len(code) <= CODE_LENGTH and orders.find_catalogue(code, _scheme(scheme)) is not None:
            return code, meaning, _scheme(scheme)
    code, meaning, scheme = procedure.codes[0]
    return code, meaning, _scheme(scheme)


def catalogue_of(procedure: ProcedureData, context: Context) -> CatalogueProcedure | None:
    alias = _alias(procedure, context)
    if alias is not None:
        return alias.procedure
    code, _meaning, scheme = _chosen_code(procedure)
    return orders.find_catalogue(code, scheme) if len(code) <= CODE_LENGTH else None


def _named(procedure: ProcedureData, context: Context) -> tuple[str, str, str, str]:
    """Code, scheme, description and side as they may stand in an order."""
    alias = _alias(procedure, context)
    if alias is not None:
        return alias.procedure.code, "", alias.procedure.name, procedure.laterality or alias.laterality
    code, meaning, scheme = _chosen_code(procedure)
    description = line(meaning, 64)
    if line(code, CODE_LENGTH) != code:  # longer than DICOM's SH, or not of its characters: it is kept in words
        code, description = "", line(f"{code} {meaning}", 64)
    return code, scheme, description, procedure.laterality


def request(procedure: ProcedureData, context: Context) -> orders.ProcedureRequest:
    code, scheme, description, side = _named(procedure, context)
    known = orders.find_catalogue(code, scheme) if code else None
    return orders.ProcedureRequest(
        code=code,
        scheme=scheme,
        description=known.name if known is not None else description or line(code, 64),
        laterality=side if known is None or known.has_laterality else "",
        accession_number=procedure.accession_number,
        study_instance_uid=procedure.study_instance_uid,
        requested_procedure_id=procedure.requested_procedure_id,
        modality=procedure.modality,
    )


def note_unmapped(rows: Sequence[RequestedProcedure], procedures: Sequence[ProcedureData], context: Context) -> None:
    """What the catalogue does not know of exams just made waits for a person, under the sender's own code."""
    for row, procedure in zip(rows, procedures, strict=True):
        if row.is_unmapped:
            code, meaning, scheme = procedure.codes[0]
            UnmappedCode.objects.create(
                procedure=row,
                message=context.row,
                sending_application=context.row.sending_application,
                sending_facility=context.row.sending_facility,
                scheme=scheme[:64],
                code=code[:LONGEST],
                meaning=meaning[:LONGEST],
            )


def map_again(order: Order, data: OrderData, context: Context) -> None:
    """A code that was unknown when the order came may be known by now."""
    waiting = [row for row in order.procedures.order_by("pk") if row.is_unmapped and row.status in OPEN_BEFORE_EXAM]
    for row in waiting:
        for procedure in data.procedures:
            code, scheme, _description, side = _named(procedure, context)
            first = line(procedure.codes[0][0], CODE_LENGTH)
            if row.code not in (code, first) or catalogue_of(procedure, context) is None:
                continue
            orders.change_procedure(
                row, code=code, scheme=scheme, laterality=side, reason=_("Mapped"), actor=context.actor
            )
            break


def unknown_exam(procedure: ProcedureData) -> Hl7Error:
    assert procedure.segment is not None
    text = "The catalogue does not know the new exam: the order stays as it was."
    return Hl7Error(TABLE_VALUE, procedure.segment.location(4), text)


def change_exam(row: RequestedProcedure, procedure: ProcedureData, context: Context) -> None:
    """Another exam or side under the same numbers; refuses an exam that the catalogue does not know."""
    code, scheme, _description, sent = _named(procedure, context)
    catalogue = catalogue_of(procedure, context)
    if catalogue is None:
        if code == row.code:
            return
        raise unknown_exam(procedure)
    side = (sent or row.laterality) if catalogue.has_laterality else ""
    if catalogue.pk == row.catalogue_id and side == row.laterality:
        return
    orders.change_procedure(row, code=code, scheme=scheme, laterality=side, reason=_("HL7 XO"), actor=context.actor)
