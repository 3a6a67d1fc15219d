"""``manage.py walk``: one exam through the running demo, played by its real counterparts. Repeatable."""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from interop.demo.walk import House, NotAsItShouldBe, Walk
from interop.dicom.emulator import ModalityEmulator
from interop.hl7 import services as hl7
from interop.hl7.receiver import Receiver
from interop.models import Hl7Destination
from reporting.models import DeliveryChannel, DeliveryRule
from ris.core.actor import Actor
from ris.tenants.context import use_facility

DESTINATION = "walk"


class Command(BaseCommand):
    help = "Play one exam against the running demo; stops at the first thing that is not as it should be."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--facility", default="demo")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--http-port", type=int, default=settings.RIS_HTTP_PORT)
        parser.add_argument("--dicom-port", type=int, default=settings.RIS_DICOM_PORT)
        parser.add_argument("--host-name", default="localhost", help="The facility's host name.")
        parser.add_argument("--called", default="RIS", help="The facility's AE title.")

    def handle(self, *args: Any, **options: Any) -> None:
        password = settings.RIS_DEMO_PASSWORD
        if not password:
            sys.exit("RIS_DEMO_PASSWORD is not known: start the demo first (make demo); it writes .ris/env.")
        host, port = options["host"], options["http_port"]
        house = House(
            f"http://{host}:{port}",
            password,
            options["called"],
            options["dicom_port"],
            host_header=f"{options['host_name']}:{port}",
            say=self._say,
        )
        with Receiver() as receiver, use_facility(options["facility"]):
            self._connect(receiver.port)
            try:
                Walk(house, lambda title: self._scanner(title, house, host), Inbox(receiver)).run()
            except NotAsItShouldBe as failure:
                self.stderr.write(f"\nNot as it should be: {failure}")
                sys.exit(1)
            finally:
                self._disconnect()
        self._say("\nEverything was as it should be.")

    def _say(self, words: str) -> None:
        self.stdout.write(words)
        self.stdout.flush()

    @staticmethod
    def _scanner(title: str, house: House, host: str) -> ModalityEmulator:
        return ModalityEmulator(title, house.called_ae, host, house.dicom_port, size=256)

    @staticmethod
    def _connect(port: int) -> None:
        """Results go to our receiver while the walk lasts."""
        actor = Actor("command")
        hl7.add_destination(name=DESTINATION, host="127.0.0.1", port=port, messages=["ORU"], actor=actor)
        hl7.allow_host("127.0.0.1", actor=actor)
        DeliveryRule.objects.filter(channel=DeliveryChannel.HL7, destination=DESTINATION).update(
            includes_preliminary=True
        )

    @staticmethod
    def _disconnect() -> None:
        """Nobody waits for an acknowledgement of a receiver that is gone."""
        actor = Actor("command")
        for rule in DeliveryRule.objects.filter(channel=DeliveryChannel.HL7, destination=DESTINATION):
            rule.is_active = False
            rule.save_as(actor, "The walk has ended")
        for destination in Hl7Destination.objects.filter(name=DESTINATION):
            destination.is_active = False
            destination.save_as(actor, "The walk has ended")


class Inbox:
    """What the receiver has got, as text."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def messages(self) -> list[str]:
        return [row.message.text for row in list(self.receiver.received)]
