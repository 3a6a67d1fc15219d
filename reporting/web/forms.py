"""What people type about reports and critical results. Services decide; these only read."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from reporting.models import SECTIONS
from reporting.parts import is_part

CHANNELS = [
    ("phone", _("Phone")),
    ("in_person", _("In person")),
    ("sms", _("SMS")),
    ("email", _("E-mail")),
    ("page", _("Pager")),
]


class ContactForm(forms.Form):
    person = forms.CharField(label=_("Who took it"), max_length=120)
    channel = forms.ChoiceField(label=_("How"), choices=CHANNELS, widget=forms.RadioSelect, initial="phone")
    read_back = forms.BooleanField(label=_("Read back and correct"), required=False)
    acknowledges = forms.BooleanField(label=_("Acknowledges it and acts on it"), required=False)
    duty = forms.CharField(label=_("As"), max_length=80, required=False)
    note = forms.CharField(label=_("Note"), max_length=200, required=False)


class ReasonForm(forms.Form):
    reason = forms.CharField(label=_("Reason"), max_length=200)


def posted_sections(data: Any) -> dict[str, str]:
    """The sections that a form sent; those it did not send stay as they are."""
    names = (name.removeprefix("section-") for name in data if name.startswith("section-"))
    return {key: data[f"section-{key}"] for key in names if key in SECTIONS or is_part(key)}


def posted_revision(data: Any) -> int | None:
    value = data.get("revision", "")
    return int(value) if value.isdecimal() and len(value) < 10 else None
