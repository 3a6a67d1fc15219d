"""The reading list: filters in the URL, saved lists, next best, why something is not here."""

from __future__ import annotations

from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from orders.models import RequestedProcedure
from reporting import permissions as perms
from reporting import selectors, services
from reporting.models import SavedList
from reporting.selectors.reading import ReadingFilter, filter_choices, minutes_left
from ris.accounts.web import ActorRequest, page
from ris.audit.models import Action
from ris.audit.service import record, record_read
from ris.core.errors import InvalidData, NotKnown

ROWS_ON_A_PAGE = 50


def _rows(request: ActorRequest, filters: ReadingFilter) -> tuple[Paginator, object]:
    paginator = Paginator(selectors.reading_list(actor=request.actor, filters=filters), ROWS_ON_A_PAGE)
    shown = paginator.get_page(request.GET.get("page"))
    for row in shown.object_list:
        row.minutes_left, row.minutes_total = minutes_left(row)
        lock = getattr(row, "reading_lock", None)
        row.held_by = lock.user if lock is not None and lock.is_live else None
        row.is_mine = row.held_by == request.user
        row.report = row.live_reports[0] if row.live_reports else None
    return paginator, shown


def _note_read(request: ActorRequest, shown: object) -> None:
    patients = sorted({row.order.patient.uuid for row in shown})
    record_read(request.actor, perms.VIEW_READING_LIST, patients=patients, detail={"rows": len(shown)})


@require_GET
@page(perms.VIEW_READING_LIST)
def reading_list(request: ActorRequest) -> HttpResponse:
    filters = ReadingFilter.from_query(request.GET)
    _paginator, shown = _rows(request, filters)
    _note_read(request, shown)
    entries = selectors.list_counts(selectors.saved_lists(actor=request.actor), actor=request.actor)
    current = next((entry for entry, _n in entries if entry.filters == filters), None)
    over = next(number for entry, number in entries if entry.key == "over")
    total = shown.paginator.count
    context = {
        "nav": "reading",
        "page": shown,
        "entries": entries,
        "current": current,
        "filters": filters,
        "choices": filter_choices(actor=request.actor),
        "title": current.label if current else _("Unread exams"),
        "waiting": ngettext("%(n)d waiting", "%(n)d waiting", total) % {"n": total},
        "over": over,
        "query": request.GET.urlencode(),
        "etag": _etag(request, filters),
        "may_save_list": not current,
        "why": None,
    }
    return render(request, "reporting/reading_list.html", context)


def _etag(request: ActorRequest, filters: ReadingFilter) -> str:
    number = request.GET.get("page", "1")
    return f'"{selectors.fingerprint(actor=request.actor, filters=filters)}-{number[:6]}"'


@require_GET
@page(perms.VIEW_READING_LIST)
def reading_rows(request: ActorRequest) -> HttpResponse:
    """The rows alone, for the poll; 304 when nothing has changed."""
    filters = ReadingFilter.from_query(request.GET)
    etag = _etag(request, filters)
    if request.headers.get("If-None-Match") == etag:
        return HttpResponse(status=304, headers={"ETag": etag})
    _paginator, shown = _rows(request, filters)
    _note_read(request, shown)
    response = render(request, "reporting/_reading_rows.html", {"page": shown})
    response["ETag"] = etag
    return response


@require_POST
@page(perms.CLAIM_PROCEDURE)
def reading_open(request: ActorRequest) -> HttpResponse:
    """Claim one exam, or several of one patient, and go to the report."""
    return _go_to(services.open_report(_chosen(request), actor=request.actor))


def _chosen(request: ActorRequest) -> list[RequestedProcedure]:
    wanted = {_uuid(value) for value in request.POST.getlist("procedure")[:20]}
    found = list(RequestedProcedure.objects.visible_to(request.actor).filter(uuid__in=wanted))
    if not wanted or len(found) != len(wanted):
        raise NotKnown(_("There is no such exam in this facility."))
    return found


def _uuid(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise NotKnown(_("There is no such exam in this facility.")) from None


def _go_to(report: object) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("report_edit", args=[report.uuid]))


@require_POST
@page(perms.CLAIM_PROCEDURE)
def reading_next(request: ActorRequest) -> HttpResponse:
    """Open what should be read next of the list that is shown."""
    filters = ReadingFilter.from_query(QueryDict(request.POST.get("query", "")))
    procedure = selectors.next_best(actor=request.actor, filters=filters)
    if procedure is None:
        raise NotKnown(
            _("There is nothing left to read in this list."),
            asked=_("The next best exam."),
            found=_("All exams of this list are read, or open at somebody else."),
            todo=_("Choose another list at the left."),
        )
    return _go_to(services.open_report([procedure], actor=request.actor))


@require_POST
@page(perms.VIEW_READING_LIST)
def reading_why(request: ActorRequest) -> HttpResponse:
    """Why an exam is not on the list. POST, so that the number stays out of addresses and logs."""
    filters = ReadingFilter.from_query(QueryDict(request.POST.get("query", "")))
    reason = selectors.why_not_here(request.POST.get("accession_number", ""), actor=request.actor, filters=filters)
    record(request.actor, "reporting.why_not_here", Action.READ, entity=reason.procedure)
    template = "reporting/_why.html" if request.headers.get("HX-Request") == "true" else "reporting/why.html"
    return render(request, template, {"why": reason, "nav": "reading", "query": request.POST.get("query", "")})


@require_POST
@page(perms.VIEW_READING_LIST)
def reading_list_save(request: ActorRequest) -> HttpResponse:
    """Keep this filter as a list of one's own."""
    filters = ReadingFilter.from_query(QueryDict(request.POST.get("query", "")))
    name = request.POST.get("name", "").strip()[:60]
    if not name:
        raise InvalidData(_("Give the list a name."), errors={"name": _("Needed.")})
    row = SavedList.objects.create(owner=request.user, name=name, query=filters.as_query())
    record(request.actor, "reporting.save_list", Action.CREATE, entity=row)
    return _back(request)


@require_POST
@page(perms.VIEW_READING_LIST)
def reading_list_remove(request: ActorRequest, uuid: UUID) -> HttpResponse:
    row = SavedList.objects.filter(uuid=uuid, owner=request.user).first()
    if row is None:
        raise NotKnown(_("You keep no such list."))
    record(request.actor, "reporting.save_list", Action.DELETE, entity=row)
    row.delete()
    return HttpResponseRedirect(reverse("reading_list"))


def _back(request: HttpRequest) -> HttpResponseRedirect:
    query = QueryDict(request.POST.get("query", "")).urlencode()
    return HttpResponseRedirect(reverse("reading_list") + (f"?{query}" if query else ""))
