"""FHIR servers that signed reports are put on."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from interop import permissions as perms
from interop.fhir.servers import save_fhir_server
from interop.models import FhirServer
from ris.accounts.admin_base import FacilityModelAdmin
from ris.core.actor import Actor


class FhirServerForm(forms.ModelForm):
    name = forms.SlugField(label=_("Name"), max_length=64, help_text=_("What delivery rules call it by."))
    is_active = forms.BooleanField(label=_("Active"), required=False, initial=True)

    class Meta:
        model = FhirServer
        fields = ("base_url", "token")
        widgets = {"token": forms.PasswordInput(attrs={"autocomplete": "new-password"})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is not None:
            self.fields["name"].initial, self.fields["name"].disabled = self.instance.queue.name, True
            self.fields["is_active"].initial = self.instance.queue.is_active


@admin.register(FhirServer)
class FhirServerAdmin(FacilityModelAdmin):
    """Its queue is paused and resumed among the destinations."""

    view_code, add_code, change_code = perms.VIEW_INTERFACES, perms.MANAGE_INTERFACES, perms.MANAGE_INTERFACES
    form = FhirServerForm
    fields = ("name", "base_url", "token", "is_active")
    list_display = ("queue", "base_url")
    list_select_related = ("queue",)

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> FhirServer:
        return save_fhir_server(**cleaned, actor=actor)

    def service_change(self, server: FhirServer, cleaned: dict[str, Any], actor: Actor) -> FhirServer:
        return save_fhir_server(**{**cleaned, "name": server.queue.name}, actor=actor)
