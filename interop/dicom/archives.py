"""Earlier studies in other archives: asked for by the patient's numbers (C-FIND), fetched into our own store.

Peers marked as archives are asked; nobody else can be. Fetching is work of the outgoing queue: C-GET where the archive
offers it, else C-MOVE to ourselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from django.utils.translation import gettext as _
from pydicom import Dataset
from pynetdicom import build_role, evt
from pynetdicom.presentation import StoragePresentationContexts

from interop.dicom import scu
from interop.dicom.dimse import DimseError
from interop.dicom.elements import Malformed
from interop.dicom.outgoing_queue import Refused, enqueue, peers_that, worker
from interop.dicom.query_keys import STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE
from interop.dicom.sending import association_with
from interop.dicom.storage import ObjectSink
from interop.dicom.store import IncomingFile
from interop.dicom.values import date_of, integer_of, text_of
from interop.models import DicomPeer, OutgoingDicom, OutgoingKind, OutgoingStatus
from interop.permissions import QUERY_ARCHIVE
from orders.models import IdentifierUse, Patient
from ris.audit.models import Action
from ris.audit.service import record_read, service
from ris.core.actor import Actor
from ris.core.errors import DomainError, InvalidData, NotKnown
from ris.core.ids import is_valid_uid
from ris.tenants.context import require_facility
from worklist.models import ImagingStudy
from worklist.services.matching import Agreement, Sent, agreement, differences

SECONDS = 8.0
MOST_STUDIES, MOST_NUMBERS = 200, 5
PENDING = (0xFF00, 0xFF01)
#: With the two of retrieval, as many contexts as an association holds.
STORED_BACK = 120
UNKNOWN_DESTINATION = 0xA801
KEYS = (
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyDescription", "AccessionNumber", "ModalitiesInStudy",
    "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "PatientName", "PatientID", "IssuerOfPatientID",
    "PatientBirthDate", "PatientSex",
)  # fmt: skip


@dataclass(frozen=True)
class ArchivedStudy:
    """A study as an archive tells of it, and how much of it is here."""

    ae_title: str
    study_instance_uid: str
    study_date: date | None
    description: str
    accession_number: str
    modalities: str
    series: int | None
    instances: int | None
    sent: Sent
    agreement: Agreement
    differences: tuple[str, ...] = ()
    stored: int = 0

    @property
    def is_here(self) -> bool:
        return self.stored > 0 and self.stored >= (self.instances or 1)

    @property
    def patient_name(self) -> str:
        """As people read it: ``FAMILY, Given Middle``."""
        family, *others = (part.strip() for part in self.sent.name.partition("=")[0].split("^")[:3])
        given = " ".join(part for part in others if part)
        return f"{family.upper()}, {given}" if given else family.upper()

    @property
    def differs(self) -> bool:
        """Numbers of two houses may be alike: under another name it is another person until somebody has looked."""
        return self.agreement is Agreement.DIFFERS or "name" in self.differences


@dataclass
class ArchiveAnswer:
    """One archive: its studies, or in words why there are none."""

    peer: DicomPeer
    studies: list[ArchivedStudy] = field(default_factory=list)
    error: str = ""

    @cached_property
    def is_cut(self) -> bool:
        return len(self.studies) >= MOST_STUDIES


def archives() -> list[DicomPeer]:
    return peers_that(is_archive=True)


def look_in_archives(patient: Patient, *, modalities: Iterable[str] = (), actor: Actor) -> list[ArchiveAnswer]:
    """All archives at once, newest studies first. Speaks to the network: never inside a transaction.

    An archive that does not answer says so in its own answer; it never hides what others found.
    """
    actor.require(QUERY_ARCHIVE)
    numbers = _numbers_of(patient)
    if not numbers:
        raise InvalidData(_("This patient has no number that an archive could know."), todo=_("Add one first."))
    peers = archives()
    record_read(actor, QUERY_ARCHIVE, entity=patient, detail={"archives": [peer.ae_title for peer in peers]})
    title, wanted = require_facility().ae_title, tuple(modalities)
    with ThreadPoolExecutor(max_workers=max(1, min(8, len(peers)))) as hands:
        asked = [hands.submit(copy_context().run, _ask, peer, title, numbers, wanted) for peer in peers]
        found = [one.result() for one in asked]
    answers = [
        ArchiveAnswer(peer, [_read(peer, row, patient) for row in rows], error)
        for peer, (rows, error) in zip(peers, found, strict=True)
    ]
    _note_what_is_here(answers)
    return answers


def _numbers_of(patient: Patient) -> list[str]:
    """Never a wildcard or a list: one patient is meant."""
    rows = sorted(patient.identifiers.all(), key=lambda row: (row.use == IdentifierUse.OLD, row.pk))
    plain = [row.value for row in rows if not set("*?\\") & set(row.value)]
    return list(dict.fromkeys(plain))[:MOST_NUMBERS]


def _ask(peer: DicomPeer, title: str, numbers: list[str], modalities: tuple[str, ...]) -> tuple[list[Dataset], str]:
    """(answers, and words of what went wrong). Asks the database nothing: its thread has no facility."""
    found: dict[str, Dataset] = {}
    try:
        contexts = scu.contexts_for([STUDY_ROOT_FIND])
        with association_with(peer, contexts, calling_ae_title=title, seconds=SECONDS) as line:
            for number in numbers:
                for status, row in line.send_c_find(_question(number, modalities), STUDY_ROOT_FIND):
                    code = scu.status_of(status)
                    if code in PENDING and row is not None and is_valid_uid(text_of(row, "StudyInstanceUID")):
                        found.setdefault(str(row.StudyInstanceUID), row)
                    elif code not in (0, *PENDING):
                        words = _("It answers with status %(status)04X.") % {"status": code}
                        return list(found.values()), f"{words} {status.get('ErrorComment', '')}".strip()
                    if len(found) >= MOST_STUDIES:
                        return list(found.values()), ""
    except scu.CallFailed as failure:
        return list(found.values()), str(failure)
    return list(found.values()), ""


def _question(number: str, modalities: tuple[str, ...]) -> Dataset:
    asked = Dataset()
    asked.SpecificCharacterSet = "ISO_IR 192"
    asked.QueryRetrieveLevel = "STUDY"
    for keyword in KEYS:
        setattr(asked, keyword, "")
    asked.PatientID = number
    if modalities:
        asked.ModalitiesInStudy = list(modalities)
    return asked


def _read(peer: DicomPeer, row: Dataset, patient: Patient) -> ArchivedStudy:
    sent = Sent(
        text_of(row, "PatientID", 64),
        text_of(row, "IssuerOfPatientID", 64),
        text_of(row, "PatientName", 200),
        text_of(row, "PatientBirthDate", 8),
        text_of(row, "PatientSex", 1),
    )
    return ArchivedStudy(
        ae_title=peer.ae_title,
        study_instance_uid=str(row.StudyInstanceUID),
        study_date=date_of(text_of(row, "StudyDate")),
        description=text_of(row, "StudyDescription", 64),
        accession_number=text_of(row, "AccessionNumber", 16),
        modalities=text_of(row, "ModalitiesInStudy", 100).replace("\\", ", "),
        series=integer_of(text_of(row, "NumberOfStudyRelatedSeries")),
        instances=integer_of(text_of(row, "NumberOfStudyRelatedInstances")),
        sent=sent,
        agreement=agreement(patient, sent),
        differences=tuple(differences(patient, sent)),
    )


def _note_what_is_here(answers: list[ArchiveAnswer]) -> None:
    uids = {row.study_instance_uid for answer in answers for row in answer.studies}
    known = ImagingStudy.objects.filter(study_instance_uid__in=uids)
    here = dict(known.values_list("study_instance_uid", "instance_count"))
    for answer in answers:
        rows = [ArchivedStudy(**{**vars(row), "stored": here.get(row.study_instance_uid, 0)}) for row in answer.studies]
        answer.studies = sorted(rows, key=lambda row: row.study_date or date.min, reverse=True)


# --- fetching


@service(QUERY_ARCHIVE, action=Action.EXECUTE)
def fetch_study(patient: Patient, *, ae_title: str, study_instance_uid: str, actor: Actor) -> OutgoingDicom:
    """Queue it; what waits already is not queued twice. Raises NotKnown for what is no archive of ours."""
    peer = next((row for row in archives() if row.ae_title == ae_title), None)
    if peer is None:
        raise NotKnown(_("There is no such archive."))
    if not is_valid_uid(study_instance_uid):
        words = _("That is no UID.")
        raise InvalidData(words, errors={"study_instance_uid": words})
    asked = OutgoingDicom.objects.filter(kind=OutgoingKind.FETCH, peer=peer, ordering_key=study_instance_uid)
    waiting = asked.filter(status=OutgoingStatus.PENDING).first()
    return waiting or enqueue(
        OutgoingKind.FETCH,
        peer,
        subject=patient.uuid,
        ordering_key=study_instance_uid,
        dedupe_key=f"{study_instance_uid}:{asked.count()}",
        patient=patient.uuid,
    )


def fetches_of(patient: Patient) -> list[OutgoingDicom]:
    """The newest for this patient."""
    rows = OutgoingDicom.objects.filter(kind=OutgoingKind.FETCH, subject=patient.uuid).select_related("peer")
    return list(rows.order_by("-pk")[:20])


@worker(OutgoingKind.FETCH)
def fetch(row: OutgoingDicom) -> None:
    """C-GET, and C-MOVE to ourselves for an archive that has no C-GET or could not send all by it."""
    asked = Dataset()
    asked.QueryRetrieveLevel, asked.StudyInstanceUID = "STUDY", row.ordering_key
    status, completed, failed = _get(row.peer, asked)
    if status != 0:
        status, completed, failed = _move(row.peer, asked, (status, completed, failed))
    row.detail = {**row.detail, "completed": completed, "failed": failed}
    if status == UNKNOWN_DESTINATION:
        raise Refused(_("The archive does not know us: register our AE title and port there."))
    if failed:
        raise Refused(_("%(failed)d images did not come.") % {"failed": failed}, for_good=False)
    if status != 0:
        raise Refused(_("It answers with status %(status)04X.") % {"status": status})


Outcome = tuple[int, int, int]


def _get(peer: DicomPeer, asked: Dataset) -> Outcome:
    """(status, completed, failed); a status of failure where C-GET is not offered."""
    storage = [str(context.abstract_syntax) for context in StoragePresentationContexts][:STORED_BACK]
    contexts = scu.contexts_for([STUDY_ROOT_GET, *storage])
    roles = [build_role(one, scp_role=True) for one in storage]
    actor = Actor("storage", ae_title=peer.ae_title, address=peer.host[:64])
    with association_with(peer, contexts, roles=roles, on_store=lambda event: _take(event, actor)) as line:
        if not any(one.abstract_syntax == STUDY_ROOT_GET for one in line.accepted_contexts):
            return 0x0122, 0, 0
        return _last(line.send_c_get(asked, STUDY_ROOT_GET))


def _move(peer: DicomPeer, asked: Dataset, got: Outcome) -> Outcome:
    """What C-GET came to stands where C-MOVE is not offered."""
    try:
        with association_with(peer, scu.contexts_for([STUDY_ROOT_MOVE])) as line:
            return _last(line.send_c_move(asked, require_facility().ae_title, STUDY_ROOT_MOVE))
    except scu.NotTaken:
        return got


def _last(answers: Iterable[tuple[Dataset, Dataset | None]]) -> Outcome:
    status, completed, failed = 0x0110, 0, 0
    for answer, _identifier in answers:
        status = scu.status_of(answer)
        completed = answer.get("NumberOfCompletedSuboperations", completed) or 0
        failed = answer.get("NumberOfFailedSuboperations", failed) or 0
    return status, completed, failed


def _take(event: evt.Event, actor: Actor) -> int:
    """One object of a C-GET on its way through the checks, the store and the index of every other object."""
    request = event.request
    try:
        incoming = IncomingFile(
            str(request.AffectedSOPClassUID),
            str(request.AffectedSOPInstanceUID),
            str(event.context.transfer_syntax),
            actor.ae_title,
        )
        sink = ObjectSink(incoming, actor)
        sink.write(request.DataSet.getvalue())
        sink.finish()
    except DimseError as refusal:
        return refusal.status
    except (DomainError, Malformed):
        return 0xC000
    except OSError:
        return 0xA700
    return 0x0000
