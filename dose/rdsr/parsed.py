"""What a dose object said: SI inside (docs: DLP mGy.cm, CTDIvol mGy, DAP Gy.m2, dose Gy, activity Bq)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

XRAY_RDSR = "1.2.840.10008.5.1.4.1.1.88.67"
RADIOPHARMACEUTICAL_RDSR = "1.2.840.10008.5.1.4.1.1.88.68"
ENHANCED_XRAY_RDSR = "1.2.840.10008.5.1.4.1.1.88.76"
DOSE_SOP_CLASSES = frozenset({XRAY_RDSR, RADIOPHARMACEUTICAL_RDSR, ENHANCED_XRAY_RDSR})
MPPS_SOP_CLASS = "1.2.840.10008.3.1.2.3.3"

CT, PROJECTION, MAMMOGRAPHY, RADIOPHARMACEUTICAL, UNKNOWN = "CT", "projection", "MG", "NM", ""
IMAGE, SCREEN, MPPS = "image", "screen", "mpps"
#: Kinds that stand in where a device sends no report
FALLBACKS = frozenset({IMAGE, SCREEN, MPPS})
LOCALIZERS = frozenset({"113805"})
FLUOROSCOPY = frozenset({"P5-06000", "44491008"})
MOST_WARNINGS = 100


@dataclass
class DoseEvent:
    uid: str = ""
    position: int = 0
    started_at: dt.datetime | None = None
    event_type: str = ""
    type_code: str = ""
    protocol: str = ""
    target_region: str = ""
    laterality: str = ""
    view: str = ""
    plane: str = ""
    # CT
    ctdi_vol: float | None = None  # mGy
    ctdi_phantom: str = ""
    dlp: float | None = None  # mGy.cm
    ssde: float | None = None  # mGy
    water_equivalent_diameter: float | None = None  # mm
    scanning_length: float | None = None  # mm
    pitch: float | None = None
    # tube
    kvp: float | None = None  # kV
    tube_current: float | None = None  # mA
    exposure_time: float | None = None  # ms
    exposure: float | None = None  # uA.s
    # projection
    dap: float | None = None  # Gy.m2
    dose_rp: float | None = None  # Gy
    primary_angle: float | None = None  # deg
    secondary_angle: float | None = None  # deg
    source_to_detector: float | None = None  # mm
    exposure_index: float | None = None
    target_exposure_index: float | None = None
    deviation_index: float | None = None
    # mammography
    agd: float | None = None  # Gy
    compression_thickness: float | None = None  # mm
    compression_force: float | None = None  # N
    # nuclear medicine
    activity: float | None = None  # Bq
    half_life: float | None = None  # s
    radionuclide: str = ""
    is_repeated: bool = False
    repeat_reason: str = ""
    is_rejected: bool = False
    filters: list[dict[str, Any]] = field(default_factory=list)
    #: name, or the code of what has no name here -> [value, unit]
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def is_localizer(self) -> bool:
        return self.type_code in LOCALIZERS

    @property
    def is_fluoroscopy(self) -> bool:
        return self.type_code in FLUOROSCOPY


@dataclass
class ParsedDose:
    kind: str = UNKNOWN
    sop_instance_uid: str = ""
    sop_class_uid: str = ""
    study_instance_uid: str = ""
    accession_number: str = ""
    patient_id: str = ""
    patient_name: str = ""
    issuer_of_patient_id: str = ""
    station_name: str = ""
    manufacturer: str = ""
    model_name: str = ""
    device_serial_number: str = ""
    modality: str = ""
    procedure_name: str = ""
    study_description: str = ""
    series_description: str = ""
    scope: str = ""
    is_complete: bool = True
    started_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    patient_age_years: float | None = None
    patient_weight_kg: float | None = None
    patient_height_m: float | None = None
    patient_sex: str = ""
    is_of_a_patient: bool = True
    ctdi_vol_max: float | None = None  # mGy, of the phantom with most of the DLP, without localizers
    dlp_total: float | None = None  # mGy.cm
    dap_total: float | None = None  # Gy.m2
    dap_fluoro: float | None = None  # Gy.m2
    dap_acquisition: float | None = None  # Gy.m2
    dose_rp_total: float | None = None  # Gy
    dose_rp_fluoro: float | None = None  # Gy
    dose_rp_acquisition: float | None = None  # Gy
    agd_total: float | None = None  # Gy
    agd_left: float | None = None  # Gy
    agd_right: float | None = None  # Gy
    fluoro_time: float | None = None  # s
    acquisition_time: float | None = None  # s
    frame_count: int | None = None
    administered_activity: float | None = None  # Bq
    effective_dose: float | None = None  # Sv, as the device estimates it
    reference_point: str = ""
    declared_events: int | None = None
    events: list[DoseEvent] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def warn(self, words: str) -> None:
        if words not in self.warnings and len(self.warnings) < MOST_WARNINGS:
            self.warnings.append(words)

    def add(self, name: str, value: float | None) -> None:
        """Planes, tubes and breasts are summed."""
        if value is not None:
            setattr(self, name, (getattr(self, name) or 0.0) + value)
