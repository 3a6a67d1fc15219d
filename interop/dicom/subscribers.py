"""Loaded by every process: what falls due on the imaging network."""

from __future__ import annotations

from ris.events.dispatcher import register_work


def claim_commitments(limit: int) -> list[int]:
    from interop.dicom import commitment_reports

    return commitment_reports.claim(limit)


def report_commitment(pk: int) -> bool:
    from interop.dicom import commitment_reports

    return commitment_reports.run(pk)


register_work("interop.commitment", claim=claim_commitments, run=report_commitment)
