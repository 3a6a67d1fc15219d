from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DoseConfig(AppConfig):
    name = "dose"
    verbose_name = _("Dose")
