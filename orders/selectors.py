"""What is asked about patients, orders, catalogue and charges; always as far as the actor may see."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from orders import permissions as perms
from orders.duplicates import Query, by_beginnings, by_identifier, by_name, by_phone, set_thresholds
from orders.models import (
    CatalogueProcedure,
    Charge,
    Document,
    Order,
    Patient,
    PatientAlert,
    PatientIdentifier,
    PatientLink,
    PatientMerge,
    ProcedureStatus,
    RequestedProcedure,
    Visit,
)
from orders.querysets import patient_condition
from orders.services.lifecycle import STOPPED
from orders.timeline import TimelineEntry, entries_of
from ris.core.actor import Actor
from ris.core.errors import NotKnown

__all__ = ["TimelineEntry", "procedure_timeline"]

#: As many patients as one search finds at most.
SEARCHED = 100
SIMILAR_WITHIN = timedelta(days=90)
BEFORE_EXAM = (
    ProcedureStatus.REQUESTED,
    ProcedureStatus.VETTING,
    ProcedureStatus.INFO_REQUESTED,
    ProcedureStatus.ON_HOLD,
    ProcedureStatus.ACCEPTED,
)


def patients(*, actor: Actor) -> QuerySet[Patient]:
    """Patients who are still their own record."""
    return Patient.objects.visible_to(actor).current().for_display()


def all_patients(*, actor: Actor) -> QuerySet[Patient]:
    """With the losing sides of merges, which are for reading only."""
    return Patient.objects.visible_to(actor).select_related("merged_into").for_display()


def patient_by_identifier(value: str, issuer: str = "", *, actor: Actor) -> Patient | None:
    rows = PatientIdentifier.objects.filter(value=value, patient__in=Patient.objects.visible_to(actor))
    if issuer:
        rows = rows.filter(issuer=issuer)
    row = rows.select_related("patient__merged_into").order_by("pk").first()
    if row is None:
        return None
    return row.patient.merged_into or row.patient


def search_patients(words: str, *, actor: Actor) -> QuerySet[Patient]:
    """Patients by identifier, name beginnings or alike names, one box for all of them; best first by name."""
    query = Query.of(words, None, words, [words.strip(), *words.split()])
    own = Patient.objects.visible_to(actor).current()
    keys: set[int] = set()
    with transaction.atomic():
        set_thresholds()
        if query.identifiers:
            keys.update(by_identifier(query, own).order_by().values_list("pk", flat=True)[:SEARCHED])
        if query.phone_tail and not query.has_name:
            keys.update(by_phone(query, own).order_by().values_list("pk", flat=True)[:SEARCHED])
        if query.has_name:
            keys.update(by_beginnings(query, own).order_by().values_list("pk", flat=True)[:SEARCHED])
            if not keys:
                keys.update(by_name(query, own).order_by().values_list("pk", flat=True)[:SEARCHED])
    return own.filter(pk__in=keys).for_display()


def is_restricted_for(uuid: Any, *, actor: Actor) -> Patient | None:
    """The patient, when the only thing between the actor and the record is that it is restricted."""
    patient = Patient.objects.filter(uuid=uuid, is_restricted=True).first()
    if patient is None or not actor.may(perms.VIEW_PATIENT):
        return None
    return None if Patient.objects.filter(patient_condition(actor), pk=patient.pk).exists() else patient


def orders(*, actor: Actor) -> QuerySet[Order]:
    return Order.objects.visible_to(actor).for_display()


def procedures(*, actor: Actor) -> QuerySet[RequestedProcedure]:
    return RequestedProcedure.objects.visible_to(actor).for_display()


def procedure_timeline(procedure: RequestedProcedure, *, actor: Actor, request: Any = None) -> list[TimelineEntry]:
    """Every step of an exam with who, door and when, newest first."""
    if not RequestedProcedure.objects.visible_to(actor).filter(pk=procedure.pk).exists():
        raise NotKnown("There is no such procedure in this facility.")
    return entries_of(procedure, request=request)


def catalogue(*, active_only: bool = True) -> QuerySet[CatalogueProcedure]:
    rows = CatalogueProcedure.objects.prefetch_related("codes", "preparations", "prices")
    return rows.filter(is_active=True) if active_only else rows


def charges(*, actor: Actor) -> QuerySet[Charge]:
    return Charge.objects.visible_to(actor).select_related("procedure__order__patient", "price_item")


def documents(*, actor: Actor) -> QuerySet[Document]:
    rows = Document.objects.filter(patient_condition(actor, "patient__"), withdrawn_at__isnull=True)
    return rows.select_related("patient", "order", "added_by")


def alerts(*, actor: Actor) -> QuerySet[PatientAlert]:
    return PatientAlert.objects.filter(patient_condition(actor, "patient__")).select_related("patient")


def merges(*, actor: Actor) -> QuerySet[PatientMerge]:
    return PatientMerge.objects.filter(patient_condition(actor, "survivor__")).select_related("survivor", "loser")


def similar_exams(patient: Patient, row: CatalogueProcedure, *, actor: Actor) -> QuerySet[RequestedProcedure]:
    """Exams of the same kind and region, still open or lately done: a warning before ordering one more."""
    since = timezone.now() - SIMILAR_WITHIN
    return (
        procedures(actor=actor)
        .filter(order__patient=patient, modality=row.modality)
        .filter(Q(catalogue=row) | Q(body_region=row.body_region) & ~Q(body_region=""))
        .filter(created_at__gte=since)
        .exclude(status__in=STOPPED)
        .order_by("-pk")
    )


def links_of(patient: Patient, *, actor: Actor) -> QuerySet[PatientLink]:
    """Live links of a record, and of those that were merged into it."""
    ours = Q(pk=patient.pk) | Q(merged_into=patient.pk)
    own = Patient.objects.filter(ours).values("pk")
    live = links(actor=actor).filter(ended_at__isnull=True)
    return live.filter(Q(first__in=own) | Q(second__in=own)).exclude(first__in=own, second__in=own)


def links(*, actor: Actor) -> QuerySet[PatientLink]:
    seen = patient_condition(actor, "first__") & patient_condition(actor, "second__")
    return (
        PatientLink.objects.filter(seen)
        .select_related("first__merged_into", "second__merged_into")
        .prefetch_related("first__identifiers", "second__identifiers")
    )


def rows_after_merge(merge: PatientMerge) -> dict[str, list[Any]]:
    """What the survivor was given while the merge held: a person decides whose it is after an unmerge."""

    until = merge.undone_at or timezone.now()

    def since(rows: QuerySet, at: str) -> list[Any]:
        return list(rows.filter(**{"patient": merge.survivor_id, f"{at}__gt": merge.merged_at, f"{at}__lte": until}))

    def new(model: Any) -> QuerySet:
        """For tables that note no time: their history does."""
        made = model.history.filter(history_type="+", history_date__gt=merge.merged_at, history_date__lte=until)
        return model.objects.filter(
            patient=merge.survivor_id, pk__in=made.filter(patient=merge.survivor_id).values("id")
        )

    return {
        "orders": since(Order.objects.prefetch_related("procedures"), "created_at"),
        "documents": since(Document.objects.filter(order__isnull=True), "added_at"),
        "alerts": since(PatientAlert.objects.all(), "noted_at"),
        "visits": list(new(Visit)),
        "identifiers": list(new(PatientIdentifier)),
    }


def counts_by_status(*, actor: Actor) -> dict[str, int]:
    """How many requests stand in each status before the exam."""
    rows = RequestedProcedure.objects.visible_to(actor).filter(status__in=BEFORE_EXAM)
    return dict(rows.values_list("status").annotate(count=Count("pk")).order_by())
