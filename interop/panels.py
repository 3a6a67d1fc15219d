"""What the interfaces put into the menu. Loaded by every process."""

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

import interop.web.hl7_cards
import interop.web.house_cards  # noqa: F401
from interop import permissions as perms
from ris.accounts.actors import actor_of
from ris.core.panels import NavItem, Panel, register_nav, register_panel


def waiting_for_a_person(request: HttpRequest) -> int:
    from interop.dicom.outgoing import parked_work
    from interop.hl7.selectors import parked_count

    return parked_count() + parked_work()


register_nav(
    NavItem(
        "integrations",
        _("Integrations"),
        "integrations",
        "plug-connected",
        section="system",
        permission=(perms.VIEW_INTERFACES, perms.VIEW_MESSAGE),
        count=waiting_for_a_person,
        hot=True,
        order=10,
    )
)


def interfaces(thing: Any, *, request: HttpRequest) -> dict[str, Any]:
    """For whoever keeps the interfaces running: every destination and every door with its state."""
    from interop.hl7 import selectors

    actor = actor_of(request)
    return {
        "cards": selectors.destination_cards(actor=actor),
        "receivers": selectors.receiver_cards(actor=actor),
        "inbound": selectors.inbound_state(actor=actor),
    }


def scanners(thing: Any, *, request: HttpRequest) -> dict[str, Any]:
    from interop.dicom.peers import peer_lines

    return {"peer_lines": peer_lines()}


def turned_away(thing: Any, *, request: HttpRequest) -> dict[str, Any]:
    """Who knocked in vain lately: a wrong AE title or address is the commonest reason that a scanner is silent."""
    from interop.dicom.peers import refused_connections
    from interop.hl7 import selectors

    rows = [*refused_connections(), *selectors.inbound_state(actor=actor_of(request)).refused]
    return {"rows": sorted(rows, key=lambda row: row.last_at, reverse=True)[:TURNED_AWAY_SHOWN]}


def other_archives(patient: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """A way to what other archives have, where there are any."""
    from interop.dicom.archives import archives

    return {"patient": patient} if archives() else None


TURNED_AWAY_SHOWN = 8
register_panel(
    Panel("home.main", interfaces, "interop/_home_interfaces.html", perms.MANAGE_INTERFACES, order=60),
    Panel("home.main", scanners, "interop/_home_scanners.html", perms.MANAGE_INTERFACES, order=61),
    Panel("home.side", turned_away, "interop/_home_turned_away.html", perms.MANAGE_INTERFACES, order=60),
    Panel("patient.side", other_archives, "interop/_patient_archive.html", perms.QUERY_ARCHIVE, order=70),
)
