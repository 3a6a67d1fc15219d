"""A scanner that is none: queries its worklist, sends MPPS, images and a dose report as a modality does.

    scanner = ModalityEmulator("CT1", "RIS", "127.0.0.1", 11112)
    [item] = scanner.query_worklist(accession_number="...")
    scanner.start(item); scanner.store_images(12); scanner.store_dose_report(); scanner.complete()

For the demo, the walk, training and the tests; it stands on pynetdicom and knows nothing of our own transport or data.
Every method answers the status that came back. Raises scu.CallFailed when there is no association.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydicom import Dataset
from pynetdicom.association import Association
from pynetdicom.sop_class import (
    ModalityPerformedProcedureStep,
    ModalityWorklistInformationFind,
    Verification,
    XRayRadiationDoseSRStorage,
)

from interop.dicom import scu
from interop.dicom.dose_report import Irradiation, ct_dose_report
from interop.dicom.emulated_images import (
    AGD,
    IMAGE_CLASSES,
    MAMMOGRAMS,
    equipment,
    image,
    patient_and_study,
    with_file_meta,
)
from interop.dicom.projection_dose_report import Exposure, projection_dose_report
from ris.core.ids import new_uid

PENDING = (0xFF00, 0xFF01)
DISCONTINUED_UNSPECIFIED = ("110513", "Discontinued for unspecified reason")


@dataclass
class ModalityEmulator:
    """One scanner. It remembers the exam that it is doing."""

    ae_title: str
    called_ae: str
    host: str
    port: int
    modality: str = "CT"
    size: int = 512
    items: list[Dataset] = field(default_factory=list)
    step_uid: str = ""
    started_at: datetime | None = None
    series: list[Dataset] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.device_uid = f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, self.ae_title).int}"

    # --- questions

    def echo(self) -> int:
        with self._association([Verification]) as line:
            return scu.status_of(line.send_c_echo())

    def query_worklist(
        self,
        *,
        accession_number: str = "",
        patient_id: str = "",
        date: str = "",
        station_ae_title: str | None = None,
        modality: str | None = None,
    ) -> list[Dataset]:
        """The items for this station (or another, or ``""`` for any), as a scanner's console would list them."""
        station = self.ae_title if station_ae_title is None else station_ae_title
        keys = worklist_keys(station, self.modality if modality is None else modality, date)
        keys.AccessionNumber, keys.PatientID = accession_number, patient_id
        return self.find(keys)[1]

    def find(self, keys: Dataset) -> tuple[int, list[Dataset]]:
        """The final status and the identifiers of a query."""
        found = []
        with self._association([ModalityWorklistInformationFind]) as line:
            for answer, identifier in line.send_c_find(keys, ModalityWorklistInformationFind):
                status = scu.status_of(answer)
                if status in PENDING and identifier is not None:
                    found.append(identifier)
        return status, found

    # --- the exam

    def start(self, item: Dataset, *others: Dataset) -> int:
        """N-CREATE IN PROGRESS for one worklist item, or for several that are done in one acquisition."""
        self.items = [item, *others]
        self.step_uid, self.started_at, self.series = new_uid(), datetime.now().astimezone(), []
        return self._n_create()

    def start_unscheduled(self, *, patient_name: str, patient_id: str, birth_date: str = "", sex: str = "") -> int:
        """An exam that nobody has ordered: the technologist has typed the patient."""
        typed = Dataset()
        typed.PatientName, typed.PatientID = patient_name, patient_id
        typed.PatientBirthDate, typed.PatientSex = birth_date, sex
        typed.StudyInstanceUID = new_uid()
        return self.start(typed)

    def repeat_start(self) -> int:
        """The same N-CREATE again, as after a lost answer."""
        return self._n_create()

    def set_unknown(self) -> int:
        """An N-SET of a step that nobody has created."""
        return self._n_set(self._ending("COMPLETED"), new_uid())

    def store_images(self, count: int = 12) -> list[int]:
        """One series of ``count`` images; the status of each."""
        return self._store([self._image(number, count) for number in range(count)])

    @property
    def irradiates(self) -> bool:
        """CT, radiography and mammography write dose reports."""
        return self.modality in ("CT", "DX", "MG")

    def store_dose_report(self) -> int:
        """The dose report of the exam; of MR and ultrasound there is none."""
        assert self.started_at is not None and self.irradiates
        base = patient_and_study(self.items[0], self.started_at)
        base.update(equipment(self.ae_title, self.modality))
        base.ReferencedPerformedProcedureStepSequence = [self._step_reference()]
        report = dose_report_of(self.modality, base, self.started_at, self.device_uid)
        return self._store([with_file_meta(report)], kind="non-image")[0]

    def store_wrong_patient(self, item: Dataset) -> int:
        """An image with the accession number of ``item`` that names another patient."""
        wrong = Dataset()
        wrong.update(item)
        wrong.PatientName, wrong.PatientID, wrong.PatientBirthDate, wrong.PatientSex = "Wrong^Patient", "X-1", "", "O"
        wrong.StudyInstanceUID = new_uid()
        self.items, self.series, self.started_at = [wrong], [], self.started_at or datetime.now().astimezone()
        return self.store_images(1)[0]

    def take_again(self) -> int:
        """A further performed step of the same exam: more images in the same study (the append case)."""
        return self.start(*self.items)

    def complete(self) -> int:
        """N-SET COMPLETED with the series that were made."""
        return self._n_set(self._ending("COMPLETED"), self.step_uid)

    def discontinue(self, code: str = DISCONTINUED_UNSPECIFIED[0], meaning: str = DISCONTINUED_UNSPECIFIED[1]) -> int:
        ending = self._ending("DISCONTINUED")
        ending.PerformedProcedureStepDiscontinuationReasonCodeSequence = [_code(code, "DCM", meaning)]
        return self._n_set(ending, self.step_uid)

    # --- how it is said

    def _association(
        self, classes: Sequence[Any], syntaxes: Sequence[str] = scu.PLAIN
    ) -> AbstractContextManager[Association]:
        return scu.association(
            host=self.host,
            port=self.port,
            called_ae_title=self.called_ae,
            calling_ae_title=self.ae_title,
            contexts=scu.contexts_for(classes, syntaxes),
        )

    def _n_create(self) -> int:
        with self._association([ModalityPerformedProcedureStep]) as line:
            answer, _attributes = line.send_n_create(self.beginning(), ModalityPerformedProcedureStep, self.step_uid)
            return scu.status_of(answer)

    def _n_set(self, changes: Dataset, step_uid: str) -> int:
        with self._association([ModalityPerformedProcedureStep]) as line:
            answer, _attributes = line.send_n_set(changes, ModalityPerformedProcedureStep, step_uid)
            return scu.status_of(answer)

    def _store(self, objects: Sequence[Dataset], kind: str = "image") -> list[int]:
        statuses = []
        with self._association(list(dict.fromkeys(made.SOPClassUID for made in objects))) as line:
            for made in objects:
                statuses.append(scu.status_of(line.send_c_store(made)))
                self._note(made, kind)
        return statuses

    def _note(self, made: Dataset, kind: str) -> None:
        """Remember what was sent; it goes into the Performed Series Sequence."""
        series = next((row for row in self.series if row.SeriesInstanceUID == made.SeriesInstanceUID), None)
        if series is None:
            series = Dataset()
            series.SeriesInstanceUID, series.SeriesDescription = made.SeriesInstanceUID, made.SeriesDescription
            series.ProtocolName = made.get("ProtocolName") or made.SeriesDescription
            series.PerformingPhysicianName, series.OperatorsName, series.RetrieveAETitle = "", "", ""
            series.ReferencedImageSequence = []
            series.ReferencedNonImageCompositeSOPInstanceSequence = []
            self.series.append(series)
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
        if kind == "image":
            series.ReferencedImageSequence.append(reference)
        else:
            series.ReferencedNonImageCompositeSOPInstanceSequence.append(reference)

    def _image(self, number: int, count: int) -> Dataset:
        assert self.started_at is not None
        if number == 0:
            self._series_uid, self._frame_of_reference = new_uid(), new_uid()
        made = image(
            self.items[0],
            modality=self.modality,
            station=self.ae_title,
            started_at=self.started_at,
            number=number,
            count=count,
            size=self.size,
        )
        made.SeriesInstanceUID, made.FrameOfReferenceUID = self._series_uid, self._frame_of_reference
        if self.step_uid:
            made.ReferencedPerformedProcedureStepSequence = [self._step_reference()]
        return made

    def _step_reference(self) -> Dataset:
        reference = Dataset()
        reference.ReferencedSOPClassUID = ModalityPerformedProcedureStep
        reference.ReferencedSOPInstanceUID = self.step_uid
        return reference

    def beginning(self) -> Dataset:
        """N-CREATE's attributes (PS3.4 Table F.7.2-1)."""
        assert self.started_at is not None
        first, begun = self.items[0], Dataset()
        begun.SpecificCharacterSet = "ISO_IR 192"
        begun.TimezoneOffsetFromUTC = f"{self.started_at:%z}"
        begun.Modality = self.modality
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"):
            setattr(begun, keyword, first.get(keyword, ""))
        begun.ReferencedPatientSequence = []
        begun.ScheduledStepAttributesSequence = [_scheduled(item) for item in self.items]
        begun.PerformedProcedureStepID = f"P{self.started_at:%d%H%M%S%f}"[:16]
        begun.PerformedStationAETitle = self.ae_title
        begun.PerformedStationName, begun.PerformedLocation = self.ae_title, ""
        begun.PerformedProcedureStepStartDate = f"{self.started_at:%Y%m%d}"
        begun.PerformedProcedureStepStartTime = f"{self.started_at:%H%M%S}"
        begun.PerformedProcedureStepStatus = "IN PROGRESS"
        begun.PerformedProcedureStepDescription = str(first.get("RequestedProcedureDescription", ""))
        begun.PerformedProcedureTypeDescription = ""
        begun.ProcedureCodeSequence = list(first.get("RequestedProcedureCodeSequence") or [])
        begun.PerformedProcedureStepEndDate, begun.PerformedProcedureStepEndTime = "", ""
        begun.PerformedProcedureStepDiscontinuationReasonCodeSequence = []
        begun.StudyID = str(first.get("RequestedProcedureID", ""))
        begun.PerformedProtocolCodeSequence = []
        begun.PerformedSeriesSequence = []
        return begun

    def _ending(self, status: str) -> Dataset:
        ended, now = Dataset(), datetime.now().astimezone()
        ended.TimezoneOffsetFromUTC = f"{now:%z}"
        ended.PerformedProcedureStepStatus = status
        ended.PerformedProcedureStepEndDate, ended.PerformedProcedureStepEndTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
        ended.PerformedSeriesSequence = list(self.series)
        return ended


def dose_report_of(modality: str, base: Dataset, started_at: datetime, device_uid: str) -> Dataset:
    """What such a machine reports of a usual exam."""
    if modality == "CT":
        scans = [
            Irradiation("Topogram", None, 4.2, exposure_time=3.1, tube_current=35, is_localizer=True),
            Irradiation("CTA chest", 7.8, 268.4),
        ]
        return ct_dose_report(base, scans, started_at=started_at, device_uid=device_uid)
    if modality == "MG":
        exposures = [
            Exposure(f"{side} {view}", kvp=29, charge=80_000, milliseconds=800, agd=AGD, side=side)
            for side, view, _code, _orientation in MAMMOGRAMS
        ]
    else:
        exposures = [
            Exposure("Chest PA", dap=9e-6, exposure_index=412),
            Exposure("Chest lateral", dap=2.4e-5, kvp=120, charge=6_300, milliseconds=22, exposure_index=395),
        ]
    return projection_dose_report(base, exposures, started_at=started_at, device_uid=device_uid)


def worklist_keys(station_ae_title: str, modality: str, date: str) -> Dataset:
    """A scanner's broad query: every key of Table K.6-1 that is Type 1 or 2 comes back."""
    keys, step = Dataset(), Dataset()
    step.ScheduledStationAETitle, step.Modality = station_ae_title, modality
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = date, ""
    for keyword in (
        "ScheduledPerformingPhysicianName",
        "ScheduledProcedureStepDescription",
        "ScheduledStationName",
        "ScheduledProcedureStepLocation",
        "ScheduledProcedureStepID",
        "ScheduledProcedureStepStatus",
        "PreMedication",
        "RequestedContrastAgent",
    ):
        setattr(step, keyword, "")
    step.ScheduledProtocolCodeSequence = []
    keys.SpecificCharacterSet = "ISO_IR 192"
    for keyword in (
        "AccessionNumber",
        "ReferringPhysicianName",
        "PatientName",
        "PatientID",
        "IssuerOfPatientID",
        "PatientBirthDate",
        "PatientSex",
        "PatientWeight",
        "PatientSize",
        "MedicalAlerts",
        "Allergies",
        "PregnancyStatus",
        "PatientState",
        "SpecialNeeds",
        "AdmissionID",
        "CurrentPatientLocation",
        "StudyInstanceUID",
        "RequestingPhysician",
        "RequestedProcedureID",
        "RequestedProcedureDescription",
        "RequestedProcedurePriority",
        "PatientTransportArrangements",
        "ConfidentialityConstraintOnPatientDataDescription",
    ):
        setattr(keys, keyword, None if keyword in ("PatientWeight", "PatientSize", "PregnancyStatus") else "")
    keys.ReferencedStudySequence, keys.ReferencedPatientSequence = [], []
    keys.RequestedProcedureCodeSequence = []
    keys.ScheduledProcedureStepSequence = [step]
    return keys


def _scheduled(item: Dataset) -> Dataset:
    """One item of the Scheduled Step Attributes Sequence, copied from a worklist item."""
    step = (item.get("ScheduledProcedureStepSequence") or [Dataset()])[0]
    copied = Dataset()
    copied.StudyInstanceUID = item.StudyInstanceUID
    copied.ReferencedStudySequence = []
    copied.AccessionNumber = item.get("AccessionNumber", "")
    copied.RequestedProcedureID = item.get("RequestedProcedureID", "")
    copied.RequestedProcedureDescription = item.get("RequestedProcedureDescription", "")
    copied.ScheduledProcedureStepID = step.get("ScheduledProcedureStepID", "")
    copied.ScheduledProcedureStepDescription = step.get("ScheduledProcedureStepDescription", "")
    copied.ScheduledProtocolCodeSequence = list(step.get("ScheduledProtocolCodeSequence") or [])
    return copied


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


__all__ = ["IMAGE_CLASSES", "ModalityEmulator", "XRayRadiationDoseSRStorage", "worklist_keys"]
