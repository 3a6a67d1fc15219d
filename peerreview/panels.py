from django.utils.translation import gettext_lazy as _

from peerreview import permissions as perms
from peerreview.models import CaseStatus, ReviewCase
from ris.core.panels import NavItem, register_nav


def waiting_cases(request) -> int:
    return ReviewCase.objects.filter(reviewer=request.user, status=CaseStatus.ASSIGNED).count()


register_nav(
    NavItem(
        "peer_review",
        _("Peer review"),
        "review_list",
        "list-check",
        section="quality",
        permission=perms.VIEW_ROUND,
        count=waiting_cases,
        order=20,
    )
)
