"""HL7 destinations, receivers and messages in the administration. Imported by interop.admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from interop import permissions as perms
from interop.hl7 import selectors, services
from interop.hl7.outbound import services as outbound
from interop.models import Hl7Destination, InboundMessage, InterfaceAlert, OutboundMessage
from ris.accounts.actors import actor_of
from ris.accounts.admin_base import FacilityModelAdmin, ReadOnlyAdmin, ReasonForm, service_action
from ris.core.actor import Actor
from ris.core.panels import url_or_none
from ris.tenants.models import MLLPReceiver


@admin.register(Hl7Destination)
class Hl7DestinationAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = perms.VIEW_INTERFACES, perms.MANAGE_INTERFACES, perms.MANAGE_INTERFACES
    list_display = ["name", "host", "port", "messages", "uses_tls", "is_paused", "is_active"]
    list_filter = ["is_active", "is_paused"]
    search_fields = ["name", "host"]
    actions = [
        service_action(_("Pause"), services.pause_destination, form=ReasonForm),
        service_action(_("Resume"), services.resume_destination),
    ]
    fieldsets = [
        (None, {"fields": ["name", "host", "port", "uses_tls", "is_active", "is_paused"]}),
        (_("Messages"), {"fields": ["messages", "filters", "hl7_version", "character_set", "includes_pdf",
                                    "one_message_per_exam"]}),
        (_("Addressed to"), {"fields": ["receiving_application", "receiving_facility", "acknowledgement_mode",
                                        "test_message", "ack_timeout_seconds", "keeps_connection"]}),
        (_("How it is written"), {"fields": ["field_map", "order_states"]}),
        (_("When it waits"), {"fields": ["holds_behind_parked", "alert_after_minutes", "paused_at", "paused_by",
                                         "paused_reason", "rests_until"]}),
    ]  # fmt: skip

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> Hl7Destination:
        return services.add_destination(**{**cleaned, "actor": actor})

    def service_change(self, destination: Hl7Destination, cleaned: dict[str, Any], actor: Actor) -> Hl7Destination:
        return services.add_destination(**{**cleaned, "name": destination.name, "actor": actor})

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """The name is what delivery rules call it by; pausing is an action."""
        paused = ("is_paused", "paused_at", "paused_by", "paused_reason", "rests_until")
        return (*super().get_readonly_fields(request, obj), *paused, *(("name",) if obj else ()))


@admin.register(MLLPReceiver)
class MLLPReceiverAdmin(FacilityModelAdmin):
    """Of all receivers of the house, those of this facility."""

    view_code, add_code, change_code = perms.VIEW_INTERFACES, perms.MANAGE_INTERFACES, perms.MANAGE_INTERFACES
    list_display = ["__str__", "allowed_addresses", "require_tls", "is_active"]
    fields = [
        "port", "receiving_application", "receiving_facility", "allowed_addresses", "certificate_fingerprints",
        "require_tls", "is_active",
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        return selectors.receivers(actor=actor_of(request))

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> MLLPReceiver:
        return services.add_receiver(
            application=cleaned["receiving_application"],
            facility_name=cleaned["receiving_facility"],
            port=cleaned["port"],
            addresses=cleaned["allowed_addresses"] or [],
            certificates=cleaned["certificate_fingerprints"] or [],
            require_tls=cleaned["require_tls"],
            actor=actor,
        )

    def service_change(self, receiver: MLLPReceiver, cleaned: dict[str, Any], actor: Actor) -> MLLPReceiver:
        return services.change_receiver(receiver, actor=actor, **cleaned)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """By which name or port it is found is what a receiver is: another one is another receiver."""
        named = ("port", "receiving_application", "receiving_facility") if obj else ()
        return (*super().get_readonly_fields(request, obj), *named)


class MessageAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_INTERFACES
    search_fields = ["control_id", "accession_number"]
    date_hierarchy: str | None = None

    @admin.display(description=_("content"))
    def content(self, row: Any) -> str:
        """Opened, and recorded, on the integrations page."""
        url = url_or_none("message_detail", row.uuid)
        return format_html('<a href="{}">{}</a>', url, _("Look at the message")) if url else "–"


@admin.register(InboundMessage)
class InboundMessageAdmin(MessageAdmin):
    list_display = [
        "received_at", "message_type", "control_id", "sending_application", "status", "acknowledgement_code",
        "accession_number",
    ]  # fmt: skip
    list_filter = ["status", "message_type", "received_at"]
    fields = [
        "message_type", "control_id", "sending_application", "sending_facility", "address", "received_at", "status",
        "processed_at", "acknowledgement_code", "error", "accession_number", "content",
    ]  # fmt: skip
    readonly_fields = ["content"]
    actions = [service_action(_("Process again"), services.process_again)]


@admin.register(OutboundMessage)
class OutboundMessageAdmin(MessageAdmin):
    list_display = [
        "created_at", "destination", "message_type", "control_id", "status", "attempts", "accession_number",
        "last_error",
    ]  # fmt: skip
    list_filter = ["status", "destination", "message_type", "origin", "created_at"]
    list_select_related = ["destination"]
    fields = [
        "destination", "message_type", "control_id", "status", "attempts", "created_at", "sent_at", "acknowledged_at",
        "answered_in_ms", "next_attempt_at", "last_error", "origin", "copy_of", "made_by", "reason",
        "accession_number", "content",
    ]  # fmt: skip
    readonly_fields = ["content"]
    actions = [
        service_action(_("Send again"), services.send_again),
        service_action(_("Send again from here"), outbound.send_from_here),
        service_action(_("Park"), services.park, form=ReasonForm),
        service_action(_("Skip"), services.skip, form=ReasonForm),
    ]


@admin.register(InterfaceAlert)
class InterfaceAlertAdmin(ReadOnlyAdmin):
    """What waited too long, and who was told when."""

    view_code = perms.VIEW_INTERFACES
    list_display = ["name", "waiting", "since", "opened_at", "told_at", "recovered_at"]
    list_filter = ["recovered_at"]
    fields = ["name", "waiting", "since", "error", "opened_at", "told_at", "recovered_at", "recovery_told_at"]
