"""Sources under /integrations/sources/: the list, one with its runs and rejected rows, its settings, its preview."""

from __future__ import annotations

import json
from datetime import datetime, time
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from interop import permissions as perms
from interop.models import RowState, Source
from interop.sources import selectors, services
from interop.sources.forms import ImportForm, NewSourceForm, SourceForm, rules_formset, rules_of
from interop.sources.importing import import_sources
from interop.sources.mapping import TARGETS, label_of
from interop.sources.plugin import SourcePlugin, plugin_of, plugins, settings_of
from interop.sources.wire import SourceFailed
from ris.accounts.outbound import HostNotAllowed
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import DomainError, InvalidData, NotKnown
from ris.core.panels import Panel, register_panel

LOOK = (perms.VIEW_INTERFACES, perms.VIEW_MESSAGE)
RUNS_SHOWN, ROWS_SHOWN = 12, 25


@require_GET
@never_cache
@page(LOOK)
def sources(request: ActorRequest) -> HttpResponse:
    found = selectors.standings(selectors.sources(actor=request.actor))
    context = {
        "nav": "integrations",
        "standings": found,
        "failing": sum(one.tone == "red" for one in found),
        "may_manage": request.actor.may(perms.MANAGE_INTERFACES),
        "may_run": request.actor.may(perms.REPLAY_MESSAGE),
    }
    return render(request, "interop/sources/list.html", context)


@require_GET
@never_cache
@page(LOOK)
def source(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """A fixed number of queries: the source, its runs, a page of its rows and their patients."""
    row = selectors.source(uuid, actor=request.actor)
    counts = selectors.row_counts(row)
    state = request.GET.get("state", "")
    if state not in RowState.values:
        state = RowState.REJECTED if counts.get(RowState.REJECTED) else RowState.APPLIED
    found = selectors.rows(actor=request.actor, source=row, state=state)
    shown = Paginator(found, ROWS_SHOWN).get_page(request.GET.get("page"))
    patients = sorted({one.audit_patient for one in shown if one.audit_patient is not None})
    record_read(request.actor, perms.VIEW_INTERFACES, entity=row, patients=patients, detail={"rows": len(shown)})
    context = {
        **_frame(request, row),
        "runs": selectors.runs(actor=request.actor, source=row)[:RUNS_SHOWN],
        "page": shown,
        "lines": [(one, selectors.reasons_of(one.reasons), selectors.masked_id(one.external_id)) for one in shown],
        "filters": [(code, words, counts.get(code, 0), code == state) for code, words in RowState.choices],
        "settings": _settings(row),
        "rules": [(label_of(rule["target"]), rule, _origin(rule)) for rule in row.mapping],
        "today": timezone.localdate(),
    }
    return render(request, "interop/sources/detail.html", context)


def _frame(request: ActorRequest, row: Source) -> dict[str, Any]:
    (standing,) = selectors.standings([row])
    return {
        "nav": "integrations",
        "source": row,
        "standing": standing,
        "may_manage": request.actor.may(perms.MANAGE_INTERFACES),
        "may_run": request.actor.may(perms.REPLAY_MESSAGE),
        "may_open": request.actor.may(perms.VIEW_MESSAGE),
    }


def _origin(rule: dict[str, Any]) -> str:
    return rule.get("template") or rule.get("source") or ""


def _settings(row: Source) -> list[tuple[str, str]]:
    plugin = plugins().get(row.kind)
    if plugin is None:
        return []
    config = settings_of(plugin, row.config)
    return [
        (str(field.label), _as_words(config[field.name], dict(field.choices)))
        for field in plugin.fields
        if field.kind != "secret" and config[field.name] not in (None, "", [], {})
    ]


def _as_words(value: Any, choices: dict[str, Any]) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, dict):
        return ", ".join(f"{name} → {item}" for name, item in value.items())
    return str(choices.get(value, value)) if isinstance(value, str) else str(value)


# --- kept


@require_http_methods(["GET", "POST"])
@never_cache
@page(perms.MANAGE_INTERFACES)
def source_add(request: ActorRequest) -> HttpResponse:
    """First the kind, then its settings; the second step begins with a mapping to change."""
    kind = request.POST.get("kind") or request.GET.get("kind", "")
    if kind not in plugins():
        form = NewSourceForm(initial={"kind": next(iter(sorted(plugins())))}, known=plugins())
        return render(request, "interop/sources/kind.html", {"nav": "integrations", "form": form})
    plugin = plugin_of(kind)
    return _edit(request, plugin, None, [dict(rule) for rule in plugin.suggestion])


@require_http_methods(["GET", "POST"])
@never_cache
@page(perms.MANAGE_INTERFACES)
def source_change(request: ActorRequest, uuid: UUID) -> HttpResponse:
    row = selectors.source(uuid, actor=request.actor)
    return _edit(request, plugin_of(row.kind), row, row.mapping)


def _edit(request: ActorRequest, plugin: SourcePlugin, row: Source | None, rules: list[dict[str, Any]]) -> HttpResponse:
    data = request.POST if request.method == "POST" else None
    form = SourceForm(data, plugin=plugin, source=row)
    rows = rules_formset(data, rules)
    if data is not None and form.is_valid() and rows.is_valid():
        kept = _kept(request, form, rows, plugin, row)
        if kept is not None:
            messages.success(request, _("Saved."))
            return HttpResponseRedirect(reverse("source", args=[kept.uuid]))
    used = {name for rule in rules for name in (rule.get("source"),) if name}
    context = {
        "nav": "integrations",
        "form": form,
        "rules": rows,
        "plugin": plugin,
        "source": row,
        "targets": [(name, target.label) for name, target in TARGETS.items()],
        "origins": sorted({*plugin.offers, *used, *_fields_seen(request, row)}),
    }
    return render(request, "interop/sources/edit.html", context)


def _kept(
    request: ActorRequest, form: SourceForm, rows: Any, plugin: SourcePlugin, row: Source | None
) -> Source | None:
    """What the service says of single fields stands beside them, with everything that was typed."""
    try:
        return services.save_source(row, kind=plugin.code, mapping=rules_of(rows), actor=request.actor, **form.values())
    except DomainError as refusal:
        form.refuse(refusal)
        return None


def _fields_seen(request: HttpRequest, row: Source | None) -> list[str]:
    return request.session.get("source_fields", {}).get(str(row.uuid), []) if row is not None else []


@require_http_methods(["GET", "POST"])
@never_cache
@page(perms.MANAGE_INTERFACES)
def source_import(request: ActorRequest) -> HttpResponse:
    """Our own export, or a configuration of Pylantir's; credentials are entered afterwards."""
    form = ImportForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            data = form.cleaned_data
            document = _document(data["file"].read() if data["file"] else data["text"].encode())
            done = import_sources(document, replaces=data["replaces"], actor=request.actor)
        except DomainError as refusal:
            form.add_error(None, " ".join(filter(None, (refusal.detail, refusal.found, refusal.todo))))
            for name, words in refusal.errors.items():
                form.add_error(None, f"{name}: {words}")
        else:
            context = {"nav": "integrations", "done": done}
            return render(request, "interop/sources/imported.html", context)
    return render(request, "interop/sources/import.html", {"nav": "integrations", "form": form})


def _document(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise InvalidData(_("This is no JSON."), todo=_("Choose the configuration file itself.")) from None


@require_GET
@never_cache
@page(perms.MANAGE_INTERFACES)
def source_export(request: ActorRequest, uuid: UUID) -> HttpResponse:
    row = selectors.source(uuid, actor=request.actor)
    document = services.export_source(row, actor=request.actor)
    answer = JsonResponse(document, json_dumps_params={"indent": 2, "ensure_ascii": False})
    answer["Content-Disposition"] = f'attachment; filename="source-{row.name}.json"'
    return answer


# --- done with one


@require_http_methods(["GET", "POST"])
@never_cache
@page(perms.REPLAY_MESSAGE)
def source_preview(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """A dry run. Nothing is asked over there before somebody presses the button."""
    row = selectors.source(uuid, actor=request.actor)
    context = {**_frame(request, row), "preview": None, "failed": None}
    if request.method == "POST":
        opened = request.actor.may(perms.VIEW_MESSAGE)
        try:
            seen = services.preview(row, everything=request.POST.get("all") == "1", actor=request.actor)
        except (SourceFailed, HostNotAllowed) as problem:
            context["failed"] = problem
        else:
            context["preview"] = seen
            context["lines"] = [_preview_line(one, opened=opened) for one in seen.outcomes]
    return render(request, "interop/sources/preview.html", context)


def _preview_line(outcome: Any, *, opened: bool) -> dict[str, Any]:
    changes = [
        {
            "label": label_of(one.name),
            "before": selectors.shown(one.name, one.before, opened=opened) if one.before else "",
            "after": selectors.shown(one.name, one.after, opened=opened),
        }
        for one in outcome.changes
    ]
    return {
        "what": outcome.what,
        "id": outcome.external_id if opened else selectors.masked_id(outcome.external_id),
        "changes": changes,
        "reasons": selectors.reasons_of(dict(outcome.reasons)),
        "accession_number": outcome.accession_number,
    }


@require_POST
@never_cache
@page((perms.MANAGE_INTERFACES, perms.REPLAY_MESSAGE))
def source_action(request: ActorRequest, uuid: UUID, verb: str) -> HttpResponse:
    row = selectors.source(uuid, actor=request.actor)
    if verb == "sync":
        services.sync_now(row, accepts_gone=request.POST.get("accepts_gone") == "1", actor=request.actor)
        messages.success(request, _("It is being read. Look again in a moment."))
    elif verb == "read-again":
        services.read_again(row, since=_since(request.POST.get("since", "")), actor=request.actor)
        messages.success(request, _("It reads all that has changed since then."))
    elif verb == "test":
        _test(request, row)
    elif verb in ("on", "off"):
        services.switch_source(row, is_active=verb == "on", actor=request.actor)
        messages.success(request, _("It is read again.") if verb == "on" else _("It is not read any more."))
    else:
        raise NotKnown(_("There is no such action for a source."))
    return HttpResponseRedirect(reverse("source", args=[row.uuid]))


def _test(request: ActorRequest, row: Source) -> None:
    """The names of the fields that answered help with the mapping for as long as the session lasts."""
    try:
        found = services.test_source(row, actor=request.actor)
    except (SourceFailed, HostNotAllowed) as problem:
        messages.error(request, " ".join(filter(None, (problem.detail, problem.todo))))
        return
    kept = dict(list(request.session.get("source_fields", {}).items())[-4:])
    request.session["source_fields"] = {**kept, str(row.uuid): found[:2000]}
    messages.success(request, _("It answers: %(count)d fields. The mapping offers them.") % {"count": len(found)})


def _since(day: str) -> datetime | None:
    """The morning of a day; nothing is the beginning of all."""
    try:
        found = parse_date(day) if day else None
    except ValueError:
        found = None
    if day and found is None:
        raise InvalidData(_("This is not a date."), errors={"since": _("This is not a date.")})
    return timezone.make_aware(datetime.combine(found, time(0))) if found is not None else None


@require_POST
@never_cache
@page(perms.REPLAY_MESSAGE)
def source_row_again(request: ActorRequest, uuid: UUID) -> HttpResponse:
    row = services.try_row_again(selectors.row(uuid, actor=request.actor), actor=request.actor)
    messages.success(request, _("It is read again with the run that comes now."))
    return HttpResponseRedirect(reverse("source", args=[row.source.uuid]))


@require_GET
@never_cache
@page(LOOK)
def source_row(request: ActorRequest, uuid: UUID) -> HttpResponse:
    row = selectors.row(uuid, actor=request.actor)
    record_read(request.actor, perms.VIEW_INTERFACES, entity=row, detail={"opened": False})
    return _row(request, row, opened=False)


@require_POST
@never_cache
@page(perms.VIEW_MESSAGE)
def source_row_open(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """What stood in it, unmasked; who looked is recorded."""
    row = services.open_row(selectors.row(uuid, actor=request.actor), actor=request.actor)
    return _row(request, row, opened=True)


def _row(request: ActorRequest, row: Any, *, opened: bool) -> HttpResponse:
    context = {
        **_frame(request, row.source),
        "row": row,
        "opened": opened,
        "number": row.external_id if opened else selectors.masked_id(row.external_id),
        "lines": selectors.lines_of(row, opened=opened),
        "general": row.reasons.get("", ""),
    }
    return render(request, "interop/sources/row.html", context)


def more(thing: Any, *, request: HttpRequest) -> dict[str, Any]:
    return {"source_count": Source.objects.filter(is_active=True).count()}


def register() -> None:
    register_panel(
        Panel(
            "integrations.more",
            more,
            "interop/sources/_more.html",
            permission=perms.VIEW_INTERFACES,
            key="sources",
            order=30,
        )
    )


urlpatterns = [
    path("integrations/sources/", sources, name="sources"),
    path("integrations/sources/add/", source_add, name="source_add"),
    path("integrations/sources/import/", source_import, name="source_import"),
    path("integrations/sources/<uuid:uuid>/", source, name="source"),
    path("integrations/sources/<uuid:uuid>/change/", source_change, name="source_change"),
    path("integrations/sources/<uuid:uuid>/export/", source_export, name="source_export"),
    path("integrations/sources/<uuid:uuid>/preview/", source_preview, name="source_preview"),
    path("integrations/sources/<uuid:uuid>/<str:verb>/", source_action, name="source_action"),
    path("integrations/source-rows/<uuid:uuid>/", source_row, name="source_row"),
    path("integrations/source-rows/<uuid:uuid>/open/", source_row_open, name="source_row_open"),
    path("integrations/source-rows/<uuid:uuid>/again/", source_row_again, name="source_row_again"),
]
