"""Stored instances on their way to somebody else: as they lie in the store where that is taken, else converted."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from django.db.models import QuerySet
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from interop.dicom import scu
from interop.dicom.coercion import Current
from interop.dicom.elements import Malformed
from interop.dicom.index_search import current_of
from interop.dicom.store import local_path
from interop.dicomweb.leaving import write_changed
from interop.dicomweb.media import NotAcceptable
from interop.dicomweb.objects import FileMissing
from interop.dicomweb.transcoding import explicit_little
from interop.models import DicomPeer
from ris.tenants.context import require_facility
from worklist.models import ImagingInstance

EXPLICIT, IMPLICIT = str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)
#: Pairs of class and syntax in one association, each with its fallback: 128 contexts at most (PS3.8 9.3.2.2).
PAIRS = 60
#: A status of PS3.4 Table B.2-1 that stands for a file that could not be sent.
CANNOT_SEND = 0xC000
CUT_OFF = 0xA700


class Shipped(NamedTuple):
    """An instance that is to be sent."""

    pk: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    path: str
    study: int
    #: what it is to say of patient and exam; None: it leaves as it lies in the store
    current: Current | None


class CannotSend(Exception):
    """The instance's file is gone, broken, or cannot be had in a syntax that the other side takes."""


def shipped(instances: QuerySet[ImagingInstance], *, as_sent: bool = False) -> list[Shipped]:
    """In the order in which a person would look at them; four queries for any number.

    ``as_sent``: with patient and numbers as they came, for a peer that wants no other.
    """
    columns = ("pk", "sop_class_uid", "sop_instance_uid", "transfer_syntax_uid", "path", "series__study")
    rows = list(instances.order_by("series__study", "series__number", "series", "number", "pk").values_list(*columns))
    current = current_of({row[-1] for row in rows}, as_sent=as_sent)
    return [Shipped._make((*row, current[row[-1]])) for row in rows]


def untouched(instances: QuerySet[ImagingInstance]) -> list[Shipped]:
    """Objects of our own that speak of what others hold: byte for byte."""
    return [row._replace(current=None) for row in shipped(instances)]


@contextlib.contextmanager
def outgoing(instance: Shipped, syntaxes: Collection[str]) -> Iterator[tuple[Path, str]]:
    """(file, its transfer syntax) in one of ``syntaxes``, the original where that is among them.

    Raises CannotSend. What is converted or says something else now is a copy that lives as long as the context.
    """
    original, current = instance.transfer_syntax_uid, instance.current
    try:
        with tempfile.TemporaryDirectory(prefix="picha-send-") as folder:
            target = Path(folder) / "object.dcm"
            if original not in syntaxes:
                yield target, _converted(instance, syntaxes, target)
            elif current is not None and write_changed(instance, current, target):
                yield target, original
            else:
                with local_path(instance.path) as path:
                    yield path, original
    except (FileNotFoundError, FileMissing):
        raise CannotSend("Its file is gone.") from None
    except Malformed as refusal:
        raise CannotSend(str(refusal)) from None


def _converted(instance: Shipped, syntaxes: Collection[str], target: Path) -> str:
    syntax = next((one for one in (EXPLICIT, IMPLICIT) if one in syntaxes), None)
    if syntax is None:
        raise CannotSend("Its transfer syntax was not negotiated.")
    try:
        with target.open("wb") as file:
            file.writelines(explicit_little(ImagingInstance.objects.get(pk=instance.pk), instance.current))
    except NotAcceptable as refusal:
        raise CannotSend(str(refusal)) from None
    if syntax == IMPLICIT:
        dataset = dcmread(target)
        dataset.file_meta.TransferSyntaxUID = IMPLICIT
        dataset.save_as(target, implicit_vr=True, little_endian=True, enforce_file_format=False)
    return syntax


# --- C-STORE to a peer


@contextlib.contextmanager
def association_with(
    peer: DicomPeer,
    contexts: Sequence[PresentationContext],
    *,
    calling_ae_title: str = "",
    seconds: float = scu.SECONDS,
    **options: Any,
) -> Iterator[Association]:
    """An association that we open with a registered peer, by default under the facility's title. Raises CallFailed.

    ``options``: ``roles`` and ``on_store`` of ``scu.association``.
    """
    with scu.association(
        host=peer.host,
        port=peer.port or 0,
        called_ae_title=peer.ae_title,
        calling_ae_title=calling_ae_title or require_facility().ae_title,
        contexts=contexts,
        tls=scu.client_tls() if peer.uses_tls else None,
        seconds=seconds,
        **options,
    ) as line:
        yield line


def send(
    instances: Sequence[Shipped], peer: DicomPeer, *, originator: tuple[str, int] | None = None
) -> Iterator[tuple[Shipped, int]]:
    """Each instance with the status of its C-STORE, as they go. Raises CallFailed when no association comes about.

    ``originator``: AE title and message id of the C-MOVE that asks for it. After a connection is cut, what is left is
    answered with a status of failure.
    """
    pairs = dict.fromkeys((row.sop_class_uid, row.transfer_syntax_uid) for row in instances)
    listed = list(pairs)
    for some in (set(listed[at : at + PAIRS]) for at in range(0, len(listed), PAIRS)):
        chosen = [row for row in instances if (row.sop_class_uid, row.transfer_syntax_uid) in some]
        with association_with(peer, _contexts(some)) as line:
            yield from _send_all(chosen, line, originator)


def _contexts(pairs: Collection[tuple[str, str]]) -> list[PresentationContext]:
    """The original syntax by itself, and once per class what everybody reads."""
    contexts = [context for sop_class, syntax in sorted(pairs) for context in scu.contexts_for([sop_class], [syntax])]
    return contexts + scu.contexts_for(sorted({sop_class for sop_class, _syntax in pairs}))


def _send_all(
    instances: Sequence[Shipped], line: Association, originator: tuple[str, int] | None
) -> Iterator[tuple[Shipped, int]]:
    accepted: dict[str, set[str]] = {}
    for context in line.accepted_contexts:
        accepted.setdefault(str(context.abstract_syntax), set()).add(str(context.transfer_syntax[0]))
    title, message_id = originator or (None, None)
    is_cut = False
    for number, row in enumerate(instances):
        if is_cut:
            yield row, CUT_OFF
            continue
        try:
            with outgoing(row, accepted.get(row.sop_class_uid, ())) as (path, _syntax):
                answer = line.send_c_store(
                    path, msg_id=number % 0xFFFF + 1, originator_aet=title, originator_id=message_id
                )
            yield row, scu.status_of(answer)
        except CannotSend:
            yield row, CANNOT_SEND
        except (scu.CallFailed, RuntimeError, OSError):
            is_cut = not line.is_established
            yield row, CUT_OFF
