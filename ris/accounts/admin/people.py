"""Users, roles, practitioners and sites."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ris.accounts.admin_base import FacilityInline, FacilityModelAdmin, service_action
from ris.accounts.models import ApiKey, Practitioner, Role, Site, User
from ris.accounts.services import users
from ris.accounts.services.totp import reset_totp
from ris.core.actor import Actor
from ris.core.permissions import permissions


class UserForm(forms.ModelForm):
    """Roles and password go through services of their own."""

    password_given = forms.CharField(
        label=_("New password"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("Empty: nothing changes; a new user without one comes in through the identity provider."),
    )

    language = forms.ChoiceField(
        label=_("Language"), required=False, choices=[("", _("As the facility has it")), *settings.LANGUAGES]
    )

    class Meta:
        model = User
        fields = (
            "username",
            "prefix",
            "given_name",
            "family_name",
            "email",
            "language",
            "roles",
            "sites",
            "is_service",
        )
        widgets = {"roles": forms.CheckboxSelectMultiple, "sites": forms.CheckboxSelectMultiple}


class ApiKeyInline(FacilityInline):
    model = ApiKey
    view_code = "accounts.view_api_key"
    fields = ("label", "prefix", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at")
    readonly_fields = fields


@admin.register(User)
class UserAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = "accounts.view_user", "accounts.create_user", "accounts.change_user"
    form = UserForm
    inlines = (ApiKeyInline,)
    list_display = ("username", "display_name", "email", "role_label", "is_active", "is_service", "last_login")
    list_filter = ("is_active", "is_service", "roles")
    search_fields = ("username", "family_name", "given_name", "email")
    actions = (
        service_action(_("Deactivate"), users.deactivate_user),
        service_action(_("Reactivate"), users.reactivate_user),
        service_action(_("Let them try again after wrong passwords"), users.lift_lockout),
        service_action(_("Remove the second factor"), reset_totp),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("roles")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fixed = ("username", "is_service") if obj is not None else ()
        return (*super().get_readonly_fields(request, obj), *fixed)

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> User:
        fields = {name: cleaned.get(name, "") for name in users.CHANGEABLE}
        return users.create_user(
            username=cleaned["username"],
            password=cleaned["password_given"] or None,
            roles=[role.name for role in cleaned["roles"]],
            sites=[site.code for site in cleaned["sites"]],
            is_service=cleaned["is_service"],
            actor=actor,
            **fields,
        )

    def service_change(self, user: User, cleaned: dict[str, Any], actor: Actor) -> User:
        fields = {name: cleaned[name] for name in users.CHANGEABLE if name in cleaned}
        saved = users.change_user(user, sites=[site.code for site in cleaned["sites"]], actor=actor, **fields)
        wanted = {role.name for role in cleaned["roles"]}
        if wanted != saved.role_names:
            saved = users.set_roles(saved, roles=wanted, actor=actor)
        if cleaned["password_given"]:
            saved = users.set_password(saved, password=cleaned["password_given"], actor=actor)
        return saved


class RoleForm(forms.ModelForm):
    permissions = forms.MultipleChoiceField(
        label=_("rights"), required=False, widget=forms.CheckboxSelectMultiple, choices=()
    )

    class Meta:
        model = Role
        fields = ("name", "label", "permissions")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "permissions" in self.fields:
            choices = [(code, f"{code}: {_(permission.label)}") for code, permission in permissions().items()]
            self.fields["permissions"].choices = choices


@admin.register(Role)
class RoleAdmin(FacilityModelAdmin):
    """The built-in ones are what the code says; others are composed here."""

    view_code, add_code, change_code = "accounts.view_user", "accounts.change_role", "accounts.change_role"
    form = RoleForm
    list_display = ("name", "label", "is_builtin")
    search_fields = ("name", "label")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.is_builtin:
            return False
        return super().has_change_permission(request, obj)

    @admin.display(description=_("rights"))
    def codes_of(self, role: Role) -> str:
        return ", ".join(sorted(role.codes))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is not None and obj.is_builtin:
            return ("name", "label", "codes_of")
        return ("name", "label", "permissions")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        shown = ("codes_of",) if obj is not None and obj.is_builtin else ()
        return (*super().get_readonly_fields(request, obj), *shown)


@admin.register(Site)
class SiteAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = "accounts.view_site", "accounts.change_site", "accounts.change_site"
    list_display = ("code", "name", "phone", "is_active")
    search_fields = ("code", "name")


@admin.register(Practitioner)
class PractitionerAdmin(FacilityModelAdmin):
    view_code = "accounts.view_practitioner"
    add_code = change_code = "accounts.change_practitioner"
    list_display = ("family_name", "given_name", "prefix", "specialty", "organisation", "identifier", "is_active")
    list_filter = ("is_active", "specialty")
    search_fields = ("family_name", "given_name", "identifier", "organisation")
    autocomplete_fields = ("user",)
