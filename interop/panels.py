"""What the interfaces put into the menu. Loaded by every process."""

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from interop import permissions as perms
from ris.core.panels import NavItem, register_nav


def waiting_for_a_person(request: HttpRequest) -> int:
    from interop.hl7.selectors import parked_count

    return parked_count()


register_nav(
    NavItem(
        "integrations",
        _("Integrations"),
        "integrations",
        "plug-connected",
        section="system",
        permission=(perms.VIEW_INTERFACES, perms.VIEW_MESSAGE),
        count=waiting_for_a_person,
        hot=True,
        order=10,
    )
)
