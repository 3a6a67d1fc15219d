"""``manage.py print_conformance``: docs/dicom-conformance.md, made from the handlers, rows, settings and tables."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from interop.dicom.conformance import document


class Command(BaseCommand):
    help = "Print the DICOM conformance statement as Markdown."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(document(), ending="")
