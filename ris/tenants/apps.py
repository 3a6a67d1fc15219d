from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TenantsConfig(AppConfig):
    name = "ris.tenants"
    label = "tenants"
    verbose_name = _("Facilities")

    def ready(self) -> None:
        from django.db.models.signals import post_delete, post_save

        from ris.tenants.context import forget_facilities

        for sender in ("tenants.Facility", "tenants.Domain"):
            for signal in (post_save, post_delete):
                signal.connect(
                    lambda **_told: forget_facilities(), sender=sender, weak=False, dispatch_uid=f"forget {sender}"
                )
