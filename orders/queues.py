"""What waits between request and exam: to be vetted, to be answered, on hold, to be protocolled."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, Count, F, IntegerField, Prefetch, Q, QuerySet, Value, When
from django.utils import timezone

from orders import selectors
from orders.models import (
    CatalogueProcedure,
    ContrastDecision,
    Inquiry,
    Patient,
    Priority,
    ProcedureStatus,
    RequestedProcedure,
)
from orders.services.lifecycle import HELD
from ris.core.actor import Actor

S = ProcedureStatus
INTAKE = (S.REQUESTED, S.VETTING, S.INFO_REQUESTED, S.ON_HOLD)
#: An exam can be protocolled as soon as it is accepted, and until it begins.
PROTOCOLLED_IN = (S.ACCEPTED, S.SCHEDULED, S.ARRIVED)
MOST_PICKS = 4
LOOKED_THROUGH = 400
UNTOLD = {"updated_at", "catalogue", "protocolled_by"}
OWN_COLUMNS = tuple(field.name for field in RequestedProcedure._meta.concrete_fields if field.name not in UNTOLD)
AROUND = (
    "order__uuid",
    "order__priority",
    "order__patient__uuid",
    "held_by__uuid",
    "replaced_by__uuid",
)

_URGENCY = Case(
    *(When(order__priority=value, then=Value(rank)) for rank, value in enumerate(Priority.values)),
    default=Value(len(Priority.values)),
    output_field=IntegerField(),
)


def procedures_to_list(*, actor: Actor) -> QuerySet[RequestedProcedure]:
    """As integrators list them: the rows themselves, and of what surrounds them the few columns that are told."""
    return (
        RequestedProcedure.objects.visible_to(actor)
        .select_related("order__patient", "held_by", "replaced_by")
        .only(*OWN_COLUMNS, *AROUND)
    )


def of_view(rows: QuerySet[RequestedProcedure], view: str) -> QuerySet[RequestedProcedure]:
    """One of the lists of the vetting queue."""
    if view == "waiting":
        return rows.filter(status__in=(S.REQUESTED, S.VETTING))
    if view == "asked":
        return rows.filter(status=S.INFO_REQUESTED)
    if view == "held":
        return rows.filter(status=S.ON_HOLD)
    if view == "overdue":
        return rows.filter(status__in=HELD, held_until__lt=timezone.now())
    return rows


def vetting_queue(*, actor: Actor) -> QuerySet[RequestedProcedure]:
    """Every request that a person must decide about, the most urgent and then the oldest first."""
    inquiries = Inquiry.objects.select_related("asked_by", "answered_by").order_by("pk")
    return (
        selectors.procedures(actor=actor)
        .filter(status__in=INTAKE)
        .select_related("held_by")
        .prefetch_related(Prefetch("inquiries", queryset=inquiries))
        .order_by(_URGENCY, "pk")
    )


def vetting_counts(*, actor: Actor) -> dict[str, int]:
    """How many stand in each list of the vetting queue."""
    late = Q(status__in=HELD, held_until__lt=timezone.now())
    return (
        RequestedProcedure.objects.visible_to(actor)
        .filter(status__in=INTAKE)
        .aggregate(
            waiting=Count("pk", filter=Q(status__in=(S.REQUESTED, S.VETTING))),
            asked=Count("pk", filter=Q(status=S.INFO_REQUESTED)),
            held=Count("pk", filter=Q(status=S.ON_HOLD)),
            overdue=Count("pk", filter=late),
            all=Count("pk"),
        )
    )


def needs_protocol() -> Q:
    """Not yet protocolled, and the catalogue or a booked contrast exam asks for it."""
    return Q(protocolled_at__isnull=True, status__in=PROTOCOLLED_IN) & (
        Q(catalogue__needs_protocol=True) | Q(catalogue__needs_vetting=True)
    )


def protocol_queue(*, actor: Actor) -> QuerySet[RequestedProcedure]:
    """Accepted exams that nobody has protocolled, the most urgent first, those with the patient here before others."""
    is_here = Case(When(status=S.ARRIVED, then=Value(0)), default=Value(1), output_field=IntegerField())
    return selectors.procedures(actor=actor).filter(needs_protocol()).order_by(is_here, _URGENCY, "pk")


def protocol_count(*, actor: Actor) -> int:
    return RequestedProcedure.objects.visible_to(actor).filter(needs_protocol()).count()


def last_protocol(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure | None:
    """The same patient's last exam of the same kind that a person has protocolled."""
    return (
        RequestedProcedure.objects.visible_to(actor)
        .select_related("protocolled_by")
        .filter(order__patient=procedure.order.patient_id, protocolled_at__isnull=False, modality=procedure.modality)
        .filter(Q(catalogue=procedure.catalogue_id) | Q(body_region=procedure.body_region) & ~Q(body_region=""))
        .exclude(pk=procedure.pk)
        .order_by(F("catalogue").asc() if procedure.catalogue_id is None else _same_first(procedure), "-protocolled_at")
        .first()
    )


def _same_first(procedure: RequestedProcedure) -> Case:
    same = When(catalogue=procedure.catalogue_id, then=Value(0))
    return Case(same, default=Value(1), output_field=IntegerField())


def protocol_picks(procedure: RequestedProcedure) -> list[dict[str, Any]]:
    """What this exam is usually done with here: the catalogue's protocol, then what was chosen most of late.

    Protocols name no patient, so they are counted over the whole facility.
    """
    picks: list[dict[str, Any]] = []
    if procedure.catalogue is not None and procedure.catalogue.default_protocol:
        picks.append(_pick(procedure.catalogue.default_protocol, "", "", 0))
    if procedure.catalogue_id is None:
        return picks
    lately = (
        RequestedProcedure.objects.filter(catalogue=procedure.catalogue_id, protocolled_at__isnull=False)
        .exclude(pk=procedure.pk)
        .order_by("-pk")
        .values("pk")[:LOOKED_THROUGH]
    )
    used = (
        RequestedProcedure.objects.filter(pk__in=lately)
        .values_list("protocol", "contrast_decision", "contrast")
        .annotate(times=Count("pk"))
        .order_by("-times", "protocol")[: MOST_PICKS + 1]
    )
    known = {(pick["protocol"], pick["contrast_decision"], pick["contrast"]) for pick in picks}
    for protocol, decision, contrast, times in used:
        if (protocol, decision, contrast) not in known:
            picks.append(_pick(protocol, decision, contrast, times))
    return picks[:MOST_PICKS]


def _pick(protocol: str, decision: str, contrast: str, times: int) -> dict[str, Any]:
    return {
        "protocol": protocol,
        "contrast_decision": decision,
        "contrast": contrast,
        "decision_words": ContrastDecision(decision).label if decision else "",
        "times": times,
    }


def last_similar_exam(patient: Patient, row: CatalogueProcedure, *, actor: Actor) -> RequestedProcedure | None:
    """The last exam of the same kind or region that was done, however long ago."""
    return (
        selectors.procedures(actor=actor)
        .filter(order__patient=patient, modality=row.modality, performed_at__isnull=False)
        .filter(Q(catalogue=row) | Q(body_region=row.body_region) & ~Q(body_region=""))
        .order_by("-performed_at")
        .first()
    )


def held_by(user: Any, *, actor: Actor) -> QuerySet[RequestedProcedure]:
    """What a person looks after: questions asked and holds, the first to end first."""
    return selectors.procedures(actor=actor).filter(status__in=HELD, held_by=user).order_by("held_until", "pk")


def questions_to(user: Any, *, actor: Actor) -> QuerySet[Inquiry]:
    """Open questions about what this requester has ordered."""
    seen = RequestedProcedure.objects.visible_to(actor).filter(order__requester__user=user)
    return (
        Inquiry.objects.filter(closed_at__isnull=True, procedure__in=seen)
        .select_related("procedure__order__patient", "asked_by")
        .prefetch_related("procedure__order__patient__identifiers")
        .order_by("pk")
    )


def time_left(row: RequestedProcedure) -> tuple[int, int] | None:
    """(minutes left, minutes in all) of a hold."""
    if row.status not in HELD or row.held_until is None:
        return None
    total = max(1, round((row.held_until - row.status_changed_at).total_seconds() / 60))
    return round((row.held_until - timezone.now()).total_seconds() / 60), total
