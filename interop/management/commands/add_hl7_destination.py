"""``manage.py add_hl7_destination``: where HL7 messages go."""

from interop.hl7 import services
from interop.hl7.charsets import CODECS
from interop.models import Hl7Destination
from ris.accounts.commands import FacilityCommand


class Command(FacilityCommand):
    help = "Add an HL7 destination, or bring the one of this name to what is asked; ORU: final reports go there."

    def add_options(self, parser):
        parser.add_argument("--name", required=True)
        parser.add_argument("--host", required=True)
        parser.add_argument("--port", type=int, required=True)
        parser.add_argument("--messages", nargs="+", required=True, metavar="TYPE", help="ORU, ORR, *")
        parser.add_argument("--application", default="", metavar="MSH-5")
        parser.add_argument("--facility-name", default="", metavar="MSH-6")
        parser.add_argument("--hl7-version", default="2.5.1")
        parser.add_argument("--character-set", default="UNICODE UTF-8", choices=sorted(CODECS), metavar="MSH-18")
        parser.add_argument("--tls", action="store_true")
        parser.add_argument("--pdf", action="store_true", help="With the report as PDF.")
        parser.add_argument("--timeout", type=int, default=20, help="Seconds to wait for an acknowledgement.")

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
            ack_timeout_seconds=options["timeout"],
            actor=self.actor,
        )
        allowed = services.allow_host(destination.host, actor=self.actor)
        return {
            "name": destination.name,
            "uuid": str(destination.uuid),
            "host": destination.host,
            "port": destination.port,
            "messages": destination.messages,
            "allowed_hosts": allowed.allowed_hosts,
            "created": is_new,
        }
