"""Retrieve SCP (PS3.4 C.4.2, C.4.3): C-MOVE to registered peers, C-GET back on the same association."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

from interop.dicom import scu
from interop.dicom.dimse import Answer, DimseError, Request, Status, c_get, c_move
from interop.dicom.elements import encode
from interop.dicom.index_search import selected
from interop.dicom.messages import Counts
from interop.dicom.query_keys import (
    PATIENT_ROOT_GET,
    PATIENT_ROOT_MOVE,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    levels_of,
    read_identifier,
)
from interop.dicom.sending import CANNOT_SEND, CannotSend, Shipped, outgoing, send, shipped
from interop.models import DicomPeer
from ris.audit.service import record_read
from ris.core.actor import Actor
from worklist.models import ImagingStudy
from worklist.permissions import VIEW_STUDY

FAILED_LIST = 0x00080058
#: As many UIDs as a value of explicit VR holds.
MOST_LISTED = 1000
WARNINGS = frozenset({0xB000, 0xB006, 0xB007})


@c_move(PATIENT_ROOT_MOVE, allowed_by="may_query", door="retrieve")
@c_move(STUDY_ROOT_MOVE, allowed_by="may_query", door="retrieve")
def on_move(request: Request, actor: Actor) -> Iterator[Answer]:
    destination = _destination(request.move_destination)
    hides = request.caller.peer.hides_restricted or destination.hides_restricted
    rows = _named(request, hides, destination)
    _write_down(rows, actor, destination.ae_title)
    originator = (request.caller.calling_ae_title, request.message_id)
    return _answers(rows, request, lambda: send(rows, destination, originator=originator))


@c_get(PATIENT_ROOT_GET, allowed_by="may_query", door="retrieve")
@c_get(STUDY_ROOT_GET, allowed_by="may_query", door="retrieve")
def on_get(request: Request, actor: Actor) -> Iterator[Answer]:
    rows = _named(request, request.caller.peer.hides_restricted, request.caller.peer)
    _write_down(rows, actor, request.caller.calling_ae_title)
    return _answers(rows, request, lambda: _stored_back(rows, request))


def _destination(title: str) -> DicomPeer:
    """Registered, active, and with an address; wildcards are no place to send to."""
    peer = DicomPeer.objects.filter(ae_title=title.strip(), is_active=True, port__isnull=False).exclude(host="").first()
    if peer is None or set("*?") & set(peer.ae_title):
        raise DimseError(
            Status.MOVE_DESTINATION_UNKNOWN, f"{title.strip() or 'Nobody'} is no peer that we can call."[:64]
        )
    return peer


def _named(request: Request, hides_restricted: bool, receiver: DicomPeer) -> list[Shipped]:
    levels = levels_of(request.sop_class_uid)
    identifier = read_identifier(
        request.data, request.encoding, levels, retrieve=True, relational=request.is_relational
    )
    found = selected(identifier, hides_restricted=hides_restricted)
    return shipped(found, as_sent=receiver.receives_as_sent)


def _write_down(rows: list[Shipped], actor: Actor, destination: str) -> None:
    """Who took which study, before the first image leaves."""
    counts = {study: len(list(group)) for study, group in groupby(rows, key=lambda row: row.study)}
    studies = ImagingStudy.objects.filter(pk__in=counts).prefetch_related("procedures__order__patient")
    for study in studies:
        detail = {"page": "retrieve", "instances": counts[study.pk], "destination": destination}
        record_read(actor, VIEW_STUDY, entity=study, detail=detail)


def _stored_back(rows: list[Shipped], request: Request) -> Iterator[tuple[Shipped, int]]:
    for row in rows:
        syntaxes = request.suboperations.accepts(row.sop_class_uid)
        try:
            with outgoing(row, syntaxes) as (path, syntax):
                status = request.suboperations.store(row.sop_class_uid, row.sop_instance_uid, syntax, path)
        except CannotSend:
            status = CANNOT_SEND
        yield row, status


def _answers(
    rows: list[Shipped], request: Request, begin: Callable[[], Iterator[tuple[Shipped, int]]]
) -> Iterator[Answer]:
    """Pending after each sub-operation, then the sum of them (C.4.2.1.5, C.4.3.1.4)."""
    completed = warning = 0
    failed: list[str] = []
    left = dict.fromkeys(row.sop_instance_uid for row in rows)
    done: Iterator[tuple[Shipped, int]] = begin() if rows else iter(())
    try:
        for row, status in done:
            del left[row.sop_instance_uid]
            if status == Status.SUCCESS:
                completed += 1
            elif status in WARNINGS:
                warning += 1
            else:
                failed.append(row.sop_instance_uid)
            counts = Counts(len(left), completed, len(failed), warning)
            if left and request.is_cancelled():
                yield Answer(Status.CANCELLED, _failed_list(failed, request), counts=counts)
                return
            if left:
                yield Answer(Status.PENDING, counts=counts)
    except scu.CallFailed as refusal:
        yield _final(completed, [*failed, *left], warning, request, str(refusal))
        return
    finally:
        if hasattr(done, "close"):
            done.close()
    yield _final(completed, failed, warning, request)


def _final(completed: int, failed: list[str], warning: int, request: Request, comment: str = "") -> Answer:
    status = Status.SUCCESS
    if failed or warning:
        status = Status.SUBOPERATIONS_WARNING if completed or warning else Status.SUBOPERATIONS_FAILED
    counts = Counts(None, completed, len(failed), warning)
    return Answer(status, _failed_list(failed, request), comment=comment, counts=counts)


def _failed_list(failed: list[str], request: Request) -> bytes:
    if not failed:
        return b""
    return encode(FAILED_LIST, "\\".join(failed[:MOST_LISTED]).encode(), request.encoding)
