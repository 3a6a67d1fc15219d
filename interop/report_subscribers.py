"""What happens to a signed version outside: it becomes a document beside its images, and goes to archives."""

from __future__ import annotations

from reporting.events import ReportAmended, ReportFinalized, ReportPreliminary, ReportSigned
from ris.events.bus import subscribe


def _document(event: ReportSigned) -> None:
    """Heard again it does nothing."""
    from interop.dicom.report_document import keep_report_document
    from interop.dicom.report_forwarding import plan_document

    kept = keep_report_document(event.report_version)
    if kept is not None:
        plan_document(*kept)


@subscribe(ReportPreliminary, name="interop.document_preliminary")
def document_preliminary(event: ReportPreliminary) -> None:
    _document(event)


@subscribe(ReportFinalized, name="interop.document_final")
def document_final(event: ReportFinalized) -> None:
    _document(event)


@subscribe(ReportAmended, name="interop.document_amended")
def document_amended(event: ReportAmended) -> None:
    _document(event)
