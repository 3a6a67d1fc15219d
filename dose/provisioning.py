"""What a facility is given: reference levels with their sources, and first trigger levels."""

from __future__ import annotations

from dose.services import ensure_reference_levels, ensure_trigger_levels
from ris.tenants.models import Facility
from ris.tenants.provisioning import provisions


@provisions("dose.levels")
def provision_levels(facility: Facility) -> None:
    ensure_reference_levels()
    ensure_trigger_levels()
