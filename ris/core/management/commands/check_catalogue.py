"""``manage.py check_catalogue``: every word of the product is there in every language, and fits where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ris.core import catalogue, field_names


class Command(BaseCommand):
    help = "Check the translations: nothing missing, empty, fuzzy or unused; placeholders kept; the .mo up to date."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        languages = [language for language, _ in settings.LANGUAGES if language != "en"]
        problems: list[str] = []
        for language in languages:
            folder = Path(settings.LOCALE_PATHS[0]) / language / "LC_MESSAGES"
            problems += catalogue.problems_in(settings.BASE_DIR, folder, field_names.words)
        if problems:
            raise CommandError("\n".join([*problems, "Put right with: manage.py make_catalogue, then translate."]))
        self.stdout.write(f"{', '.join(languages)}: complete.")
