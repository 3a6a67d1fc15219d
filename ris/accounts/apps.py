from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "ris.accounts"
    label = "accounts"
    verbose_name = _("People and rights")

    def ready(self) -> None:
        """Every process knows every right and every panel; a thread beside the dispatcher seals the audit."""
        from ris.accounts.api import openapi  # noqa: F401  (registers the schemes)
        from ris.audit.sealing import run_sealer
        from ris.events.dispatcher import register_companion

        register_companion("audit.sealer", run_sealer)
        autodiscover_modules("permissions", "panels")
