"""What the edges hand to the services: plain values, named as the standard names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any


@dataclass(frozen=True)
class ScheduledStepReference:
    """One item of (0040,0270) Scheduled Step Attributes Sequence; empty strings where the scanner sent none."""

    scheduled_procedure_step_id: str = ""
    requested_procedure_id: str = ""
    accession_number: str = ""
    study_instance_uid: str = ""


@dataclass(frozen=True)
class PerformedSeries:
    """One item of (0040,0340) Performed Series Sequence."""

    series_instance_uid: str
    description: str = ""
    protocol: str = ""
    operator: str = ""
    instances: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "uid": self.series_instance_uid,
            "description": self.description,
            "protocol": self.protocol,
            "operator": self.operator,
            "instances": list(self.instances),
        }


@dataclass(frozen=True)
class PerformedStepData:
    """N-CREATE's attributes or N-SET's changes (PS3.4 Table F.7.2-1). None: the message does not hold it."""

    status: str | None = None
    scheduled_steps: tuple[ScheduledStepReference, ...] | None = None
    patient_name: str | None = None
    patient_id: str | None = None
    issuer_of_patient_id: str | None = None
    patient_birth_date: str | None = None
    patient_sex: str | None = None
    performed_procedure_step_id: str | None = None
    station_ae_title: str | None = None
    station_name: str | None = None
    modality: str | None = None
    description: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    discontinuation_code: str | None = None
    discontinuation_meaning: str | None = None
    series: tuple[PerformedSeries, ...] | None = None
    #: the data set in the DICOM JSON model, kept as it came
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredInstance:
    """A stored object's header fields, and the file that holds it. Strings as in the object."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: str
    size: int
    #: of the data set, without preamble and group 2 (interop.dicom.fingerprint)
    fingerprint: str
    received_from: str = ""
    patient_id: str = ""
    issuer_of_patient_id: str = ""
    patient_name: str = ""
    patient_birth_date: str = ""
    patient_sex: str = ""
    accession_number: str = ""
    study_id: str = ""
    study_description: str = ""
    referring_physician: str = ""
    study_date: str = ""
    study_time: str = ""
    modality: str = ""
    series_number: int | None = None
    series_description: str = ""
    body_part: str = ""
    laterality: str = ""
    station_name: str = ""
    manufacturer: str = ""
    instance_number: int | None = None
    rows: int | None = None
    columns: int | None = None
    frames: int = 1


@dataclass(frozen=True)
class WorklistItem:
    """A scheduled step that somebody else has planned, with its identities (all kept when valid and free)."""

    patient_id: str
    family_name: str
    given_name: str = ""
    middle_name: str = ""
    prefix: str = ""
    suffix: str = ""
    ideographic_name: str = ""
    phonetic_name: str = ""
    issuer_of_patient_id: str = ""
    birth_date: date | None = None
    sex: str = "U"
    weight_kg: Any = None
    height_m: Any = None
    accession_number: str = ""
    study_instance_uid: str = ""
    requested_procedure_id: str = ""
    scheduled_procedure_step_id: str = ""
    code: str = ""
    code_scheme: str = ""
    description: str = ""
    laterality: str = ""
    modality: str = ""
    station_ae_title: str = ""
    starts_at: datetime | None = None
    priority: str = "routine"
    indication: str = ""
    protocol: str = ""
    contrast: str = ""
    placer_order_number: str = ""
    placer_issuer: str = ""
    requester_family_name: str = ""
    requester_given_name: str = ""
    transport: str = ""
    location: str = ""
    patient_class: str = "O"


@dataclass(frozen=True)
class MwlQuery:
    """The matching keys of a C-FIND identifier, as strings on the wire; empty is universal.

    ``others`` holds further keys of Table K.6-1 by pydicom keyword, those of the step as
    ``ScheduledProcedureStepSequence.<keyword>``; they are matched against the rendered item.
    """

    station_ae_title: str = ""
    start_date: str = ""
    start_time: str = ""
    modality: str = ""
    performing_physician: str = ""
    patient_name: str = ""
    patient_id: str = ""
    accession_number: str = ""
    study_instance_uid: Sequence[str] = ()
    requested_procedure_id: str = ""
    scheduled_procedure_step_id: str = ""
    others: Mapping[str, str] = field(default_factory=dict)
    #: 0: as many as the peer may have
    limit: int = 0


@dataclass(frozen=True)
class MwlScope:
    """How much of the worklist a peer is shown, whatever it asks for. The defaults are everything."""

    #: AE titles; what any station of their modalities may take is theirs too
    stations: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    hidden_statuses: tuple[str, ...] = ()
    hides_blocked: bool = False
    hides_restricted: bool = False
    #: for queries that name no date; None is no limit
    days_back: int | None = None
    days_ahead: int | None = None


@dataclass(frozen=True)
class MwlPeer:
    """Who asks for a worklist, and how far its rights reach."""

    ae_title: str
    sees_all_stations: bool = False
    max_results: int = 500
    scope: MwlScope = field(default_factory=MwlScope)


@dataclass(frozen=True)
class FreeSlot:
    room: Any
    starts_at: datetime
    ends_at: datetime
    #: who works there for the whole time, as far as shifts are planned
    people: tuple[Any, ...] = ()
    #: what stood before it (worklist.services.openings.Obstacle)
    passed: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Fact:
    """One thing that scanner and order both say something about.

    ``verdict``: same, near, differs or unknown. ``words``: the verdict as a person reads it.
    """

    key: str
    label: Any
    verdict: str
    words: Any
    sent: str
    ordered: str
    points: float


@dataclass(frozen=True)
class Candidate:
    """A procedure that a study or performed step may belong to, how likely (0..1), and why."""

    procedure: Any
    score: float
    facts: tuple[Fact, ...] = ()
    is_certain: bool = False

    @property
    def percent(self) -> int:
        return round(self.score * 100)

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(str(fact.words) for fact in self.facts if fact.verdict in ("same", "near"))

    @property
    def differs(self) -> tuple[str, ...]:
        return tuple(str(fact.words) for fact in self.facts if fact.verdict == "differs")

    @property
    def is_another_patient(self) -> bool:
        who = ("identifier", "name", "birth_date")
        return any(fact.key in who and fact.verdict == "differs" for fact in self.facts)
