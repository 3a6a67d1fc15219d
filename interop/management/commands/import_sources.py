"""``manage.py import_sources FILE``: sources out of our own export, or out of a configuration of Pylantir."""

import json
import os
from pathlib import Path

from django.core.management.base import CommandError

from interop.hl7.services import allow_host
from interop.sources.importing import import_sources
from interop.sources.services import host_of
from ris.accounts.commands import FacilityCommand

#: What Pylantir keeps in its environment; a site's own token stands under REDCAP_API_TOKEN_<SITE>.
VARIABLES = ("REDCAP_API_URL", "REDCAP_API_TOKEN", "CALPENDO_USERNAME", "CALPENDO_PASSWORD")


class Command(FacilityCommand):
    help = "Make the sources of a JSON file. Credentials are taken from the environment, as Pylantir has them."

    def add_options(self, parser):
        parser.add_argument("file", metavar="FILE")
        parser.add_argument("--replace", action="store_true", help="Change sources that have the same name.")
        parser.add_argument("--off", action="store_true", help="Leave them switched off, to be looked at first.")

    def run(self, **options):
        try:
            document = json.loads(Path(options["file"]).read_text("utf-8-sig"))
        except OSError as problem:
            raise CommandError(f"{options['file']} cannot be read: {problem.strerror}.") from None
        except ValueError:
            raise CommandError(f"{options['file']} is no JSON.") from None
        environment = {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)}
        done = import_sources(
            document,
            environment=environment,
            replaces=options["replace"],
            is_active=False if options["off"] else None,
            actor=self.actor,
        )
        return {"sources": [self._told(one) for one in done]}

    def _told(self, imported):
        source = imported.source
        host = host_of(source)
        if host and not host.endswith(".invalid"):
            allow_host(host, actor=self.actor)
        return {
            "name": source.name,
            "uuid": str(source.uuid),
            "kind": source.kind,
            "is_active": source.is_active,
            "created": imported.is_new,
            "notes": list(imported.notes),
        }
