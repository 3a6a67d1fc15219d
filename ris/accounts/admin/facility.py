"""What a facility decides for itself."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from ris.accounts.admin_base import FacilityModelAdmin
from ris.accounts.models import FacilitySettings
from ris.accounts.outbound import keeps_secret
from ris.accounts.selectors import facility_settings


class FacilitySettingsForm(forms.ModelForm):
    gateway_token = forms.CharField(
        label=_("SMS gateway token"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=_("Empty: the stored one stays."),
    )

    class Meta:
        model = FacilitySettings
        fields = [
            field.name
            for field in FacilitySettings._meta.fields
            if field.editable and field.name not in ("id", "sms_gateway_token")
        ]

    def clean_mrn_syntax(self) -> str:
        pattern = self.cleaned_data["mrn_syntax"]
        try:
            re.compile(pattern)
        except re.error as exc:
            raise ValidationError(_("Not a regular expression: %(why)s"), params={"why": str(exc)}) from None
        return pattern

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        before, after = self.initial.get("sms_gateway_url") or "", cleaned.get("sms_gateway_url") or ""
        is_elsewhere = before and after and not keeps_secret(before, after)
        if is_elsewhere and self.instance.sms_gateway_token and not cleaned.get("gateway_token"):
            self.add_error("gateway_token", _("The gateway has changed: enter its token again."))
        return cleaned

    def save(self, commit: bool = True) -> FacilitySettings:
        if self.cleaned_data.get("gateway_token"):
            self.instance.sms_gateway_token = self.cleaned_data["gateway_token"]
        return super().save(commit)


@admin.register(FacilitySettings)
class FacilitySettingsAdmin(FacilityModelAdmin):
    """One row; its list is its form."""

    view_code, change_code = "accounts.view_settings", "accounts.change_settings"
    form = FacilitySettingsForm

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        facility_settings()
        return HttpResponseRedirect(reverse("admin:accounts_facilitysettings_change", args=[1]))
