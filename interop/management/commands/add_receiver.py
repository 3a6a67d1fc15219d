"""``manage.py add_receiver``: by which port or names, and from where, HL7 messages reach a facility."""

from interop.hl7 import services
from ris.accounts.commands import FacilityCommand


class Command(FacilityCommand):
    help = "Register an MLLP receiver: a port of its own, or MSH-5 and MSH-6. Repeating it adds what is new."

    def add_options(self, parser):
        parser.add_argument("--port", type=int, default=None, help="Only when this port serves this facility alone.")
        parser.add_argument("--application", default="", metavar="MSH-5")
        parser.add_argument("--facility-name", default="", metavar="MSH-6")
        parser.add_argument(
            "--address", action="append", default=[], metavar="CIDR", help="From where it may be used; several times."
        )
        parser.add_argument("--certificate", action="append", default=[], metavar="SHA256", help="Client certificate.")
        parser.add_argument("--require-tls", action="store_true")

    def run(self, **options):
        receiver = services.add_receiver(
            application=options["application"],
            facility_name=options["facility_name"],
            port=options["port"],
            addresses=options["address"],
            certificates=options["certificate"],
            require_tls=options["require_tls"],
            actor=self.actor,
        )
        return {
            "port": receiver.port,
            "application": receiver.receiving_application,
            "facility_name": receiver.receiving_facility,
            "addresses": receiver.allowed_addresses,
            "certificates": receiver.certificate_fingerprints,
            "require_tls": receiver.require_tls,
        }
