"""DICOM peers and associations in the administration. Imported by interop.admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from interop.dicom.peers import RIGHTS, SERVED, echo_peer, save_peer
from interop.models import AssociationLog, DicomPeer
from interop.permissions import MANAGE_INTERFACES, VIEW_INTERFACES
from ris.accounts.admin_base import FacilityModelAdmin, ReadOnlyAdmin, service_action
from ris.core.actor import Actor
from ris.core.errors import InvalidData

WORKLIST_FIELDS = [
    "sees_all_stations",
    "shown_stations",
    "shown_modalities",
    "hidden_statuses",
    "hides_blocked",
    "hides_restricted",
    "days_back",
    "days_ahead",
    "max_results",
]
SPELLING_FIELDS = ["character_set", "name_groups", "name_in_capitals", "name_with_affixes"]


def echo_or_refuse(peer: DicomPeer, *, actor: Actor) -> None:
    """The admin shows a refusal in words, a success as done."""
    words = echo_peer(peer, actor=actor)
    if words != str(_("It answers.")):
        raise InvalidData(words)


@admin.register(DicomPeer)
class DicomPeerAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = VIEW_INTERFACES, MANAGE_INTERFACES, MANAGE_INTERFACES
    list_display = ["ae_title", "description", *RIGHTS.values(), "is_active"]
    list_filter = ["is_active", "may_query_worklist", "may_send_mpps", "may_store"]
    search_fields = ["ae_title", "description", "host"]
    actions = [service_action(_("Call (C-ECHO)"), echo_or_refuse, permission=MANAGE_INTERFACES)]
    fieldsets = [
        (None, {"fields": ["ae_title", "description", "is_active"]}),
        (_("Calls us"), {"fields": ["allowed_addresses", *RIGHTS.values()]}),
        (_("Worklist: what it sees"), {"fields": WORKLIST_FIELDS}),
        (_("Worklist: how it is told"), {"fields": SPELLING_FIELDS}),
        (_("Is called"), {"fields": ["host", "port", "uses_tls", *SERVED.values(), "receives_as_sent"]}),
    ]

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> DicomPeer:
        return save_peer(**cleaned, actor=actor)

    def service_change(self, peer: DicomPeer, cleaned: dict[str, Any], actor: Actor) -> DicomPeer:
        return save_peer(**{**cleaned, "ae_title": peer.ae_title}, actor=actor)

    def get_readonly_fields(self, request: Any, obj: Any = None) -> tuple[str, ...]:
        """The title is what a peer is: another title is another peer."""
        return (*super().get_readonly_fields(request, obj), *(("ae_title",) if obj else ()))


@admin.register(AssociationLog)
class AssociationLogAdmin(ReadOnlyAdmin):
    view_code = VIEW_INTERFACES
    list_display = ["started_at", "calling_ae_title", "called_ae_title", "address", "outcome", "counts", "refused"]
    list_filter = ["outcome", "started_at"]
    search_fields = ["calling_ae_title", "address"]
