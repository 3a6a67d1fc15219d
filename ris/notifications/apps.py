from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class NotificationsConfig(AppConfig):
    name = "ris.notifications"
    label = "notifications"
    verbose_name = _("Notifications")

    def ready(self) -> None:
        """The dispatcher sends what waits."""
        from ris.events.dispatcher import register_work
        from ris.notifications.services import claim_notifications, send_notification

        register_work("notifications.send", claim=claim_notifications, run=send_notification)
