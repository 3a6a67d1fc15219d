"""Webhooks under /integrations/: the list, one with its deliveries, and what can be done with either."""

from __future__ import annotations

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
from interop.models import Webhook, WebhookDeliveryStatus
from interop.webhooks import catalogue, selectors, services
from interop.webhooks.cards import state_of
from ris.accounts.outbound import HostNotAllowed
from ris.accounts.web import ActorRequest, page
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, InvalidData, NotKnown
from ris.core.panels import Panel, register_panel

ROWS = 30
TRIES_SHOWN = 5


class WebhookForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=64)
    url = forms.URLField(
        label=gettext_lazy("Address"),
        max_length=500,
        assume_scheme="https",
        help_text=gettext_lazy("Its host must be among the hosts that this facility connects to."),
    )
    events = forms.MultipleChoiceField(label=gettext_lazy("Is told of"), widget=forms.CheckboxSelectMultiple)
    is_active = forms.BooleanField(label=gettext_lazy("Active"), required=False, initial=True)

    def __init__(self, *args: Any, patterns: list[str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(entry.type, entry.label) for entry in catalogue.PUBLISHED]
        kept = [pattern for pattern in patterns or [] if pattern not in catalogue.TYPES]
        self.fields["events"].choices = [*((pattern, pattern) for pattern in kept), *choices]


@require_GET
@never_cache
@page(perms.VIEW_INTERFACES)
def webhooks(request: ActorRequest) -> HttpResponse:
    rows = [(row, *state_of(row)) for row in selectors.webhooks(actor=request.actor).order_by("name")]
    context = {"nav": "integrations", "rows": rows, "may_manage": request.actor.may(perms.MANAGE_INTERFACES)}
    return render(request, "interop/webhooks.html", context)


@require_http_methods(["GET", "POST"])
@never_cache
@page(perms.MANAGE_INTERFACES)
def webhook_add(request: ActorRequest) -> HttpResponse:
    form = WebhookForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        made = _kept(form, lambda data: services.create_webhook(**data, actor=request.actor))
        if made is not None:
            return _detail(request, made, secret=made.plain_secret)
    return render(request, "interop/webhook_edit.html", {"nav": "integrations", "form": form})


@require_http_methods(["GET", "POST"])
@never_cache
@page(perms.MANAGE_INTERFACES)
def webhook_change(request: ActorRequest, uuid: UUID) -> HttpResponse:
    row = _webhook(uuid, request.actor)
    initial = {"name": row.name, "url": row.url, "events": row.events, "is_active": row.is_active}
    form = WebhookForm(request.POST or None, initial=initial, patterns=row.events)
    saved = request.method == "POST" and form.is_valid()
    if saved and _kept(form, lambda data: services.change_webhook(row, **data, actor=request.actor)) is not None:
        messages.success(request, _("Saved."))
        return HttpResponseRedirect(reverse("webhook", args=[row.uuid]))
    return render(request, "interop/webhook_edit.html", {"nav": "integrations", "form": form, "row": row})


def _kept(form: WebhookForm, keep: Any) -> Webhook | None:
    """What the service says of single fields stands beside them; every other refusal is the edge's."""
    try:
        return keep(form.cleaned_data)
    except HostNotAllowed as refusal:
        form.add_error("url", f"{refusal.detail} {refusal.todo}")
    except (InvalidData, AlreadyExists) as refusal:
        for field, words in refusal.errors.items():
            form.add_error(field if field in form.fields else None, words)
    return None


@require_GET
@never_cache
@page(perms.VIEW_INTERFACES)
def webhook(request: ActorRequest, uuid: UUID) -> HttpResponse:
    return _detail(request, _webhook(uuid, request.actor))


def _detail(request: ActorRequest, row: Webhook, secret: str = "") -> HttpResponse:
    """A fixed number of queries: the webhook, a page of deliveries, their tries."""
    row = _webhook(row.uuid, request.actor)
    found = selectors.deliveries(actor=request.actor).filter(webhook=row)
    status = request.GET.get("status", "")
    if status in WebhookDeliveryStatus.values:
        found = found.filter(status=status)
    shown = Paginator(found.prefetch_related("tries"), ROWS).get_page(request.GET.get("page"))
    tone, icon, state = state_of(row)
    context = {
        "nav": "integrations",
        "row": row,
        "tone": tone,
        "icon": icon,
        "state": state,
        "secret": secret,
        "page": shown,
        "lines": [(delivery, list(delivery.tries.all())[:TRIES_SHOWN]) for delivery in shown],
        "status": status,
        "filters": WebhookDeliveryStatus.choices,
        "may_manage": request.actor.may(perms.MANAGE_INTERFACES),
        "may_replay": request.actor.may(perms.REPLAY_MESSAGE),
    }
    return render(request, "interop/webhook.html", context)


@require_POST
@never_cache
@page(perms.MANAGE_INTERFACES)
def webhook_action(request: ActorRequest, uuid: UUID, verb: str) -> HttpResponse:
    row = _webhook(uuid, request.actor)
    if verb == "rotate-secret":
        changed = services.rotate_webhook_secret(row, actor=request.actor)
        return _detail(request, changed, secret=changed.plain_secret)
    if verb == "test":
        services.test_webhook(row, actor=request.actor)
        messages.success(request, _("The test is on its way."))
    elif verb == "pause":
        services.pause_webhook(row, actor=request.actor)
        messages.success(request, _("%(name)s is paused; its queue keeps its order.") % {"name": row.name})
    elif verb == "resume":
        services.resume_webhook(row, actor=request.actor)
        messages.success(request, _("%(name)s sends again.") % {"name": row.name})
    else:
        raise NotKnown(_("There is no such action."))
    return HttpResponseRedirect(reverse("webhook", args=[row.uuid]))


@require_POST
@page(perms.REPLAY_MESSAGE)
def webhook_delivery_action(request: ActorRequest, uuid: UUID, verb: str) -> HttpResponse:
    row = selectors.deliveries(actor=request.actor).filter(uuid=uuid).first()
    if row is None or verb not in ("again", "cancel"):
        raise NotKnown(_("There is no such delivery in this facility."))
    if verb == "again":
        services.deliver_again(row, actor=request.actor)
        messages.success(request, _("It is in the queue."))
    else:
        services.drop_delivery(row, actor=request.actor)
        messages.success(request, _("It is not sent."))
    return HttpResponseRedirect(reverse("webhook", args=[row.webhook.uuid]))


def _webhook(uuid: UUID, actor: Actor) -> Webhook:
    row = selectors.webhooks(actor=actor).filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such webhook in this facility."))
    return row


def more(thing: Any, *, request: HttpRequest) -> dict[str, Any]:
    return {"webhook_count": Webhook.objects.filter(is_active=True).count()}


def register() -> None:
    register_panel(
        Panel(
            "integrations.more",
            more,
            "interop/_webhooks_more.html",
            permission=perms.VIEW_INTERFACES,
            key="webhooks",
            order=40,
        )
    )


urlpatterns = [
    path("integrations/webhooks/", webhooks, name="webhooks"),
    path("integrations/webhooks/add/", webhook_add, name="webhook_add"),
    path("integrations/webhooks/<uuid:uuid>/", webhook, name="webhook"),
    path("integrations/webhooks/<uuid:uuid>/change/", webhook_change, name="webhook_change"),
    path("integrations/webhooks/<uuid:uuid>/<str:verb>/", webhook_action, name="webhook_action"),
    path(
        "integrations/webhook-deliveries/<uuid:uuid>/<str:verb>/",
        webhook_delivery_action,
        name="webhook_delivery_action",
    ),
]
