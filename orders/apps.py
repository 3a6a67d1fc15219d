from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OrdersConfig(AppConfig):
    name = "orders"
    verbose_name = _("Patients and orders")

    def ready(self) -> None:
        """The facility's patterns of numbers are refused when they cannot give numbers."""
        import orders.downtime_night
        import orders.downtime_panels  # noqa: F401  the bar above every page, the menu, the timeline
        from orders import vetoes

        vetoes.connect()
