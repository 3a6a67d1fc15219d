from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "ris.accounts"
    label = "accounts"
    verbose_name = _("People and rights")

    def ready(self) -> None:
        """Every process knows every right and every panel."""
        from ris.accounts.api import openapi  # noqa: F401  (registers the schemes)

        autodiscover_modules("permissions", "panels")
