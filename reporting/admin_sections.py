"""Sections of text as fields of a form in the administration."""

from __future__ import annotations

from typing import Any

from django import forms

from reporting.models import SECTIONS

SECTION_FIELDS = {key: f"section_{key}" for key in SECTIONS}


def section_fields(rows: int = 3) -> dict[str, forms.Field]:
    return {
        name: forms.CharField(
            label=SECTIONS[key][1],
            required=False,
            strip=False,
            widget=forms.Textarea(attrs={"rows": rows * 2 if key == "findings" else rows, "cols": 90}),
        )
        for key, name in SECTION_FIELDS.items()
    }


class SectionsFormMixin(forms.ModelForm):
    """A model form whose ``sections`` are one field each."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stored = self.instance.sections or {}
        for key, name in SECTION_FIELDS.items():
            if name in self.fields:
                self.fields[name].initial = stored.get(key, "")
        if "revision" in self.fields:
            self.fields["revision"].initial = getattr(self.instance, "revision", 0)


def sections_of(cleaned: dict[str, Any], *, filled_only: bool = False) -> dict[str, str]:
    found = {key: cleaned.pop(name, "") for key, name in SECTION_FIELDS.items()}
    return {key: words for key, words in found.items() if words.strip() or not filled_only}
