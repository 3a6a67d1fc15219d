"""Outside reports of a person, for whoever reads their exams."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Exists

from orders.models import Patient, RequestedProcedure
from reporting import permissions as perms
from reporting.models import OutsideReport, OutsideReportStatus
from reporting.services.priors import same_person
from ris.core.actor import Actor

MOST = 40


def outside_reports_of(procedures: Sequence[RequestedProcedure], *, actor: Actor) -> list[OutsideReport]:
    """Of all records of the person, newest first; withdrawn ones are not shown."""
    patient = procedures[0].order.patient
    if not actor.may(perms.VIEW_REPORT):
        return []
    people = Patient.objects.filter(pk__in=same_person(patient)).values("uuid")
    may_see = Exists(Patient.objects.visible_to(actor).filter(pk=patient.pk))
    rows = OutsideReport.objects.filter(may_see, patient__in=people).exclude(status=OutsideReportStatus.WITHDRAWN)
    return list(rows.select_related("document").order_by("-performed_at", "-pk")[:MOST])
