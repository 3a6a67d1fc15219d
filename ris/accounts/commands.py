"""Commands that work for one facility: ``--facility SCHEMA``, answers in JSON, refusals in words."""

from __future__ import annotations

import abc
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ris.core.actor import Actor
from ris.core.errors import DomainError
from ris.tenants.context import use_facility

COMMAND = Actor("command")


class FacilityCommand(BaseCommand, abc.ABC):
    """Override ``add_options`` and ``run``; what ``run`` answers is printed as one JSON document."""

    actor = COMMAND

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--facility", required=True, metavar="SCHEMA", help="The facility to work for.")
        self.add_options(parser)

    def add_options(self, parser: CommandParser) -> None:
        """What this command takes besides."""

    @abc.abstractmethod
    def run(self, **options: Any) -> Any:
        """Do it; the answer goes to the standard output."""

    def handle(self, *args: Any, **options: Any) -> str:
        try:
            with use_facility(options["facility"]):
                return json.dumps(self.run(**options), default=str)
        except DomainError as refusal:
            details = "; ".join(f"{field}: {message}" for field, message in refusal.errors.items())
            raise CommandError(f"{refusal.detail} {refusal.todo} {details}".strip()) from None
