"""Outside reports: what other houses have written about the patient, kept as priors. A newer version takes the place
of the older one, whose words its history keeps."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from orders.models import Document, Patient
from reporting import permissions as perms
from reporting.models import OutsideReport, OutsideReportStatus
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData

FIELDS = frozenset(
    ("title", "code", "modality", "accession_number", "performed_at", "reported_at", "author", "text", "status")
)


@service(perms.RECORD_OUTSIDE_REPORT, action=Action.CREATE)
def record_outside_report(
    patient: Patient,
    *,
    source: str,
    number: str,
    sent_at: datetime | None = None,
    document: Document | None = None,
    actor: Actor,
    **fields: Any,
) -> OutsideReport:
    """Keep it, or bring the one of this source and number up to date; an older version changes nothing.

    Raises InvalidData (nothing to read, no number), Conflict (the number belongs to another patient's report).
    """
    for name in fields.keys() - FIELDS:
        raise InvalidData(_("The outside report was not kept."), errors={name: [_("There is no such field.")]})
    if not number:
        raise InvalidData(_("The outside report was not kept."), errors={"number": [_("This is needed.")]})
    report = OutsideReport.objects.select_for_update().filter(source=source, number=number).first()
    report = report or OutsideReport(source=source, number=number, patient=patient.uuid)
    is_withdrawn = fields.get("status") == OutsideReportStatus.WITHDRAWN
    if report.pk:
        _refuse_another(report, patient)
        if sent_at is not None and report.sent_at is not None and sent_at < report.sent_at:
            return report
    if not (fields.get("text") or document or is_withdrawn):
        raise InvalidData(
            _("The outside report was not kept."), errors={"text": [_("There is nothing to read in it.")]}
        )
    if is_withdrawn:
        fields = {"status": OutsideReportStatus.WITHDRAWN, "title": report.title or fields.get("title", "")}
    wanted = {**fields, "sent_at": sent_at, "document": document or report.document}
    if report.pk and all(getattr(report, name) == value for name, value in wanted.items()):
        return report
    for name, value in wanted.items():
        setattr(report, name, value)
    report.save_as(actor, _("Outside report"))
    return report


def _refuse_another(report: OutsideReport, patient: Patient) -> None:
    from reporting.services.priors import same_person

    known = Patient.objects.filter(uuid=report.patient).first()
    if known is not None and patient.pk not in same_person(known):
        raise Conflict(
            _("This number belongs to a report of another patient."),
            todo=_("Ask its sender which patient it is of."),
            errors={"number": [_("It belongs to another patient.")]},
        )
