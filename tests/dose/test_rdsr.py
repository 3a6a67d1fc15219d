"""The parser, on what devices write and on what they should not."""

from __future__ import annotations

from io import BytesIO

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from dose import units
from dose.rdsr import derived_uid, moment, number, parse
from tests.factories.dose import (
    BODY,
    HEAD,
    LOCALIZER,
    code,
    ct_event,
    ct_report,
    file_of,
    header,
    item,
    num,
    projection_event,
    projection_report,
    text,
    uid,
)


def test_a_ct_report_is_read_whole():
    parsed = parse(ct_report(ct_event(11.5, 0.1, kind=LOCALIZER), ct_event("713.0", "9.9"), total="724.50"))
    assert (parsed.kind, parsed.modality, parsed.dlp_total, parsed.ctdi_vol_max) == ("CT", "CT", 724.5, 9.9)
    assert len(parsed.events) == 2 and parsed.warnings == []
    event = parsed.events[1]
    assert (event.kvp, event.tube_current, event.exposure_time, event.scanning_length) == (120, 210, 6400, 320)
    assert (event.protocol, event.target_region, event.event_type) == ("CHEST", "Chest", "Spiral Acquisition")
    assert (parsed.patient_sex, round(parsed.patient_age_years), parsed.is_of_a_patient) == ("F", 36, True)


@pytest.mark.parametrize(
    ("unit", "value", "found"),
    [
        ("mGy.cm", "500", 500), ("mGycm", 500, 500), ("mGy·cm", 500, 500), ("mGy*cm", "500,0", 500),
        ("Gy.cm", 0.5, 500), ("mGy.m", 5, 500),
    ],
)  # fmt: skip
def test_dlp_in_every_spelling(unit, value, found):
    assert parse(ct_report(ct_event(value, unit=unit))).dlp_total == pytest.approx(found)


@pytest.mark.parametrize(
    ("unit", "value", "found"),
    [
        ("Gy.m2", "1.6e-005", 1.6e-5), ("Gym2", "1.6e-005", 1.6e-5), ("Gy.cm2", 0.16, 1.6e-5), ("dGy.cm2", 1.6, 1.6e-5),
        ("cGycm2", 16, 1.6e-5), ("uGy.m2", 16, 1.6e-5), ("µGym²", 16, 1.6e-5), ("mGy.cm2", 160, 1.6e-5),
    ],
)  # fmt: skip
def test_dose_area_product_in_every_spelling(unit, value, found):
    assert parse(projection_report(totals=[num("113722", value, unit)])).dap_total == pytest.approx(found)


def test_planes_and_breasts_are_summed_and_fluoroscopy_makes_it_rf():
    event = projection_event(num("122130", 1e-5, "Gy.m2"), num("113738", 2, "mGy"), kind=("44491008", "SCT"))
    totals = [num("113722", 1e-5, "Gy.m2"), num("113725", 2, "mGy"), num("113730", 90, "s")]
    dataset = projection_report(event, totals=totals)
    dataset.ContentSequence.append(item("CONTAINER", "113702", [num("113722", 3e-5, "Gy.m2")]))
    parsed = parse(dataset)
    assert parsed.dap_total == pytest.approx(4e-5) and parsed.dose_rp_total == pytest.approx(0.002)
    assert (parsed.fluoro_time, parsed.modality) == (90, "RF")
    breasts = [num("111637", 1.30, "mGy"), num("111637", 1.28, "mGy")]
    parsed = parse(projection_report(totals=breasts, procedure=("71651007", "SCT")))
    assert parsed.agd_total == pytest.approx(0.00258) and parsed.modality == "MG"


def test_what_is_missing_is_summed_and_said():
    parsed = parse(ct_report(ct_event(200), ct_event(300)))
    assert parsed.dlp_total == 500 and "summed" in parsed.warnings[0]
    parsed = parse(ct_report(ct_event(200), ct_event(300), total=900))
    assert parsed.dlp_total == 900 and "900" in parsed.warnings[0] and "500" in parsed.warnings[0]


def test_phantoms_are_never_mixed():
    parsed = parse(ct_report(ct_event(700, 60, phantom=HEAD), ct_event(300, 12, phantom=BODY), total=1000))
    assert parsed.ctdi_vol_max == 60 and any("two phantoms" in words for words in parsed.warnings)


def test_wrong_units_and_impossible_values_are_left_out_and_said():
    parsed = parse(ct_report(ct_event(500, unit="kg"), total=500, total_unit="mGy.cm"))
    assert parsed.events[0].dlp is None and "kg" in parsed.warnings[0]
    parsed = parse(ct_report(ct_event(-5), ct_event(5e9), ct_event("nan"), ct_event(10), total=10))
    assert [event.dlp for event in parsed.events] == [None, None, None, 10]


def test_no_unit_is_taken_as_the_templates_and_said():
    parsed = parse(ct_report(ct_event(500, unit=""), total=500))
    assert parsed.events[0].dlp == 500 and "no unit" in parsed.warnings[0]


def test_events_without_uid_get_the_same_one_each_time():
    dataset = ct_report(ct_event(1, event_uid=""), ct_event(2, event_uid="not a uid"), total=3)
    first, second = parse(dataset), parse(dataset)
    assert [e.uid for e in first.events] == [e.uid for e in second.events]
    assert first.events[0].uid == derived_uid(dataset.SOPInstanceUID, 1) and len(first.warnings) == 2
    same = "1.2.3"
    parsed = parse(ct_report(ct_event(1, event_uid=same), ct_event(2, event_uid=same), total=3))
    assert parsed.events[0].uid == same != parsed.events[1].uid


def test_numbers_as_text_and_empty_sequences_do_not_stop_the_rest():
    empty = item("NUM", "113830", MeasuredValueSequence=[])
    nothing = Dataset()
    event = item(
        "CONTAINER",
        "113819",
        [uid("113769", "1.2.9"), item("CONTAINER", "113829", [empty, text("113838", "123,5")]), nothing],
    )
    parsed = parse(ct_report(event, total=123.5))
    assert parsed.events[0].dlp == 123.5 and parsed.events[0].ctdi_vol is None


@pytest.mark.parametrize(
    ("fields", "is_patient"),
    [
        ({}, True),
        ({"PatientID": "physics01"}, False),
        ({"PatientName": "^TEST"}, False),
        ({"PatientName": "Test^Water phantom"}, False),
        ({"PatientName": "QA Daily"}, False),
        ({"PatientName": "Phyllis^Jane"}, True),
        ({"PatientName": "Testa^Maria"}, True),
    ],
)  # fmt: skip
def test_exposures_of_no_patient_are_told_apart(fields, is_patient):
    assert parse(ct_report(**fields)).is_of_a_patient is is_patient


def test_a_decimal_comma_in_a_file_is_read():
    raw = file_of(ct_report(ct_event("1234.5"), total="1234.5")).replace(b"1234.5", b"1234,5")
    parsed = parse(pydicom.dcmread(BytesIO(raw)))
    assert parsed.dlp_total == parsed.events[0].dlp == 1234.5


def test_a_radiopharmaceutical_report():
    dataset = header(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.68")
    dataset.ConceptNameCodeSequence[0].CodeValue = "113500"
    given_ = [uid("113503", "1.2.7"), num("113507", 394, "MBq"), code("F-61FDB", "C-B1031", "SRT", "FDG"),
              item("DATETIME", "123003", DateTime="20260102104030")]  # fmt: skip
    dataset.ContentSequence = [item("CONTAINER", "113502", given_)]
    parsed = parse(dataset)
    assert (parsed.modality, parsed.administered_activity, parsed.events[0].protocol) == ("NM", 394e6, "FDG")
    assert parsed.started_at.hour == 10


def test_the_header_of_an_image_serves_where_there_is_no_report():
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID, image.StudyInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "1.2.1", "1.2.2"
    image.Modality, image.ImageAndFluoroscopyAreaDoseProduct, image.OrganDose = "DX", "11.013", "0.00547"
    parsed = parse(image)
    assert parsed.dap_total == pytest.approx(1.1013e-4) and parsed.agd_total == pytest.approx(5.47e-4)
    assert parsed.modality == "DX" and len(parsed.events) == 1
    del image.ImageAndFluoroscopyAreaDoseProduct, image.OrganDose
    assert parse(image).events == []


def test_ages_weights_and_times():
    assert parse(ct_report(PatientBirthDate="", PatientAge="018M")).patient_age_years == pytest.approx(1.5, abs=0.01)
    assert parse(ct_report(PatientBirthDate="20991231", PatientWeight="9999")).patient_age_years is None
    assert moment("20260102101530.5+0300").isoformat() == "2026-01-02T10:15:30.500000+03:00"
    assert [moment(words) for words in ("", "2026", "20261399", "x", "20260102 10")] == [None] * 5
    assert [number(value) for value in ("1,5", " 2 ", "", None, "x", "inf", ["3", "4"])] == [
        1.5,
        2,
        None,
        None,
        None,
        None,
        3,
    ]
    assert units.factor(units.DAP, "dGy·cm²") == 1e-5 and units.factor(units.DAP, "furlong") is None


def test_anything_at_all_is_read_without_raising():
    assert parse(Dataset()).warnings
    deep = item("CONTAINER", "113819")
    for _level in range(60):
        deep = item("CONTAINER", "113819", [deep])
    assert parse(ct_report(deep)).kind == "CT"


SCALARS = st.one_of(
    st.text(max_size=12), st.integers(-(10**6), 10**6).map(str), st.floats(allow_nan=False, width=16).map(str)
)
CONCEPTS = st.sampled_from(
    ["113813", "113838", "113830", "113722", "113769", "113819", "113706", "113811", "121058", "113502", ""]
)


@st.composite
def trees(draw, depth=2):
    content = Dataset()
    content.ValueType = draw(st.sampled_from(["NUM", "TEXT", "CODE", "CONTAINER", "UIDREF", "", "DATETIME"]))
    if draw(st.booleans()):
        content.ConceptNameCodeSequence = [
            coded for coded in [Dataset()] if not setattr(coded, "CodeValue", draw(CONCEPTS))
        ]
    if draw(st.booleans()):
        content.TextValue = draw(st.text(max_size=10))
    if draw(st.booleans()):
        measured = Dataset()
        measured.add_new(0x0040A30A, "LO", draw(SCALARS))
        content.MeasuredValueSequence = [measured]
    if depth and draw(st.booleans()):
        content.ContentSequence = draw(st.lists(trees(depth - 1), max_size=2))
    return content


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], max_examples=60, deadline=None)
@given(st.lists(trees(), max_size=3), SCALARS, SCALARS)
def test_random_trees_never_raise(children, birth, age):
    dataset = header()
    dataset.add_new(0x00100030, "LO", birth)
    dataset.add_new(0x00101010, "LO", age)
    dataset.ContentSequence = children
    parsed = parse(dataset)
    assert parsed.sop_instance_uid and all(event.uid for event in parsed.events)
