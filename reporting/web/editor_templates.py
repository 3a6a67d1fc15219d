"""Templates and macros, looked after: one's own and the shared ones, with preview, history, and MRRT documents."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from orders.models import CatalogueProcedure, Modality
from reporting import permissions as perms
from reporting import services
from reporting.diff import section_diffs
from reporting.merge import MERGE_FIELDS
from reporting.models import SECTIONS, Macro, ReportTemplate, TemplateSex
from reporting.mrrt.form import form_of
from reporting.mrrt.tree import LARGEST, NotATemplate
from reporting.services.forms import decoded
from reporting.services.macros import macros_for
from reporting.services.templates import may_change
from reporting.web.editor import form_sections
from ris.accounts.models import Site
from ris.accounts.web import ActorRequest, page
from ris.core.errors import InvalidData, NotKnown

LANGUAGES = (("en", "English"), ("sw", "Kiswahili"))
MOST_SHOWN, VERSIONS_SHOWN = 400, 12


class TemplateForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=100)
    description = forms.CharField(label=gettext_lazy("Description"), max_length=500, required=False)
    language = forms.ChoiceField(label=gettext_lazy("Language"), choices=LANGUAGES)
    modality = forms.ChoiceField(
        label=gettext_lazy("Modality"), required=False, choices=[("", gettext_lazy("any")), *Modality.choices]
    )
    body_region = forms.CharField(label=gettext_lazy("Body regions"), max_length=200, required=False)
    catalogue = forms.CharField(
        label=gettext_lazy("Exams"), required=False, help_text=gettext_lazy("Codes of the catalogue, with commas.")
    )
    sex = forms.ChoiceField(
        label=gettext_lazy("Sex"), required=False, choices=[("", gettext_lazy("any")), *TemplateSex.choices]
    )
    age_from = forms.IntegerField(label=gettext_lazy("From age"), min_value=0, max_value=150, required=False)
    age_to = forms.IntegerField(label=gettext_lazy("To age"), min_value=0, max_value=150, required=False)
    site = forms.ModelChoiceField(
        label=gettext_lazy("Site"), queryset=Site.objects.none(), required=False, empty_label=gettext_lazy("any")
    )
    is_own = forms.BooleanField(label=gettext_lazy("Only for me"), required=False)
    is_default = forms.BooleanField(label=gettext_lazy("Chosen by itself"), required=False)
    is_active = forms.BooleanField(label=gettext_lazy("In use"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["site"].queryset = Site.objects.filter(is_active=True)

    def clean_catalogue(self) -> list[CatalogueProcedure]:
        codes = {part.strip() for part in self.cleaned_data["catalogue"].split(",") if part.strip()}
        found = list(CatalogueProcedure.objects.filter(code__in=codes))
        unknown = codes - {row.code for row in found}
        if unknown:
            raise forms.ValidationError(_("There is no such code: %(codes)s.") % {"codes": ", ".join(sorted(unknown))})
        return found


def _template(request: ActorRequest, uuid: UUID) -> ReportTemplate:
    rows = ReportTemplate.objects.visible_to(request.actor).select_related("owner", "site")
    template = rows.prefetch_related("catalogue").filter(uuid=uuid).first()
    if template is None:
        raise NotKnown(_("There is no such template."))
    return template


@require_GET
@page(perms.VIEW_TEMPLATE)
def template_list(request: ActorRequest) -> HttpResponse:
    """Filters in the address: language, modality, whose."""
    rows = ReportTemplate.objects.visible_to(request.actor).select_related("owner", "site").order_by("name", "pk")
    wanted = {name: request.GET.get(name, "") for name in ("language", "modality", "whose", "state")}
    if wanted["language"] in dict(LANGUAGES):
        rows = rows.filter(language=wanted["language"])
    if wanted["modality"] in Modality.values:
        rows = rows.filter(modality=wanted["modality"])
    if wanted["whose"] in ("own", "shared"):
        rows = rows.filter(owner__isnull=wanted["whose"] == "shared")
    rows = rows.filter(is_active=wanted["state"] != "off")
    context = {
        "nav": "reading",
        "rows": rows[:MOST_SHOWN],
        "wanted": wanted,
        "languages": LANGUAGES,
        "modalities": Modality.choices,
        "may_manage": request.actor.may(perms.MANAGE_TEMPLATES),
        "may_make": request.actor.may(perms.WRITE_REPORT),
    }
    return render(request, "reporting/template_list.html", context)


@require_http_methods(["GET", "POST"])
@page(perms.VIEW_TEMPLATE)
def template_edit(request: ActorRequest, uuid: UUID | None = None) -> HttpResponse:
    """One template: what it says, when it is chosen, how it looks, and how it came to be so."""
    template = _template(request, uuid) if uuid is not None else None
    form = TemplateForm(request.POST) if request.method == "POST" else TemplateForm(initial=_initial(request, template))
    if request.method == "POST" and form.is_valid():
        saved = _save(request, template, dict(form.cleaned_data))
        messages.success(request, _("Saved."))
        return HttpResponseRedirect(reverse("template_edit", args=[saved.uuid]))
    texts = template.sections if template is not None else {}
    form_html = form_of(template.mrrt) if template is not None and template.is_form else None
    context = {
        "nav": "reading",
        "template": template,
        "form": form,
        "sections": [
            (key, label, request.POST.get(f"section-{key}", texts.get(key, "")))
            for key, (_l, label) in SECTIONS.items()
        ],
        "merge_fields": MERGE_FIELDS.items(),
        "may_change": template is None or may_change(template, request.actor),
        "may_share": request.actor.may(perms.MANAGE_TEMPLATES),
        "mrrt": form_html,
        "form_sections": form_sections(form_html, form_html.defaults()) if form_html else [],
        "versions": _versions(template),
    }
    return render(request, "reporting/template_edit.html", context, status=400 if form.errors else 200)


def _initial(request: ActorRequest, template: ReportTemplate | None) -> dict[str, Any]:
    if template is None:
        shares = request.actor.may(perms.MANAGE_TEMPLATES)
        return {"language": request.user.language or "en", "is_active": True, "is_own": not shares}
    names = ("name", "description", "language", "modality", "body_region", "sex", "age_from", "age_to", "site")
    initial = {name: getattr(template, name) for name in (*names, "is_default", "is_active")}
    codes = ", ".join(row.code for row in template.catalogue.all())
    return {**initial, "is_own": template.owner_id is not None, "catalogue": codes}


def _save(request: ActorRequest, template: ReportTemplate | None, data: dict[str, Any]) -> ReportTemplate:
    data["owner"] = request.user if data.pop("is_own") else None
    if template is None or not template.is_form:
        given = {key: request.POST.get(f"section-{key}", "") for key in SECTIONS}
        data["sections"] = {key: words for key, words in given.items() if words.strip()}
    return services.save_template(template, **data, actor=request.actor)


def _versions(template: ReportTemplate | None) -> list[dict[str, Any]]:
    """The newest first, each with what it changed."""
    if template is None:
        return []
    rows = list(template.history.select_related("history_user").order_by("-history_id")[: VERSIONS_SHOWN + 1])
    found = []
    for at, row in enumerate(rows[:VERSIONS_SHOWN]):
        before = rows[at + 1].sections if at + 1 < len(rows) else row.sections
        diffs = [diff for diff in section_diffs(before, row.sections) if diff.differs]
        found.append({"row": row, "diffs": diffs})
    return found


@require_POST
@page(perms.WRITE_REPORT)
def template_copy(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """A copy of one's own, to change."""
    source = _template(request, uuid)
    name = _("%(name)s, mine") % {"name": source.name[:90]}
    fields = ("description", "language", "modality", "body_region", "sex", "age_from", "age_to", "site", "mrrt")
    values = {field: getattr(source, field) for field in fields}
    made = services.save_template(
        name=name, sections=source.sections, owner=request.user, **values, actor=request.actor,
        catalogue=list(source.catalogue.all()),
    )  # fmt: skip
    messages.success(request, _("This copy is yours."))
    return HttpResponseRedirect(reverse("template_edit", args=[made.uuid]))


@require_http_methods(["GET", "POST"])
@page(perms.WRITE_REPORT)
def template_import(request: ActorRequest) -> HttpResponse:
    """A document of HTML5 becomes a template; what was stripped is said."""
    stripped: list[str] = []
    template = None
    if request.method == "POST":
        template, stripped = _import(request)
        if not stripped:
            messages.success(request, _("Imported. Say when it is to be chosen."))
            return HttpResponseRedirect(reverse("template_edit", args=[template.uuid]))
    context = {
        "nav": "reading",
        "template": template,
        "stripped": stripped,
        "may_share": request.actor.may(perms.MANAGE_TEMPLATES),
    }
    return render(request, "reporting/template_import.html", context)


def _import(request: HttpRequest) -> tuple[ReportTemplate, list[str]]:
    upload = request.FILES.get("document")
    if upload is None:
        raise InvalidData(_("Choose a document."), errors={"document": _("Needed.")})
    if (upload.size or 0) > LARGEST:
        raise NotATemplate(_("The document is too large."))
    replaced = request.POST.get("replace", "")
    earlier = _template(request, UUID(replaced)) if replaced else None
    is_own = request.POST.get("is_own") == "on" or not request.actor.may(perms.MANAGE_TEMPLATES)
    result = services.import_template(
        decoded(upload.read()),
        template=earlier,
        is_own=is_own,
        actor=request.actor,
    )
    return result.template, result.stripped


@require_GET
@page(perms.VIEW_TEMPLATE)
def template_export(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The template as an HTML5 document (MRRT), to be saved, never shown as a page of ours."""
    template = _template(request, uuid)
    return document_response(template)


def document_response(template: ReportTemplate) -> HttpResponse:
    response = HttpResponse(services.export_template(template), content_type="text/html; charset=utf-8")
    name = slugify(template.name) or "template"
    response["Content-Disposition"] = f'attachment; filename="{name}.{template.language}.html"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


# --- macros


class MacroForm(forms.Form):
    code = forms.CharField(label=gettext_lazy("Short code"), max_length=24)
    words = forms.CharField(
        label=gettext_lazy("Text"), max_length=5000, strip=False, widget=forms.Textarea(attrs={"rows": 6})
    )
    language = forms.ChoiceField(label=gettext_lazy("Language"), choices=LANGUAGES)
    is_shared = forms.BooleanField(label=gettext_lazy("For everybody"), required=False)
    is_active = forms.BooleanField(label=gettext_lazy("In use"), required=False, initial=True)


@require_GET
@page(perms.WRITE_REPORT)
def macro_list(request: ActorRequest) -> HttpResponse:
    rows = macros_for(request.actor).select_related("owner")[:MOST_SHOWN]
    return render(request, "reporting/macro_list.html", {"nav": "reading", "rows": rows})


@require_http_methods(["GET", "POST"])
@page(perms.WRITE_REPORT)
def macro_edit(request: ActorRequest, uuid: UUID | None = None) -> HttpResponse:
    macro = None
    if uuid is not None:
        macro = Macro.objects.visible_to(request.actor).filter(uuid=uuid).first()
        if macro is None:
            raise NotKnown(_("There is no such macro."))
    initial = {"language": request.user.language or "en", "is_active": True}
    if macro is not None:
        initial = {"code": macro.code, "words": macro.text, "language": macro.language, "is_active": macro.is_active,
                   "is_shared": macro.owner_id is None}  # fmt: skip
    form = MacroForm(request.POST) if request.method == "POST" else MacroForm(initial=initial)
    if request.method == "POST" and form.is_valid():
        services.save_macro(macro, **form.cleaned_data, actor=request.actor)
        messages.success(request, _("Saved."))
        return HttpResponseRedirect(reverse("macro_list"))
    history = macro.history.select_related("history_user").order_by("-history_id")[:VERSIONS_SHOWN] if macro else []
    context = {
        "nav": "reading",
        "macro": macro,
        "form": form,
        "history": history,
        "merge_fields": MERGE_FIELDS.items(),
        "may_change": macro is None or may_change(macro, request.actor),
        "may_share": request.actor.may(perms.MANAGE_TEMPLATES),
    }
    return render(request, "reporting/macro_edit.html", context, status=400 if form.errors else 200)
