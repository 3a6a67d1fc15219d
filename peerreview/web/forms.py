from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from orders.models import Modality
from peerreview import permissions as perms
from peerreview.models import Score
from ris.accounts.models import User


class RoundForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=100)
    modality = forms.ChoiceField(label=_("Modality"), required=False, choices=[("", _("All")), *Modality.choices])
    signed_from = forms.DateField(label=_("Signed from"), widget=forms.DateInput(attrs={"type": "date"}))
    signed_until = forms.DateField(label=_("Signed until"), widget=forms.DateInput(attrs={"type": "date"}))
    percent = forms.IntegerField(label=_("Percent of each reader's reports"), min_value=1, max_value=100, initial=5)
    seed = forms.IntegerField(
        label=_("Seed"), min_value=0, initial=1, help_text=_("The same seed and reports give the same sample.")
    )
    due_on = forms.DateField(label=_("Due on"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    reviewers = forms.ModelMultipleChoiceField(label=_("Reviewers"), queryset=User.objects.none())

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        able = [
            person.pk
            for person in User.objects.filter(is_active=True, is_service=False).prefetch_related("roles")
            if person.may(perms.SCORE_CASE)
        ]
        self.fields["reviewers"].queryset = User.objects.filter(pk__in=able)


class ScoreForm(forms.Form):
    score = forms.ChoiceField(label=_("Score"), choices=Score.choices, widget=forms.RadioSelect)
    comment = forms.CharField(
        label=_("Comment"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("Needed for 2b, 3a and 3b."),
    )
