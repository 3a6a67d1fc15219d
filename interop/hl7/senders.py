"""What holds for a sender: its own row, else that of its application, else that of everybody, else the house's."""

from __future__ import annotations

from django.db.models import Q

from interop.hl7.maps import Maps
from interop.models import Hl7Sender
from ris.accounts.memory import Lasting, remembered

#: What does not change from message to message: a sender's row, the facility's decisions, who takes which messages
STANDING = Lasting(
    ("hl7 sender ", "hl7 destinations", "settings"),
    (
        "interop_historicalhl7sender",
        "interop_historicalhl7destination",
        "interop_historicalfhirserver",
        "accounts_historicalfacilitysettings",
    ),
)


def sender_of(application: str, facility: str) -> Hl7Sender:
    """The nearest row; an unsaved one with the defaults where there is none."""

    def ask() -> Hl7Sender:
        own = Q(application=application)
        anybody = Q(application="", facility_name="")
        rows = {
            (row.application, row.facility_name): row
            for row in Hl7Sender.objects.filter(own | anybody).select_related("answers_to")
        }
        places = ((application, facility), (application, ""), ("", ""))
        return next((rows[place] for place in places if place in rows), Hl7Sender())

    return remembered(f"hl7 sender {application}|{facility}", ask)


def maps_of(sender: Hl7Sender) -> Maps:
    return Maps.of(sender.order_actions, sender.field_sources, sender.value_maps)


def own_row(application: str, facility: str) -> Hl7Sender:
    """A row of exactly this sender to write on: its own, else an unsaved copy of what holds for it."""
    found = sender_of(application, facility)
    if found.pk and (found.application, found.facility_name) == (application, facility):
        return found
    copied = ("issuer", "order_actions", "field_sources", "value_maps", "unknown_survivor", "reversed_merge",
              "retired_identifier", "taken_results", "may_overbook", "answers_to")  # fmt: skip
    settings = {name: getattr(found, name) for name in copied}
    return Hl7Sender(application=application, facility_name=facility, **settings)
