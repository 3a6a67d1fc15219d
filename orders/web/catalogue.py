"""/catalogue/: what can be ordered, as a list, as a table to keep, and as a table that is loaded after a look at it."""

from __future__ import annotations

import io
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from orders import permissions as perms
from orders import selectors, services
from orders.models import CatalogueProcedure, Modality
from orders.services.catalogue import COLUMNS, OPTIONAL, Line
from orders.web.forms import CatalogueTableForm
from ris.accounts.web import page
from ris.audit.models import Action
from ris.audit.service import flush_refusals, record
from ris.core.errors import DomainError, InvalidData

PER_PAGE = 100
#: A larger table is loaded by the command, which reads it from the disk.
LARGEST_TABLE = 3 * 1024 * 1024
LINES_SHOWN = 200


@page((perms.VIEW_CATALOGUE, perms.MANAGE_CATALOGUE))
def catalogue_list(request: HttpRequest) -> HttpResponse:
    rows = _narrowed(selectors.catalogue(active_only=request.GET.get("state") != "all"), request)
    context = {
        "nav": "catalogue",
        "page": Paginator(rows.order_by("modality", "name"), PER_PAGE).get_page(request.GET.get("page")),
        "words": request.GET.get("words", ""),
        "modalities": Modality.choices,
        "states": [("all", _("also inactive"))],
        "may_manage": request.actor.may(perms.MANAGE_CATALOGUE),
    }
    return render(request, "orders/catalogue.html", context)


def _narrowed(rows: QuerySet[CatalogueProcedure], request: HttpRequest) -> QuerySet[CatalogueProcedure]:
    if modalities := [value for value in request.GET.getlist("modality") if value in Modality.values]:
        rows = rows.filter(modality__in=modalities)
    for word in request.GET.get("words", "")[:60].split():
        named = Q(name__icontains=word) | Q(name_sw__icontains=word)
        rows = rows.filter(named | Q(code__istartswith=word) | Q(codes__value__iexact=word))
    return rows.distinct()


@never_cache
@page((perms.VIEW_CATALOGUE, perms.MANAGE_CATALOGUE))
def catalogue_export(request: HttpRequest) -> HttpResponse:
    """The whole catalogue as the table that is loaded again."""
    table = services.export_catalogue(actor=request.actor)
    record(request.actor, "orders.export_catalogue", Action.READ)
    name = f"catalogue-{timezone.localdate():%Y%m%d}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return HttpResponse(table, content_type="text/csv; charset=utf-8", headers=headers)


@never_cache
@page(perms.MANAGE_CATALOGUE)
def catalogue_import(request: HttpRequest) -> HttpResponse:
    """Look at what a table would change, then load it. The table travels in the form, so nothing is kept meanwhile."""
    actor = request.actor
    table, lines, refusal, status = "", [], None, 200
    form = CatalogueTableForm(request.POST or None, request.FILES or None)
    if request.method == "POST":
        status = 422
        try:
            table = _table_of(request, form)
            if "load" in request.POST:
                result = services.import_catalogue(io.StringIO(table), actor=actor)
                counts = {"created": result.created, "changed": result.changed}
                messages.success(request, _("Loaded: %(created)d new, %(changed)d changed.") % counts)
                return HttpResponseRedirect(reverse("catalogue_list"))
            lines = services.preview_catalogue(io.StringIO(table), actor=actor)
            status = 200 if all(line.kind != "wrong" for line in lines) else 422
        except DomainError as caught:
            flush_refusals()
            refusal, status = caught, 422 if caught.http_status == 400 else caught.http_status
    context = {
        "nav": "catalogue",
        "form": form,
        "table": table if lines else "",
        "refusal": refusal,
        "columns": [*COLUMNS, *OPTIONAL],
        **_summary(lines),
    }
    return render(request, "orders/catalogue_import.html", context, status=status)


def _summary(lines: list[Line]) -> dict[str, Any]:
    """The counts, and the lines that say something: wrong ones first."""
    rank = {"wrong": 0, "changed": 1, "new": 2}
    kinds = [line.kind for line in lines]
    telling = sorted((line for line in lines if line.kind in rank), key=lambda line: (rank[line.kind], line.number))
    return {
        "is_previewed": bool(lines),
        "counts": {kind: kinds.count(kind) for kind in ("wrong", "new", "changed", "unchanged")},
        "lines": telling[:LINES_SHOWN],
        "more_lines": max(0, len(telling) - LINES_SHOWN),
    }


def _table_of(request: HttpRequest, form: CatalogueTableForm) -> str:
    """The text of the file that was chosen, or of the one that was looked at before."""
    if "file" not in request.FILES and request.POST.get("table"):
        return request.POST["table"].replace("\r\n", "\n")
    if not form.is_valid():
        raise InvalidData(_("Choose a table."), todo=_("Export the catalogue, change it, and load that file."))
    file = form.cleaned_data["file"]
    if file.size > LARGEST_TABLE:
        raise InvalidData(
            _("This table is too large for a page."),
            found=_("At most 3 MB can be loaded here."),
            todo=_("Ask your administrator to load it: manage.py load_catalogue FILE."),
        )
    try:
        return file.read().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise InvalidData(
            _("This is not a table of text."),
            found=_("The file is not UTF-8."),
            todo=_("Save it as CSV in UTF-8."),
        ) from None
