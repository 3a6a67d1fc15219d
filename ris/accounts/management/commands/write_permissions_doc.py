"""``manage.py write_permissions_doc``: docs/permissions.md, from the declarations in the code."""

from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import translation

from ris.accounts.matrix import permissions_document


class Command(BaseCommand):
    help = "Write docs/permissions.md; --check only says whether it is up to date."

    def add_arguments(self, parser):
        parser.add_argument("--check", action="store_true")

    def handle(self, *args, **options):
        path = Path(settings.BASE_DIR) / "docs" / "permissions.md"
        with translation.override("en"):
            text = permissions_document()
        if options["check"]:
            if not path.is_file() or path.read_text() != text:
                self.stderr.write("docs/permissions.md is not what the code says: run manage.py write_permissions_doc.")
                raise SystemExit(1)
            return
        path.write_text(text)
        self.stdout.write(str(path))
