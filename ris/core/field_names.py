"""The names that Django makes ("accession number" of a field, "orders" of a model), said through gettext like the rest.

Writing ``verbose_name=_("accession number")`` on every field would say each thing twice. Migrations do not see it: they
ask for what was given to the field or the model, not for what it is called.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.db.models import Model
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, override

PACKAGES = ("ris", "orders", "worklist", "reporting", "dose", "peerreview", "interop")
#: What the code does not say in a call of gettext, for the catalogue.
words: set[str] = set()


def models() -> Iterator[type[Model]]:
    for model in apps.get_models():
        if model.__module__.partition(".")[0] in PACKAGES:
            yield model


def said(text: str) -> Promise:
    words.add(text)
    return gettext_lazy(text)


def translate_names() -> None:
    """Once, when all models are loaded. Django's plural is the singular and an "s", in whatever language that is."""
    for model in models():
        options = model._meta
        if "verbose_name_plural" not in options.original_attrs and isinstance(options.verbose_name, Promise):
            with override(None):
                options.verbose_name_plural = said(f"{options.verbose_name}s")
        for field in (*options.local_fields, *options.local_many_to_many):
            for attribute in ("verbose_name", "help_text"):
                text = getattr(field, attribute)
                if text and not isinstance(text, Promise):
                    setattr(field, attribute, said(text))
