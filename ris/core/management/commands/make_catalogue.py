"""``manage.py make_catalogue``: bring the .po files up to the code, and the .mo files up to them.

Translations stay, new messages come in empty, unused ones go. Translate the empty ones, and call it again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from ris.core import catalogue, field_names


class Command(BaseCommand):
    help = "Bring the catalogues of translations up to the code."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        messages = catalogue.messages_in(settings.BASE_DIR, field_names.words)
        for language, _ in settings.LANGUAGES:
            if language == "en":
                continue
            folder = Path(settings.LOCALE_PATHS[0]) / language / "LC_MESSAGES"
            folder.mkdir(parents=True, exist_ok=True)
            po = folder / "django.po"
            entries = catalogue.merge(messages, catalogue.read_po(po) if po.is_file() else [])
            po.write_text(catalogue.write_po(entries, language))
            (folder / "django.mo").write_bytes(catalogue.compile_mo(entries, language))
            empty = sum(entry.is_empty or entry.is_fuzzy for entry in entries)
            self.stdout.write(f"{language}: {len(entries)} messages, {empty} to translate.")
