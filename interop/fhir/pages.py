"""FHIR under /integrations/: servers that we send to, programs that come by SMART, subscriptions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from interop import permissions as perms
from interop.fhir import servers
from interop.fhir.cards import state_of
from interop.fhir.smart import clients
from interop.fhir.subscriptions import queue, services
from interop.models import FhirServer, FhirSubscription, NotificationStatus, SmartClient
from ris.accounts.models import User
from ris.accounts.web import ActorRequest, page
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, InvalidData, NotKnown
from ris.core.panels import Panel, register_panel

ROWS = 30
VERBS = {
    "pause": (services.pause_subscription, gettext_lazy("Paused: what happens meanwhile waits.")),
    "resume": (services.resume_subscription, gettext_lazy("It is told again.")),
    "begin": (services.begin_again, gettext_lazy("It begins again: what waited goes out.")),
    "end": (services.end_subscription, gettext_lazy("Switched off.")),
    "again": (queue.send_again, gettext_lazy("What was parked is in the queue.")),
}


def words(text: str) -> list[str]:
    """What stands between commas, spaces and lines."""
    return text.replace(",", " ").split()


class ServerForm(forms.Form):
    name = forms.SlugField(
        label=gettext_lazy("Name"), max_length=64, help_text=gettext_lazy("What delivery rules call it by.")
    )
    base_url = forms.URLField(
        label=gettext_lazy("Base address"),
        max_length=300,
        assume_scheme="https",
        help_text=gettext_lazy("Its host must be among the hosts that this facility connects to."),
    )
    release = forms.ChoiceField(label=gettext_lazy("Release"), choices=[("r4", "R4"), ("r5", "R5")])
    is_active = forms.BooleanField(label=gettext_lazy("Active"), required=False, initial=True)
    resources = forms.MultipleChoiceField(
        label=gettext_lazy("Is sent"),
        choices=[(name, name) for name in servers.TYPES],
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("Reports as delivery rules say, the others whenever they change."),
    )
    token = forms.CharField(
        label=gettext_lazy("Bearer token"),
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=gettext_lazy("Empty: the stored one stays."),
    )
    token_url = forms.URLField(
        label=gettext_lazy("Address of tokens (OAuth)"),
        max_length=300,
        required=False,
        assume_scheme="https",
        help_text=gettext_lazy("Where it wants a token of its own authority, by client credentials."),
    )
    client_id = forms.CharField(label=gettext_lazy("Client id"), max_length=255, required=False)
    client_secret = forms.CharField(
        label=gettext_lazy("Client secret"),
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=gettext_lazy("Empty: the stored one stays."),
    )
    scope = forms.CharField(label=gettext_lazy("Scope"), max_length=500, required=False)


class ClientForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=100)
    user = forms.ModelChoiceField(
        label=gettext_lazy("Acts as"),
        queryset=User.objects.none(),
        help_text=gettext_lazy("A user of its own, with the roles that it needs: it never reaches further."),
    )
    is_active = forms.BooleanField(label=gettext_lazy("Active"), required=False, initial=True)
    scopes = forms.CharField(
        label=gettext_lazy("Scopes"),
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=gettext_lazy("For example: system/Patient.rs system/ServiceRequest.cruds"),
    )
    jwks = forms.CharField(
        label=gettext_lazy("Public keys (JWKS)"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false"}),
        help_text=gettext_lazy("RSA of 2048 bits or more for RS384, P-384 for ES384. Never the private part."),
    )
    jwks_url = forms.URLField(
        label=gettext_lazy("Address of the keys"),
        max_length=300,
        required=False,
        assume_scheme="https",
        help_text=gettext_lazy("Asked only where no keys are kept here."),
    )
    allowed_addresses = forms.CharField(
        label=gettext_lazy("May come from"),
        required=False,
        help_text=gettext_lazy("Addresses or networks, separated by commas. Empty: from anywhere."),
    )
    token_minutes = forms.IntegerField(
        label=gettext_lazy("A token works for (minutes)"), min_value=1, max_value=60, initial=5
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["user"].queryset = User.objects.filter(is_active=True).order_by("username")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for name in ("scopes", "allowed_addresses"):
            cleaned[name] = words(cleaned.get(name, ""))
        return cleaned


@require_GET
@never_cache
@page(perms.VIEW_INTERFACES)
def overview(request: ActorRequest) -> HttpResponse:
    context = {
        "nav": "integrations",
        "servers": list(servers.fhir_servers(actor=request.actor)),
        "clients": list(clients.smart_clients(actor=request.actor)),
        "subscriptions": [(row, *state_of(row)) for row in services.subscriptions(actor=request.actor)[:200]],
        "may_manage": request.actor.may(perms.MANAGE_INTERFACES),
        "may_register": request.actor.may(perms.MANAGE_CLIENTS),
    }
    return render(request, "interop/fhir/overview.html", context)


def _kept(form: forms.Form, keep: Callable[[dict[str, Any]], Any]) -> Any:
    """What the service says of single fields stands beside them; every other refusal is the edge's."""
    try:
        return keep(form.cleaned_data)
    except (InvalidData, AlreadyExists) as refusal:
        for field, told in refusal.errors.items():
            form.add_error(field if field in form.fields else None, told)
    return None


# --- servers


@require_http_methods(["GET", "POST"])
@never_cache
@page(perms.MANAGE_INTERFACES)
def server_add(request: ActorRequest) -> HttpResponse:
    form = ServerForm(request.POST or None, initial={"resources": [servers.TYPE]})
    if request.method == "POST" and form.is_valid():
        name = form.cleaned_data["name"]
        if servers.fhir_servers(actor=request.actor).filter(queue__name=name).exists():
            form.add_error("name", _("Taken."))
        elif _kept(form, lambda data: servers.save_fhir_server(**data, actor=request.actor)) is not None:
            messages.success(request, _("Saved."))
            return HttpResponseRedirect(reverse("fhir_overview"))
    return render(request, "interop/fhir/server_edit.html", {"nav": "integrations", "form": form})


@require_http_methods(["GET", "POST"])
@never_cache
@page(perms.MANAGE_INTERFACES)
def server_change(request: ActorRequest, uuid: UUID) -> HttpResponse:
    row = _server(uuid, request.actor)
    initial = {
        "name": row.queue.name,
        "base_url": row.base_url,
        "release": row.release,
        "is_active": row.queue.is_active,
        "resources": row.queue.messages,
        "token_url": row.token_url,
        "client_id": row.client_id,
        "scope": row.scope,
    }
    form = ServerForm(request.POST or None, initial=initial)
    form.fields["name"].disabled = True
    saved = request.method == "POST" and form.is_valid()
    if saved and _kept(form, lambda data: servers.save_fhir_server(**data, actor=request.actor)) is not None:
        messages.success(request, _("Saved."))
        return HttpResponseRedirect(reverse("fhir_overview"))
    return render(request, "interop/fhir/server_edit.html", {"nav": "integrations", "form": form, "row": row})


@require_POST
@never_cache
@page(perms.MANAGE_INTERFACES)
def server_test(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """Ask it now what it can do."""
    messages.success(request, servers.ask_fhir_server(_server(uuid, request.actor), actor=request.actor))
    return HttpResponseRedirect(reverse("fhir_overview"))


def _server(uuid: UUID, actor: Actor) -> FhirServer:
    row = servers.fhir_servers(actor=actor).filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such FHIR server in this facility."))
    return row


# --- programs


@require_http_methods(["GET", "POST"])
@never_cache
@page(perms.MANAGE_CLIENTS)
def client_add(request: ActorRequest) -> HttpResponse:
    form = ClientForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        made = _kept(form, lambda data: clients.register_client(**data, actor=request.actor))
        if made is not None:
            messages.success(request, _("Registered: give the client id to those who run it."))
            return HttpResponseRedirect(reverse("smart_client", args=[made.uuid]))
    return render(request, "interop/fhir/client.html", {"nav": "integrations", "form": form})


@require_http_methods(["GET", "POST"])
@never_cache
@page(perms.MANAGE_CLIENTS)
def client_change(request: ActorRequest, uuid: UUID) -> HttpResponse:
    row = clients.smart_clients(actor=request.actor).filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such client in this facility."))
    form = ClientForm(request.POST or None, initial=_initial(row))
    saved = request.method == "POST" and form.is_valid()
    if saved and _kept(form, lambda data: clients.change_client(row, **data, actor=request.actor)) is not None:
        messages.success(request, _("Saved."))
        return HttpResponseRedirect(reverse("smart_client", args=[row.uuid]))
    context = {
        "nav": "integrations",
        "form": form,
        "row": row,
        "grants": clients.latest_grants(row, actor=request.actor),
        "token_url": request.build_absolute_uri(reverse("smart_token")),
        "base_url": request.build_absolute_uri("/fhir/r4"),
    }
    return render(request, "interop/fhir/client.html", context)


def _initial(row: SmartClient) -> dict[str, Any]:
    return {
        "name": row.name,
        "user": row.user_id,
        "is_active": row.is_active,
        "scopes": "\n".join(row.scopes),
        "jwks": json.dumps(row.jwks, indent=2) if row.jwks else "",
        "jwks_url": row.jwks_url,
        "allowed_addresses": ", ".join(row.allowed_addresses),
        "token_minutes": row.token_minutes,
    }


# --- subscriptions


@require_GET
@never_cache
@page(perms.VIEW_INTERFACES)
def subscription(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """One, with what it was told; a fixed number of queries."""
    row = _subscription(uuid, request.actor)
    found = row.notifications.order_by("-pk")
    status = request.GET.get("status", "")
    if status in NotificationStatus.values:
        found = found.filter(status=status)
    tone, icon, state = state_of(row)
    context = {
        "nav": "integrations",
        "row": row,
        "tone": tone,
        "icon": icon,
        "state": state,
        "page": Paginator(found, ROWS).get_page(request.GET.get("page")),
        "status": status,
        "filters": NotificationStatus.choices,
        "may_manage": request.actor.may(perms.MANAGE_INTERFACES) and request.actor.may(perms.SUBSCRIBE),
        "may_replay": request.actor.may(perms.REPLAY_MESSAGE),
    }
    return render(request, "interop/fhir/subscription.html", context)


@require_POST
@never_cache
@page(perms.MANAGE_INTERFACES)
def subscription_action(request: ActorRequest, uuid: UUID, verb: str) -> HttpResponse:
    row = _subscription(uuid, request.actor)
    if verb not in VERBS:
        raise NotKnown(_("There is no such action."))
    act, told = VERBS[verb]
    act(row, actor=request.actor)
    messages.success(request, told)
    return HttpResponseRedirect(reverse("fhir_subscription", args=[row.uuid]))


def _subscription(uuid: UUID, actor: Actor) -> FhirSubscription:
    row = services.subscriptions(actor=actor).filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such subscription in this facility."))
    return row


def more(thing: Any, *, request: HttpRequest) -> dict[str, Any]:
    return {"smart_client_count": SmartClient.objects.filter(is_active=True).count()}


def register() -> None:
    register_panel(
        Panel(
            "integrations.more",
            more,
            "interop/fhir/_more.html",
            permission=perms.VIEW_INTERFACES,
            key="fhir",
            order=30,
        )
    )


urlpatterns = [
    path("integrations/fhir/", overview, name="fhir_overview"),
    path("integrations/fhir/servers/add/", server_add, name="fhir_server_add"),
    path("integrations/fhir/servers/<uuid:uuid>/", server_change, name="fhir_server"),
    path("integrations/fhir/servers/<uuid:uuid>/test/", server_test, name="fhir_server_test"),
    path("integrations/fhir/clients/add/", client_add, name="smart_client_add"),
    path("integrations/fhir/clients/<uuid:uuid>/", client_change, name="smart_client"),
    path("integrations/fhir/subscriptions/<uuid:uuid>/", subscription, name="fhir_subscription"),
    path(
        "integrations/fhir/subscriptions/<uuid:uuid>/<str:verb>/", subscription_action, name="fhir_subscription_action"
    ),
]
