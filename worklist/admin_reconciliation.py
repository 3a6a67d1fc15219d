"""Reconciliations in the admin: read, searched, undone by the same service."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from ris.accounts.admin_base import ReadOnlyAdmin, ReasonForm, service_action
from worklist import permissions as perms
from worklist import services
from worklist.models import Reconciliation


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnlyAdmin):
    view_code = perms.RESOLVE_EXCEPTION
    list_display = ("kind", "source", "target", "reason", "score", "done_at", "done_by", "undone_at", "undo_reason")
    list_filter = ("kind", ("score", admin.EmptyFieldListFilter), ("undone_at", admin.EmptyFieldListFilter))
    list_select_related = ("source", "target", "done_by")
    search_fields = (
        "reason",
        "source__accession_number",
        "target__accession_number",
        "source__order__patient__identifiers__value",
        "target__order__patient__identifiers__value",
    )
    actions = (service_action(_("Undo"), services.undo_reconciliation, form=ReasonForm),)
