"""The DICOM conformance statement (PS3.2 Annex A), made from what is registered, declared and rendered.

``document()`` is docs/dicom-conformance.md. What is in it comes from the handlers, the peer's fields, the settings,
the worklist item and the error table themselves; a claim without code behind it cannot be made here.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import structlog
from django.conf import settings
from django.db import OperationalError
from django.utils import translation
from pydicom import Dataset
from pydicom.datadict import dictionary_description, keyword_for_tag
from pydicom.uid import UID

from interop.dicom import (
    availability,
    coercion,
    index_search,
    mpps_messages,
    query_keys,
    references,
    rejection_notes,
    report_document,
    server,
    sop_classes,
)
from interop.dicom import mpps as mpps_scp
from interop.dicom.conformance_texts import (
    ADMISSION,
    CHARACTER_SET_TEXT,
    COMMON_EXTENDED,
    EXTENDED,
    INTRODUCTION,
    LEAVING_TEXT,
    MPPS_TEXT,
    RELEASE,
    RETURN_TYPES,
    SECURITY,
    STORAGE_TEXT,
    WORKLIST_TEXT,
)
from interop.dicom.dimse import MAX_DATA_SET, Caller, Handler, Request, Status, answer_to, served, syntaxes_of
from interop.dicom.elements import MAX_DEPTH, MAX_ELEMENTS, Malformed
from interop.dicom.emulator import ModalityEmulator
from interop.dicom.intake import MOST_QUEUED
from interop.dicom.messages import MAX_COMMAND, Field
from interop.dicom.pdu import (
    APPLICATION_CONTEXT,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION,
    MAX_CONTEXTS,
    Abort,
    Rejection,
)
from interop.dicom.verification import VERIFICATION
from interop.dicom.worklist import MAX_IDENTIFIER, MODALITY_WORKLIST
from interop.models import DicomPeer
from interop.models.outgoing import OutgoingKind
from interop.models.peers import CHARACTER_SETS
from ris.core.errors import AlreadyExists, Conflict, DomainError, InvalidData, InvalidTransition, NotKnown, NotPermitted
from worklist.services.rendering import item_of

#: Settings whose names begin so are limits and ports of the listener.
OUR_SETTINGS = ("RIS_DICOM_", "RIS_TLS_", "RIS_BIND")
#: What goes out, by kind of work: SOP classes of the SCU role
SENT: dict[str, tuple[str, ...]] = {
    OutgoingKind.MPPS_CREATE: (mpps_messages.PERFORMED_STEP,),
    OutgoingKind.MPPS_SET: (mpps_messages.PERFORMED_STEP,),
    OutgoingKind.AVAILABILITY: (availability.AVAILABILITY,),
    OutgoingKind.REJECTION_NOTE: (rejection_notes.KEY_OBJECTS,),
    OutgoingKind.IMAGES: sop_classes.STORAGE_CLASSES,
    OutgoingKind.REPORT: (report_document.BASIC_TEXT_SR,),
    OutgoingKind.FETCH: (query_keys.STUDY_ROOT_FIND, query_keys.STUDY_ROOT_GET, query_keys.STUDY_ROOT_MOVE),
}
#: SOP classes are named one by one up to here
MANY = 12
MATCHING = {
    "AE": "single value",
    "CS": "single value",
    "DA": "single value, range",
    "TM": "single value, range",
    "UI": "list of UID",
    "PN": "single value, wildcard; without case",
    "SQ": "sequence",
}


def document() -> str:
    """The statement as Markdown, in English whatever language is active."""
    with translation.override("en"):
        parts = [INTRODUCTION, *_overview(), *_networking(), *_worklist(), *_mpps(), STORAGE_TEXT, *_leaving()]
        parts += [*_statuses(), *_communication(), *_configuration(), *_media_and_text(), SECURITY, *_annexes()]
        return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    heads = list(heads)
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return "\n".join([*lines, *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows)])


def name_of(uid: str) -> str:
    return UID(uid).name.removesuffix(" - FIND") if UID(uid).name != uid else "private"


# --- 1, 4.2: services


def _handlers() -> list[Handler]:
    return sorted(served(), key=lambda row: (min(row.sop_classes), row.field))


def _services() -> Iterator[tuple[str, str, str, str]]:
    """(service, operations, transfer syntaxes, right) for each set of SOP classes."""
    groups: dict[frozenset[str], list[Handler]] = {}
    for handler in _handlers():
        groups.setdefault(handler.sop_classes, []).append(handler)
    for classes, handlers in groups.items():
        operations = ", ".join(dict.fromkeys(Field(handler.field).name.replace("_", "-") for handler in handlers))
        syntaxes = {syntax for uid in classes for syntax in syntaxes_of(uid)}
        shown = (
            ", ".join(name_of(uid) for uid in sorted(syntaxes)) if len(syntaxes) < 4 else f"{len(syntaxes)} (annex B)"
        )
        rights = ", ".join(dict.fromkeys(_right(handler.allowed_by) for handler in handlers))
        yield _classes(classes), operations, shown, rights


def _classes(classes: frozenset[str]) -> str:
    if len(classes) > MANY:
        return f"{len(classes)} storage classes (annex A)"
    return "<br>".join(f"{UID(uid).name} `{uid}`" for uid in sorted(classes))


def _right(flag: str) -> str:
    return str(DicomPeer._meta.get_field(flag).verbose_name)


def _overview() -> list[str]:
    sent = {VERIFICATION: ["A person calls the peer; the readiness check"]}
    for kind in OutgoingKind:
        for uid in SENT[kind] if len(SENT[kind]) < MANY else ():
            sent.setdefault(uid, []).append(str(kind.label))
    rows = [(UID(uid).name, f"`{uid}`", "; ".join(why)) for uid, why in sent.items()]
    many = [(f"{kind.label}", "annex A", "Work queue, C-MOVE") for kind in OutgoingKind if len(SENT[kind]) >= MANY]
    return [
        "## 1. Overview",
        "### As service class provider",
        table(("SOP classes", "Operations", "Transfer syntaxes", "Right of the peer's row"), _services()),
        "Whoever may ask with C-FIND, C-MOVE or C-GET may also send C-CANCEL.",
        "### As service class user",
        table(("Service", "SOP class", "When"), [*rows, *many]),
        "Media storage: none.",
    ]


# --- 4: networking


def _networking() -> list[str]:
    implementation = [
        ("Implementation Class UID", f"`{IMPLEMENTATION_CLASS_UID}`"),
        ("Implementation Version Name", f"`{IMPLEMENTATION_VERSION}`"),
        ("Application context", f"`{APPLICATION_CONTEXT}`"),
        ("Asynchronous operations", "answered with (1, 1): one operation at a time"),
        ("Role selection", "the requestor's SCU role; its SCP role for storage classes when it asks with C-GET"),
        ("SOP class extended negotiation", EXTENDED),
        ("SOP class common extended negotiation", COMMON_EXTENDED),
        ("User identity", "read and not answered; nobody is let in by an identity"),
        ("Release", RELEASE),
    ]
    peer = [
        (str(field.verbose_name), str(field.help_text or "–"))
        for field in DicomPeer._meta.get_fields()
        if hasattr(field, "verbose_name") and field.editable and not field.auto_created and field.name != "uuid"
    ]
    return [
        "## 4. Networking",
        table(("", ""), implementation),
        ADMISSION,
        "What a peer's row holds; the administrator edits it:",
        table(("Field", "Means"), peer),
    ]


# --- worklist


class Many(list[Any]):
    """Rows of a relation that is read with ``all()``."""

    def all(self) -> Many:
        return self


def specimen() -> Dataset:
    """A worklist item with every key that rendering writes. No database: the people in it are none."""
    someone = SimpleNamespace(family_name="A", given_name="B", prefix="", suffix="", organisation="C")
    other = SimpleNamespace(value="1", issuer="I")
    room = SimpleNamespace(code="R")
    patient = SimpleNamespace(
        primary_identifier=SimpleNamespace(value="2", issuer="I"), dicom_name="A^B", identifiers=Many([other]),
        birth_date=datetime(2000, 1, 1), sex="O", weight_kg=1.0, height_m=1.0, is_restricted=False, alert_rows=Many(),
        uuid="", version=1,
    )  # fmt: skip
    order = SimpleNamespace(
        patient=patient, isolation="", transport="", clinical_information="", requester=someone, visit=None,
        location="",
        placer_order_number="", filler_order_number="", priority="routine", indication="", ordered_at=_moment(),
    )  # fmt: skip
    procedure = SimpleNamespace(
        order=order, screenings=Many(), accession_number="1", study_instance_uid="1.2", requested_procedure_id="1",
        code="C", code_scheme="L", description="D", description_with_side="D", comments_to_technologist="",
        contrast="", protocol="", version=1,
    )  # fmt: skip
    step = SimpleNamespace(
        procedure=procedure, station=SimpleNamespace(ae_title="S", name="S", room=room), modality="CT",
        starts_at=_moment(), performing_physician=someone, description="D", protocol_code="C", protocol_scheme="L",
        protocol_meaning="M", pre_medication="", scheduled_procedure_step_id="1", status="SCHEDULED",
    )  # fmt: skip
    return item_of(step)


def _moment() -> datetime:
    return datetime.fromisoformat("2000-01-01T12:00:00+00:00")


def _key_rows(dataset: Dataset, depth: int = 0) -> Iterator[tuple[str, str, str, str]]:
    for element in dataset:
        if element.keyword == "SpecificCharacterSet":
            continue
        kind = RETURN_TYPES.get(element.keyword, "3")
        matching = MATCHING.get(element.VR, "single value, wildcard")
        tag = f"({element.tag.group:04X},{element.tag.element:04X})"
        yield f"{'› ' * depth}{element.name}", tag, matching, kind
        if element.VR == "SQ":
            for item in element.value[:1]:
                yield from _key_rows(item, depth + 1)


def _worklist() -> list[str]:
    return [
        f"### 4.2.1 {UID(MODALITY_WORKLIST).name}",
        WORKLIST_TEXT,
        table(("Key", "Tag", "Matching", "Return type (PS3.4 Table K.6-1)"), _key_rows(specimen())),
        "Any other key is answered with status FF01 and left out.",
    ]


# --- performed steps


class _Read(Dataset):
    """Remembers what is read of it."""

    asked: set[str]

    def get(self, key: Any, default: Any = None) -> Any:
        self.__dict__.setdefault("asked", set()).add(key if isinstance(key, str) else keyword_for_tag(key))
        return super().get(key, default)

    def __contains__(self, name: object) -> bool:
        if isinstance(name, str):
            self.__dict__.setdefault("asked", set()).add(name)
        return super().__contains__(name)  # type: ignore[operator]  # pydicom's stubs know no object here


def _mpps() -> list[str]:
    scanner = ModalityEmulator("CT1", "RIS", "", 0)
    planned = specimen()
    scanner.items, scanner.started_at = [planned], _moment()
    sent = _Read()
    sent.update(scanner.beginning())
    mpps_scp.created(sent, "CT1")
    rows = []
    for element in sent:
        is_used = element.keyword in sent.asked
        fallback = "filled in when it is missing" if element.keyword in mpps_scp.FILLED_IN else ""
        fixed = "not changed" if element.keyword in mpps_scp.FIXED else "taken over"
        rows.append(
            (
                element.name,
                f"({element.tag.group:04X},{element.tag.element:04X})",
                f"read{', ' + fallback if fallback else ''}" if is_used else "kept as it came",
                fixed if is_used or fixed == "not changed" else "kept as it came",
            )
        )
    return [
        "### 4.2.2 Modality Performed Procedure Step",
        MPPS_TEXT,
        table(("Attribute", "Tag", "N-CREATE", "N-SET"), rows),
    ]


# --- status codes

ERRORS: tuple[tuple[str, Callable[[], Exception]], ...] = (
    ("the peer's row does not allow it", lambda: NotPermitted("")),
    ("the data set is broken, too deep or too large", lambda: Malformed("")),
    ("a value cannot be one", lambda: InvalidData("")),
    ("there is no such instance", lambda: NotKnown("")),
    ("the instance is there already", lambda: AlreadyExists("")),
    ("other content has this SOP Instance UID", lambda: Conflict("")),
    ("the step has ended and may no longer be updated", lambda: InvalidTransition("")),
    ("another refusal of the house", lambda: DomainError("")),
    ("the disk is full or read-only", lambda: OSError(errno.ENOSPC, "")),
    ("the database is away", lambda: OperationalError()),
    ("a fault of ours", lambda: RuntimeError()),
)
#: Which of them an operation can meet; the others would be no answer to it.
MET: dict[Field, tuple[int, ...]] = {
    Field.C_ECHO: (0,),
    Field.C_STORE: (0, 1, 2, 5, 8, 9, 10),
    Field.C_FIND: (0, 1, 2, 7, 9, 10),
    Field.C_MOVE: (0, 1, 2, 7, 9, 10),
    Field.C_GET: (0, 1, 2, 7, 9, 10),
    Field.N_CREATE: (0, 1, 2, 4, 9, 10),
    Field.N_SET: (0, 1, 2, 3, 6, 9, 10),
    Field.N_GET: (0, 3, 9, 10),
    Field.N_ACTION: (0, 1, 2, 3, 9, 10),
}


def _leaving() -> list[str]:
    because = dict.fromkeys(index_search.SAID.values(), "the patient as known now")
    because |= {coercion.ACCESSION_NUMBER: "the exam", coercion.STUDY: "the study that it is in"}
    because |= dict.fromkeys((coercion.REQUESTS, coercion.DOCUMENT_REQUESTS), "the exam, where it names another")
    because |= dict.fromkeys(references.HOLDERS, "the studies in which the series that it names are now")
    rows = ((dictionary_description(tag), _tag(tag), words) for tag, words in sorted(because.items()))
    return [LEAVING_TEXT, table(("Element", "Tag", "Says"), rows)]


def _tag(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _status(field: Field, error: Exception) -> str:
    caller = Caller(None, DicomPeer(), "", "", "")
    answer = answer_to(error, field, Request(caller, 1, "", "", ""))
    also = f" with Error ID {answer.error_id:04X}" if answer.error_id is not None else ""
    return f"{answer.status:04X}{also}"


def _statuses() -> list[str]:
    fields = sorted({Field(handler.field) for handler in _handlers()})
    rows = []
    with structlog.testing.capture_logs():
        for number, (words, made) in enumerate(ERRORS):
            cells = [_status(field, made()) if number in MET[field] else "–" for field in fields]
            rows.append((words, *cells))
    known = sorted(
        (value, name) for name, value in vars(Status).items() if isinstance(value, int) and not name.startswith("_")
    )
    return [
        "### 4.2.6 Status codes",
        "What went wrong, and the status that says it. 0000 is success, FF00 and FF01 announce more answers, FE00\n"
        "follows C-CANCEL; a SOP class that is not the context's is answered 0122, an operation nobody serves 0211.",
        table(("When", *(field.name.replace("_", "-") for field in fields)), rows),
        "All status codes in use:",
        table(("Status", "Means"), ((f"{value:04X}", name.lower().replace("_", " ")) for value, name in known)),
    ]


# --- 4.3, 4.4: communication and configuration


def _communication() -> list[str]:
    rejections = [(*row.value, row.name.lower().replace("_", " ")) for row in Rejection]
    aborts = [(int(row), row.name.lower().replace("_", " ")) for row in Abort]
    return [
        "### 4.3 Rejections and aborts",
        table(("Result", "Source", "Reason", "Means"), rejections),
        table(("A-ABORT reason", "Means"), aborts),
    ]


def _configuration() -> list[str]:
    limits = [
        ("Presentation contexts of one association", MAX_CONTEXTS),
        ("Command set, bytes", MAX_COMMAND),
        ("Data set of a message that is not stored, bytes", MAX_DATA_SET),
        ("Identifier of a worklist query, bytes", MAX_IDENTIFIER),
        ("Nesting of sequences", MAX_DEPTH),
        ("Elements of a data set that is walked", MAX_ELEMENTS),
        ("Data sets on their way of one association, bytes", MOST_QUEUED),
        ("Data sets on their way of all associations, bytes", server.ServerSettings.max_held),
    ]
    chosen = [
        (f"`{row.name}`", row.default or "–", row.help)
        for row in settings.CONFIGURATION
        if row.name.startswith(OUR_SETTINGS)
    ]
    return [
        "### 4.4 Configuration",
        table(("Setting", "Default", "What"), chosen),
        "Limits that are no settings:",
        table(("Limit", "Value"), limits),
    ]


def _media_and_text() -> list[str]:
    return [
        "## 5. Media interchange",
        "None.",
        "## 6. Character sets",
        CHARACTER_SET_TEXT,
        ", ".join(f"`{term}`" for term in sorted(CHARACTER_SETS)),
    ]


def _annexes() -> list[str]:
    return [
        "## Annex A. Storage SOP classes",
        table(("Name", "UID"), ((UID(uid).name, f"`{uid}`") for uid in sop_classes.STORAGE_CLASSES)),
        "## Annex B. Transfer syntaxes of storage",
        table(("Name", "UID"), ((UID(uid).name, f"`{uid}`") for uid in sop_classes.STORAGE_SYNTAXES)),
    ]
