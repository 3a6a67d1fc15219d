"""The reading list: filters in the URL, live counts, find in it, next best, why something is not here."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from orders.models import Priority, RequestedProcedure
from reporting import permissions as perms
from reporting import selectors, services
from reporting.models import ReaderProfile, ReadingGroup, Report
from reporting.selectors.reading import ListEntry, dress, reading_keys, rows_of_keys
from reporting.selectors.reading_filters import ReadingFilter, filter_choices, running_shifts, scope_of
from ris.accounts.models import Site
from ris.accounts.selectors import users_with_role
from ris.accounts.web import ActorRequest, page
from ris.audit.models import Action
from ris.audit.service import record, record_read
from ris.core.actor import Actor
from ris.core.errors import NotKnown
from ris.core.permissions import READERS

ROWS_ON_A_PAGE = 50
#: The list from which the exam was opened, as its query; signing goes on from there.
FROM_LIST = "reading_query"
COUNTS_SECONDS = 10
#: As they stand when nobody has moved them; those of COLUMNS may be hidden too.
IN_ORDER = ("priority", "patient", "exam", "images", "question", "priors", "status", "flags")
COLUMNS = ("priority", "images", "question", "priors", "status", "flags")
SHORTEST_WORD = 2


class CountedPages(Paginator):
    """The number of rows is known from the counts at the left."""

    def __init__(self, rows: Any, per_page: int, known: int) -> None:
        super().__init__(rows, per_page)
        self.known = known

    @cached_property
    def count(self) -> int:
        return self.known


def _counts(request: ActorRequest, filters: ReadingFilter, state: str) -> dict[str, Any]:
    """Lists with how much they hold, and the numbers over the table; asked, in one query, when ``state`` changes."""
    entries = selectors.saved_lists(actor=request.actor)
    stat = Priority.STAT.value
    shown_stat = replace(filters, priority=(stat,)) if not filters.priority or stat in filters.priority else None
    asked = [
        *entries,
        ListEntry("now", "", "", filters, ""),
        ListEntry("now_over", "", "", replace(filters, due="over"), ""),
        *([ListEntry("now_stat", "", "", shown_stat, "")] if shown_stat else []),
    ]
    counted = _known_counts(asked, state, actor=request.actor)
    numbers = {entry.key: number for entry, number in counted}
    wanted = request.GET.get("list") or request.POST.get("list")
    same = [entry for entry in entries if entry.filters == filters]
    current = next((entry for entry in same if entry.key == wanted), same[0] if same else None)
    total = numbers["now"]
    return {
        "entries": counted[: len(entries)],
        "current": current,
        "total": total,
        "waiting": ngettext("%(n)d waiting", "%(n)d waiting", total) % {"n": total},
        "over": numbers["now_over"],
        "several_sites": Site.objects.filter(is_active=True).count() > 1,
        "stat_elsewhere": numbers["stat"] - numbers.get("now_stat", 0),
    }


def _known_counts(asked: list[ListEntry], state: str, *, actor: Actor) -> list[tuple[ListEntry, int]]:
    """Counted again when the list has changed, and every few seconds for what its fingerprint does not tell."""
    scope = scope_of(actor.user) if actor.user is not None else None
    words = "|".join((state, str(scope), *(f"{entry.key}:{entry.filters}" for entry in asked)))
    name = f"reading-counts:{hashlib.sha256(words.encode()).hexdigest()[:32]}"
    numbers = cache.get(name)
    if numbers is None:
        numbers = [number for _entry, number in selectors.list_counts(asked, actor=actor)]
        cache.set(name, numbers, COUNTS_SECONDS)
    return list(zip(asked, numbers, strict=True))


def _rows(request: ActorRequest, filters: ReadingFilter, total: int) -> Any:
    keys = reading_keys(actor=request.actor, filters=filters)
    shown = CountedPages(keys, ROWS_ON_A_PAGE, total).get_page(request.GET.get("page"))
    shown.object_list = rows_of_keys(shown.object_list)
    dress(shown.object_list, user=request.user)
    _note_read(request, shown.object_list)
    return shown


def _note_read(request: ActorRequest, rows: list[Any]) -> None:
    patients = sorted({row.order.patient.uuid for row in rows})
    record_read(request.actor, perms.VIEW_READING_LIST, patients=patients, detail={"rows": len(rows)})


def columns_of(profile: ReaderProfile | None) -> list[str]:
    """All columns in the order that a person has given them."""
    kept = [name for name in dict.fromkeys(profile.column_order if profile else ()) if name in IN_ORDER]
    return [*kept, *(name for name in IN_ORDER if name not in kept)]


def _columns(request: HttpRequest) -> dict[str, Any]:
    """Which columns are shown, in which order, for the table and for the menu that changes it."""
    profile = ReaderProfile.objects.filter(user=request.user).first()
    hidden = [name for name in profile.hidden_columns if name in COLUMNS] if profile is not None else []
    labels = {
        "priority": _("Priority"),
        "patient": _("Patient"),
        "exam": _("Exam"),
        "images": _("Images"),
        "question": _("Clinical question"),
        "priors": _("Priors"),
        "status": _("Status"),
        "flags": _("Flags"),
    }
    order = columns_of(profile)
    menu = [(name, labels[name], name not in hidden, name in COLUMNS) for name in order]
    return {"hidden": hidden, "order": order, "columns": menu}


def _frame(request: ActorRequest, filters: ReadingFilter, query: str, state: str) -> dict[str, Any]:
    """What stands around the rows."""
    counts = _counts(request, filters, state)
    current = counts["current"]
    return {
        **counts,
        **_columns(request),
        **_rights(request),
        "nav": "reading",
        "filters": filters,
        "choices": filter_choices(actor=request.actor),
        "title": current.label if current else _("Unread exams"),
        "query": query,
        "may_save_list": not current,
        "shifts": running_shifts(request.user),
        "priorities": Priority.choices,
        "whom": whom_choices() if request.actor.may(perms.ASSIGN_READING) else [],
        "found": None,
        "why": None,
    }


def whom_choices() -> list[tuple[str, str]]:
    """Groups, then people, to whom several exams at once can be given."""
    groups = [(f"group:{row.code}", row.name) for row in ReadingGroup.objects.filter(is_active=True)]
    people = users_with_role(*READERS).order_by("family_name", "given_name")
    return [*groups, *((f"user:{row.uuid}", row.display_name) for row in people)]


def _rights(request: ActorRequest) -> dict[str, bool]:
    actor = request.actor
    return {
        "may_read": actor.may(perms.CLAIM_PROCEDURE),
        "may_assign": actor.may(perms.ASSIGN_READING),
        "may_send_back": actor.may(perms.SEND_BACK),
        "may_share": actor.may(perms.SHARE_LIST),
        "may_prioritise": actor.may("orders.change_order"),
    }


@require_GET
@page(perms.VIEW_READING_LIST)
def reading_list(request: ActorRequest) -> HttpResponse:
    filters, state = ReadingFilter.from_query(request.GET), selectors.fingerprint(actor=request.actor)
    context = _frame(request, filters, request.GET.urlencode(), state)
    context |= {"page": _rows(request, filters, context["total"]), "etag": _etag(request, filters, state)}
    return render(request, "reporting/reading_list.html", context)


def _etag(request: ActorRequest, filters: ReadingFilter, state: str) -> str:
    """Of all that waits, not of this filter alone: the counts at the left are live too."""
    asked = f"{filters}|{filters.sort}|{request.GET.get('page', '1')[:6]}|{request.LANGUAGE_CODE}"
    return f'"{state}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"'


@require_GET
@page(perms.VIEW_READING_LIST)
def reading_rows(request: ActorRequest) -> HttpResponse:
    """The rows and the counts, for the poll; 304 when nothing has changed."""
    filters, state = ReadingFilter.from_query(request.GET), selectors.fingerprint(actor=request.actor)
    etag = _etag(request, filters, state)
    if request.headers.get("If-None-Match") == etag:
        return HttpResponse(status=304, headers={"ETag": etag})
    context = {**_counts(request, filters, state), **_rights(request), "query": request.GET.urlencode()}
    context |= {**_columns(request), "filters": filters, "page": _rows(request, filters, context["total"])}
    response = render(request, "reporting/_reading_poll.html", context)
    response["ETag"] = etag
    return response


@require_POST
@page(perms.VIEW_READING_LIST)
def reading_find(request: ActorRequest) -> HttpResponse:
    """Find in this list, over all of its pages. POST, so that names stay out of addresses and logs."""
    query = request.POST.get("query", "")
    filters = ReadingFilter.from_query(QueryDict(query))
    words = request.POST.get("words", "").split()[:5]
    if not words or max(len(word) for word in words) < SHORTEST_WORD:
        return HttpResponseRedirect(reverse("reading_list") + (f"?{query}" if query else ""))
    rows = selectors.reading_list(actor=request.actor, filters=filters)
    for word in words:
        rows = rows.filter(_holds(word))
    context = _frame(request, filters, query, selectors.fingerprint(actor=request.actor))
    found = list(rows[:ROWS_ON_A_PAGE])
    dress(found, user=request.user)
    _note_read(request, found)
    context |= {"page": Paginator(found, ROWS_ON_A_PAGE).get_page(1), "found": " ".join(words)}
    return render(request, "reporting/reading_list.html", context)


def _holds(word: str) -> Q:
    patient = "order__patient__"
    return (
        Q(**{f"{patient}family_name__icontains": word})
        | Q(**{f"{patient}given_name__icontains": word})
        | Q(**{f"{patient}identifiers__value__istartswith": word})
        | Q(accession_number__istartswith=word)
        | Q(description__icontains=word)
        | Q(order__indication__icontains=word)
    )


# --- opening


def chosen(request: ActorRequest, *, at_most: int = 20) -> list[RequestedProcedure]:
    """The exams of the form's boxes and buttons, as far as the person may know of them."""
    wanted = {_uuid(value) for value in request.POST.getlist("procedure")[:at_most]}
    rows = RequestedProcedure.objects.visible_to(request.actor).filter(uuid__in=wanted)
    found = list(rows.select_related("order__patient"))
    if not wanted or len(found) != len(wanted):
        raise NotKnown(_("There is no such exam in this facility."))
    return found


def _uuid(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise NotKnown(_("There is no such exam in this facility.")) from None


def remember_list(request: HttpRequest) -> ReadingFilter:
    """The list that this exam is opened from: signing goes on from there."""
    filters = ReadingFilter.from_query(QueryDict(request.POST.get("query", "")))
    asked = QueryDict(mutable=True)
    for name, value in filters.as_query().items():
        asked.setlist(name, value if isinstance(value, list) else [value])
    if request.session.get(FROM_LIST, "") != asked.urlencode():
        request.session[FROM_LIST] = asked.urlencode()
    return filters


def list_address(request: HttpRequest) -> str:
    """Back to the list that the exam was opened from."""
    query = request.session.get(FROM_LIST, "")
    return reverse("reading_list") + (f"?{query}" if query else "")


def _go_to(report: Report) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("report_edit", args=[report.uuid]))


@require_POST
@page(perms.CLAIM_PROCEDURE)
def reading_open(request: ActorRequest) -> HttpResponse:
    """Claim one exam, or several of one patient, and go to the report."""
    remember_list(request)
    return _go_to(services.open_report(chosen(request), actor=request.actor))


@require_POST
@page(perms.CLAIM_PROCEDURE)
def reading_next(request: ActorRequest) -> HttpResponse:
    """Open what should be read next of the list that is shown."""
    return _go_to(services.open_next(filters=remember_list(request), actor=request.actor))


def go_on(request: ActorRequest, report: Report) -> str:
    """Where signing leads: the next exam of the list that this one came from, already open; the list, when it is done.

    For the editor: ``target = go_on(request, report)`` after the signature.
    """
    filters = ReadingFilter.from_query(QueryDict(request.session.get(FROM_LIST, "")))
    if selectors.next_best(actor=request.actor, filters=filters) is None:
        return list_address(request)
    opened = services.open_next(filters=filters, after=report.first_procedure, actor=request.actor)
    return reverse("report_edit", args=[opened.uuid])


@require_POST
@page(perms.VIEW_READING_LIST)
def reading_why(request: ActorRequest) -> HttpResponse:
    """Why an exam is not on the list. POST, so that the number stays out of addresses and logs."""
    filters = ReadingFilter.from_query(QueryDict(request.POST.get("query", "")))
    reason = selectors.why_not_here(request.POST.get("accession_number", ""), actor=request.actor, filters=filters)
    record(
        request.actor,
        "reporting.why_not_here",
        Action.READ,
        entity=reason.procedure,
        detail={"reason": reason.code},
    )
    template = "reporting/_why.html" if request.headers.get("HX-Request") == "true" else "reporting/why.html"
    return render(request, template, {"why": reason, "nav": "reading", "query": request.POST.get("query", "")})


def back_to_list(request: HttpRequest) -> HttpResponseRedirect:
    query = QueryDict(request.POST.get("query", "")).urlencode()
    return HttpResponseRedirect(reverse("reading_list") + (f"?{query}" if query else ""))
