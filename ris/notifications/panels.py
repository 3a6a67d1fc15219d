"""The bell, and the messages that did not arrive."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ris.core.panels import NavItem, Panel, register_bell, register_nav, register_panel
from ris.notifications.models import Notification, NotificationStatus
from ris.notifications.permissions import VIEW_ROTA
from ris.notifications.services import unread_count


def failed_messages(thing: Any, *, request: HttpRequest) -> dict[str, Any]:
    failed = Notification.objects.filter(status=NotificationStatus.FAILED).count()
    waiting = Notification.objects.filter(status=NotificationStatus.PENDING).count()
    return {
        "label": _("Messages that failed"),
        "value": failed,
        "detail": _("%(count)d waiting") % {"count": waiting},
        "icon": "mail-x",
        "url": reverse("admin:notifications_notification_changelist") + "?status__exact=failed",
        "hurts": bool(failed),
    }


register_bell("notifications", lambda request: unread_count(request.user))
register_panel(
    Panel(
        "home.stats",
        failed_messages,
        "components/stat.html",
        permission="notifications.view_notification",
        order=84,
        key="messages",
    )
)
register_nav(
    NavItem("rota", gettext_lazy("Rota"), "rota", "calendar-time", "work", permission=VIEW_ROTA, order=92),
)
