"""Every template and every fallback, with all that it carries; and what devices make of it."""

from __future__ import annotations

import pytest
from pydicom import Dataset

from dose.rdsr import parse
from tests.factories.dose import (
    breast_event,
    breast_total,
    code,
    ct_event,
    ct_report,
    dataset_of,
    enhanced_report,
    image_of,
    item,
    num,
    projection_event,
    projection_report,
    radiopharmaceutical_report,
    text,
    whole_ct_event,
    whole_projection_event,
)


def test_all_that_a_ct_event_carries():
    parsed = parse(ct_report(whole_ct_event(), total=320))
    (event,) = parsed.events
    assert parsed.warnings == []
    assert (event.scanning_length, event.pitch, event.ssde, event.water_equivalent_diameter) == (320, 0.9, 13.5, 280)
    assert (event.kvp, event.tube_current, event.exposure_time) == (100, 200, 6400)
    assert [tube["kvp"] for tube in event.more["sources"]] == [100, 150]
    assert event.more["time_per_rotation"] == [500, "ms"] and event.more["total_collimation"] == [38.4, "mm"]
    assert event.more["reconstructable_top"] == [-12.5, "mm"] and event.more["alert_dlp"] == [2000, "mGy.cm"]
    assert event.more["effective_dose"][0] == pytest.approx(0.0045)
    assert event.more["reason_for_proceeding"] == ["Large patient", ""]
    assert (event.is_repeated, event.repeat_reason) == (True, "Patient motion")


def test_all_that_a_fluoroscopy_event_carries():
    totals = [num("113722", "1.6e-005", "Gym2"), num("113726", 16, "uGy.m2"), num("113725", "2.52", "mGy"),
              num("113730", "0.5", "min"), num("113731", 24, "1"), num("113855", 0, "s")]  # fmt: skip
    parsed = parse(projection_report(whole_projection_event(), totals=totals))
    (event,) = parsed.events
    assert parsed.warnings == [] and parsed.modality == "RF"
    assert (parsed.fluoro_time, parsed.frame_count, parsed.acquisition_time) == (30, 24, 0)
    assert parsed.dap_fluoro == pytest.approx(parsed.dap_total) == pytest.approx(1.6e-5)
    assert (event.primary_angle, event.secondary_angle, event.source_to_detector) == (-30, 12.5, 1200)
    assert (event.kvp, event.exposure, event.plane) == (77, 9586, "Plane A")
    assert event.more["table_height"] == [-151.8, "mm"] and event.more["pulse_rate"] == [7.5, "/s"]
    assert event.more["field_area"][0] == pytest.approx(0.04) and event.more["fluoro_mode"] == ["Pulsed", ""]
    assert (event.exposure_index, event.target_exposure_index, event.deviation_index) == (250, 300, -0.8)
    assert event.filters == [{"type": "Flat filter", "material": "Copper", "least_mm": 0.1, "most_mm": 0.2}]


def test_mammography_by_breast_and_a_row_of_both_counts_once():
    rows = [breast_total("1.30", "T-04030"), breast_total("1.28", "T-04020"), breast_total("2.58", "T-04080")]
    events = [breast_event(), breast_event("Right", "1.28")]
    parsed = parse(projection_report(*events, totals=rows, procedure=("71651007", "SCT")))
    assert parsed.agd_total == pytest.approx(0.00258) and parsed.warnings == []
    assert (parsed.agd_left, parsed.agd_right) == (pytest.approx(0.0013), pytest.approx(0.00128))
    event = parsed.events[0]
    assert (event.laterality, event.view, event.target_region) == ("Left", "cranio-caudal", "Breast")
    assert event.compression_thickness == 43 and event.compression_force == pytest.approx(117.68, abs=0.01)
    assert event.more["entrance_exposure"][0] == pytest.approx(0.00365) and event.more["anode"] == ["Tungsten", ""]
    only_both = parse(projection_report(totals=rows[2:], procedure=("71651007", "SCT")))
    assert only_both.agd_total == pytest.approx(0.00258)


def test_two_planes_are_summed_but_a_row_of_all_planes_is_the_sum():
    def plane(value, dap):
        return item("CONTAINER", "113702", [code("113764", value), num("113722", dap, "Gy.m2")])

    dataset = projection_report()
    dataset.ContentSequence = [code("121058", "113704"), plane("113620", 1e-5), plane("113621", 2e-5)]
    assert parse(dataset).dap_total == pytest.approx(3e-5)
    dataset.ContentSequence.append(plane("113890", 3e-5))
    assert parse(dataset).dap_total == pytest.approx(3e-5)


def test_the_enhanced_report_spreads_its_details_over_its_events():
    parsed = parse(enhanced_report())
    first, second = parsed.events
    assert (parsed.kind, parsed.modality, parsed.warnings) == ("projection", "RF", [])
    assert parsed.dap_total == pytest.approx(3e-4) and parsed.fluoro_time == 60
    assert (first.dap, second.dap) == (pytest.approx(1e-4), pytest.approx(2e-4))
    assert (first.kvp, second.kvp) == (80, None) and (first.source_to_detector, second.source_to_detector) == (
        1000,
        1000,
    )
    assert first.filters == [] and second.filters[0]["material"] == "Copper"


def test_all_that_a_radiopharmaceutical_report_carries():
    parsed = parse(radiopharmaceutical_report(PatientBirthDate=""))
    (event,) = parsed.events
    assert parsed.warnings == [] and parsed.modality == "PT" and parsed.administered_activity == pytest.approx(394e6)
    assert (event.radionuclide, event.half_life) == ("^18^Fluorine", pytest.approx(6586.2))
    assert event.more["organ_doses"][0]["organ"] == "Adrenal gland" and event.more["lot"] == ["LOT 7", ""]
    assert event.more["activity_before"] == [4e8, "Bq"] and event.more["route"] == ["Intravenous route", ""]
    assert parsed.effective_dose == pytest.approx(0.007486)
    assert (parsed.patient_weight_kg, parsed.patient_height_m, parsed.patient_age_years) == (110, 1.78, 63)


def test_empty_items_numbers_in_text_and_partial_reports_warn_one_by_one():
    event = projection_event(
        item("NUM", "122130", MeasuredValueSequence=[]), text("113738", "2,5 mGy"), num("113733", "eighty", "kV"),
        num("113734", 100, ""), num("113750", 99, "furlong"),
    )  # fmt: skip
    parsed = parse(projection_report(event, CompletionFlag="PARTIAL"))
    (read,) = parsed.events
    assert (read.dap, read.kvp, read.source_to_detector, read.tube_current) == (None, None, None, 100)
    assert read.dose_rp == pytest.approx(0.0025)
    found = " ".join(parsed.warnings)
    assert all(
        words in found for words in ("122130: empty", "113733: this is no number", "no unit", "furlong", "partial")
    )
    unsaid = ct_report(ct_event(5), total=5)
    del unsaid.ContentSequence[0]
    assert parse(unsaid).kind == "CT"


@pytest.mark.parametrize(
    ("image", "values"),
    [
        (image_of("DX", ImageAndFluoroscopyAreaDoseProduct="0.11", ExposureIndex="250", Exposure="2"),
         {"dap": 1.1e-6, "exposure_index": 250, "exposure": 2000}),
        (image_of("CR", ExposureInuAs="800", ViewPosition="PA"), {"exposure": 800, "view": "PA"}),
        (image_of("MG", OrganDose="0.0055", BodyPartThickness="43", CompressionForce="90", ImageLaterality="L"),
         {"agd": 5.5e-4, "compression_thickness": 43, "compression_force": 90, "laterality": "L"}),
        (image_of("PX", ImageAndFluoroscopyAreaDoseProduct="1.2", KVP="66"), {"dap": 1.2e-5, "kvp": 66}),
    ],
)  # fmt: skip
def test_image_headers(image, values):
    parsed = parse(image)
    for name, value in values.items():
        found = getattr(parsed.events[0], name)
        assert found == (value if isinstance(value, str) else pytest.approx(value)), name
    assert parsed.modality == image.Modality and parsed.warnings == []


def test_an_image_made_of_another_is_the_same_exposure():
    raw = image_of("MG", OrganDose="0.0055")
    shown = image_of(
        "MG", OrganDose="0.0055", SourceImageSequence=[dataset_of(ReferencedSOPInstanceUID=raw.SOPInstanceUID)]
    )
    assert parse(shown).events[0].uid == parse(raw).events[0].uid


def test_nuclear_headers_in_either_unit_count_an_administration_once():
    def image(modality: str, dose: str, study: str = "1.2.3") -> Dataset:
        agent = dataset_of(RadionuclideTotalDose=dose, RadionuclideHalfLife="6586.2", Radiopharmaceutical="FDG",
                           RadiopharmaceuticalStartTime="101500")  # fmt: skip
        return image_of(modality, StudyInstanceUID=study, RadiopharmaceuticalInformationSequence=[agent])

    for modality, dose in (("PT", "394000000"), ("PT", "394"), ("NM", "394"), ("NM", "394000000")):
        parsed = parse(image(modality, dose))
        assert parsed.administered_activity == pytest.approx(394e6) and parsed.modality == modality
        assert bool(parsed.warnings) == (dose != ("394000000" if modality == "PT" else "394"))
    assert parse(image("PT", "394000000")).events[0].uid == parse(image("PT", "394000000")).events[0].uid
    assert parse(image("PT", "394000000")).events[0].uid != parse(image("PT", "394000000", "1.2.4")).events[0].uid


def test_a_dose_screen_is_read_by_its_text_elements():
    exposures = [
        dataset_of(AcquisitionType="CONSTANT_ANGLE", CTDIvol=0.1, KVP="120", ScanLength="400"),
        dataset_of(AcquisitionType="SPIRAL", CTDIvol=12.5, KVP="120", XRayTubeCurrentInuA=200000.0, ScanLength="320"),
    ]
    exposures[1].add_new(0x00E10010, "LO", "ELSCINT1")
    exposures[1].add_new(0x00E11021, "DS", "400")
    screen = image_of("CT", ExposureDoseSequence=exposures, CommentsOnRadiationDose="Total DLP = 405,5 mGy*cm")
    parsed = parse(screen)
    assert (parsed.kind, parsed.modality, parsed.dlp_total, parsed.ctdi_vol_max) == ("screen", "CT", 405.5, 12.5)
    assert (parsed.events[1].dlp, parsed.events[1].tube_current, parsed.events[1].scanning_length) == (400, 200, 320)
    words = "1: CTDIvol: 9.9 mGy DLP: 713.0 mGy.cm\n2: CTDIvol(mGy) 0.1 DLP(mGycm) 11.5\nTotal Exam DLP: 724.5"
    parsed = parse(image_of("OT", ImageComments=words))
    assert [(event.ctdi_vol, event.dlp) for event in parsed.events] == [(9.9, 713), (0.1, 11.5)]
    assert (parsed.dlp_total, parsed.modality) == (724.5, "CT")


def test_the_dose_of_a_performed_step():
    step = dataset_of(
        PerformedProcedureStepStatus="COMPLETED", PerformedProcedureStepStartDate="20260102",
        PerformedProcedureStepStartTime="101500", Modality="RF", PerformedStationAETitle="RF1",
        TotalTimeOfFluoroscopy=90, TotalNumberOfExposures=4, ImageAndFluoroscopyAreaDoseProduct="11.013",
        ScheduledStepAttributesSequence=[dataset_of(StudyInstanceUID="1.2.3", AccessionNumber="A1")],
        ExposureDoseSequence=[dataset_of(RadiationMode="PULSED", KVP="77", ExposureTime="100")],
    )  # fmt: skip
    parsed = parse(step)
    assert (parsed.kind, parsed.study_instance_uid, parsed.accession_number) == ("mpps", "1.2.3", "A1")
    assert parsed.dap_total == pytest.approx(1.1013e-4) and (parsed.fluoro_time, parsed.frame_count) == (90, 4)
    assert parsed.events[0].kvp == 77 and parsed.started_at.hour == 10 and parsed.station_name == "RF1"
