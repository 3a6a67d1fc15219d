"""What this app puts into the menu, onto the bell's side and onto others' pages."""

from __future__ import annotations

from typing import Any

from django.db.models import F
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from orders.timeline import SLOT
from reporting import permissions as perms
from reporting import selectors
from reporting.models import CriticalResult, FollowUp, ReadingReturn, Report
from reporting.selectors import reading_home
from reporting.selectors.followups import beside_report
from reporting.selectors.reading import ReadingFilter, built_in_lists, dress
from reporting.selectors.reading_filters import running_shifts
from reporting.selectors.reports import changes_for
from reporting.selectors.teaching import beside_report as teaching_beside_report
from reporting.services.batch import own_unsigned
from ris.accounts.actors import actor_of
from ris.core.actor import SYSTEM
from ris.core.panels import NavItem, Panel, register_nav, register_panel
from ris.core.permissions import READERS, REFERRER
from worklist.models import ImagingStudy
from worklist.permissions import VIEW_STUDY


def _unread(request: HttpRequest) -> int | None:
    every = [entry for entry in built_in_lists(actor_of(request)) if entry.key == "all"]
    return selectors.list_counts(every, actor=actor_of(request))[0][1] or None


def _open_critical(request: HttpRequest) -> int | None:
    return CriticalResult.objects.visible_to(actor_of(request)).filter(status="open").count() or None


def _unread_results(request: HttpRequest) -> int | None:
    if not request.user.has_role(REFERRER):
        return None
    return selectors.inbox_counts(actor=actor_of(request))["unread"] or None


def _late_follow_ups(request: HttpRequest) -> int | None:
    return FollowUp.objects.visible_to(actor_of(request)).late().count() or None


register_nav(
    NavItem(
        "delivery-rules",
        _("Delivery of results"),
        "delivery_rules",
        "send",
        "system",
        perms.MANAGE_DELIVERY_RULES,
        order=80,
    ),
    NavItem(
        "reading", _("Reading"), "reading_list", "eye", "work", perms.VIEW_READING_LIST, _unread, mobile=True, order=50
    ),
    NavItem(
        "critical",
        _("Critical"),
        "critical_board",
        "alert-octagon",
        "work",
        perms.VIEW_CRITICAL,
        _open_critical,
        hot=True,
        order=60,
    ),
    NavItem(
        "results",
        _("Results"),
        "result_inbox",
        "mail",
        "work",
        perms.VIEW_RESULT,
        _unread_results,
        mobile=True,
        order=70,
    ),
    NavItem(
        "follow-ups",
        _("Recommended"),
        "follow_up_list",
        "calendar-event",
        "work",
        perms.VIEW_FOLLOW_UP,
        _late_follow_ups,
        order=72,
    ),
    NavItem("report-search", _("Search reports"), "report_search", "file-search", "work", perms.VIEW_REPORT, order=75),
    NavItem("teaching", _("Teaching"), "teaching_list", "school", "quality", perms.VIEW_TEACHING, order=25),
    NavItem("analytics", _("Analytics"), "analytics", "chart-bar", "quality", perms.VIEW_ANALYTICS, order=30),
    NavItem(
        "signing-checks",
        _("Checks"),
        "signing_checks",
        "list-check",
        "system",
        perms.MANAGE_CHECKS,
        order=84,
    ),
    NavItem(
        "viewer-links", _("Viewer links"), "viewer_links", "external-link", "system", perms.MANAGE_VIEWERS, order=85
    ),
)


def _timeline(procedure: Any, *, request: HttpRequest | None = None) -> dict[str, Any]:
    actor = SYSTEM if request is None or not request.user.is_authenticated else actor_of(request)
    return {"entries": selectors.history_entries(procedure, actor=actor)}


def _reads(request: HttpRequest) -> bool:
    return request.user.has_role(*READERS)


def _refers(request: HttpRequest) -> bool:
    return request.user.has_role(REFERRER)


def _own_alerts(_obj: Any = None, *, request: HttpRequest) -> dict[str, Any] | None:
    """Critical results that wait: those one raised, or those of one's patients."""
    box = "mine" if _reads(request) else "open" if _refers(request) else ""
    rows = list(selectors.critical_board(actor=actor_of(request), box=box)[:5]) if box else []
    return {"rows": rows} if rows else None


def _next_best(_obj: Any = None, *, request: HttpRequest) -> dict[str, Any] | None:
    return {} if _reads(request) else None


def _to_sign(_obj: Any = None, *, request: HttpRequest) -> dict[str, Any] | None:
    """Own drafts that may be signed together, and own preliminaries that an attending has signed."""
    actor = actor_of(request)
    if not _reads(request):
        return None
    batch = own_unsigned(actor).count() if actor.may(perms.SIGN_REPORT) else 0
    changed = changes_for(actor).count() if actor.may(perms.SIGN_PRELIMINARY) else 0
    return {"batch": batch, "changed": changed} if batch or changed else None


def _reading_stats(_obj: Any = None, *, request: HttpRequest) -> dict[str, Any] | None:
    return {"tiles": _tiles(request)} if _reads(request) else None


def _tiles(request: HttpRequest) -> list[reading_home.Tile]:
    if "reading_tiles" not in request.__dict__:
        request.__dict__["reading_tiles"] = reading_home.tiles(actor=actor_of(request))
    return request.__dict__["reading_tiles"]


def _reading_side(_obj: Any = None, *, request: HttpRequest) -> dict[str, Any] | None:
    if not _reads(request):
        return None
    actor = actor_of(request)
    waiting = reading_home.waiting_for(actor=actor, shown=_tiles(request))
    return {"bars": reading_home.week(actor=actor), "waiting": waiting}


def _due_first(_obj: Any = None, *, request: HttpRequest) -> dict[str, Any] | None:
    if not _reads(request):
        return None
    mine = ReadingFilter(assigned="suits")
    first = list(selectors.reading_list(actor=actor_of(request), filters=mine)[:8])
    dress(first, user=request.user)
    return {"first": first, "query": "assigned=suits", "shifts": running_shifts(request.user)}


def _result_stats(_obj: Any = None, *, request: HttpRequest) -> dict[str, Any] | None:
    if not _refers(request):
        return None
    return {"counts": selectors.inbox_counts(actor=actor_of(request))}


def _results(_obj: Any = None, *, request: HttpRequest) -> dict[str, Any] | None:
    if not _refers(request):
        return None
    return {"lines": list(selectors.inbox(actor=actor_of(request))[:8])}


def _raise_of_exam(procedure: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """A way to raise an alert, from the moment there is something to see."""
    return {"procedure": procedure} if procedure.performed_at or procedure.started_at else None


def _report_of_exam(procedure: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """A way from an exam to its report, as far as the person may see it."""
    patient = procedure.order.patient_id
    known: dict[int, dict[int, Report]] = request.__dict__.setdefault("reports_of_patients", {})
    if patient not in known:  # one query for all exams of a patient's page
        rows = Report.objects.visible_to(actor_of(request)).filter(procedures__order__patient=patient)
        pairs = rows.exclude(status="cancelled").order_by("pk").annotate(exam=F("procedures__pk"))
        known[patient] = {row.exam: row for row in pairs}
    report = known[patient].get(procedure.pk)
    return {"report": report} if report is not None else None


def _follow_ups(report: Report, *, request: HttpRequest) -> dict[str, Any]:
    return {"report": report, **beside_report(report, actor=actor_of(request))}


def _teaching(report: Report, *, request: HttpRequest) -> dict[str, Any]:
    return teaching_beside_report(report, actor=actor_of(request))


def _sent_back(procedure: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """On the technologist's card: what a reader wants done first."""
    rows = ReadingReturn.objects.visible_to(actor_of(request)).open().filter(procedure=procedure)
    row = rows.select_related("sent_by").first()
    return {"returned": row} if row is not None else None


def _images_of_exam(procedure: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """A way from an exam to its images."""
    patient = procedure.order.patient_id
    known: dict[int, dict[int, int]] = request.__dict__.setdefault("images_of_patients", {})
    if patient not in known:  # one query for all exams of a patient's page
        rows = ImagingStudy.objects.visible_to(actor_of(request)).filter(procedures__order__patient=patient)
        known[patient] = dict(rows.filter(instance_count__gt=0).values_list("procedures__pk", "instance_count"))
    count = known[patient].get(procedure.pk)
    return {"exam_uuid": procedure.uuid, "image_count": count} if count else None


register_panel(
    Panel(SLOT, _timeline, "reporting/_nothing.html", perms.VIEW_REPORT, key="reporting"),
    Panel("home.alerts", _own_alerts, "reporting/_home_alerts.html", perms.VIEW_CRITICAL, order=10),
    Panel("home.actions", _next_best, "reporting/_home_next.html", perms.CLAIM_PROCEDURE, order=20),
    Panel("home.actions", _to_sign, "reporting/_home_signing.html", perms.SIGN_PRELIMINARY, order=30),
    Panel("home.stats", _reading_stats, "reporting/_home_reading_stats.html", perms.VIEW_READING_LIST, order=10),
    Panel("home.main", _due_first, "reporting/_home_due_first.html", perms.VIEW_READING_LIST, order=10),
    Panel("home.side", _reading_side, "reporting/_home_reading_side.html", perms.VIEW_READING_LIST, order=20),
    Panel("report.follow_ups", _follow_ups, "reporting/_follow_ups.html", perms.VIEW_FOLLOW_UP),
    Panel("report.teaching", _teaching, "reporting/_teaching.html", perms.KEEP_TEACHING),
    Panel("console.top", _sent_back, "reporting/_console_returned.html"),
    Panel("home.stats", _result_stats, "reporting/_home_result_stats.html", perms.VIEW_RESULT, order=11),
    Panel("home.main", _results, "reporting/_home_results.html", perms.VIEW_RESULT, order=11),
    Panel("procedure.actions", _report_of_exam, "reporting/_to_report.html", perms.VIEW_REPORT, order=30),
    Panel("procedure.actions", _raise_of_exam, "reporting/_to_raise.html", perms.RAISE_CRITICAL, order=40),
    Panel("patient.exam", _report_of_exam, "reporting/_exam_report.html", perms.VIEW_REPORT, order=30),
    Panel("patient.exam", _images_of_exam, "reporting/_exam_images.html", VIEW_STUDY, key="viewer", order=31),
)
