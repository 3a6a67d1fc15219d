"""Scales: the published rules by table, answers that are wrong, and how reports keep, say, freeze and check them."""

from __future__ import annotations

from typing import Any

import pytest

from reporting import services
from reporting.assessments import SCHEMES, agrees, clean, schemes_for
from reporting.models import Assessment, Report
from reporting.services.assessing import assess
from ris.core.errors import Conflict, InvalidData, NotKnown
from tests.factories.reporting import drafted, make_procedure
from tests.reporting.test_api import client_of, url

NODULE = {"composition": "solid", "echogenicity": "hypo", "shape": "wider", "margin": "smooth", "size": 16}
LUNG = {"nodule": "solid", "status": "baseline", "long": 8, "short": 6}
LIVER = {"at_risk": True, "observation": "untreated", "size": 15, "aphe": True}
KIDNEY = {"applies": True, "content": "simple", "septa": "none"}
PULMO = {"applies": True, "kind": "solid", "number": "single", "size": 7, "risk": "low"}


@pytest.mark.parametrize(
    "scheme, answers, category",
    [
        ("birads", {"right": "2", "left": "4A"}, "4A"),
        ("birads", {"right": "0", "left": "6"}, "0"),
        ("birads", {"right": "0", "left": "4"}, "4"),
        ("birads", {"left": "1"}, "1"),
        ("birads", {"right": "4C", "left": "5"}, "5"),
        ("lungrads", {"nodule": "none"}, "1"),
        ("lungrads", {"nodule": "inflammatory"}, "0"),
        ("lungrads", LUNG | {"long": 6, "short": 5.8}, "2"),
        ("lungrads", LUNG | {"long": 6, "short": 6}, "3"),
        ("lungrads", LUNG | {"long": 8, "short": 8}, "4A"),
        ("lungrads", LUNG | {"long": 15, "short": 15}, "4B"),
        ("lungrads", LUNG | {"status": "new", "long": 3.9, "short": 3.9}, "2"),
        ("lungrads", LUNG | {"status": "new", "long": 5, "short": 4}, "3"),
        ("lungrads", LUNG | {"status": "new"}, "4A"),
        ("lungrads", LUNG | {"status": "new", "long": 8, "short": 8}, "4B"),
        ("lungrads", LUNG | {"status": "growing"}, "4A"),
        ("lungrads", LUNG | {"status": "growing", "long": 9, "short": 9}, "4B"),
        ("lungrads", LUNG | {"status": "stable", "previous": "3"}, "2"),
        ("lungrads", LUNG | {"status": "stable", "previous": "4A"}, "3"),
        ("lungrads", LUNG | {"status": "slow"}, "4B"),
        ("lungrads", LUNG | {"nodule": "ground_glass", "long": 29, "short": 29}, "2"),
        ("lungrads", LUNG | {"nodule": "ground_glass", "long": 30, "short": 30}, "3"),
        ("lungrads", LUNG | {"nodule": "ground_glass", "status": "slow", "long": 31, "short": 31}, "2"),
        ("lungrads", LUNG | {"nodule": "part_solid", "solid_long": 5}, "3"),
        ("lungrads", LUNG | {"nodule": "part_solid", "solid_long": 6}, "4A"),
        ("lungrads", LUNG | {"nodule": "part_solid", "solid_long": 8}, "4B"),
        ("lungrads", LUNG | {"nodule": "part_solid", "status": "growing", "solid_long": 4}, "4B"),
        ("lungrads", LUNG | {"nodule": "part_solid", "status": "new", "long": 5, "short": 5, "solid_long": 2}, "3"),
        ("lungrads", LUNG | {"nodule": "juxtapleural", "long": 9, "short": 9}, "2"),
        ("lungrads", {"nodule": "airway", "airway": "segmental"}, "4A"),
        ("lungrads", {"nodule": "airway", "airway": "segmental", "status": "growing"}, "4B"),
        ("lungrads", {"nodule": "cyst", "cyst": "growing_wall"}, "4B"),
        ("lungrads", LUNG | {"long": 9, "short": 9, "suspicious": True, "other": True}, "4XS"),
        ("lirads", LIVER, "LR-3"),
        ("lirads", LIVER | {"features": ["capsule"]}, "LR-4"),
        ("lirads", LIVER | {"features": ["washout"]}, "LR-5"),
        ("lirads", LIVER | {"size": 9, "features": ["washout", "capsule"]}, "LR-4"),
        ("lirads", LIVER | {"size": 20}, "LR-4"),
        ("lirads", LIVER | {"size": 20, "features": ["capsule"]}, "LR-5"),
        ("lirads", LIVER | {"aphe": False, "features": ["washout"]}, "LR-3"),
        ("lirads", LIVER | {"aphe": False, "size": 25, "features": ["washout"]}, "LR-4"),
        ("lirads", LIVER | {"ancillary": ["malignant"]}, "LR-4"),
        ("lirads", LIVER | {"size": 20, "ancillary": ["malignant"]}, "LR-4"),
        ("lirads", LIVER | {"ancillary": ["malignant", "benign"]}, "LR-3"),
        ("lirads", LIVER | {"size": 20, "ancillary": ["benign"]}, "LR-3"),
        ("lirads", LIVER | {"observation": "tumour_in_vein"}, "LR-TIV"),
        ("lirads", LIVER | {"observation": "treated_viable"}, "LR-TR viable"),
        ("tirads", NODULE, "TR4"),
        ("tirads", NODULE | {"foci": ["punctate"]}, "TR5"),
        ("tirads", NODULE | {"composition": "spongiform", "foci": ["punctate"]}, "TR1"),
        ("tirads", NODULE | {"composition": "cystic", "echogenicity": "iso"}, "TR2"),
        ("tirads", NODULE | {"composition": "mixed", "echogenicity": "iso"}, "TR2"),
        ("tirads", NODULE | {"composition": "solid", "echogenicity": "iso"}, "TR3"),
        ("pirads", {"zone": "peripheral", "dwi": "3", "dce": True}, "4"),
        ("pirads", {"zone": "peripheral", "dwi": "3"}, "3"),
        ("pirads", {"zone": "transition", "dwi": "5", "t2": "3"}, "4"),
        ("pirads", {"zone": "transition", "dwi": "4", "t2": "3"}, "3"),
        ("pirads", {"zone": "transition", "dwi": "4", "t2": "2"}, "3"),
        ("pirads", {"zone": "peripheral", "dwi": "x", "t2": "3", "dce": True}, "4"),
        ("bosniak", KIDNEY, "I"),
        ("bosniak", KIDNEY | {"septa": "few"}, "II"),
        ("bosniak", KIDNEY | {"content": "dense"}, "II"),
        ("bosniak", KIDNEY | {"septa": "many", "enhances": True}, "IIF"),
        ("bosniak", KIDNEY | {"wall": 3, "enhances": True}, "IIF"),
        ("bosniak", KIDNEY | {"wall": 4, "enhances": True}, "III"),
        ("bosniak", KIDNEY | {"enhances": True, "protrusion": "obtuse", "protrusion_size": 3}, "III"),
        ("bosniak", KIDNEY | {"enhances": True, "protrusion": "obtuse", "protrusion_size": 4}, "IV"),
        ("bosniak", KIDNEY | {"protrusion": "acute"}, "IV"),
    ],
)
def test_the_published_rules(scheme: str, answers: dict[str, Any], category: str) -> None:
    assert assess(SCHEMES[scheme], answers)[1].category == category


@pytest.mark.parametrize(
    "answers, advice",
    [
        (PULMO | {"size": 5}, "No routine"),
        (PULMO | {"size": 5, "risk": "high"}, "Optional CT at 12"),
        (PULMO, "consider CT at 18"),
        (PULMO | {"size": 8.4, "risk": "high"}, "then CT at 18"),
        (PULMO | {"size": 9}, "PET/CT"),
        (PULMO | {"number": "multiple"}, "CT at 3 to 6 months, then consider"),
        (PULMO | {"kind": "ground_glass"}, "every 2 years"),
        (PULMO | {"kind": "ground_glass", "size": 5}, "No routine"),
        (PULMO | {"kind": "part_solid", "solid_part": 4}, "every year for 5 years"),
        (PULMO | {"kind": "part_solid", "solid_part": 6}, "highly suspicious"),
        (PULMO | {"kind": "ground_glass", "number": "multiple", "size": 5}, "2 and 4 years"),
    ],
)
def test_fleischner_advises_by_size_kind_and_risk(answers: dict[str, Any], advice: str) -> None:
    assert advice in str(assess(SCHEMES["fleischner"], answers)[1].management)


@pytest.mark.parametrize(
    "size, advice",
    [(4, "No aspiration"), (10, "1, 2, 3 and 5 years"), (15, "Fine-needle")],
)
def test_a_thyroid_nodules_size_decides_what_follows(size: int, advice: str) -> None:
    assert advice in str(assess(SCHEMES["tirads"], NODULE | {"size": size})[1].management)


@pytest.mark.parametrize(
    "scheme, answers, wrong",
    [
        ("tirads", {**NODULE, "shape": ""}, {"shape"}),
        ("tirads", {**NODULE, "shape": "round", "colour": "blue"}, {"shape", "colour"}),
        ("tirads", {**NODULE, "size": "big"}, {"size"}),
        ("tirads", {**NODULE, "size": 9000}, {"size"}),
        ("tirads", {**NODULE, "foci": ["stars"]}, {"foci"}),
        ("lirads", {**LIVER, "at_risk": False}, {"at_risk"}),
        ("lirads", {"at_risk": "perhaps", "observation": "benign"}, {"at_risk"}),
        ("lungrads", {"nodule": "solid"}, {"long"}),
        ("lungrads", {**LUNG, "status": "stable", "before": 4, "months": 12}, {"status"}),
        ("birads", {}, {"right"}),
        ("pirads", {"zone": "transition", "dwi": "3"}, {"t2"}),
        ("fleischner", {**PULMO, "risk": ""}, {"risk"}),
        ("bosniak", {**KIDNEY, "applies": False}, {"applies"}),
    ],
)
def test_what_is_missing_or_wrong_is_named(scheme: str, answers: dict[str, Any], wrong: set[str]) -> None:
    with pytest.raises(InvalidData) as refusal:
        assess(SCHEMES[scheme], answers)
    assert set(refusal.value.errors) == wrong


def test_every_scale_has_a_version_labels_and_choices() -> None:
    for scheme in SCHEMES.values():
        assert scheme.version and str(scheme.subject)
        assert clean(scheme, {})[0] == {}
        for field in scheme.fields:
            assert str(field.label) and (field.choices or field.kind in ("number", "yes"))
    assert schemes_for(["US"], ["thyroid"])[0].key == "tirads"


@pytest.mark.parametrize(
    "scheme, words, category",
    [
        ("birads", "BI-RADS category 4a.", "4A"),
        ("birads", "BIRADS: 2", "2"),
        ("lungrads", "Lung-RADS 4BS", "4BS"),
        ("lirads", "Segment 8: LR-5", "LR-5"),
        ("tirads", "ACR TI-RADS TR3", "TR3"),
        ("tirads", "TI-RADS 3", "3"),
        ("pirads", "PI-RADS v2.1 score 4", "4"),
        ("bosniak", "Bosniak IIF cyst", "IIF"),
        ("bosniak", "Bosniak 2F", "2F"),
    ],
)
def test_a_category_is_found_in_words(scheme: str, words: str, category: str) -> None:
    assert [found for _words, found in SCHEMES[scheme].mentions(words)] == [category]


def test_edition_and_denial_are_no_category() -> None:
    assert SCHEMES["birads"].mentions("BI-RADS 5th edition") == []
    assert agrees("4", "4A") and agrees("2F", "IIF") and agrees("LR5", "LR-5") and agrees("3", "TR3")
    assert not agrees("2", "4A") and not agrees("4A", "4B") and not agrees("I", "II")


# --- in a report


@pytest.mark.django_db
def test_a_scale_is_kept_said_frozen_and_checked(people: Any) -> None:
    report = drafted(make_procedure(modality="US", body_region="thyroid"), actor=people.radiologist)
    row = services.add_assessment(report, scheme="tirads", inputs=NODULE, label="Left", actor=people.radiologist)
    assert (row.category, row.scheme_version, row.score) == ("TR4", "2017", 4)
    report.refresh_from_db()
    assert "Left: ACR TI-RADS TR4: Moderately suspicious. Fine-needle aspiration." in report.sections["impression"]
    assert row.history.first().history_user == people.radiologist.user
    wrong = {"impression": "Left nodule, TI-RADS 2."}
    services.save_report(report, sections=wrong, revision=report.revision, actor=people.radiologist)
    from reporting.services.signing import ChecksFailed

    with pytest.raises(ChecksFailed) as refusal:
        services.sign_report(report, actor=people.radiologist)
    assert "TR4" in str(refusal.value.errors)
    signed = services.sign_report(report, sections={"impression": "Left nodule, TR4."}, actor=people.radiologist)
    version = signed.versions.get()
    assert version.assessments == [row.as_data()]
    assert version.is_intact
    version.assessments = [{**row.as_data(), "category": "TR1"}]
    assert not version.is_intact
    with pytest.raises(Conflict):
        services.add_assessment(report, scheme="tirads", inputs=NODULE, actor=people.radiologist)


@pytest.mark.django_db
def test_a_scale_is_withdrawn_with_its_sentence(people: Any) -> None:
    report = drafted(actor=people.radiologist)
    row = services.add_assessment(report, scheme="tirads", inputs=NODULE, actor=people.radiologist)
    services.remove_assessment(report, assessment=str(row.uuid), actor=people.radiologist)
    report = Report.objects.get()
    assert "TI-RADS" not in report.sections["impression"]
    assert list(Assessment.objects.standing()) == []
    with pytest.raises(NotKnown):
        services.remove_assessment(report, assessment=str(row.uuid), actor=people.radiologist)


@pytest.mark.django_db
def test_scales_over_rest(people: Any) -> None:
    reader = client_of(people.radiologist)
    scales = reader.get("/api/v1/assessment-scales/").json()
    assert {row["key"] for row in scales} == set(SCHEMES)
    once = {"Idempotency-Key": "its address has a key as well"}
    asked = reader.post("/api/v1/assessment-scales/tirads/calculate/", {"inputs": NODULE}, format="json", headers=once)
    assert (asked.json()["category"], asked.json()["score"]) == ("TR4", 4)
    wrong = reader.post("/api/v1/assessment-scales/tirads/calculate/", {"inputs": {}}, format="json")
    assert (wrong.status_code, "shape" in wrong.json()["errors"]) == (400, True)
    assert reader.post("/api/v1/assessment-scales/none/calculate/", {"inputs": {}}, format="json").status_code == 404
    report = drafted(actor=people.radiologist)
    made = reader.post(url(report, "assessments/"), {"scheme": "tirads", "inputs": NODULE}, format="json")
    assert made.status_code == 201
    listed = reader.get(url(report, "assessments/")).json()
    assert [row["id"] for row in listed] == [made.json()["id"]]
    assert reader.post(url(report, f"assessments/{listed[0]['id']}/remove/")).status_code == 200
    assert reader.get(url(report, "assessments/")).json() == []
    clerk = client_of(people.clerk)
    assert clerk.post(url(report, "assessments/"), {"scheme": "tirads", "inputs": NODULE}).status_code == 403
