"""The rights over messages and the rota. One's own inbox needs none."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from ris.core.permissions import DEPARTMENT, IT_ADMIN, QA_LEAD, RADIOLOGIST, declare

VIEW_NOTIFICATION = declare(
    "notifications.view_notification", _("See what was sent to whom, and what failed"), IT_ADMIN, clinical=False
)
SEND_AGAIN = declare("notifications.send_again", _("Send a failed message again"), IT_ADMIN, clinical=False)
VIEW_ROTA = declare("notifications.view_rota", _("See who is on duty"), *DEPARTMENT, IT_ADMIN, clinical=False)
CHANGE_ROTA = declare(
    "notifications.change_rota", _("Change who is on duty"), RADIOLOGIST, QA_LEAD, IT_ADMIN, clinical=False
)
