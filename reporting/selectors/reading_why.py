"""Why is it not here? The exact reason, in words, that an exam is not on the list that somebody looks at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db.models import Sum
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from orders.models import ProcedureStatus, RequestedProcedure
from reporting.models import ReadingReturn, Report
from reporting.models.reports import SIGNED
from reporting.reading_times import ON_THE_LIST
from reporting.selectors.reading_filters import ReadingFilter, is_held, unread, with_due, words_of
from ris.core import text
from ris.core.actor import Actor
from worklist.models import ImagingStudy, PerformedProcedureStep, ScheduledProcedureStep

S = ProcedureStatus
WAITS: dict[str, Any] = {
    S.REQUESTED: gettext_lazy("It was requested and waits for the department to accept it."),
    S.VETTING: gettext_lazy("A radiologist still has to vet the request."),
    S.INFO_REQUESTED: gettext_lazy("The requester was asked for information."),
    S.ON_HOLD: gettext_lazy("It is on hold."),
    S.ACCEPTED: gettext_lazy("It is accepted and has no appointment yet."),
    S.SCHEDULED: gettext_lazy("It is booked; the patient has not arrived."),
    S.ARRIVED: gettext_lazy("The patient has arrived; the exam has not begun."),
}
DONE = (S.FINAL, S.AMENDED, S.DISTRIBUTED)


@dataclass(frozen=True)
class Reason:
    """Why an exam is not on the list, or that it is. ``code`` names the reason for programs."""

    code: str
    words: str
    procedure: RequestedProcedure | None = None
    is_listed: bool = False
    hidden_by: tuple[str, ...] = field(default=())


def why_not_here(accession_number: str, *, actor: Actor, filters: ReadingFilter | None = None) -> Reason:
    """What keeps an exam off the list, or off the part of it that the filter shows."""
    wanted = accession_number.strip()[:16]
    known = RequestedProcedure.objects.filter(accession_number__iexact=wanted) if wanted else None
    if known is None or not known.exists():
        return Reason(
            "unknown", _("There is no exam with that number that you may see. Is it typed right, and at this facility?")
        )
    seen = with_due(RequestedProcedure.objects.visible_to(actor).filter(pk__in=known.values("pk")))
    rows = list(seen.select_related("catalogue", "order__site", "replaced_by", "reading_lock__user").order_by("-pk"))
    if not rows:
        return _not_visible(known, actor)
    procedure = next((row for row in rows if row.status in ON_THE_LIST), rows[0])
    if procedure.status in ON_THE_LIST:
        return _listed(procedure, actor, filters)
    return _elsewhere(procedure)


def _not_visible(known: Any, actor: Actor) -> Reason:
    """It exists; which of the rules keeps it from this person. Nothing else of it is told."""
    row = known.select_related("order__site", "order__patient").order_by("-pk").first()
    user = actor.user
    sites = [] if user is None else list(user.sites.order_by("name"))
    if sites and row.order.site is not None and row.order.site not in sites:
        words = _("It is of the site %(site)s. Your account works at: %(mine)s.")
        return Reason("site", words % {"site": row.order.site.name, "mine": ", ".join(site.name for site in sites)})
    if row.order.patient.is_restricted:
        words = _("Its patient's record is restricted, and you hold no grant for it. Ask for one, or break the glass.")
        return Reason("restricted", words)
    return Reason("right", _("You do not hold the right to see this exam."))


def _listed(procedure: Any, actor: Actor, filters: ReadingFilter | None) -> Reason:
    hidden = ()
    if filters is not None:
        one = unread(actor).filter(pk=procedure.pk)
        hidden = tuple(words_of(filters, name) for name, part in filters.parts(actor) if not one.filter(part).exists())
    parts = [_("It is on the list.")]
    if hidden:
        words = ngettext(
            "It is on the list; this filter hides it: %(names)s.",
            "It is on the list; these filters hide it: %(names)s.",
            len(hidden),
        )
        parts = [words % {"names": "; ".join(hidden)}]
    held = RequestedProcedure.objects.filter(is_held(), pk=procedure.pk).exists()
    if held:
        lock = procedure.reading_lock
        words = _("%(who)s has it open since %(since)s.")
        parts.append(words % {"who": lock.user.display_name, "since": text.clock(lock.claimed_at)})
    place = getattr(procedure, "reading_item", None)
    if place is not None and place.assigned_to is not None:
        parts.append(_("It is assigned to %(who)s.") % {"who": place.assigned_to.display_name})
    elif place is not None and place.group is not None:
        parts.append(_("It falls to the group %(group)s.") % {"group": place.group.name})
    if procedure.status == S.PRELIMINARY:
        parts.append(_("It has a preliminary report, to be checked by a radiologist."))
    code = "filtered" if hidden else "locked" if held else "listed"
    return Reason(code, " ".join(parts), procedure, is_listed=True, hidden_by=hidden)


def _elsewhere(procedure: RequestedProcedure) -> Reason:
    if procedure.status in DONE:
        return Reason("read", _read(procedure), procedure)
    returned = ReadingReturn.objects.open().filter(procedure=procedure).select_related("sent_by").first()
    if returned is not None and procedure.status == S.PERFORMED:
        words = _("%(who)s sent it back to the technologist, %(when)s: “%(text)s” It returns when that is done.")
        values = {"who": returned.sent_by.display_name, "when": text.stamp(returned.sent_at), "text": returned.text}
        return Reason("sent_back", words % values, procedure)
    if procedure.status == S.PERFORMED and _waits_for_technologist(procedure):
        words = _("The images are complete. The technologist still has to complete the exam.")
        return Reason("not_completed", words, procedure)
    if procedure.status in (S.PERFORMED, S.IN_PROGRESS):
        return Reason("images", _images(procedure), procedure)
    if procedure.status == S.REPLACED and procedure.replaced_by is not None:
        words = _("It was replaced. Look for %(number)s.") % {"number": procedure.replaced_by.accession_number}
        return Reason("replaced", words, procedure)
    words = WAITS.get(procedure.status)
    if words is not None:
        return Reason("not_performed", str(words), procedure)
    words = _("It will not be read: %s.") % procedure.get_status_display()
    if procedure.reason_text:
        words = f"{words} {procedure.reason_text}"
    return Reason("closed", words, procedure)


def _read(procedure: RequestedProcedure) -> str:
    report = Report.objects.filter(procedures=procedure, status__in=SIGNED).select_related("signed_by").first()
    if report is None or report.signed_by is None:
        return _("It is read: the report is signed.")
    words = _("It is read: the report is signed by %(who)s, %(when)s.")
    return words % {"who": report.signed_by.display_name, "when": text.stamp(report.signed_at)}


def _waits_for_technologist(procedure: RequestedProcedure) -> bool:
    needs = procedure.catalogue is not None and procedure.catalogue.needs_completion_before_reading
    return needs and procedure.images_complete_at is not None and procedure.completed_by_technologist_at is None


def _images(procedure: RequestedProcedure) -> str:
    """ "CT2 has sent 212 of 260 images. It joins your list when all have arrived." """
    studies = ImagingStudy.objects.filter(procedures=procedure)
    counts = studies.aggregate(stored=Sum("instance_count"), expected=Sum("expected_instance_count"))
    stored = counts["stored"] or 0
    steps = PerformedProcedureStep.objects.filter(scheduled_steps__procedure=procedure).distinct()
    announced = len({uid for step in steps for uid in step.instance_uids})
    expected = max(counts["expected"] or 0, announced)
    station = (
        ScheduledProcedureStep.objects.filter(procedure=procedure, station__isnull=False)
        .order_by("-pk")
        .values_list("station__name", flat=True)
        .first()
    ) or _("The room")
    if procedure.status == S.IN_PROGRESS and not stored:
        return _("The exam is running. It joins the list when its images are complete.")
    if expected > stored:
        words = _("%(station)s has sent %(stored)d of %(expected)d images. It joins the list when all have arrived.")
        return words % {"station": station, "stored": stored, "expected": expected}
    if not stored:
        return _("It is performed, and no image has arrived yet. Look at the console or the exceptions.")
    words = ngettext(
        "%(stored)d image has arrived. It joins the list when all are there.",
        "%(stored)d images have arrived. It joins the list when all are there.",
        stored,
    )
    return words % {"stored": stored}
