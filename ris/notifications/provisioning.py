"""The duties that a facility begins with."""

from __future__ import annotations

from ris.notifications.rota import ensure_duties
from ris.tenants.models import Facility
from ris.tenants.provisioning import provisions


@provisions("notifications.duties")
def provision_duties(facility: Facility) -> None:
    ensure_duties()
