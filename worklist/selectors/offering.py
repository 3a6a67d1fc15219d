"""Why a scheduled step is not offered to scanners, in words."""

from __future__ import annotations

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from ris.accounts.selectors import facility_settings
from worklist.models import OFFERED, ScheduledProcedureStep, SPSStatus
from worklist.services.rendering import LIVE_PROCEDURES, stations_of


def why_withheld(step: ScheduledProcedureStep) -> str:
    """Empty when the step is offered to scanners. The rules of ``belongs_on_worklist``, said aloud."""
    if step.is_on_worklist:
        return ""
    if step.status not in OFFERED:
        return _ended(step)
    if step.starts_at is None:
        return _("It has no time yet: book it.")
    if not step.modality:
        return _("It has no modality: complete the exam catalogue.")
    procedure = step.procedure
    if procedure.status not in LIVE_PROCEDURES:
        return _("The exam is “%(status)s”.") % {"status": procedure.get_status_display()}
    if step.is_blocked and facility_settings().withhold_blocked_steps:
        return _("Safety screening blocks it, and the facility withholds blocked steps: override it or answer anew.")
    if not stations_of(step):
        return _("No active station does %(modality)s: add one.") % {"modality": step.modality}
    return _("Its item is not written: save the appointment again.")


def _ended(step: ScheduledProcedureStep) -> str:
    performed = step.performed_steps.order_by("-started_at").first()
    if step.status == SPSStatus.CANCELED:
        return _("It is cancelled.")
    if performed is None or performed.started_at is None:
        return _("It is “%(status)s”.") % {"status": step.get_status_display()}
    begun = date_format(localtime(performed.started_at), "SHORT_DATETIME_FORMAT")
    if step.status in (SPSStatus.STARTED, SPSStatus.DEPARTED):
        return _("It began on %(when)s at %(station)s.") % {"when": begun, "station": performed.station_ae_title}
    return _("It began on %(when)s and is “%(status)s”.") % {"when": begun, "status": step.get_status_display()}


__all__ = ["why_withheld"]
