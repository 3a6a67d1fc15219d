from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OrdersConfig(AppConfig):
    name = "orders"
    verbose_name = _("Patients and orders")

    def ready(self) -> None:
        """The facility's patterns of numbers are refused when they cannot give numbers."""
        from orders import vetoes

        vetoes.connect()
