"""A round that runs: due date, reminders, swaps, the order of a conference; and scores of another system."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from peerreview import permissions as perms
from peerreview import selectors, services
from peerreview.models import Mode, ReviewCase
from peerreview.web.forms import DATE
from peerreview.web.views import add_errors, found
from ris.accounts.web import page
from ris.audit.service import record_read
from ris.core.errors import InvalidData

MOST_BYTES = 2 * 1024 * 1024


class DueForm(forms.Form):
    due_on = forms.DateField(label=gettext_lazy("Due on"), required=False, widget=DATE)


class ImportForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name of the round"), max_length=100)
    file = forms.FileField(label=gettext_lazy("CSV file"), required=False)
    table = forms.CharField(
        label=gettext_lazy("Or the table itself"), required=False, widget=forms.Textarea(attrs={"rows": 6})
    )
    without_letter = forms.ChoiceField(
        label=gettext_lazy("A score without a letter"),
        required=False,
        choices=[
            ("", gettext_lazy("is not imported")),
            ("a", gettext_lazy("counts as a, unlikely significant")),
            ("b", gettext_lazy("counts as b, likely significant")),
        ],
    )

    def clean_file(self) -> str:
        given = self.cleaned_data.get("file")
        if not given:
            return ""
        if given.size > MOST_BYTES:
            raise forms.ValidationError(_("The file is too large."))
        try:
            return given.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise forms.ValidationError(_("Save the table as UTF-8.")) from None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        data["table"] = data.get("file") or data.get("table", "")
        if not data["table"] and not self.errors:
            self.add_error("file", _("Choose a file, or put the table below."))
        return data


@require_POST
@page(perms.MANAGE_ROUND)
def round_due(request: HttpRequest, uuid) -> HttpResponse:
    row = found(selectors.rounds(actor=request.actor), uuid)
    form = DueForm(request.POST)
    if not form.is_valid():
        raise InvalidData(_("The due date cannot be this."), errors={"due_on": _("Write a day.")})
    services.change_due(row, due_on=form.cleaned_data["due_on"], actor=request.actor)
    messages.success(request, _("The due date is changed; reviewers are reminded before it."))
    return redirect("review_round", uuid=uuid)


@require_POST
@page(perms.MANAGE_ROUND)
def round_remind(request: HttpRequest, uuid) -> HttpResponse:
    services.remind_reviewers(found(selectors.rounds(actor=request.actor), uuid), actor=request.actor)
    messages.success(request, _("Everybody whose cases wait is reminded, once a day at most."))
    return redirect("review_round", uuid=uuid)


def _conference_cases(request: HttpRequest, review_round: Any) -> QuerySet[ReviewCase]:
    return selectors.cases(actor=request.actor).filter(round=review_round).order_by("position", "pk")


@never_cache
@require_GET
@page(perms.VIEW_ROUND)
def round_conference(request: HttpRequest, uuid) -> HttpResponse:
    """The cases of a conference round in their order, for the lead and for whoever presents them. Blinded."""
    row = found(selectors.rounds(actor=request.actor).filter(mode=Mode.CONFERENCE), uuid)
    cases = list(_conference_cases(request, row))
    record_read(request.actor, perms.VIEW_ROUND, patients={case.audit_patient for case in cases if case.audit_patient})
    context = {
        "nav": "peer_review",
        "round": row,
        "cases": cases,
        "discussed": sum(case.discussed_at is not None for case in cases),
    }
    return render(request, "peerreview/round_conference.html", context)


ACTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "up": (services.move_case, {"up": True}),
    "down": (services.move_case, {"up": False}),
    "discussed": (services.tick_case, {"discussed": True}),
    "not_discussed": (services.tick_case, {"discussed": False}),
}


@require_POST
@page(perms.VIEW_ROUND)
def case_act(request: HttpRequest, uuid) -> HttpResponse:
    """``do`` in a conference round: up, down, discussed, not_discussed."""
    case = found(selectors.cases(actor=request.actor), uuid)
    act = ACTS.get(request.POST.get("do", ""))
    if act is None:
        raise InvalidData(_("There is no such act."), errors={"do": _("Choose one of the buttons.")})
    act[0](case, **act[1], actor=request.actor)
    return redirect("review_round_conference", uuid=case.round.uuid)


@require_POST
@page(perms.VIEW_ROUND)
def case_swap(request: HttpRequest, uuid) -> HttpResponse:
    """Not my field: another report of the round for this one."""
    case = found(selectors.cases(actor=request.actor), uuid)
    case = services.swap_case(case, reason=request.POST.get("reason", ""), actor=request.actor)
    messages.success(request, _("Another report of the round stands in its place."))
    if case.reviewer_id != request.user.pk:
        return redirect("review_round", uuid=case.round.uuid)
    if request.POST.get("back") == "conference":
        return redirect("review_round_conference", uuid=case.round.uuid)
    return redirect("review_case", uuid=uuid)


@never_cache
@require_GET
@page((perms.SCORE_CASE, perms.ARBITRATE_CASE))
def case_images(request: HttpRequest, uuid) -> HttpResponse:
    """The pictures alone, as large as the window: no name, number, author, date or site."""
    mine = selectors.my_cases(actor=request.actor).filter(uuid=uuid).first()
    case = mine or found(selectors.to_arbitrate(actor=request.actor), uuid)
    record_read(request.actor, perms.SCORE_CASE, entity=case)
    return render(request, "peerreview/case_images.html", {"nav": "peer_review", "case": case})


@never_cache
@require_http_methods(["GET", "POST"])
@page(perms.MANAGE_ROUND)
def scores_import(request: HttpRequest) -> HttpResponse:
    """Looked at first; what is good is imported when the second button is pressed."""
    form = ImportForm(request.POST or None, request.FILES or None)
    context: dict[str, Any] = {"nav": "peer_review", "form": form}
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            if "go" in request.POST:
                row = services.import_scores(
                    data["table"], name=data["name"], without_letter=data["without_letter"], actor=request.actor
                )
                messages.success(request, _("The scores are imported."))
                return redirect("review_round", uuid=row.uuid)
            rows = services.read_scores(data["table"], without_letter=data["without_letter"], actor=request.actor)
        except InvalidData as refusal:
            add_errors(form, refusal)
        else:
            good = sum(row.is_good for row in rows)
            context |= {"rows": rows[:ROWS_SHOWN], "good": good, "bad": len(rows) - good, "table": data["table"]}
    return render(request, "peerreview/scores_import.html", context, status=400 if form.errors else 200)


ROWS_SHOWN = 500
