"""Invented material for the component sheet; the people and numbers exist nowhere."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ris.core import vocabulary

TONES = ("slate", "blue", "teal", "violet", "indigo", "amber", "orange", "green", "red")


class SampleForm(forms.Form):
    """One field of every kind."""

    family_name = forms.CharField(label=gettext_lazy("Family name"), max_length=64)
    birth_date = forms.DateField(
        label=gettext_lazy("Birth date"), help_text=gettext_lazy("Unknown? Give the year alone."), required=False
    )
    sex = forms.ChoiceField(
        label=gettext_lazy("Sex"),
        widget=forms.RadioSelect,
        choices=[
            ("F", gettext_lazy("Female")),
            ("M", gettext_lazy("Male")),
            ("O", gettext_lazy("Other")),
            ("U", gettext_lazy("Unknown")),
        ],
    )
    isolation = forms.ChoiceField(
        label=gettext_lazy("Isolation"),
        choices=[("", gettext_lazy("None")), ("contact", gettext_lazy("Contact"))],
        required=False,
    )
    flags = forms.MultipleChoiceField(
        label=gettext_lazy("Comes by"),
        widget=forms.CheckboxSelectMultiple,
        choices=[("wheelchair", gettext_lazy("Wheelchair")), ("bed", gettext_lazy("Bed"))],
        required=False,
    )
    question = forms.CharField(label=gettext_lazy("Clinical question"), widget=forms.Textarea(attrs={"rows": 2}))
    consent = forms.BooleanField(label=gettext_lazy("SMS agreed today"), required=False)


def _patients() -> list[SimpleNamespace]:
    return [
        SimpleNamespace(
            family_name="Otieno",
            given_name="Achieng Grace",
            sex="F",
            birth_date=dt.date(1990, 3, 14),
            primary_identifier=SimpleNamespace(value="ZRH-0048213", issuer="ZRH"),
            alerts=[
                ("red", "flask", _("Allergy: iodinated contrast")),
                ("green", "check", _("Not pregnant, asked 10:06")),
                ("slate", "droplet", "eGFR 88 · 12 Nov"),
            ],
        ),
        SimpleNamespace(
            family_name="Emerg",
            given_name="Blue-Heron",
            sex="",
            birth_date=None,
            age=40,
            primary_identifier="TMP-20261119-03",
            alerts=[
                ("amber", "alert-triangle", _("Identity not confirmed")),
                ("orange", "shield-lock", _("Contact isolation")),
            ],
        ),
    ]


def sheet() -> dict[str, Any]:
    """Everything that templates/components/styleguide.html shows."""
    now = timezone.now()
    bound = SampleForm({"family_name": "", "birth_date": "soon", "sex": "F", "question": ""})
    rows = [
        {
            "left": -12,
            "total": 60,
            "priority": "STAT",
            "patient": _patients()[1],
            "exam": "CT head",
            "status": "reading",
        },
        {
            "left": 18,
            "total": 60,
            "priority": "urgent",
            "patient": _patients()[0],
            "exam": "CT pulmonary angiogram",
            "status": "ready_to_read",
        },
        {
            "left": 100,
            "total": 160,
            "priority": "routine",
            "patient": _patients()[0],
            "exam": "MR knee",
            "status": "preliminary",
        },
    ]
    return {
        "statuses": list(vocabulary.STATUS),
        "since": SimpleNamespace(
            status="reading", status_changed_at=now - dt.timedelta(minutes=18), status_changed_by="Dr J. Mutua"
        ),
        "priorities": ["STAT", "urgent", "asap", "routine"],
        "verdicts": list(vocabulary.VERDICT),
        "tones": TONES,
        "patients": _patients(),
        "form": SampleForm(),
        "bound": bound,
        "rows": rows,
        "modalities": [("CT", "CT"), ("MR", "MR"), ("US", "US")],
        "views": [("", _("Day, all rooms")), ("week", _("Week, one room")), ("table", _("Table"))],
        "moments": [
            now - dt.timedelta(minutes=18),
            now + dt.timedelta(hours=3),
            now - dt.timedelta(days=9),
            now - dt.timedelta(days=170),
        ],
        "numbers": [1110, 3482, 8.4, -8],
    }
