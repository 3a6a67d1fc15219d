"""Keys, tokens, identity providers and emergency access."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ris.accounts.admin_base import FacilityInline, FacilityModelAdmin, ReadOnlyAdmin, service_action
from ris.accounts.models import AccessToken, ApiKey, BreakGlass, OidcProvider, OidcRoleMapping
from ris.accounts.outbound import keeps_secret
from ris.accounts.services import emergency, keys
from ris.core.actor import Actor


class ApiKeyForm(forms.ModelForm):
    class Meta:
        model = ApiKey
        fields = ("user", "label", "scopes", "expires_at", "allowed_addresses", "requests_per_minute")


@admin.register(ApiKey)
class ApiKeyAdmin(FacilityModelAdmin):
    """The key itself is shown once, in the message after it was made."""

    view_code, add_code = "accounts.view_api_key", "accounts.create_api_key"
    form = ApiKeyForm
    list_display = ("label", "prefix", "user", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at")
    list_filter = ("user",)
    list_select_related = ("user",)
    search_fields = ("label", "prefix", "user__username")
    autocomplete_fields = ("user",)
    actions = (service_action(_("Revoke"), keys.revoke_api_key),)

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> ApiKey:
        return keys.create_api_key(cleaned.pop("user"), **cleaned, actor=actor)

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        secret = getattr(obj, "secret", "")
        if secret:
            self.message_user(request, _("The key, shown only now: %(key)s") % {"key": secret})


@admin.register(AccessToken)
class AccessTokenAdmin(ReadOnlyAdmin):
    view_code = "accounts.view_api_key"
    list_display = ("user", "created_at", "expires_at", "revoked_at", "authenticated_at")
    list_select_related = ("user",)
    fields = ("user", "scopes", "created_at", "expires_at", "revoked_at", "authenticated_at")
    actions = (service_action(_("Revoke"), keys.revoke_access_token),)


class RoleMappingInline(FacilityInline):
    model = OidcRoleMapping
    view_code = "accounts.view_settings"
    add_code = change_code = "accounts.change_settings"
    fields = ("claim_value", "role")
    extra = 1
    can_delete = True
    show_change_link = False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj)


class OidcProviderForm(forms.ModelForm):
    """The secret goes in and never comes out."""

    secret = forms.CharField(
        label=_("client secret"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=_("Empty: the stored one stays."),
    )

    class Meta:
        model = OidcProvider
        fields = (
            "label",
            "issuer",
            "client_id",
            "secret",
            "scopes",
            "roles_claim",
            "username_claim",
            "creates_users",
            "is_active",
        )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        before, after = self.initial.get("issuer") or "", cleaned.get("issuer") or ""
        if before and not keeps_secret(before, after) and self.instance.client_secret and not cleaned.get("secret"):
            self.add_error("secret", _("The address has changed: enter it again for the new one."))
        return cleaned

    def save(self, commit: bool = True) -> OidcProvider:
        if self.cleaned_data.get("secret"):
            self.instance.client_secret = self.cleaned_data["secret"]
        return super().save(commit)


@admin.register(OidcProvider)
class OidcProviderAdmin(FacilityModelAdmin):
    view_code = "accounts.view_settings"
    add_code = change_code = "accounts.change_settings"
    form = OidcProviderForm
    inlines = (RoleMappingInline,)
    list_display = ("label", "issuer", "client_id", "is_active")


@admin.register(BreakGlass)
class BreakGlassAdmin(ReadOnlyAdmin):
    view_code = "accounts.view_break_glass"
    list_display = ("user", "patient", "reason", "started_at", "expires_at", "ended_at")
    list_select_related = ("user",)
    list_filter = ("user",)
    date_hierarchy = "started_at"
    actions = (service_action(_("End now"), emergency.end_break_glass, permission="accounts.view_break_glass"),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[BreakGlass]:
        return super().get_queryset(request).select_related("user")
