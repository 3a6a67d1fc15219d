from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CoreConfig(AppConfig):
    name = "ris.core"
    label = "core"

    def ready(self) -> None:
        from ris.core.field_names import translate_names
        from ris.core.panels import NavItem, register_nav

        translate_names()
        register_nav(NavItem("home", _("Home"), "home", "home", section="home", mobile=True, order=0))
