"""Searching what reports say. Words are typed and posted, never part of an address; searches are kept under a name."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.db.models import Exists, OuterRef
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders.models import CatalogueProcedure, Modality, Sex
from reporting import permissions as perms
from reporting.models import Report, ReportText, SavedSearch
from reporting.selectors import search as selectors
from reporting.selectors.search import FOUND_AT_MOST, NEW_AT_MOST, ReportSearch
from reporting.services import search as services
from reporting.services.search import other_words
from ris.accounts.models import User
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import NotKnown

ROWS = 25


class SearchForm(forms.Form):
    words = forms.CharField(label=gettext_lazy("Words"), max_length=300, required=False)
    modality = forms.MultipleChoiceField(label=gettext_lazy("Modality"), choices=Modality.choices, required=False)
    body_region = forms.CharField(label=gettext_lazy("Body region"), max_length=40, required=False)
    exam = forms.CharField(label=gettext_lazy("Exam code"), max_length=16, required=False)
    since = forms.DateField(label=gettext_lazy("Signed from"), required=False)
    until = forms.DateField(label=gettext_lazy("Signed until"), required=False)
    signer = forms.ModelChoiceField(
        label=gettext_lazy("Signed by"), queryset=User.objects.none(), required=False, to_field_name="uuid"
    )
    sex = forms.ChoiceField(
        label=gettext_lazy("Sex"), choices=[("", gettext_lazy("any")), *Sex.choices], required=False
    )
    age_from = forms.IntegerField(label=gettext_lazy("Age from (years)"), min_value=0, max_value=130, required=False)
    age_to = forms.IntegerField(label=gettext_lazy("Age to (years)"), min_value=0, max_value=130, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        signed = ReportText.objects.filter(signed_by=OuterRef("pk"))
        signers = User.objects.filter(Exists(signed)).order_by("family_name", "given_name")
        self.fields["signer"].queryset = signers
        self.fields["signer"].label_from_instance = lambda user: user.display_name

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for first, last in (("since", "until"), ("age_from", "age_to")):
            if data.get(first) is not None and data.get(last) is not None and data[first] > data[last]:
                self.add_error(last, _("Before the beginning: exchange the two."))
        return data

    def asked(self) -> ReportSearch:
        data = self.cleaned_data
        signer = data["signer"]
        return ReportSearch(
            words=data["words"],
            modality=tuple(data["modality"]),
            body_region=data["body_region"],
            exam=data["exam"],
            since=data["since"],
            until=data["until"],
            signer=str(signer.uuid) if signer is not None else "",
            sex=data["sex"],
            age_from=data["age_from"],
            age_to=data["age_to"],
        )


def _found(request: ActorRequest, search: ReportSearch) -> dict[str, Any]:
    """One page of what is found, each row with the place where the words stand. What was looked at is recorded."""
    keys = selectors.search_reports(search, actor=request.actor)
    shown: Page = Paginator(keys, ROWS).get_page(request.POST.get("page"))
    reports = selectors.shown_reports(list(shown.object_list))
    cuts = selectors.excerpts({report.pk: _body(report) for report in reports}, search.words)
    patients = {report.audit_patient for report in reports if report.audit_patient}
    record_read(
        request.actor, perms.VIEW_REPORT, patients=sorted(patients), detail={"rows": len(reports), "search": True}
    )
    return {
        "page": shown,
        "rows": [(report, report.first_procedure, cuts.get(report.pk, [])) for report in reports],
        "is_cut": len(keys) >= FOUND_AT_MOST,
        "at_most": FOUND_AT_MOST,
    }


def _body(report: Report) -> str:
    """The signed words, the impression first."""
    versions = sorted(report.versions.all(), key=lambda version: version.number)
    newest = versions[-1]
    said = [newest.sections.get("impression", ""), *other_words(newest), *(row.addendum for row in versions)]
    return "\n".join(words for words in said if words)


def _regions() -> list[str]:
    rows = CatalogueProcedure.objects.exclude(body_region="").order_by("body_region")
    return list(rows.values_list("body_region", flat=True).distinct())


def _page(request: ActorRequest, form: SearchForm, **more: Any) -> HttpResponse:
    kept = list(selectors.saved_searches(actor=request.actor))
    mine = [row for row in kept if row.owner_id == request.user.pk]
    context = {
        "nav": "report-search",
        "form": form,
        "regions": _regions(),
        "mine": [(row, selectors.count_since(row, actor=request.actor)) for row in mine],
        "shared": [row for row in kept if row.owner_id != request.user.pk],
        "new_at_most": NEW_AT_MOST,
        "may_share": request.actor.may(perms.SHARE_SEARCH),
        **more,
    }
    return render(request, "reporting/report_search.html", context)


@never_cache
@page(perms.VIEW_REPORT)
def report_search(request: ActorRequest) -> HttpResponse:
    """The form; posted, with what is found. ``keep`` keeps the question under a name."""
    if request.method != "POST":
        return _page(request, SearchForm())
    form = SearchForm(request.POST)
    if not form.is_valid():
        return _page(request, form)
    search = form.asked()
    if "keep" in request.POST:
        row = services.save_search(name=request.POST.get("name", ""), search=search, actor=request.actor)
        messages.success(request, _("Kept as %(name)s.") % {"name": row.name})
        return HttpResponseRedirect(reverse("report_search_kept", args=[row.uuid]))
    if search.is_empty:
        return _page(request, form, is_empty=True)
    return _page(request, form, search=search, **_found(request, search))


def _kept(request: ActorRequest, uuid: UUID) -> SavedSearch:
    row = selectors.saved_searches(actor=request.actor).filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such search here."))
    return row


@never_cache
@page(perms.VIEW_REPORT)
def report_search_kept(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """A kept search, asked again with the reader's own rights."""
    row = _kept(request, uuid)
    search = ReportSearch.from_query(row.query)
    form = SearchForm(search.as_query())
    found = _found(request, search)
    since = row.opened_at
    answer = _page(request, form, search=search, kept=row, since=since, **found)
    services.open_search(row, actor=request.actor)
    return answer


@require_POST
@page(perms.SHARE_SEARCH)
def report_search_share(request: ActorRequest, uuid: UUID) -> HttpResponse:
    row = services.share_search(_kept(request, uuid), is_shared="share" in request.POST, actor=request.actor)
    said = _("Others see this search now.") if row.is_shared else _("The search is yours alone now.")
    messages.success(request, said)
    return HttpResponseRedirect(reverse("report_search_kept", args=[row.uuid]))


@require_POST
@page(perms.VIEW_REPORT)
def report_search_remove(request: ActorRequest, uuid: UUID) -> HttpResponse:
    row = _kept(request, uuid)
    services.remove_search(row, actor=request.actor)
    messages.success(request, _("%(name)s is removed.") % {"name": row.name})
    return HttpResponseRedirect(reverse("report_search"))
