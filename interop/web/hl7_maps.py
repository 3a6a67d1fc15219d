"""/integrations/hl7/: what senders' codes mean, what is agreed with each sender, and what would become of a message."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from interop import permissions as perms
from interop.hl7 import agreements, dictionary, maps, processor, selectors_in, senders
from interop.hl7.trial import try_message
from interop.models import (
    Hl7Destination,
    Hl7Sender,
    RetiredIdentifier,
    ReversedMerge,
    TakenResults,
    UnknownSurvivor,
)
from orders.models import Laterality
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import DomainError, InvalidData, NotKnown

LOOK = (perms.VIEW_INTERFACES, perms.MAP_CODES)
POLICIES = {
    "unknown_survivor": UnknownSurvivor,
    "reversed_merge": ReversedMerge,
    "retired_identifier": RetiredIdentifier,
    "taken_results": TakenResults,
}


def _tabs(request: ActorRequest, here: str) -> dict[str, Any]:
    may_manage = request.actor.may(perms.MANAGE_INTERFACES)
    tabs = [("hl7_codes", _("Codes of senders"), True), ("hl7_senders", _("Senders"), may_manage)]
    tabs.append(("hl7_try", _("Try a message"), may_manage))
    return {
        "nav": "integrations",
        "tabs": [(reverse(name), words, name == here) for name, words, may in tabs if may],
        "may_manage": may_manage,
        "may_map": request.actor.may(perms.MAP_CODES),
    }


# --- codes


def _codes_page(request: ActorRequest, problem: DomainError | None = None) -> HttpResponse:
    waiting = selectors_in.waiting(actor=request.actor)
    context = {
        **_tabs(request, "hl7_codes"),
        "waiting": waiting,
        "aliases": selectors_in.aliases(actor=request.actor)[:500],
        "exams": list(selectors_in.exams()) if waiting else [],
        "sides": Laterality.choices,
        "problem": problem,
        "typed": request.POST,
    }
    record_read(request.actor, perms.VIEW_INTERFACES, detail={"codes": len(waiting)})
    return render(request, "interop/hl7/codes.html", context, status=409 if problem else 200)


@require_GET
@page(LOOK)
def codes(request: ActorRequest) -> HttpResponse:
    return _codes_page(request)


def _exam(words: str) -> Any:
    """By code, as the list offers it: ``CT1 · CT chest``."""
    code = words.split(" · ")[0].strip()
    found = selectors_in.exams().filter(code=code).first()
    if found is None:
        raise InvalidData(
            _("Choose an exam of the catalogue."),
            errors={"exam": [_("The catalogue does not know %(code)s.") % {"code": code or "–"}]},
            todo=_("Type its code, or choose it from the list."),
        )
    return found


@require_POST
@page(perms.MAP_CODES)
def map_code(request: ActorRequest) -> HttpResponse:
    sent = request.POST
    try:
        alias, went_on, still = agreements.map_code(
            application=sent.get("application", ""),
            facility=sent.get("facility", ""),
            scheme=sent.get("scheme", ""),
            code=sent.get("code", ""),
            exam=_exam(sent.get("exam", "")),
            laterality=sent.get("laterality", ""),
            actor=request.actor,
        )
    except InvalidData as refusal:
        return _codes_page(request, refusal)
    words = ngettext("%(count)d order goes on.", "%(count)d orders go on.", went_on) % {"count": went_on}
    messages.success(
        request, _("%(code)s means %(exam)s.") % {"code": alias.code, "exam": alias.procedure} + " " + words
    )
    if still:
        waits = ngettext("%(count)d still waits", "%(count)d still wait", still) % {"count": still}
        messages.warning(request, waits + ": " + _("the side is not known; choose it in the order."))
    return HttpResponseRedirect(reverse("hl7_codes"))


@require_POST
@page(perms.MAP_CODES)
def forget_code(request: ActorRequest, uuid: UUID) -> HttpResponse:
    alias = selectors_in.aliases(actor=request.actor).filter(uuid=uuid).first()
    if alias is None:
        raise NotKnown(_("There is no such code."))
    agreements.forget_code(alias, actor=request.actor)
    messages.success(request, _("%(code)s means nothing any more.") % {"code": alias.code})
    return HttpResponseRedirect(reverse("hl7_codes"))


# --- senders


@require_GET
@page(perms.MANAGE_INTERFACES)
def sender_list(request: ActorRequest) -> HttpResponse:
    rows = list(selectors_in.senders(actor=request.actor))
    known = {(row.application, row.facility_name) for row in rows}
    heard = [
        row
        for row in selectors_in.senders_heard(actor=request.actor)
        if (row["sending_application"], row["sending_facility"]) not in known
    ]
    context = {
        **_tabs(request, "hl7_senders"),
        "rows": rows,
        "heard": heard,
        "types": processor.told_types(),
        "has_house_row": ("", "") in known,
    }
    return render(request, "interop/hl7/senders.html", context)


def _sender(request: ActorRequest, uuid: UUID | None) -> Hl7Sender:
    if uuid is None:
        return senders.own_row(request.GET.get("application", "")[:180], request.GET.get("facility", "")[:180])
    found = selectors_in.senders(actor=request.actor).filter(uuid=uuid).first()
    if found is None:
        raise NotKnown(_("There is no such sender."))
    return found


@require_http_methods(["GET", "POST"])
@page(perms.MANAGE_INTERFACES)
def sender_edit(request: ActorRequest, uuid: UUID | None = None) -> HttpResponse:
    sender, problem = _sender(request, uuid), None
    if request.method == "POST":
        try:
            sender = agreements.save_sender(sender if uuid else None, actor=request.actor, **_typed(request))
        except DomainError as refusal:
            problem = refusal
        else:
            messages.success(request, _("Agreed with %(sender)s.") % {"sender": sender})
            return HttpResponseRedirect(reverse("hl7_senders"))
    return _sender_page(request, sender, problem)


def _typed(request: ActorRequest) -> dict[str, Any]:
    sent = request.POST
    actions = {key.removeprefix("action:"): value for key, value in sent.items() if key.startswith("action:")}
    if sent.get("new_control"):
        actions[f"{sent['new_control']}|{sent.get('new_status', '')}"] = sent.get("new_action", "")
    fields = {key.removeprefix("field:"): value for key, value in sent.items() if key.startswith("field:") and value}
    values: dict[str, dict[str, str]] = {}
    for table in maps.VALUES:
        for line in sent.get(f"values:{table}", "").splitlines():
            value, equals, meaning = line.partition("=")
            if value.strip():
                values.setdefault(table, {})[value.strip()] = meaning.strip() if equals else "?"
    answers_to = sent.get("answers_to", "")
    return {
        **{name: sent.get(name, "") for name in ("application", "facility_name", "issuer")},
        **{name: sent.get(name) or choices.values[0] for name, choices in POLICIES.items()},
        "may_overbook": bool(sent.get("may_overbook")),
        "answers_to": Hl7Destination.objects.filter(name=answers_to).first() if answers_to else None,
        "order_actions": actions,
        "field_sources": fields,
        "value_maps": values,
    }


def _sender_page(request: ActorRequest, sender: Hl7Sender, problem: DomainError | None) -> HttpResponse:
    typed = _typed(request) if problem is not None else {}
    own_actions = typed.get("order_actions", sender.order_actions)
    own_sources = typed.get("field_sources", sender.field_sources)
    own_values = typed.get("value_maps", sender.value_maps)
    pairs = {f"{control}|{status}": action for (control, status), action in maps.ORDER_ACTIONS.items()}
    words = {
        name: (sender._meta.get_field(name).verbose_name, choices.choices, typed.get(name, getattr(sender, name)))
        for name, choices in POLICIES.items()
    }
    places = {name: own_sources.get(name, "") for name in maps.FIELDS}
    context = {
        **_tabs(request, "hl7_senders"),
        "sender": sender,
        "shown": {name: typed.get(name, getattr(sender, name)) for name in ("application", "facility_name", "issuer")},
        "problem": problem,
        "actions": [
            (key, *key.split("|"), own_actions.get(key, action), action)
            for key, action in {**pairs, **{key: maps.REFUSE for key in own_actions if key not in pairs}}.items()
        ],
        "action_words": maps.ACTION_WORDS.items(),
        "fields": [
            (name, known.label, text if isinstance(text, str) else " ".join(text), " ".join(known.sources))
            for (name, known), text in zip(maps.FIELDS.items(), places.values(), strict=True)
        ],
        "values": [
            (
                table,
                "\n".join(f"{value}={meaning}" for value, meaning in own_values.get(table, {}).items()),
                " ".join(f"{value}={meaning}" for value, meaning in rows.items()),
            )
            for table, rows in maps.VALUES.items()
        ],
        "policies": words.items(),
        "may_overbook": typed.get("may_overbook", sender.may_overbook),
        "answers_to": typed.get("answers_to", sender.answers_to),
        "destinations": Hl7Destination.objects.filter(is_active=True, fhir_server__isnull=True),
    }
    return render(request, "interop/hl7/sender.html", context, status=409 if problem else 200)


# --- a trial


@require_http_methods(["GET", "POST"])
@page(perms.MANAGE_INTERFACES)
def try_page(request: ActorRequest) -> HttpResponse:
    """Nothing is kept of what is pasted, and nothing of it stands in an address."""
    text, trial, problem = "", None, None
    if request.method == "POST":
        text = request.POST.get("message", "")
        try:
            trial = try_message(text, actor=request.actor)
        except InvalidData as refusal:
            problem = refusal
    lines = list(dictionary.lines(trial.message, opened=True)) if trial is not None and trial.message else []
    context = {
        **_tabs(request, "hl7_try"),
        "text": text,
        "trial": trial,
        "problem": problem,
        "lines": lines[:400],
        "answer": trial.answer.decode(errors="replace").replace("\r", "\n").strip() if trial else "",
        "types": processor.told_types(),
    }
    return render(request, "interop/hl7/try.html", context, status=409 if problem else 200)
