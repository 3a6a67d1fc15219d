"""``manage.py add_peer``: which AE titles may call a facility, from where, and what for."""

from typing import Any

from django.core.management.base import CommandError

from interop.dicom.peers import RIGHTS, SERVED, save_peer
from interop.models import NameGroups
from ris.accounts.commands import FacilityCommand

#: What it sees of the worklist, and how it is told.
LIMITS = {
    "--shown-stations": "Sees only these stations; without a value again all.",
    "--shown-modalities": "Sees only these modalities; without a value again all.",
    "--hidden-statuses": "Does not see steps that are SCHEDULED, ARRIVED or READY.",
}
SWITCHES = {
    "--hides-blocked": "Does not see steps that safety screening blocks.",
    "--hides-restricted": "Does not see restricted patients.",
    "--names-in-capitals": "Names in capital letters.",
    "--names-without-affixes": "Names without prefix and suffix.",
    "--receives-as-sent": "Gets images as they came, without the patient and the numbers as they are known now.",
}
DAYS = {
    "--days-back": "Of queries without a date: how far back.",
    "--days-ahead": "Of queries without a date: how far ahead.",
}
SHOWN = ("shown_stations", "shown_modalities", "hidden_statuses", "hides_blocked", "hides_restricted", "days_back",
         "days_ahead", "receives_as_sent")  # fmt: skip


class Command(FacilityCommand):
    help = "Let an AE title in (wildcards * and ? allowed), or change what it may. Repeating it changes what is given."

    def add_options(self, parser):
        parser.add_argument("--ae-title", required=True)
        parser.add_argument(
            "--address", action="append", default=None, metavar="CIDR", help="Calls from; several times."
        )
        parser.add_argument("--host", default=None, help="Where we call it.")
        parser.add_argument("--port", type=int, default=None, help="Its port there.")
        parser.add_argument("--may", nargs="*", default=None, metavar="RIGHT", help=", ".join(RIGHTS))
        parser.add_argument("--send", nargs="*", default=None, metavar="WHAT", help=", ".join(SERVED))
        parser.add_argument("--tls", action="store_true", default=None, help="It is called over TLS.")
        parser.add_argument("--description", default=None)
        parser.add_argument("--character-set", default=None, help="What it reads, for example ISO_IR 100.")
        parser.add_argument("--max-results", type=int, default=None)
        parser.add_argument("--own-station-only", action="store_true", default=None)
        for option, words in LIMITS.items():
            parser.add_argument(option, nargs="*", default=None, help=words)
        for option, words in SWITCHES.items():
            parser.add_argument(option, action="store_true", default=None, help=words)
        for option, words in DAYS.items():
            parser.add_argument(option, type=int, default=None, help=words)
        parser.add_argument("--name-groups", choices=NameGroups.values, default=None, help="Component groups of names.")
        parser.add_argument("--inactive", action="store_true", default=None, help="Turn it away.")

    def run(self, **options: Any) -> Any:
        given = {
            "allowed_addresses": options["address"],
            "host": options["host"],
            "port": options["port"],
            "description": options["description"],
            "character_set": options["character_set"],
            "max_results": options["max_results"],
            "sees_all_stations": False if options["own_station_only"] else None,
            "uses_tls": options["tls"],
            "is_active": not options["inactive"],
            "name_groups": options["name_groups"],
            "name_with_affixes": False if options["names_without_affixes"] else None,
            "name_in_capitals": options["names_in_capitals"],
            **{name: options[name] for name in SHOWN},
            **_flags(options["send"]),
        }
        may = None if options["may"] is None else [word for part in options["may"] for word in part.split(",") if word]
        fields = {name: value for name, value in given.items() if value is not None}
        peer = save_peer(ae_title=options["ae_title"], may=may, actor=self.actor, **fields)
        return {
            "ae_title": peer.ae_title,
            "uuid": str(peer.uuid),
            "send": [name for name, flag in SERVED.items() if getattr(peer, flag)],
            "may": [name for name, flag in RIGHTS.items() if getattr(peer, flag)],
            "addresses": peer.allowed_addresses,
            "host": peer.host,
            "port": peer.port,
            "is_active": peer.is_active,
        }


def _flags(words: list[str] | None) -> dict[str, bool]:
    """Every flag of SERVED, on for those that are named; none of them when nothing is said."""
    if words is None:
        return {}
    named = {word for part in words for word in part.split(",") if word}
    if unknown := named - SERVED.keys():
        raise CommandError(f"Nothing is called {', '.join(sorted(unknown))}; known are {', '.join(SERVED)}.")
    return {flag: name in named for name, flag in SERVED.items()}
