"""STOW-RS: the parts of a request, each into the store and the index on the way of a C-STORE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog
from django.conf import settings
from django.utils.translation import gettext as _

from interop.dicom.dimse import DISK_FULL, DimseError
from interop.dicom.elements import Malformed
from interop.dicom.headers import FileStart, Header, read_file_start, read_header
from interop.dicom.sop_classes import STORAGE_CLASSES, STORAGE_SYNTAXES
from interop.dicom.storage import ObjectSink
from interop.dicom.store import HEADER_BYTES, IncomingFile, sync_files
from interop.dicomweb.media import DICOM, BadRequest, parse_media_types
from interop.dicomweb.model import Model
from interop.dicomweb.multipart import BrokenMultipart, MultipartReader, Part
from interop.dicomweb.resources import Addresses
from ris.audit.models import Action
from ris.audit.service import record
from ris.core.actor import Actor
from ris.core.errors import Conflict, DomainError
from worklist import permissions as perms
from worklist.models import ImagingSeries, ImagingStudy
from worklist.services import Indexed, recount_waiting

log = structlog.get_logger("interop.dicomweb")

MAX_PARTS = 10_000
#: Failure reasons (PS3.18 Table I.2-2, PS3.4 Annex B).
OUT_OF_RESOURCES, DOES_NOT_MATCH, CANNOT_UNDERSTAND = 0xA700, 0xA900, 0xC000
PROCESSING_FAILURE, DUPLICATE, CLASS_NOT_SUPPORTED = 0x0110, 0x0111, 0x0122
SYNTAX_NOT_SUPPORTED = 0xC122
CLASSES = frozenset(STORAGE_CLASSES)


class Refused(Exception):
    """One part is not stored."""

    def __init__(self, reason: int, words: str) -> None:
        super().__init__(words)
        self.reason, self.words = reason, words


@dataclass
class Failure:
    reason: int
    words: str
    sop_class_uid: str = ""
    sop_instance_uid: str = ""


@dataclass
class Stored:
    """What became of the parts. ``too_large``: the request was ended before its end."""

    rows: list[Indexed] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    other_types: int = 0
    #: Files that are to be brought to the disk before the answer.
    unsynced: list[str] = field(default_factory=list)
    too_large: bool = False

    @property
    def status(self) -> int:
        """PS3.18 Table 10.5.3-1."""
        if self.too_large:
            return 413
        if not self.failures:
            return 200
        if self.rows:
            return 202
        return 415 if self.other_types == len(self.failures) else 409


def store(reader: MultipartReader, *, study: str, actor: Actor) -> Stored:
    """Take every part. ``study``: the only Study Instance UID that is taken, or empty.

    Raises BadRequest when there is no part at all. What was stored before a request breaks off stays, and is told.
    """
    actor.require(perms.STORE_STUDY)
    outcome = Stored()
    try:
        _take_all(reader, study, actor, outcome)
    except TooLarge as limit:
        outcome.too_large = True
        outcome.failures.append(Failure(OUT_OF_RESOURCES, str(limit)))
    except BrokenMultipart as broken:
        if not outcome.rows:
            raise BadRequest(
                _("The request's body is no multipart message."), found=str(broken), errors={"body": str(broken)}
            ) from None
        outcome.failures.append(Failure(CANNOT_UNDERSTAND, str(broken)))
    if not outcome.rows and not outcome.failures:
        raise BadRequest(_("The request holds no part."), errors={"body": _("No part was found.")})
    _note(outcome, actor)
    return outcome


def _take_all(reader: MultipartReader, study: str, actor: Actor, outcome: Stored) -> None:
    """However it ends: what was taken is counted, and as safe on the disk as RIS_DICOM_FSYNC says."""
    try:
        for number, part in enumerate(reader.parts(), 1):
            if number > MAX_PARTS:
                raise TooLarge(f"There are more than {MAX_PARTS} parts.")
            _take(part, study, actor, outcome)
    finally:
        recount_waiting()
        sync_files(outcome.unsynced)
        series = ImagingSeries.objects.select_related("study").in_bulk({row.series_id for row in outcome.rows})
        for row in outcome.rows:
            row.series = series[row.series_id]


class TooLarge(Exception):
    """More came than one request may bring."""


def _take(part: Part, study: str, actor: Actor, outcome: Stored) -> None:
    failure = Failure(0, "")
    try:
        outcome.rows.append(_store_part(part, study, actor, failure, outcome.unsynced))
        return
    except (Malformed, BadRequest) as wrong:
        failure.reason, failure.words = CANNOT_UNDERSTAND, str(wrong)
    except Refused as wrong:
        failure.reason, failure.words = wrong.reason, wrong.words
        outcome.other_types += wrong.reason == SYNTAX_NOT_SUPPORTED and not failure.sop_instance_uid
    except DimseError as wrong:
        failure.reason, failure.words = wrong.status, wrong.detail
    except DomainError as wrong:
        failure.reason, failure.words = _reason_of(wrong), wrong.detail
    except OSError as wrong:
        failure.reason = OUT_OF_RESOURCES if wrong.errno in DISK_FULL else PROCESSING_FAILURE
        failure.words = "The store cannot be written."
        log.error("instance_not_stored", error=type(wrong).__name__, errno=wrong.errno)
    outcome.failures.append(failure)


def _reason_of(refusal: DomainError) -> int:
    if refusal.code == "duplicate_instance":
        return DUPLICATE
    return PROCESSING_FAILURE if isinstance(refusal, Conflict) else CANNOT_UNDERSTAND


def _store_part(part: Part, study: str, actor: Actor, failure: Failure, unsynced: list[str]) -> Indexed:
    declared = part.headers.get("content-type", DICOM)
    if [media.name for media in parse_media_types(declared)] != [DICOM]:
        raise Refused(SYNTAX_NOT_SUPPORTED, f"A part is not {DICOM}.")
    pieces = part.pieces()
    head, start, header = _header_of(pieces)
    failure.sop_class_uid, failure.sop_instance_uid = str(header.sop_class_uid), str(header.sop_instance_uid)
    if header.sop_class_uid not in CLASSES:
        raise Refused(CLASS_NOT_SUPPORTED, "The SOP class is not stored here.")
    if study and header.study_instance_uid != study:
        raise Refused(DOES_NOT_MATCH, "The object belongs to another study than the address names.")
    incoming = IncomingFile(failure.sop_class_uid, failure.sop_instance_uid, start.transfer_syntax_uid)
    at_the_end = unsynced if settings.RIS_DICOM_FSYNC == "association" else None
    sink = ObjectSink(incoming, actor, is_further=True, unsynced=at_the_end)
    try:
        sink.write(head[start.offset :])
        for piece in pieces:
            sink.write(piece)
    except BaseException:
        sink.discard()
        raise
    return sink.finish()


def _header_of(pieces: Iterator[bytes]) -> tuple[memoryview, FileStart, Header]:
    """The first bytes of a part, as many as its header needs, and what they say."""
    head = bytearray()
    for length in HEADER_BYTES:
        is_whole = not _fill(head, pieces, length)
        try:
            data = memoryview(bytes(head))
            start = read_file_start(data)
            if start.transfer_syntax_uid not in STORAGE_SYNTAXES:
                raise Refused(SYNTAX_NOT_SUPPORTED, "The transfer syntax is not taken.")
            return data, start, read_header(data[start.offset :], start.transfer_syntax_uid)
        except Malformed:
            if is_whole or length == HEADER_BYTES[-1]:
                raise
    raise Malformed("The header is too long.")


def _fill(head: bytearray, pieces: Iterator[bytes], length: int) -> bool:
    """Whether there is more."""
    while len(head) < length:
        piece = next(pieces, None)
        if piece is None:
            return False
        head += piece
    return True


def _note(outcome: Stored, actor: Actor) -> None:
    """One audit row per study and request; a new study has its own beside it."""
    studies: dict[int, ImagingStudy] = {row.series.study_id: row.series.study for row in outcome.rows}
    counts = Counter(row.series.study_id for row in outcome.rows)
    for key, study in studies.items():
        record(actor, perms.STORE_STUDY, Action.UPDATE, entity=study, detail={"instances": counts[key]})


# --- the answer (PS3.18 Annex I)


def response_model(outcome: Stored, addresses: Addresses) -> Model:
    made: Model = {}
    failed = [failure for failure in outcome.failures if failure.sop_instance_uid]
    others = [failure for failure in outcome.failures if not failure.sop_instance_uid]
    studies = {row.series.study_id: row.series.study for row in outcome.rows}
    if len(studies) == 1:
        study = next(iter(studies.values()))
        made["00081190"] = {"vr": "UR", "Value": [addresses.study(study)]}
    if failed:
        made["00081198"] = {"vr": "SQ", "Value": [_failed_item(failure) for failure in failed]}
    if outcome.rows:
        made["00081199"] = {"vr": "SQ", "Value": [_stored_item(row, addresses) for row in outcome.rows]}
    if others:
        made["0008119A"] = {"vr": "SQ", "Value": [{"00081197": _reason(failure)} for failure in others]}
    return made


def _reason(failure: Failure) -> Model:
    return {"vr": "US", "Value": [failure.reason]}


def _failed_item(failure: Failure) -> Model:
    return {
        "00081150": {"vr": "UI", "Value": [failure.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [failure.sop_instance_uid]},
        "00081197": _reason(failure),
    }


def _stored_item(row: Indexed, addresses: Addresses) -> Model:
    return {
        "00081150": {"vr": "UI", "Value": [row.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [row.sop_instance_uid]},
        "00081190": {"vr": "UR", "Value": [addresses.instance(row)]},
    }
