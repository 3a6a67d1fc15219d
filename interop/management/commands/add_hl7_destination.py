"""``manage.py add_hl7_destination``: where HL7 messages go."""

import json

from interop.hl7 import services
from interop.hl7.charsets import CODECS
from interop.hl7.outbound.envelope import VERSIONS
from interop.models import AcknowledgementMode, Hl7Destination
from interop.models.messages import TestMessage
from ris.accounts.commands import FacilityCommand


class Command(FacilityCommand):
    help = "Add an HL7 destination, or bring the one of this name to what is asked; ORU: final reports go there."

    def add_options(self, parser):
        parser.add_argument("--name", required=True)
        parser.add_argument("--host", required=True)
        parser.add_argument("--port", type=int, required=True)
        parser.add_argument(
            "--messages", nargs="+", required=True, metavar="TYPE", help="ORU, ORM, OMI, OMG, ORR, SIU, ADT, DFT, *"
        )
        parser.add_argument("--application", default="", metavar="MSH-5")
        parser.add_argument("--facility-name", default="", metavar="MSH-6")
        parser.add_argument("--hl7-version", default="2.5.1", choices=VERSIONS)
        parser.add_argument("--character-set", default="UNICODE UTF-8", choices=sorted(CODECS), metavar="MSH-18")
        parser.add_argument("--tls", action="store_true")
        parser.add_argument("--pdf", action="store_true", help="With the report as PDF.")
        parser.add_argument("--one-per-exam", action="store_true", help="A report of several exams as several ORU.")
        parser.add_argument("--timeout", type=int, default=20, help="Seconds to wait for an acknowledgement.")
        parser.add_argument("--acknowledgement", default="original", choices=AcknowledgementMode.values)
        parser.add_argument("--new-connection", action="store_true", help="For every message, instead of a kept one.")
        parser.add_argument("--field-map", type=json.loads, default=[], metavar="JSON", help="Rules; see docs/hl7.md.")
        parser.add_argument("--filters", type=json.loads, default={}, metavar="JSON", help='{"modality": ["CT"]}')
        parser.add_argument(
            "--order-states", type=json.loads, default={}, metavar="JSON", help='{"performed": "XO^CM", "arrived": ""}'
        )
        parser.add_argument(
            "--hold-behind-parked", action="store_true", help="A parked message holds its patient's later ones."
        )
        parser.add_argument(
            "--test-message", default="", choices=[value for value in TestMessage.values if value], help="Of its test."
        )
        parser.add_argument("--alert-after", type=int, default=15, metavar="MINUTES", help="0: nobody is told.")

    def run(self, **options):
        is_new = not Hl7Destination.objects.filter(name=options["name"]).exists()
        destination = services.add_destination(
            name=options["name"],
            host=options["host"],
            port=options["port"],
            messages=[kind for word in options["messages"] for kind in word.replace(",", " ").split()],
            receiving_application=options["application"],
            receiving_facility=options["facility_name"],
            hl7_version=options["hl7_version"],
            character_set=options["character_set"],
            uses_tls=options["tls"],
            includes_pdf=options["pdf"],
            one_message_per_exam=options["one_per_exam"],
            ack_timeout_seconds=options["timeout"],
            acknowledgement_mode=options["acknowledgement"],
            keeps_connection=not options["new_connection"],
            field_map=options["field_map"],
            filters=options["filters"],
            order_states=options["order_states"],
            holds_behind_parked=options["hold_behind_parked"],
            alert_after_minutes=options["alert_after"],
            test_message=options["test_message"],
            actor=self.actor,
        )
        allowed = services.allow_host(destination.host, actor=self.actor)
        return {
            "name": destination.name,
            "uuid": str(destination.uuid),
            "host": destination.host,
            "port": destination.port,
            "messages": destination.messages,
            "filters": destination.filters,
            "field_map": destination.field_map,
            "order_states": destination.order_states,
            "allowed_hosts": allowed.allowed_hosts,
            "created": is_new,
        }
