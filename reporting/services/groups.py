"""One report over several exams: an exam joins or leaves it before the signature (the IHE group case)."""

from __future__ import annotations

from django.utils import timezone
from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import ProcedureStatus, RequestedProcedure
from reporting import parts
from reporting import permissions as perms
from reporting.models import Report
from reporting.services.locks import claim, drop_locks, lock_procedures, person
from reporting.services.templates import filled_sections, template_for
from reporting.services.writing import already_signed, check_readable, identity_of, report_of, write_sections
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData, InvalidTransition

S = ProcedureStatus


def _draft(report: Report) -> Report:
    report = Report.locked(report.pk)
    if report.is_signed:
        raise already_signed(report)
    if not report.is_draft:
        raise InvalidTransition(
            _("Exams join and leave a report before its first signature."),
            found=_("It is: %(status)s.") % {"status": report.get_status_display()},
            todo=_("Finish this report, and write one of its own for the other exam."),
        )
    return report


@service(perms.WRITE_REPORT, action=Action.UPDATE)
def add_procedure(report: Report, *, procedure: RequestedProcedure, actor: Actor) -> Report:
    """Take another exam of the patient into the report; its findings begin with its own template."""
    user = person(actor)
    rows = lock_procedures([*report.procedures.all(), procedure])
    report = _draft(report)
    if report.procedures.filter(pk=procedure.pk).exists():
        return report
    joining = next(row for row in rows if row.pk == procedure.pk)
    check_readable(rows)
    if report_of([joining]) is not None:
        raise Conflict(
            _("That exam has a report of its own."),
            asked=_("One report over several exams."),
            found=_("Somebody has begun to write about it."),
            todo=_("Discard that draft first, or sign both."),
        )
    claim(rows, user)
    template = template_for([joining], language=report.language, user=user)
    begun = filled_sections(template, [joining]) if template else {}
    report.procedures.add(joining)
    if joining.status in (S.PERFORMED, S.READY_TO_READ):
        orders.mark_reading(joining, actor=actor)
    alone = {row.pk for row in rows} - {joining.pk}
    sections = {parts.part_key(joining): begun.get("findings", "")}
    for row in rows:
        if row.pk in alone and parts.part_key(row) not in report.sections and len(alone) == 1:
            sections[parts.part_key(row)] = report.sections.get("findings", "")
    technique = [report.sections.get("technique", "").strip(), begun.get("technique", "").strip()]
    sections["technique"] = "\n".join(dict.fromkeys(filter(None, technique)))
    write_sections(report, sections, actor)
    report.save_as(actor, f"Exam {joining.accession_number} joined")
    return report


@service(perms.WRITE_REPORT, action=Action.UPDATE)
def remove_procedure(report: Report, *, procedure: RequestedProcedure, actor: Actor) -> Report:
    """Let an exam go back to the reading list. What was found in it goes along, as a draft of its own."""
    user = person(actor)
    rows = lock_procedures(report.procedures.all())
    report = _draft(report)
    leaving = next((row for row in rows if row.pk == procedure.pk), None)
    if leaving is None:
        raise InvalidData(_("This exam is not in the report."), errors={"procedure": _("Not in this report.")})
    if len(rows) == 1:
        raise InvalidData(_("A report is about one exam at least."), todo=_("Discard the draft instead."))
    claim(rows, user)
    findings = report.sections.get(parts.part_key(leaving), "")
    report.procedures.remove(leaving)
    left = [row for row in rows if row.pk != leaving.pk]
    if len(left) == 1:
        own = report.sections.get(parts.part_key(left[0]), report.sections.get("findings", ""))
        write_sections(report, {"findings": own}, actor, procedures=left)
    else:
        write_sections(report, {}, actor, procedures=left)
    report.save_as(actor, f"Exam {leaving.accession_number} left")
    if findings.strip():
        _own_draft(report, leaving, findings, actor)
    drop_locks([leaving])
    if leaving.status == S.READING:
        orders.mark_reading_released(leaving, actor=actor)
    return report


def _own_draft(report: Report, procedure: RequestedProcedure, findings: str, actor: Actor) -> None:
    user = person(actor)
    template = template_for([procedure], language=report.language, user=user)
    begun = filled_sections(template, [procedure]) if template else {}
    own = Report(author=user, language=report.language, template=template)
    own.opened_at, own.identity_seen = timezone.now(), identity_of(procedure.order.patient)
    own.save_as(actor, "Left a report over several exams")
    own.procedures.set([procedure])
    write_sections(own, {**begun, "findings": findings}, actor)
    own.save_as(actor, "Its findings came along")
