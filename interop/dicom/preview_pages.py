"""/integrations/worklist/: what a scanner would see now, and why it does not see an exam. And whether all is ready."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from pydicom import Dataset

from interop.dicom.preview import Answered, ask, caller_for, joined, newcomer, peer_called, question, why_not
from interop.dicom.readiness import BROKEN, check_readiness
from interop.models import DicomPeer
from interop.permissions import MANAGE_INTERFACES, VIEW_INTERFACES
from ris.accounts.web import ActorRequest, page
from worklist.models import Station
from worklist.models.rooms import ae_title_validator
from worklist.permissions import VIEW_STEP

LOOK = (VIEW_INTERFACES, VIEW_STEP)
TODAY, ANY, OWN, ALL = "today", "any", "own", "all"
DATES = ((TODAY, gettext_lazy("Today")), (ANY, gettext_lazy("Any day")), ("day", gettext_lazy("A day")))
STATIONS = ((OWN, gettext_lazy("Its own AE title")), (ALL, gettext_lazy("Any station")))


class AskForm(forms.Form):
    """The query as the scanner sends it."""

    ae_title = forms.CharField(
        label=gettext_lazy("AE title of the scanner"), max_length=16, validators=[ae_title_validator]
    )
    station = forms.ChoiceField(label=gettext_lazy("Asks for"), choices=STATIONS, initial=OWN, required=False)
    modality = forms.CharField(label=gettext_lazy("Modality"), max_length=4, required=False)
    dates = forms.ChoiceField(label=gettext_lazy("Date"), choices=DATES, initial=TODAY, required=False)
    day = forms.DateField(
        label=gettext_lazy("Day"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    missing = forms.CharField(
        label=gettext_lazy("Why not this accession number?"), max_length=16, required=False,
        help_text=gettext_lazy("Says what keeps an exam from the answer."),
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["ae_title"].widget.attrs |= {"list": "titles", "autocomplete": "off", "spellcheck": "false"}

    def keys(self) -> Dataset:
        data = self.cleaned_data
        chosen = data["day"] if data["dates"] == "day" else None
        date = {TODAY: f"{timezone.localdate():%Y%m%d}", ANY: ""}.get(data["dates"] or TODAY, "")
        station = "" if data["station"] == ALL else data["ae_title"]
        return question(station=station, modality=data["modality"].upper(), date=f"{chosen:%Y%m%d}" if chosen else date)


@never_cache
@page(LOOK)
def worklist_preview(request: ActorRequest) -> HttpResponse:
    form = AskForm(request.POST if request.method == "POST" else None, initial=_first(request))
    context: dict[str, Any] = {
        "nav": "integrations",
        "form": form,
        "titles": _titles(),
        "sees_patients": request.actor.may(VIEW_STEP),
        "may_look": request.actor.may(VIEW_INTERFACES),
        "may_manage": request.actor.may(MANAGE_INTERFACES),
    }
    if request.method == "POST" and form.is_valid():
        context |= _answered(form, request)
    return render(request, "interop/dicom/preview.html", context)


def _first(request: HttpRequest) -> dict[str, str]:
    return {"ae_title": request.GET.get("ae_title", "")[:16], "station": OWN, "dates": TODAY}


def _titles() -> list[str]:
    peers = DicomPeer.objects.exclude(ae_title__regex=r"[*?]").values_list("ae_title", flat=True)
    return sorted({*peers, *Station.objects.filter(is_active=True).values_list("ae_title", flat=True)})


def _answered(form: AskForm, request: ActorRequest) -> dict[str, Any]:
    title = form.cleaned_data["ae_title"]
    peer = peer_called(title)
    caller = caller_for(peer or newcomer(title), title)
    keys = form.keys()
    answer: Answered = ask(keys, caller=caller, actor=request.actor)
    wanted = form.cleaned_data["missing"].strip()
    return {
        "title": title,
        "peer": peer,
        "answer": answer,
        "refused": _refusal(answer),
        "asked": [(name, value) for name, value in _asked(keys) if value],
        "missing": wanted,
        "reasons": why_not(wanted, keys, caller=caller, actor=request.actor) if wanted else None,
    }


def _refusal(answer: Answered) -> str:
    if answer.status == 0:
        return ""
    return _("The query is refused with status %(status)s. %(comment)s") % {
        "status": answer.status_text,
        "comment": answer.comment,
    }


def _asked(keys: Dataset) -> list[tuple[str, str]]:
    """The matching keys, by their names in the data dictionary."""
    inner = keys.ScheduledProcedureStepSequence[0]
    return [
        (f"({element.tag.group:04X},{element.tag.element:04X}) {element.name}", joined(element.value))
        for part in (inner, keys)
        for element in part
        if element.VR != "SQ" and element.keyword != "SpecificCharacterSet"
    ]


@never_cache
@page(MANAGE_INTERFACES)
def readiness(request: ActorRequest) -> HttpResponse:
    """/integrations/readiness/: nothing is called before somebody presses the button."""
    findings = check_readiness(actor=request.actor) if request.method == "POST" else None
    broken = sum(row.level == BROKEN for row in findings or ())
    context = {"nav": "integrations", "findings": findings, "broken": broken}
    return render(request, "interop/dicom/readiness.html", context)


urlpatterns = [
    path("integrations/worklist/", worklist_preview, name="worklist_preview"),
    path("integrations/readiness/", readiness, name="dicom_readiness"),
]
