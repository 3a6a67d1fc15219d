from django.utils.translation import gettext_lazy as _

from ris.core.panels import NavItem, register_nav

register_nav(
    NavItem("audit", _("Audit"), "audit", "shield-check", section="system", permission="audit.view_event", order=80),
    NavItem(
        "administration",
        _("Administration"),
        "admin:index",
        "settings",
        section="system",
        permission=("accounts.view_user", "accounts.view_settings"),
        order=90,
    ),
)
