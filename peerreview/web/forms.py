from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import prefetch_related_objects
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from orders.models import Modality
from peerreview import permissions as perms
from peerreview.models import Category, Impact, Mode, ReviewCase, Scale, ScaleGrade, Score
from peerreview.services.cases import may_review
from peerreview.services.telling import SIGNATURES
from reporting.models import CriticalCategory, Report
from ris.accounts.models import Site, User
from ris.core.actor import Actor

DATE = forms.DateInput(attrs={"type": "date"})


def able_to_score() -> list[User]:
    people = User.objects.filter(is_active=True, is_service=False).prefetch_related("roles")
    return [person for person in people if person.may(perms.SCORE_CASE)]


class RoundForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=100)
    mode = forms.ChoiceField(
        label=_("How cases are drawn"),
        choices=[choice for choice in Mode.choices if choice[0] != Mode.IMPORTED],
        initial=Mode.RANDOM,
    )
    signed_from = forms.DateField(label=_("Signed from"), widget=DATE)
    signed_until = forms.DateField(label=_("Signed until"), widget=DATE)
    due_on = forms.DateField(label=_("Due on"), required=False, widget=DATE)
    modality = forms.ChoiceField(label=_("Modality"), required=False, choices=[("", _("All")), *Modality.choices])
    body_region = forms.CharField(label=_("Body region"), required=False, max_length=40)
    site = forms.ModelChoiceField(label=_("Site"), required=False, queryset=Site.objects.none(), empty_label=_("All"))
    percent = forms.IntegerField(label=_("Percent of each reader's reports"), min_value=1, max_value=100, initial=5)
    per_reader = forms.IntegerField(
        label=_("Reports per reader"),
        required=False,
        min_value=1,
        max_value=1000,
        help_text=_("Instead of a percentage."),
    )
    seed = forms.IntegerField(
        label=_("Seed"), min_value=0, initial=1, help_text=_("The same seed and reports give the same sample.")
    )
    exclude_days = forms.IntegerField(label=_("Not the last days"), min_value=0, max_value=365, initial=7)
    weights = forms.CharField(
        label=_("Weights"),
        required=False,
        help_text=_("Modalities that are drawn more often: CT 3, MR 2."),
    )
    scale = forms.ChoiceField(label=_("Scale"), choices=Scale.choices, initial=Scale.RADPEER)
    double_blind = forms.BooleanField(
        label=_("Double-blind: the report is shown after the reviewer's own impression"), required=False
    )
    same_competence = forms.BooleanField(
        label=_("Only reviewers of the reading group that the exam belongs to"), required=False, initial=True
    )
    reviewers = forms.ModelMultipleChoiceField(label=_("Reviewers"), queryset=User.objects.none())
    readers = forms.ModelMultipleChoiceField(
        label=_("Whose reports"), required=False, queryset=User.objects.none(), help_text=_("None chosen: everybody's.")
    )
    targets = forms.CharField(
        label=_("Chosen reports"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Accession numbers, for the mode of that name."),
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.actor = actor
        able = User.objects.filter(pk__in=[person.pk for person in able_to_score()])
        self.fields["reviewers"].queryset = self.fields["readers"].queryset = able
        self.fields["site"].queryset = Site.objects.filter(is_active=True)

    def clean_weights(self) -> dict[str, float]:
        weights = {}
        for part in filter(None, (piece.strip() for piece in self.cleaned_data["weights"].split(","))):
            code, _space, number = part.partition(" ")
            try:
                weights[code.upper()] = float(number)
            except ValueError:
                raise forms.ValidationError(_now("Write them as: CT 3, MR 2.")) from None
            if code.upper() not in Modality.values:
                raise forms.ValidationError(_now("There is no modality %(code)s.") % {"code": code})
        return weights

    def clean_targets(self) -> list[Report]:
        numbers = set(self.cleaned_data["targets"].replace(",", " ").split())
        rows = Report.objects.visible_to(self.actor).filter(procedures__accession_number__in=numbers)
        found = list(rows.filter(signed_at__isnull=False).prefetch_related("procedures"))
        known = {exam.accession_number for report in found for exam in report.procedures.all()}
        if missing := sorted(numbers - known):
            raise forms.ValidationError(_now("No signed report of: %(numbers)s") % {"numbers": ", ".join(missing)})
        return found


class ImpressionForm(forms.Form):
    own_impression = forms.CharField(
        label=_("Your own impression"), widget=forms.Textarea(attrs={"rows": 5, "maxlength": 4000}), max_length=4000
    )


class ScoreForm(forms.Form):
    score = forms.ChoiceField(label=_("Score"), choices=Score.choices, widget=forms.RadioSelect)
    comment = forms.CharField(
        label=_("Comment"),
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("Needed for 2b, 3a and 3b."),
    )
    category = forms.ChoiceField(
        label=_("Kind"), required=False, choices=[("", "–"), *Category.choices], widget=forms.RadioSelect
    )
    is_to_learn = forms.BooleanField(label=_("Good for the learning conference"), required=False)

    def __init__(self, *args: Any, case: ReviewCase | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if case is not None and case.round is not None and case.round.scale == Scale.SITE:
            del self.fields["score"]
            grades = [(row.code, str(row)) for row in ScaleGrade.objects.filter(is_active=True)]
            grade = forms.ChoiceField(label=_("Score"), choices=grades, widget=forms.RadioSelect)
            self.fields = {"grade": grade, **self.fields}


class ArbitrationForm(ScoreForm):
    is_to_learn = None  # the reviewer says it
    impact = forms.ChoiceField(label=_("Clinical impact"), choices=Impact.choices, initial=Impact.UNKNOWN)
    critical_category = forms.TypedChoiceField(
        label=_("Critical result with the addendum"),
        required=False,
        coerce=int,
        empty_value=None,
        choices=[("", _("None")), *CriticalCategory.choices],
    )


class ReassignForm(forms.Form):
    reviewer = forms.ModelChoiceField(label=_("To"), queryset=User.objects.none())
    reason = forms.CharField(label=_("Reason"), max_length=200)

    def __init__(self, *args: Any, case: ReviewCase | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = able_to_score()
        if case is not None:
            prefetch_related_objects([case], SIGNATURES)
            strict = bool(case.round and case.round.same_competence)
            people = [
                person
                for person in people
                if person.pk != case.reviewer_id and may_review(person, case.report_version, strict)
            ]
        self.fields["reviewer"].queryset = User.objects.filter(pk__in=[person.pk for person in people])


class ResolveForm(forms.Form):
    resolution = forms.CharField(label=_("How it ended"), max_length=500, widget=forms.Textarea(attrs={"rows": 3}))
    impact = forms.ChoiceField(label=_("Clinical impact"), choices=Impact.choices)
