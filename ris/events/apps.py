from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class EventsConfig(AppConfig):
    name = "ris.events"
    label = "events"
    verbose_name = _("Events")

    def ready(self) -> None:
        """Every process loads every subscriber: who publishes must know who listens."""
        autodiscover_modules("subscribers")
