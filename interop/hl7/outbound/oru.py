"""ORU^R01: one signed version of a report, for one destination (IHE RAD-28; LOINC per section)."""

from __future__ import annotations

import base64

from django.utils import translation

from interop.hl7.messages import Value
from interop.hl7.outbound.envelope import Segments, filler, msh, orc, pid, placer, practitioner, pv1, user_name, when
from interop.models import Hl7Destination
from orders.models import RequestedProcedure
from reporting.models import SECTIONS, ReportVersion, VersionKind
from reporting.pdf import render_report_pdf

KIND = ("ORU", "R01", "ORU_R01")
#: kind of version -> ORC-5, OBR-25 (table 0123), OBX-11 (table 0085)
STATUSES = {
    VersionKind.PRELIMINARY: ("A", "P", "P"),
    VersionKind.FINAL: ("CM", "F", "F"),
    VersionKind.ADDENDUM: ("CM", "F", "F"),
    VersionKind.CORRECTION: ("CM", "C", "C"),
    VersionKind.RETRACTION: ("CM", "X", "W"),
}
ADDENDUM = ("55107-7", "Addendum", "LN")
WHOLE_REPORT = ("18748-4", "Diagnostic imaging study", "LN")
STUDY = ("113014", "DICOM Study", "DCM")


def build_report(
    version: ReportVersion, destination: Hl7Destination, control_id: str, procedures: list[RequestedProcedure]
) -> Segments:
    """Patient as known now (a merge since the signature counts), text as signed. One OBR group per exam."""
    order = procedures[0].order
    order_status, result_status, value_status = STATUSES[VersionKind(version.kind)]
    segments: Segments = [msh(destination, KIND, control_id), pid(order.patient), pv1(order)]
    observations = _observations(version, destination, value_status)
    for position, procedure in enumerate(procedures, 1):
        segments.append(orc(procedure.order, "RE", order_status))
        segments.append(_obr(position, procedure, version, result_status))
        rows = [*_studies(procedure, value_status), *observations]
        segments += [("OBX", [str(number), *values]) for number, values in enumerate(rows, 1)]
    return segments


def _obr(position: int, procedure: RequestedProcedure, version: ReportVersion, status: str) -> tuple[str, list[Value]]:
    order = procedure.order
    fields: dict[int, Value] = {
        1: str(position),
        2: placer(order),
        3: filler(order),
        4: (procedure.code, procedure.description, procedure.code_scheme),
        7: when(procedure.started_at or procedure.performed_at),
        8: when(procedure.performed_at),
        13: order.indication[:300],
        15: (None, None, None, None, procedure.laterality) if procedure.laterality else None,
        16: practitioner(order.requester),
        18: procedure.accession_number,
        19: procedure.requested_procedure_id,
        22: when(version.signed_at),
        24: procedure.modality,
        25: status,
        32: (user_name(version.signed_by), when(version.signed_at)),
    }
    return "OBR", [fields.get(number) for number in range(1, max(fields) + 1)]


def _studies(procedure: RequestedProcedure, status: str) -> list[list[Value]]:
    """Where the images are: of the studies linked to the exam, else of the one that was planned."""
    linked = procedure.studies.order_by("pk").values_list("study_instance_uid", flat=True)
    uids = list(linked) or [procedure.study_instance_uid]
    return [["HD", STUDY, str(number), uid, *[None] * 5, status] for number, uid in enumerate(uids, 1)]


def _observations(version: ReportVersion, destination: Hl7Destination, status: str) -> list[list[Value]]:
    """OBX fields 2 and on: sections that hold text, addenda up to this version, the PDF."""
    rows: list[list[Value]] = []
    signer = user_name(version.signed_by)

    def observation(kind: str, code: tuple[str, str, str], value: Value) -> None:
        sub_id = str(1 + sum(1 for row in rows if row[1] == code))
        rows.append([kind, code, sub_id, value, *[None] * 5, status, None, None, when(version.signed_at), None, signer])

    with translation.override("en"):
        for key, (loinc, label) in SECTIONS.items():
            text = (version.sections.get(key) or "").strip()
            if text:
                observation("FT", (loinc, str(label), "LN"), text)
    addenda = version.report.versions.filter(kind=VersionKind.ADDENDUM, number__lte=version.number).order_by("number")
    for addendum in addenda:
        observation("FT", ADDENDUM, addendum.addendum)
    if destination.includes_pdf:
        content = base64.b64encode(render_report_pdf(version)).decode()
        observation("ED", WHOLE_REPORT, (None, "application", "pdf", "Base64", content))
    return rows
