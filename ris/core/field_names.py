"""The names that Django makes from attributes ("accession number"), and help texts: said through gettext like the rest.

Writing ``verbose_name=_("accession number")`` on every field would say each thing twice. Migrations do not see it: they
ask for what was given to the field, not for what it is called.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.db.models import Field
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

PACKAGES = ("ris", "orders", "worklist", "reporting", "dose", "peerreview", "interop")
#: What the code does not say in a call of gettext, for the catalogue.
words: set[str] = set()


def fields() -> Iterator[Field]:
    for model in apps.get_models():
        if model.__module__.partition(".")[0] in PACKAGES:
            yield from (*model._meta.local_fields, *model._meta.local_many_to_many)


def translate_field_names() -> None:
    """Once, when all models are loaded."""
    for field in fields():
        for attribute in ("verbose_name", "help_text"):
            text = getattr(field, attribute)
            if text and not isinstance(text, Promise):
                words.add(text)
                setattr(field, attribute, gettext_lazy(text))
