"""Concept codes of PS3.16 and where their values go. Retired SNOMED RT codes stand beside the SNOMED CT ones, as
devices of twenty years write both."""

from __future__ import annotations

from dose import units
from dose.rdsr.parsed import CT, MAMMOGRAPHY, PROJECTION
from dose.units import Quantity

PROCEDURE_REPORTED, SCOPE = "121058", "113705"
CT_EVENT, XRAY_EVENT, SUMMARY_EVENT = "113819", "113706", "130501"
EVENTS = frozenset({CT_EVENT, XRAY_EVENT, SUMMARY_EVENT})
IRRADIATION_DETAILS = "130505"
CT_TOTALS, XRAY_TOTALS, ENHANCED_TOTALS = "113811", "113702", "130500"
TOTALS = frozenset({CT_TOTALS, XRAY_TOTALS, ENHANCED_TOTALS})
PLANE, ALL_PLANES = "113764", "113890"
EVENT_UIDS = frozenset({"113769", "113853"})
PROTOCOL, EVENT_TYPES = "125203", frozenset({"113820", "113721"})
STARTED = frozenset({"111526", "113809"})
TARGET_REGIONS, ANATOMY = frozenset({"123014"}), frozenset({"T-D0005", "91723000"})
LATERALITY, VIEW = frozenset({"G-C171", "272741003"}), "111031"
LEFT, RIGHT = (
    frozenset({"T-04030", "G-A101", "80248007", "7771000"}),
    frozenset({"T-04020", "G-A100", "73056007", "24028007"}),
)
BOTH = frozenset({"T-04080", "G-A102", "63762007", "51440002"})
PHANTOM, REPEATED, REPEAT_REASON, REJECTED = "113835", "128551", "128552", "130503"
FILTER, FILTER_TYPE, FILTER_MATERIAL = "113771", "113772", "113757"
FILTER_LEAST, FILTER_MOST, FILTER_ALUMINIUM = "113758", "113773", "113821"
SOURCE, SOURCE_NAME = "113831", "113832"
DECLARED, FRAMES, AGD_TOTAL = "113812", "113731", "111637"

PROCEDURES = {
    ("P5-08000", "SRT"): CT, ("77477000", "SCT"): CT,
    ("113704", "DCM"): PROJECTION,
    ("P5-40010", "SRT"): MAMMOGRAPHY, ("71651007", "SCT"): MAMMOGRAPHY,
}  # fmt: skip

#: NUM of a report -> (field of ParsedDose, quantity); planes are summed
REPORT_NUMBERS: dict[str, tuple[str, Quantity]] = {
    "113813": ("dlp_total", units.DLP),
    "113814": ("effective_dose", units.EFFECTIVE),
    "113722": ("dap_total", units.DAP),
    "113726": ("dap_fluoro", units.DAP),
    "113727": ("dap_acquisition", units.DAP),
    "113725": ("dose_rp_total", units.DOSE),
    "113728": ("dose_rp_fluoro", units.DOSE),
    "113729": ("dose_rp_acquisition", units.DOSE),
    "113730": ("fluoro_time", units.SECONDS),
    "113855": ("acquisition_time", units.SECONDS),
}

#: NUM of an event -> (field of DoseEvent, quantity)
EVENT_NUMBERS: dict[str, tuple[str, Quantity]] = {
    "113830": ("ctdi_vol", units.CTDI),
    "113838": ("dlp", units.DLP),
    "113930": ("ssde", units.CTDI),
    "113980": ("water_equivalent_diameter", units.LENGTH),
    "113825": ("scanning_length", units.LENGTH),
    "113828": ("pitch", units.COUNT),
    "113733": ("kvp", units.VOLTAGE),
    "113734": ("tube_current", units.CURRENT),
    "113824": ("exposure_time", units.MILLISECONDS),
    "113735": ("exposure_time", units.MILLISECONDS),
    "113736": ("exposure", units.EXPOSURE),
    "122130": ("dap", units.DAP),
    "113738": ("dose_rp", units.DOSE),
    "111631": ("agd", units.DOSE),
    "111633": ("compression_thickness", units.LENGTH),
    "111647": ("compression_force", units.FORCE),
    "112011": ("primary_angle", units.ANGLE),
    "112012": ("secondary_angle", units.ANGLE),
    "113750": ("source_to_detector", units.LENGTH),
    "113845": ("exposure_index", units.RATIO),
    "113846": ("target_exposure_index", units.RATIO),
    "113847": ("deviation_index", units.RATIO),
}

#: NUM of an event -> (name in DoseEvent.more, quantity)
EVENT_MORE: dict[str, tuple[str, Quantity]] = {
    # CT
    "113826": ("single_collimation", units.LENGTH),
    "113827": ("total_collimation", units.LENGTH),
    "113823": ("source_count", units.COUNT),
    "113833": ("maximum_tube_current", units.CURRENT),
    "113834": ("time_per_rotation", units.MILLISECONDS),
    "113837": ("ctdi_free_air", units.CTDI),
    "113839": ("effective_dose", units.EFFECTIVE),
    "113893": ("reconstructable_length", units.LENGTH),
    "113895": ("reconstructable_top", units.POSITION),
    "113896": ("reconstructable_bottom", units.POSITION),
    "113897": ("scanning_top", units.POSITION),
    "113898": ("scanning_bottom", units.POSITION),
    "113899": ("exposed_range", units.LENGTH),
    "113931": ("lateral_dimension", units.LENGTH),
    "113932": ("ap_dimension", units.LENGTH),
    "113933": ("effective_diameter", units.LENGTH),
    "113901": ("alert_dlp_configured", units.DLP),
    "113902": ("alert_ctdi_configured", units.CTDI),
    "113903": ("alert_dlp", units.DLP),
    "113904": ("alert_ctdi", units.CTDI),
    "113905": ("alert_dlp_forward", units.DLP),
    "113906": ("alert_ctdi_forward", units.CTDI),
    "113911": ("notification_dlp", units.DLP),
    "113912": ("notification_ctdi", units.CTDI),
    "113913": ("notification_dlp_forward", units.DLP),
    "113914": ("notification_ctdi_forward", units.CTDI),
    # projection
    "113739": ("primary_end_angle", units.ANGLE),
    "113740": ("secondary_end_angle", units.ANGLE),
    "113770": ("column_angulation", units.ANGLE),
    "113748": ("source_to_isocenter", units.LENGTH),
    "113737": ("source_to_reference_point", units.LENGTH),
    "113792": ("source_to_table", units.LENGTH),
    "113751": ("table_longitudinal", units.POSITION),
    "113752": ("table_lateral", units.POSITION),
    "113753": ("table_height", units.POSITION),
    "113759": ("table_longitudinal_end", units.POSITION),
    "113760": ("table_lateral_end", units.POSITION),
    "113761": ("table_height_end", units.POSITION),
    "113754": ("table_head_tilt", units.ANGLE),
    "113755": ("table_rotation", units.ANGLE),
    "113756": ("table_cradle_tilt", units.ANGLE),
    "113742": ("irradiation_duration", units.SECONDS),
    "113766": ("focal_spot", units.LENGTH),
    "113767": ("average_tube_current", units.CURRENT),
    "113768": ("pulses", units.COUNT),
    "113791": ("pulse_rate", units.RATE),
    "113793": ("pulse_width", units.MILLISECONDS),
    "113788": ("field_height", units.LENGTH),
    "113789": ("field_width", units.LENGTH),
    "113790": ("field_area", units.AREA),
    "130516": ("field_area", units.AREA),
    "130515": ("air_kerma_at_output", units.DOSE),
    "111638": ("patient_equivalent_thickness", units.LENGTH),
    # mammography
    "111634": ("half_value_layer", units.LENGTH),
    "111636": ("entrance_exposure", units.DOSE),
    "111648": ("compression_pressure", units.PRESSURE),
    "111649": ("compression_area", units.AREA),
}

#: CODE or TEXT of an event -> name in DoseEvent.more
EVENT_WORDS = {
    "113605": "label",
    "113732": "fluoro_mode",
    "113780": "reference_point",
    "111632": "anode",
    "111635": "grid",
    "113842": "modulation",
    "113907": "reason_for_proceeding",
    "113956": "mechanical_configuration",
    "113961": "reconstruction",
    "113743": "patient_orientation",
    "113745": "table_relationship",
    "113946": "projection",
    "121106": "comment",
    "G-C32C": "context",
    "408730004": "context",
}

# --- nuclear medicine (TID 10021)

ADMINISTRATION, ADMINISTRATION_UID = "113502", "113503"
AGENT, RADIONUCLIDE = frozenset({"F-61FDB", "349358000"}), frozenset({"C-10072", "89457008"})
ROUTE, SITE = frozenset({"G-C340", "410675002"}), frozenset({"G-C581", "G-C0E3", "272737002", "363698007"})
HALF_LIFE = frozenset({"R-42806", "304283002"})
ASSOCIATED_PROCEDURE = frozenset({"G-C2D0", "363702006"})
ADMINISTRATION_STARTED, ADMINISTRATION_STOPPED, ACTIVITY = "123003", "123004", "113507"
ORGAN_DOSE_INFORMATION, ORGAN_DOSE, EFFECTIVE_DOSE = "113517", "113518", "113839"
ADMINISTRATION_MORE: dict[str, tuple[str, Quantity]] = {
    "113508": ("activity_before", units.ACTIVITY),
    "113509": ("activity_after", units.ACTIVITY),
    "113506": ("activity_extravasated", units.ACTIVITY),
    "123005": ("volume_ml", units.COUNT),
    "123007": ("specific_activity_bq_per_mol", units.COUNT),
}
ADMINISTRATION_WORDS = {
    "113510": "product", "113511": "dispense_unit", "113512": "lot", "113513": "reagent_vial",
    "113514": "radionuclide_vial", "113516": "prescription", "113505": "extravasation_symptoms",
    "113540": "measured_with", "121106": "comment",
}  # fmt: skip
