"""What the commands that play a scanner have in common: where to call, and under which name."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from interop.dicom.emulated_images import IMAGE_CLASSES
from interop.dicom.emulator import ModalityEmulator
from interop.dicom.scu import CallFailed
from ris.accounts.commands import FacilityCommand
from ris.tenants.context import require_facility
from worklist.models import Station


class ScannerCommand(FacilityCommand):
    """Override ``play``; a call that fails ends the command with words and a non-zero status."""

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--ae-title", required=True, help="The scanner's own AE title.")
        parser.add_argument("--called", default="", help="Default: the facility's AE title.")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=settings.RIS_DICOM_PORT)
        parser.add_argument("--modality", default="", help=f"{', '.join(IMAGE_CLASSES)}; default: the station's.")
        self.add_more(parser)

    def add_more(self, parser: CommandParser) -> None:
        """What this command takes besides."""

    @abc.abstractmethod
    def play(self, scanner: ModalityEmulator, **options: Any) -> Any:
        """Speak to the house as that scanner; the answer is printed."""

    def run(self, **options: Any) -> Any:
        title = options["ae_title"]
        station = Station.objects.filter(ae_title=title).first()
        scanner = ModalityEmulator(
            title,
            options["called"] or require_facility().ae_title,
            options["host"],
            options["port"],
            modality=options["modality"] or (station.modality if station else "CT"),
        )
        return reachable(lambda: self.play(scanner, **options))


def reachable(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except CallFailed as failed:
        raise CommandError(str(failed)) from None
