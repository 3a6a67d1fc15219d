"""Peers: the rows that let AE titles in, and what becomes of knocking at them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.translation import gettext as _

from interop.dicom import scu
from interop.dicom.admission import fits, specificity
from interop.models import AssociationLog, DicomPeer
from interop.permissions import MANAGE_INTERFACES
from ris.accounts.memory import remembered
from ris.audit.models import Action, Outcome
from ris.audit.service import record, service
from ris.core.actor import Actor
from ris.core.errors import InvalidData
from ris.tenants.context import require_facility
from ris.tenants.models import CalledAETitle, RefusedConnection, validate_networks
from ris.tenants.routing import DICOM, address_is_in

#: What ``--may`` and the pages call the rights.
RIGHTS = {
    "echo": "may_echo",
    "worklist": "may_query_worklist",
    "mpps": "may_send_mpps",
    "store": "may_store",
    "reject": "may_reject",
    "commit": "may_commit",
    "query": "may_query",
}
#: What a peer that we call is sent, or asked.
SERVED = {
    "mpps": "forward_mpps",
    "images": "forward_images",
    "availability": "receives_availability",
    "rejections": "receives_rejections",
    "archive": "is_archive",
}
FIELDS = frozenset(
    {
        "description",
        "allowed_addresses",
        "host",
        "port",
        "sees_all_stations",
        "shown_stations",
        "shown_modalities",
        "hidden_statuses",
        "hides_blocked",
        "hides_restricted",
        "days_back",
        "days_ahead",
        "max_results",
        "character_set",
        "name_groups",
        "name_in_capitals",
        "name_with_affixes",
        "receives_as_sent",
        "is_active",
        "uses_tls",
        *RIGHTS.values(),
        *SERVED.values(),
    }
)
REFUSED_SHOWN = 20


@service(MANAGE_INTERFACES, action=Action.UPDATE)
def save_peer(*, ae_title: str, actor: Actor, may: Iterable[str] | None = None, **fields: Any) -> DicomPeer:
    """The peer of this title, made or changed to what is given; the rest stays. ``may``: names of RIGHTS.

    Raises InvalidData.
    """
    unknown = [name for name in fields if name not in FIELDS]
    wrong = [name for name in may or () if name not in RIGHTS]
    if unknown or wrong:
        words = _("Known are: %(names)s.") % {"names": ", ".join(RIGHTS)}
        raise InvalidData(words, errors=dict.fromkeys((*unknown, *wrong), words))
    peer = DicomPeer.objects.select_for_update().filter(ae_title=ae_title).first() or DicomPeer(ae_title=ae_title)
    for name, value in fields.items():
        setattr(peer, name, value)
    if may is not None:
        for name, flag in RIGHTS.items():
            setattr(peer, flag, name in set(may) | {"echo"})
    check_peer(peer)
    peer.save_as(actor, _("Changed") if peer.pk else _("Added"))
    return peer


def rejects_for_others(ae_title: str) -> bool:
    """Whether rejection notes of this calling AE title hide what others have sent."""
    rows = DicomPeer.objects.filter(Q(ae_title=ae_title) | Q(ae_title__regex=r"[*?]"))
    fitting = [row for row in rows if row.ae_title == ae_title or (row.is_active and fits(row.ae_title, ae_title))]
    fitting.sort(key=lambda row: (row.ae_title != ae_title, specificity(row)))
    return bool(fitting) and fitting[0].is_active and fitting[0].may_reject


def check_peer(peer: DicomPeer) -> None:
    """Raises InvalidData for what cannot be a peer."""
    try:
        validate_networks(list(peer.allowed_addresses))
        peer.full_clean()
    except ValidationError as error:
        errors = error.message_dict if hasattr(error, "error_dict") else {"allowed_addresses": error.messages}
        raise InvalidData(_("The peer cannot be stored."), errors=errors) from None


def echo_peer(peer: DicomPeer, *, actor: Actor) -> str:
    """Call the peer with a C-ECHO; what came of it, in words. Speaks to the network: never inside a transaction."""
    actor.require(MANAGE_INTERFACES)
    if not (peer.host and peer.port) or set("*?") & set(peer.ae_title):
        raise InvalidData(
            _("This peer has no address to call."), todo=_("Set host and port, and an AE title without wildcards.")
        )
    try:
        status = echo_status(peer, require_facility().ae_title)
        words = _("It answers.") if status == 0 else _("It answers with status %(status)04X.") % {"status": status}
        outcome = Outcome.SUCCESS if status == 0 else Outcome.FAILED
    except scu.CallFailed as failed:
        words, outcome = str(failed), Outcome.FAILED
    record(actor, "interop.echo_peer", Action.EXECUTE, entity=peer, outcome=outcome)
    return words


def echo_status(peer: DicomPeer, calling_ae_title: str, seconds: float = 5) -> int:
    """The status of a C-ECHO, over TLS where the peer's row says so. Asks no database. Raises scu.CallFailed."""
    return scu.echo(
        host=peer.host,
        port=peer.port or 0,
        called_ae_title=peer.ae_title,
        calling_ae_title=calling_ae_title,
        seconds=seconds,
        tls=scu.client_tls() if peer.uses_tls else None,
    )


@dataclass(frozen=True)
class PeerLine:
    """A peer with what the integrations page says of it."""

    peer: DicomPeer
    last: AssociationLog | None

    @property
    def rights(self) -> list[str]:
        return [name for name, flag in RIGHTS.items() if getattr(self.peer, flag)]

    @property
    def can_be_asked_for(self) -> bool:
        """One scanner, whose worklist can be looked at."""
        return self.peer.may_query_worklist and not set("*?") & set(self.peer.ae_title)

    @property
    def can_be_called(self) -> bool:
        return bool(self.peer.host and self.peer.port) and not set("*?") & set(self.peer.ae_title)


def peer_lines() -> list[PeerLine]:
    """All peers with their last association, in two queries; asked once for a page."""
    return remembered("dicom.peer_lines", _peer_lines)


def _peer_lines() -> list[PeerLine]:
    peers = list(DicomPeer.objects.order_by("ae_title"))
    newest = AssociationLog.objects.order_by("calling_ae_title", "-pk").distinct("calling_ae_title")
    last = {row.calling_ae_title: row for row in newest.filter(calling_ae_title__in=[peer.ae_title for peer in peers])}
    return [PeerLine(peer, last.get(peer.ae_title)) for peer in peers]


def doors_of_the_house() -> list[CalledAETitle]:
    """The titles by which the facility is called."""
    return remembered("dicom.doors", lambda: list(require_facility().called_ae_titles.all()))


def refused_connections() -> list[RefusedConnection]:
    """Who was turned away: under our titles, or under none from an address that is registered here."""
    doors = doors_of_the_house()
    titles = [door.ae_title for door in doors]
    networks = [network for door in doors for network in door.allowed_addresses]
    condition = Q(called__in=titles) | Q(reason="called_ae_unknown")
    rows = RefusedConnection.objects.filter(condition, kind=DICOM).order_by("-last_at")[: REFUSED_SHOWN * 5]
    mine = [row for row in rows if row.called in titles or address_is_in(row.address, networks)]
    return mine[:REFUSED_SHOWN]
