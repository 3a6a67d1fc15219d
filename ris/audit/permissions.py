"""The rights over the audit trail."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from ris.core.permissions import IT_ADMIN, QA_LEAD, declare

VIEW_EVENT = declare("audit.view_event", _("Search the audit trail"), IT_ADMIN, QA_LEAD, clinical=False)
EXPORT_EVENTS = declare("audit.export_events", _("Export the audit trail"), IT_ADMIN, clinical=False)
