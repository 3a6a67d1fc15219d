"""FHIR: servers that we send to, programs that come by SMART, subscriptions and what was told."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from interop import permissions as perms
from interop.fhir.servers import TYPES, ask_fhir_server, save_fhir_server
from interop.fhir.smart.clients import change_client, register_client
from interop.fhir.subscriptions import services as subscriptions
from interop.models import FhirNotification, FhirServer, FhirSubscription, SmartClient, SmartGrant
from ris.accounts.admin_base import FacilityModelAdmin, ReadOnlyAdmin, service_action
from ris.core.actor import Actor


class FhirServerForm(forms.ModelForm):
    name = forms.SlugField(label=_("Name"), max_length=64, help_text=_("What delivery rules call it by."))
    resources = forms.MultipleChoiceField(
        label=_("is sent"),
        choices=[(name, name) for name in TYPES],
        initial=[TYPES[0]],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Reports as delivery rules say, the others whenever they change. None: reports."),
    )
    is_active = forms.BooleanField(label=_("Active"), required=False, initial=True)

    class Meta:
        model = FhirServer
        fields = ("base_url", "release", "token", "token_url", "client_id", "client_secret", "scope")
        widgets = {
            name: forms.PasswordInput(attrs={"autocomplete": "new-password"}) for name in ("token", "client_secret")
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["release"].required = False
        if self.instance.pk is not None:
            queue = self.instance.queue
            self.fields["name"].initial, self.fields["name"].disabled = queue.name, True
            self.fields["is_active"].initial, self.fields["resources"].initial = queue.is_active, queue.messages

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        cleaned["resources"] = cleaned.get("resources") or [TYPES[0]]
        cleaned["release"] = cleaned.get("release") or "r4"
        return cleaned


@admin.register(FhirServer)
class FhirServerAdmin(FacilityModelAdmin):
    """Its queue is paused and resumed among the destinations."""

    view_code, add_code, change_code = perms.VIEW_INTERFACES, perms.MANAGE_INTERFACES, perms.MANAGE_INTERFACES
    form = FhirServerForm
    fields = (
        "name", "base_url", "release", "resources", "token", "token_url", "client_id", "client_secret", "scope",
        "is_active",
    )  # fmt: skip
    list_display = ("queue", "base_url", "release")
    list_select_related = ("queue",)
    actions = (service_action(_("Ask whether it answers"), ask_fhir_server),)

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> FhirServer:
        return save_fhir_server(**cleaned, actor=actor)

    def service_change(self, server: FhirServer, cleaned: dict[str, Any], actor: Actor) -> FhirServer:
        return save_fhir_server(**{**cleaned, "name": server.queue.name}, actor=actor)


class SmartClientForm(forms.ModelForm):
    """The keys are pasted; what is wrong with them the service says."""

    jwks = forms.CharField(
        label=_("public keys (JWKS)"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false"}),
        help_text=_("The JSON Web Key Set, public keys only."),
    )

    class Meta:
        model = SmartClient
        fields = ("name", "user", "scopes", "jwks", "jwks_url", "allowed_addresses", "token_minutes", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is not None:
            self.initial["jwks"] = json.dumps(self.instance.jwks, indent=2) if self.instance.jwks else ""


@admin.register(SmartClient)
class SmartClientAdmin(FacilityModelAdmin):
    """Its client id is made when it is registered; a change of what it reaches ends its tokens."""

    view_code, add_code, change_code = perms.VIEW_INTERFACES, perms.MANAGE_CLIENTS, perms.MANAGE_CLIENTS
    form = SmartClientForm
    list_display = ("name", "client_id", "user", "is_active", "last_used_at")
    list_select_related = ("user",)
    search_fields = ("name", "client_id")
    autocomplete_fields = ("user",)

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> SmartClient:
        return register_client(**cleaned, actor=actor)

    def service_change(self, client: SmartClient, cleaned: dict[str, Any], actor: Actor) -> SmartClient:
        return change_client(client, **cleaned, actor=actor)


@admin.register(SmartGrant)
class SmartGrantAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_INTERFACES
    list_display = ("client", "scope", "address", "created_at")
    list_select_related = ("client",)
    list_filter = ("client",)
    fields = ("client", "scope", "address", "created_at")


@admin.register(FhirSubscription)
class FhirSubscriptionAdmin(ReadOnlyAdmin):
    """Asked for by FHIR; here they are looked after."""

    view_code = perms.VIEW_INTERFACES
    list_display = ("reason", "release", "topic", "endpoint", "status", "is_paused", "owner", "last_success_at")
    list_select_related = ("owner",)
    list_filter = ("status", "release", "topic")
    fields = (
        "reason", "release", "topic", "criteria", "filters", "endpoint", "content", "content_type", "status",
        "is_paused", "owner", "api_key", "smart_client", "heartbeat_seconds", "ends_at", "error_since", "failures",
        "last_error", "last_success_at",
    )  # fmt: skip
    actions = (
        service_action(_("Pause"), subscriptions.pause_subscription),
        service_action(_("Resume"), subscriptions.resume_subscription),
        service_action(_("Begin again"), subscriptions.begin_again),
        service_action(_("Switch off"), subscriptions.end_subscription),
    )


@admin.register(FhirNotification)
class FhirNotificationAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_INTERFACES
    list_display = (
        "subscription",
        "kind",
        "number",
        "resource_type",
        "status",
        "attempts",
        "occurred_at",
        "last_error",
    )
    list_select_related = ("subscription",)
    list_filter = ("status", "kind")
    fields = (
        "subscription", "kind", "number", "resource_type", "status", "attempts", "occurred_at", "delivered_at",
        "last_error",
    )  # fmt: skip
