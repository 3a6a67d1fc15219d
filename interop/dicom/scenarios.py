"""What a department does with a scanner, as the modality emulator plays it: for demo, training and tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydicom import Dataset

from interop.dicom.emulator import ModalityEmulator

WRONG_ENTRY, PATIENT_CONDITION = "110514", "110515"
#: DCM codes of CID 9300, as they are said
REASONS = {
    "110500": "Doctor canceled procedure",
    "110501": "Equipment failure",
    "110502": "Incorrect procedure ordered",
    "110503": "Patient allergic to media/contrast",
    "110504": "Patient died",
    "110505": "Patient refused to continue procedure",
    "110506": "Patient taken for treatment or surgery",
    "110507": "Patient did not arrive",
    "110508": "Patient pregnant",
    "110509": "Change of procedure for correct charging",
    "110510": "Duplicate order",
    "110511": "Nursing unit cancel",
    "110512": "Incorrect side ordered",
    "110513": "Discontinued for unspecified reason",
    "110514": "Incorrect worklist entry selected",
    "110515": "Patient condition prevented continuing",
    "110516": "Equipment change",
}
Said = dict[str, Any]


class NotEnough(Exception):
    """The worklist holds too little for this scenario; the words can be shown."""


def play(name: str, scanner: ModalityEmulator, items: Sequence[Dataset], *, images: int = 12, reason: str = "") -> Said:
    """Play the scenario of that name (SCENARIOS) with these worklist items; {what was sent: the statuses}.

    Raises NotEnough, scu.CallFailed.
    """
    return SCENARIOS[name](scanner, list(items), images, reason)


def _normal(scanner: ModalityEmulator, items: list[Dataset], images: int, reason: str) -> Said:
    said = {"N-CREATE": _hex(scanner.start(_first(items)))}
    return said | _exposures(scanner, images) | {"N-SET": _hex(scanner.complete())}


def _group(scanner: ModalityEmulator, items: list[Dataset], images: int, reason: str) -> Said:
    """Several procedures of one patient in one acquisition (radiography of a polytrauma, neck with chest)."""
    first = _first(items)
    together = [item for item in items if item.PatientID == first.PatientID]
    if len(together) < 2:
        raise NotEnough("The group case needs two exams of one patient on the worklist.")
    said = {"N-CREATE": _hex(scanner.start(*together))}
    return said | _exposures(scanner, images) | {"N-SET": _hex(scanner.complete())}


def _append(scanner: ModalityEmulator, items: list[Dataset], images: int, reason: str) -> Said:
    """Complete, then the radiologist asks for a further view."""
    said = _normal(scanner, items, images, reason)
    said["N-CREATE of the addition"] = _hex(scanner.take_again())
    said["C-STORE of the addition"] = _all(scanner.store_images(max(images // 3, 1)))
    return said | {"N-SET of the addition": _hex(scanner.complete())}


def _discontinue(scanner: ModalityEmulator, items: list[Dataset], images: int, reason: str) -> Said:
    """Half of the images, then the patient cannot go on."""
    said: Said = {"N-CREATE": _hex(scanner.start(_first(items)))}
    said["C-STORE"] = _all(scanner.store_images(max(images // 2, 1)))
    code = reason or PATIENT_CONDITION
    return said | {"N-SET": _hex(scanner.discontinue(code, REASONS.get(code, code)))}


def _unscheduled(scanner: ModalityEmulator, items: list[Dataset], images: int, reason: str) -> Said:
    """A patient typed by hand, nothing ordered."""
    created = scanner.start_unscheduled(patient_name="Doe^Jhon", patient_id="UNSCHEDULED")
    said = {"N-CREATE": _hex(created)} | _exposures(scanner, images)
    return said | {"N-SET": _hex(scanner.complete())}


def _wrong_entry(scanner: ModalityEmulator, items: list[Dataset], images: int, reason: str) -> Said:
    """The second line of the list was meant: two images under the wrong patient, noticed, and done again."""
    wrong = _first(items)
    right = next((item for item in items if item.PatientID != wrong.PatientID), None)
    if right is None:
        raise NotEnough("The wrong entry needs exams of two patients on the worklist.")
    said: Said = {"N-CREATE of the wrong entry": _hex(scanner.start(wrong))}
    said["C-STORE under the wrong entry"] = _all(scanner.store_images(2))
    said["N-SET of the wrong entry"] = _hex(scanner.discontinue(WRONG_ENTRY, REASONS[WRONG_ENTRY]))
    return said | _normal(scanner, [right], images, reason)


def _wrong_patient(scanner: ModalityEmulator, items: list[Dataset], images: int, reason: str) -> Said:
    """An exam, and an image of somebody else under its accession number."""
    said = _normal(scanner, items, images, reason)
    return said | {"C-STORE of another patient": _hex(scanner.store_wrong_patient(scanner.items[0]))}


SCENARIOS: dict[str, Callable[[ModalityEmulator, list[Dataset], int, str], Said]] = {
    "normal": _normal,
    "group": _group,
    "append": _append,
    "discontinue": _discontinue,
    "unscheduled": _unscheduled,
    "wrong-entry": _wrong_entry,
    "wrong-patient": _wrong_patient,
}


def _first(items: list[Dataset]) -> Dataset:
    if not items:
        raise NotEnough("The worklist is empty.")
    return items[0]


def _exposures(scanner: ModalityEmulator, images: int) -> Said:
    said: Said = {"C-STORE": _all(scanner.store_images(images))}
    if scanner.irradiates:
        said["C-STORE of the dose report"] = _hex(scanner.store_dose_report())
    return said


def _hex(status: int) -> str:
    return f"{status:04X}"


def _all(statuses: list[int]) -> list[str]:
    return sorted({_hex(status) for status in statuses})


__all__ = ["REASONS", "SCENARIOS", "NotEnough", "play"]
