"""Earlier exams of a patient and of all records that were merged with theirs: who they are, how near, how cited."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from django.db.models import Q, QuerySet
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from orders.models import Patient, RequestedProcedure
from reporting import permissions as perms
from reporting.models import Report
from ris.accounts.memory import remembered
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import NotKnown

DONE = ("preliminary", "final", "amended", "distributed")
#: What each kind of likeness is worth; recency decides among equals.
SAME_REGION, SAME_MODALITY, SAME_CODE, SAME_SIDE = 4, 2, 2, 1
MERGES_DEEP = 5


def same_person(patient: Patient) -> set[int]:
    """Keys of this record, of the one it was merged into, and of all that were merged into either."""
    return remembered(f"records of patient {patient.pk}", lambda: _linked_to(patient))


def _linked_to(patient: Patient) -> set[int]:
    found = {patient.pk}
    for _step in range(MERGES_DEEP):
        linked = Patient.objects.filter(Q(merged_into__in=found) | Q(merged_patients__in=found))
        more = set(linked.values_list("pk", flat=True)) - found
        if not more:
            break
        found |= more
    return found


def earlier_exams(procedures: Sequence[RequestedProcedure]) -> QuerySet[RequestedProcedure]:
    """Performed and read exams of the person, without these, newest first."""
    rows = RequestedProcedure.objects.filter(
        order__patient__in=same_person(procedures[0].order.patient), status__in=DONE
    )
    return rows.exclude(pk__in=[procedure.pk for procedure in procedures]).order_by("-performed_at", "-pk")


def _exam_moment(procedure: RequestedProcedure) -> datetime | None:
    return procedure.performed_at or procedure.started_at


def day_of(procedure: RequestedProcedure) -> date | None:
    moment = _exam_moment(procedure)
    return timezone.localtime(moment).date() if moment else None


def prior_days(procedures: Sequence[RequestedProcedure]) -> set[date]:
    """Days on which this person was imaged before or together with these exams: by us, or as images brought along."""
    people = same_person(procedures[0].order.patient)
    rows = RequestedProcedure.objects.filter(order__patient__in=people).exclude(
        performed_at__isnull=True, started_at__isnull=True, studies__isnull=True
    )
    found: set[date] = set()
    for performed, started, study in rows.values_list("performed_at", "started_at", "studies__study_date"):
        moment = performed or started
        found |= {day for day in (timezone.localtime(moment).date() if moment else None, study) if day}
    return found


def likeness(prior: RequestedProcedure, procedures: Sequence[RequestedProcedure]) -> int:
    """The sum of what a prior has in common with the nearest of these exams."""
    return max(_likeness(prior, procedure) for procedure in procedures)


def _likeness(prior: RequestedProcedure, procedure: RequestedProcedure) -> int:
    worth = 0
    region = prior.body_region.lower()
    if region and region == procedure.body_region.lower():
        worth += SAME_REGION
        if prior.laterality and procedure.laterality and prior.laterality == procedure.laterality:
            worth += SAME_SIDE
    if prior.modality and prior.modality == procedure.modality:
        worth += SAME_MODALITY
    if prior.code == procedure.code:
        worth += SAME_CODE
    return worth


def citation(prior: RequestedProcedure) -> str:
    """How a prior is named in a comparison: "CT abdomen 2025-03-02"."""
    day = day_of(prior)
    return f"{prior.description_with_side} {day.isoformat()}" if day else prior.description_with_side


@service(perms.WRITE_REPORT, action=Action.UPDATE)
def cite_prior(report: Report, *, prior: RequestedProcedure, revision: int | None = None, actor: Actor) -> Report:
    """Put an earlier exam of the same person into the comparison; once, however often it is asked for."""
    from reporting.services.writing import save_report

    procedures = list(report.procedures.select_related("order__patient"))
    if not procedures or not earlier_exams(procedures).filter(pk=prior.pk).exists():
        raise NotKnown(_("That is no earlier exam of this patient."))
    said = citation(prior)
    before = report.sections.get("comparison", "").strip()
    if said in before:
        return report
    with translation.override(report.language or "en"):
        words = {_("None."), "None.", "Hakuna.", ""}
    if before in words:
        text = f"{said}."
    else:
        text = f"{before.rstrip('.')}; {said}."
    return save_report(report, sections={"comparison": text}, revision=revision, actor=actor)
