"""Templates, forms and macros in the administration."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from reporting import permissions as perms
from reporting import services
from reporting.admin_sections import SECTION_FIELDS, SectionsFormMixin, section_fields, sections_of
from reporting.models import FilledForm, Macro, ReportTemplate
from reporting.services.forms import decoded
from ris.accounts.actors import actor_of
from ris.accounts.admin_base import FacilityModelAdmin, ReadOnlyAdmin
from ris.core.actor import Actor

CONDITIONS = (
    "name", "description", "language", "modality", "body_region", "catalogue", "sex", "age_from", "age_to", "site",
    "owner", "is_default", "is_active",
)  # fmt: skip
TemplateForm = type(
    "TemplateForm",
    (SectionsFormMixin,),
    {
        **section_fields(),
        "document": forms.FileField(
            label=_("MRRT document"),
            required=False,
            help_text=_("A form in HTML5. Its title, language and fields take the place of what stands here."),
        ),
        "Meta": type("Meta", (), {"model": ReportTemplate, "fields": CONDITIONS}),
    },
)


@admin.register(ReportTemplate)
class ReportTemplateAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = perms.VIEW_TEMPLATE, perms.MANAGE_TEMPLATES, perms.MANAGE_TEMPLATES
    form = TemplateForm
    list_display = ("name", "language", "modality", "body_region", "owner", "is_default", "is_active", "document_link")
    list_filter = ("language", "modality", "is_default", "is_active")
    list_select_related = ("owner",)
    search_fields = ("name",)
    filter_horizontal = ("catalogue",)
    fieldsets = (
        (None, {"fields": CONDITIONS}),
        (_("Text"), {"fields": tuple(SECTION_FIELDS.values())}),
        (_("Form"), {"fields": ("document",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReportTemplate]:
        return super().get_queryset(request).visible_to(actor_of(request))

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> ReportTemplate:
        return self._kept(None, dict(cleaned), actor)

    def service_change(self, template: ReportTemplate, cleaned: dict[str, Any], actor: Actor) -> ReportTemplate:
        return self._kept(template, dict(cleaned), actor)

    def _kept(self, template: ReportTemplate | None, data: dict[str, Any], actor: Actor) -> ReportTemplate:
        sections, document = sections_of(data, filled_only=True), data.pop("document", None)
        if document is not None:
            is_own = data.pop("owner", None) == actor.user
            catalogue = list(data.pop("catalogue", []))
            for name in ("name", "description", "language"):
                data.pop(name, None)
            made = services.import_template(
                decoded(document.read()), template=template, is_own=is_own, actor=actor, **data
            ).template
            return services.save_template(made, catalogue=catalogue, actor=actor) if catalogue else made
        if template is None or not template.is_form:
            data["sections"] = sections
        return services.save_template(template, **data, actor=actor)

    @admin.display(description=_("MRRT document"))
    def document_link(self, template: ReportTemplate) -> str:
        return format_html('<a href="{}">HTML</a>', reverse("template_export", args=[template.uuid]))


class MacroForm(forms.ModelForm):
    is_shared = forms.BooleanField(label=_("For everybody"), required=False)

    class Meta:
        model = Macro
        fields = ("code", "text", "language", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "is_shared" in self.fields:
            self.fields["is_shared"].initial = self.instance.pk is not None and self.instance.owner_id is None


@admin.register(Macro)
class MacroAdmin(FacilityModelAdmin):
    """One's own short codes, and the shared ones."""

    view_code = add_code = change_code = perms.WRITE_REPORT
    form = MacroForm
    list_display = ("code", "owner", "language", "is_active")
    list_filter = ("language", "is_active")
    list_select_related = ("owner",)
    search_fields = ("code",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Macro]:
        return super().get_queryset(request).visible_to(actor_of(request))

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> Macro:
        data = dict(cleaned)
        return services.save_macro(words=data.pop("text"), **data, actor=actor)

    def service_change(self, macro: Macro, cleaned: dict[str, Any], actor: Actor) -> Macro:
        data = dict(cleaned)
        return services.save_macro(macro, words=data.pop("text"), **data, actor=actor)


@admin.register(FilledForm)
class FilledFormAdmin(ReadOnlyAdmin):
    """What was answered in forms, with its codes."""

    view_code = perms.WRITE_REPORT
    list_display = ("report", "template", "updated_at")
    list_select_related = ("report", "template")
    fields = readonly_fields = ("report", "template", "answers", "coded", "created_at", "updated_at")
