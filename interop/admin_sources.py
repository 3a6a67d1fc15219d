"""Sources in the administration: settings and mapping as JSON or by the editor of the pages, runs, rejected rows."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from interop import permissions as perms
from interop.models import Source, SourceRow, SourceRun
from interop.sources import selectors, services
from interop.sources.plugin import plugins
from ris.accounts.admin_base import FacilityModelAdmin, ReadOnlyAdmin, service_action
from ris.core.actor import Actor

TIMES = (
    "interval_seconds", "opens_at", "closes_at", "time_zone", "time_limit_seconds", "alert_after", "reserves_room",
    "is_active",
)  # fmt: skip


class SourceAdminForm(forms.ModelForm):
    kind = forms.ChoiceField(label=gettext_lazy("Kind"))
    credentials = forms.JSONField(
        label=gettext_lazy("New credentials"), required=False, widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy('As JSON, for example {"token": "…"}. Empty: those that are kept.'),
    )  # fmt: skip

    class Meta:
        model = Source
        fields = ("name", "config", "mapping", *TIMES)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = [(code, plugin.label) for code, plugin in sorted(plugins().items())]
        self.fields["kind"].choices = known
        self.fields["kind"].initial = self.instance.kind
        self.fields["kind"].disabled = self.instance.pk is not None
        for name in ("config", "mapping"):
            if name in self.fields:
                self.fields[name].encoder = None
                self.initial[name] = getattr(self.instance, name)
                self.fields[name].widget = forms.Textarea(attrs={"rows": 12, "class": "mono", "spellcheck": "false"})
                self.fields[name].prepare_value = _pretty


def _pretty(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


@admin.register(Source)
class SourceAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = perms.VIEW_INTERFACES, perms.MANAGE_INTERFACES, perms.MANAGE_INTERFACES
    form = SourceAdminForm
    list_display = ("name", "kind", "state", "is_active", "last_success_at", "next_run_at", "failures", "last_error")
    list_filter = ("kind", "is_active")
    search_fields = ("name",)
    fieldsets = [
        (None, {"fields": ["name", "kind", "is_active", "page"]}),
        (gettext_lazy("Connection"), {"fields": ["config", "credentials"]}),
        (gettext_lazy("Mapping"), {"fields": ["mapping"]}),
        (gettext_lazy("Hours"), {"fields": [*TIMES[:-1]]}),
        (
            gettext_lazy("How it stands"),
            {"fields": ["synced_until", "last_run_at", "last_success_at", "next_run_at", "failures", "last_error"]},
        ),
    ]
    readonly_fields = (
        "page", "synced_until", "last_run_at", "last_success_at", "next_run_at", "failures", "last_error",
    )  # fmt: skip
    actions = [
        service_action(gettext_lazy("Sync now"), services.sync_now),
        service_action(gettext_lazy("Read everything again"), services.read_again),
        service_action(gettext_lazy("Switch on"), services.switch_source, is_active=True),
        service_action(gettext_lazy("Switch off"), services.switch_source, is_active=False),
    ]

    @admin.display(description=gettext_lazy("state"))
    def state(self, row: Source) -> str:
        return selectors.look_of(row)[2]

    @admin.display(description=gettext_lazy("editor, runs and preview"))
    def page(self, row: Source) -> str:
        if row.pk is None:
            return _("After saving")
        return format_html('<a href="{}">{}</a>', reverse("source", args=[row.uuid]), _("Open its page"))

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> Source:
        return services.save_source(**_values(cleaned), actor=actor)

    def service_change(self, row: Source, cleaned: dict[str, Any], actor: Actor) -> Source:
        return services.save_source(Source.objects.get(pk=row.pk), **_values(cleaned), actor=actor)


def _values(cleaned: dict[str, Any]) -> dict[str, Any]:
    values = {name: value for name, value in cleaned.items() if name != "credentials"}
    return {
        **values,
        "config": values.get("config") or {},
        "mapping": values.get("mapping") or None,
        "secrets": cleaned.get("credentials") or {},
    }


@admin.register(SourceRun)
class SourceRunAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_INTERFACES
    list_display = (
        "started_at", "source", "state", "trigger", "repeats", "read", "created", "updated", "cancelled", "rejected",
        "error",
    )  # fmt: skip
    list_filter = ("source", "state", "trigger")
    list_select_related = ("source",)
    fields = (
        "source", "trigger", "asked_by", "state", "started_at", "finished_at", "read_from", "read_until", "repeats",
        "read", "created", "updated", "cancelled", "rejected", "kept", "error",
    )  # fmt: skip


@admin.register(SourceRow)
class SourceRowAdmin(ReadOnlyAdmin):
    """What stands in a row is opened, and recorded, on its page."""

    view_code = perms.VIEW_INTERFACES
    list_display = ("number", "source", "state", "why", "accession_number", "starts_at", "changed_at")
    list_filter = ("source", "state")
    list_select_related = ("source", "procedure__order__patient")
    fields = (
        "source", "number", "state", "why", "accession_number", "starts_at", "first_seen_at", "changed_at", "tries",
        "retry_at", "content",
    )  # fmt: skip
    readonly_fields = ("number", "why", "accession_number", "content")
    actions = [service_action(gettext_lazy("Try again"), services.try_row_again)]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("source", "procedure__order__patient")

    @admin.display(description=gettext_lazy("number there"))
    def number(self, row: SourceRow) -> str:
        return selectors.masked_id(row.external_id)

    @admin.display(description=gettext_lazy("why"))
    def why(self, row: SourceRow) -> str:
        return selectors.reasons_of(row.reasons)

    @admin.display(description=gettext_lazy("content"))
    def content(self, row: SourceRow) -> str:
        return format_html('<a href="{}">{}</a>', reverse("source_row", args=[row.uuid]), _("Look at the row"))
