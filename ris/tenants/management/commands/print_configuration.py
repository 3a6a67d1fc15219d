"""``manage.py print_configuration``: docs/configuration.md, made from the declarations in ris/settings.py."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from ris.config import as_markdown


class Command(BaseCommand):
    help = "Print every setting as Markdown."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(as_markdown(settings.CONFIGURATION), ending="")
