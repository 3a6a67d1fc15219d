"""The rights over the outbox."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from ris.core.permissions import IT_ADMIN, declare

VIEW_EVENT = declare("events.view_event", _("See events and their deliveries"), IT_ADMIN, clinical=False)
DELIVER_AGAIN = declare("events.deliver_again", _("Deliver an event again"), IT_ADMIN, clinical=False)
