"""What a facility is given: standard exams and rules, reference levels with their sources, triggers, who is told."""

from __future__ import annotations

from dose.services import starting
from ris.tenants.models import Facility
from ris.tenants.provisioning import provisions


@provisions("dose.levels")
def provision_levels(facility: Facility) -> None:
    starting.ensure_standard_exams()
    starting.ensure_reference_levels()
    starting.join_levels_to_exams()
    starting.ensure_trigger_levels()
    starting.ensure_alert_rules()
    starting.mark_unread_reports()
