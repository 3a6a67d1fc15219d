"""Opening and writing a report. Every save names the revision it was made from; nothing is overwritten unseen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from django.db.models import Prefetch, prefetch_related_objects
from django.utils import timezone
from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import Patient, ProcedureStatus, RequestedProcedure
from reporting import parts
from reporting import permissions as perms
from reporting.models import SECTIONS, Report, ReportStatus
from reporting.services.locks import claim, drop_locks, lock_procedures, lock_report, person
from reporting.services.templates import begun_sections, template_for
from ris.audit.models import Action
from ris.audit.service import service
from ris.core import text
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData, InvalidTransition

LONGEST_SECTION = 50_000
S = ProcedureStatus
#: From these an exam is opened for reading; the others wait for something, or are over.
READABLE = frozenset({S.PERFORMED, S.READY_TO_READ, S.READING, S.PRELIMINARY})
DEAD = (ReportStatus.CANCELLED, ReportStatus.ENTERED_IN_ERROR)


class RevisionConflict(Conflict):
    """The text was saved by somebody (or another window) since this one was read. Both texts are kept."""

    code = "revision_conflict"


def identity_of(patient: Patient, numbers: Iterable[tuple[str, str]] | None = None) -> str:
    """A hash of who the report is about, to notice that it has become somebody else.

    ``numbers``: identifier and issuer of each, where they are known already.
    """
    if numbers is None:
        numbers = [(row.value, row.issuer) for row in patient.identifiers.all()]
    identifiers = sorted(f"{value}|{issuer}" for value, issuer in numbers)
    parts = [str(patient.uuid), patient.dicom_name, str(patient.birth_date), patient.sex, *identifiers]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def clean_sections(sections: Mapping[str, str]) -> dict[str, str]:
    """Known sections as plain text with \\n line ends; raises InvalidData naming the section that is wrong."""
    errors: dict[str, str] = {}
    clean: dict[str, str] = {}
    for key, value in sections.items():
        if key not in SECTIONS and not parts.is_part(key):
            errors[key] = _("There is no such section.")
        elif not isinstance(value, str):
            errors[key] = _("A section is text.")
        elif len(value) > LONGEST_SECTION:
            errors[key] = _("Longer than %(count)d characters.") % {"count": LONGEST_SECTION}
        else:
            clean[key] = value.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").rstrip()
    if errors:
        raise InvalidData(_("The text cannot be stored."), errors=errors)
    return clean


def report_of(procedures: Iterable[RequestedProcedure]) -> Report | None:
    """The live report that covers these procedures; Conflict when they are in different ones."""
    wanted = {procedure.pk for procedure in procedures}
    found = list(
        Report.objects.filter(procedures__in=wanted).exclude(status__in=DEAD).distinct().prefetch_related("procedures")
    )
    if not found:
        return None
    covered = {procedure.pk for procedure in found[0].procedures.all()}
    if len(found) > 1 or not wanted <= covered:
        raise Conflict(
            _("Some of these exams are in another report."),
            asked=_("One report over several exams."),
            found=_("At least one of them has a report of its own."),
            todo=_("Open that report, or choose the exams without it."),
        )
    return found[0]


def check_readable(procedures: list[RequestedProcedure]) -> None:
    if not procedures:
        raise InvalidData(_("Choose at least one exam."), errors={"procedures": [_("Needed.")]})
    if len({procedure.order.patient_id for procedure in procedures}) > 1:
        raise InvalidData(
            _("These exams are of different patients."), errors={"procedures": [_("All must be of one patient.")]}
        )
    for procedure in procedures:
        if procedure.status not in READABLE:
            raise InvalidTransition(
                _("An exam that is %(status)s cannot be read.") % {"status": procedure.get_status_display()},
                asked=_("To write the report of an exam."),
                found=_("It is: %(status)s.") % {"status": procedure.get_status_display()},
                todo=_("It joins the reading list when its images are complete."),
            )


@service(perms.CLAIM_PROCEDURE, action=Action.UPDATE)
def open_report(procedures: Iterable[RequestedProcedure], *, actor: Actor) -> Report:
    """Open the report of one or several procedures to write it: a new draft, or the one that is there.

    Claims the reading lock. Raises HeldByAnother, Conflict for a signed report, InvalidTransition.
    """
    user = person(actor)
    rows = lock_procedures(procedures)
    report = report_of(rows)
    if report is not None:
        report, rows = lock_report(report)
        if report.is_signed:
            raise already_signed(report)
    check_readable(rows)
    claim(rows, user)
    patient = rows[0].order.patient
    if report is None:
        language = user.language or "en"
        template = template_for(rows, language=language, user=user)
        report = Report(author=user, language=template.language if template else "en", template=template)
        report.sections = begun_sections(template, rows, user=user, language=language)
    report.opened_at, report.identity_seen = timezone.now(), identity_of(patient)
    is_new = report.pk is None
    report.save_as(actor, "Opened")
    if is_new:
        report.procedures.set(rows)
    for procedure in rows:
        if procedure.status in (S.PERFORMED, S.READY_TO_READ):
            orders.mark_reading(procedure, actor=actor)
    return report


def already_signed(report: Report) -> Conflict:
    who = report.signed_by.display_name if report.signed_by else ""
    when = text.stamp(report.signed_at)
    return Conflict(
        _("%(who)s has signed this report on %(when)s.") % {"who": who, "when": when},
        asked=_("To change a report."),
        found=_("It is signed by %(who)s, %(when)s. What is signed never changes.") % {"who": who, "when": when},
        todo=_("Add an addendum, or correct it with a reason."),
        errors={"signed_by": who, "signed_at": report.signed_at.isoformat() if report.signed_at else ""},
    )


def check_revision(report: Report, revision: int | None) -> None:
    if revision is None or revision == report.revision:
        return
    who = report.edited_by.display_name if report.edited_by else ""
    when = text.stamp(report.edited_at)
    raise RevisionConflict(
        _("%(who)s has saved this report at %(when)s, after you read it.") % {"who": who, "when": when},
        asked=_("To save on top of revision %(revision)d.") % {"revision": revision},
        found=_("Revision %(revision)d is stored, by %(who)s, %(when)s.")
        % {"revision": report.revision, "who": who, "when": when},
        todo=_("Compare both texts and keep what is right. Yours is kept in this window."),
        errors={
            "revision": report.revision,
            "saved_by": who,
            "saved_at": report.edited_at.isoformat() if report.edited_at else "",
        },
    )


def _joined(
    report: Report, sections: Mapping[str, str], procedures: Sequence[RequestedProcedure] | None
) -> dict[str, str]:
    """The report's sections after a change; findings and the findings per exam agree."""
    clean = clean_sections(sections)
    if procedures is None and not parts.has_parts(report.sections) and not parts.has_parts(clean):
        return {**report.sections, **clean}
    exams = list(report.procedures.order_by("pk")) if procedures is None else list(procedures)
    foreign = {key for key in clean if parts.is_part(key)} - {parts.part_key(row) for row in exams}
    if foreign:
        raise InvalidData(
            _("The text cannot be stored."), errors=dict.fromkeys(foreign, _("This exam is not in the report."))
        )
    return parts.with_parts(report.sections, clean, exams)


def write_sections(
    report: Report,
    sections: Mapping[str, str],
    actor: Actor,
    procedures: Sequence[RequestedProcedure] | None = None,
) -> bool:
    """Put text into a locked, unsigned report; True when it differs from what was there.

    ``procedures``: its exams, when they have just changed.
    """
    new = _joined(report, sections, procedures)
    if new == report.sections:
        return False
    report.sections = new
    report.revision += 1
    report.edited_by, report.edited_at = person(actor), timezone.now()
    if report.status == ReportStatus.REGISTERED and any(value.strip() for value in new.values()):
        report.move_to(ReportStatus.PARTIAL)
    return True


@service(perms.WRITE_REPORT, action=Action.UPDATE)
def save_report(report: Report, *, sections: Mapping[str, str], revision: int | None, actor: Actor) -> Report:
    """Save text on top of ``revision``; a repeat of what is stored already changes nothing and is no conflict.

    Raises RevisionConflict, HeldByAnother, Conflict when signed.
    """
    user = person(actor)
    report = Report.objects.select_for_update(of=("self",)).select_related("template").get(pk=report.pk)
    exams = RequestedProcedure.objects.select_related("order__patient", "reading_lock__user")
    prefetch_related_objects([report], Prefetch("procedures", queryset=exams))
    procedures = list(report.procedures.all())
    if report.is_signed:
        raise already_signed(report)
    if report.status in DEAD:
        raise InvalidTransition(_("This report is closed."), todo=_("Open the exam again from the reading list."))
    if _joined(report, sections, None) != report.sections:
        check_revision(report, revision)
    claim(procedures, user, [row.reading_lock for row in procedures if hasattr(row, "reading_lock")])
    if write_sections(report, sections, actor):
        report.save_as(actor, "Saved")
    return report


@service(perms.WRITE_REPORT, action=Action.UPDATE)
def discard_report(report: Report, *, reason: str, actor: Actor) -> Report:
    """Close a draft that should not be: the exam goes back to the list, the text stays in the history."""
    user = person(actor)
    if not reason.strip():
        raise InvalidData(_("Say why."), errors={"reason": _("Needed.")})
    report, procedures = lock_report(report)
    claim(procedures, user)
    report.move_to(ReportStatus.CANCELLED)
    report.save_as(actor, f"Discarded: {reason}")
    drop_locks(procedures)
    for procedure in procedures:
        if procedure.status == S.READING:
            orders.mark_reading_released(procedure, actor=actor)
    return report
