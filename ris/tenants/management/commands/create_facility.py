"""``manage.py create_facility``: a facility, its doors and its schema, cloned from the template."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ris.core.errors import DomainError
from ris.tenants.context import use_facility
from ris.tenants.services import LOOPBACK, FacilityRequest, create_facility


class Command(BaseCommand):
    help = "Make a facility; answers JSON. Repeating it reports what is there and adds the doors that are missing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--schema", required=True, help="Lower-case name: the facility's schema and its name here.")
        parser.add_argument("--name", required=True)
        parser.add_argument("--short-name", default="")
        parser.add_argument("--domain", action="append", required=True, help="Host name; may be given several times.")
        parser.add_argument("--ae-title", required=True)
        parser.add_argument("--time-zone", default="Africa/Nairobi")
        parser.add_argument("--language", default="en", choices=["en", "sw"])
        parser.add_argument("--mllp", action="append", default=[], metavar="MSH-5|MSH-6", help="HL7 receiver.")
        parser.add_argument(
            "--allow",
            action="append",
            default=[],
            metavar="CIDR",
            help="From where AE title and receivers may be used. Default: this machine.",
        )
        parser.add_argument("--admin", default="", help="User name of the first administrator.")

    def handle(self, *args: Any, **options: Any) -> None:
        receivers = [tuple(pair.split("|", 1)) for pair in options["mllp"]]
        if any(len(pair) != 2 for pair in receivers):
            raise CommandError("--mllp takes MSH-5 and MSH-6 with a bar between them, for example 'RIS|DEMO'.")
        request = FacilityRequest(
            schema=options["schema"],
            name=options["name"],
            short_name=options["short_name"],
            ae_title=options["ae_title"],
            domains=tuple(options["domain"]),
            time_zone=options["time_zone"],
            language=options["language"],
            receivers=tuple((pair[0], pair[1]) for pair in receivers),
            allowed_addresses=tuple(options["allow"]) or LOOPBACK,
        )
        try:
            facility, created = create_facility(request)
        except ValidationError as refusal:
            raise CommandError("; ".join(refusal.messages)) from None
        except DomainError as refusal:
            raise CommandError(str(refusal)) from None
        answer: dict[str, Any] = {
            "facility": facility.schema_name,
            "uuid": str(facility.uuid),
            "name": facility.name,
            "ae_title": facility.ae_title,
            "domains": sorted(facility.domains.values_list("domain", flat=True)),
            "created": created,
        }
        if options["admin"]:
            answer["admin"] = self._first_administrator(facility.schema_name, options["admin"])
        self.stdout.write(json.dumps(answer))

    def _first_administrator(self, schema: str, username: str) -> Any:
        """People belong to ris.accounts, which stands above: its command does it."""
        if "create_user" not in get_commands():
            raise CommandError("This installation has no command create_user.")
        with use_facility(schema):
            answer = call_command(
                "create_user", facility=schema, username=username, roles=["it_admin"], stdout=StringIO()
            )
            return json.loads(answer)
