"""Agreements with HL7 senders and their codes in the administration. Imported by interop.admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from interop import permissions as perms
from interop.hl7 import agreements
from interop.models import CodeAlias, Hl7Sender, UnmappedCode
from ris.accounts.admin_base import FacilityModelAdmin, ReadOnlyAdmin, service_action
from ris.core.actor import Actor


@admin.register(Hl7Sender)
class Hl7SenderAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = perms.VIEW_INTERFACES, perms.MANAGE_INTERFACES, perms.MANAGE_INTERFACES
    list_display = ["__str__", "issuer", "taken_results", "may_overbook", "answers_to"]
    list_select_related = ["answers_to"]
    search_fields = ["application", "facility_name"]
    fieldsets = [
        (None, {"fields": ["application", "facility_name", "issuer", "answers_to"]}),
        (_("Rules"), {"fields": ["unknown_survivor", "reversed_merge", "retired_identifier", "taken_results",
                                 "may_overbook"]}),
        (_("Tables"), {"fields": ["order_actions", "field_sources", "value_maps"]}),
    ]  # fmt: skip

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> Hl7Sender:
        return agreements.save_sender(actor=actor, **_tables(cleaned))

    def service_change(self, sender: Hl7Sender, cleaned: dict[str, Any], actor: Actor) -> Hl7Sender:
        return agreements.save_sender(sender, actor=actor, **_tables(cleaned))


def _tables(cleaned: dict[str, Any]) -> dict[str, Any]:
    tables = ("order_actions", "field_sources", "value_maps")
    return {**cleaned, **{name: cleaned.get(name) or {} for name in tables if name in cleaned}}


@admin.register(CodeAlias)
class CodeAliasAdmin(FacilityModelAdmin):
    view_code, add_code = perms.MAP_CODES, perms.MAP_CODES
    list_display = ["code", "scheme", "sender", "procedure", "laterality", "is_active", "created_at"]
    list_select_related = ["sender", "procedure"]
    search_fields = ["code"]
    fields = ["sender", "scheme", "code", "procedure", "laterality"]
    actions = [service_action(_("Forget what it means"), agreements.forget_code)]

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> CodeAlias:
        sender: Hl7Sender = cleaned["sender"]
        alias, _went_on, _still = agreements.map_code(
            application=sender.application,
            facility=sender.facility_name,
            scheme=cleaned["scheme"],
            code=cleaned["code"],
            exam=cleaned["procedure"],
            laterality=cleaned["laterality"],
            actor=actor,
        )
        return alias


@admin.register(UnmappedCode)
class UnmappedCodeAdmin(ReadOnlyAdmin):
    view_code = perms.MAP_CODES
    list_display = ["code", "scheme", "meaning", "sending_application", "since"]
    search_fields = ["code", "meaning"]
    fields = ["code", "scheme", "meaning", "sending_application", "sending_facility", "since"]
