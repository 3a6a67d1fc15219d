"""Small things that all services of this app share."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import models
from django.utils import timezone

from orders.models import Order, RequestedProcedure
from ris.core.actor import Actor
from ris.core.errors import NotKnown
from ris.core.lifecycle import signed
from ris.events.bus import publish
from worklist.events import ExceptionRaised, StudyUnlinked
from worklist.models import ExceptionItem, ImagingStudy, Station


def lock_procedure(procedure: RequestedProcedure) -> RequestedProcedure:
    """The procedure, locked, with order, patient and catalogue at hand."""
    return lock_procedures([procedure.pk])[0]


def lock_procedures(pks: Iterable[int]) -> list[RequestedProcedure]:
    """Several: their orders first, then they, always by key, so that two who lock the same never wait in a circle."""
    wanted = sorted(set(pks))
    orders = RequestedProcedure.objects.filter(pk__in=wanted).values("order")
    list(Order.objects.select_for_update().filter(pk__in=orders).order_by("pk").values_list("pk"))
    rows = list(
        RequestedProcedure.objects.select_for_update(of=("self",))
        .select_related("order__patient", "order__requester", "order__visit", "order__site", "catalogue")
        .filter(pk__in=wanted)
        .order_by("pk")
    )
    if len(rows) != len(wanted):
        raise NotKnown("There is no such procedure in this facility.")
    return rows


def station_of(actor: Actor, ae_title: str = "") -> Station | None:
    """The station that speaks: by the title it gives, else by the one it called under."""
    for title in (ae_title, actor.ae_title):
        station = (
            Station.objects.select_related("room").filter(ae_title=title.strip()).first() if title.strip() else None
        )
        if station is not None:
            return station
    return None


def raise_exception(kind: str, *, actor: Actor, **fields) -> ExceptionItem:
    """Put something before a person. ``study`` and ``performed_step`` have at most one open item of a kind."""
    subject = {key: fields[key] for key in ("study", "performed_step", "procedure") if fields.get(key) is not None}
    known = ExceptionItem.objects.open().filter(kind=kind, **subject).first() if subject else None
    item = known or ExceptionItem(kind=kind)
    for key, value in fields.items():
        setattr(item, key, {**item.detail, **value} if key == "detail" else value)
    item.save_as(actor, "Raised again" if known else "Raised")
    if known is None:
        accession = item.procedure.accession_number if item.procedure else ""
        publish(
            ExceptionRaised(str(item.uuid), accession_number=accession, version=item.version, kind=kind), actor=actor
        )
    return item


def sign(row: models.Model, actor: Actor, reason: str) -> None:
    """Save a row that has history but no version."""
    row._history_user = actor.user
    row._change_reason = signed(reason, actor)
    row.save()


def tell_unlinked(study: ImagingStudy, source: RequestedProcedure, actor: Actor) -> None:
    """The study was taken from that exam."""
    publish(
        StudyUnlinked(
            str(study.uuid),
            accession_number=source.accession_number,
            version=study.version,
            study_instance_uid=study.study_instance_uid,
            procedure=str(source.uuid),
        ),
        actor=actor,
    )


def now() -> datetime:
    return timezone.now()


__all__ = ["lock_procedure", "lock_procedures", "now", "raise_exception", "sign", "station_of", "tell_unlinked"]
