from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TenantsConfig(AppConfig):
    name = "ris.tenants"
    label = "tenants"
    verbose_name = _("Facilities")
