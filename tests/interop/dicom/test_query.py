"""C-FIND over what is stored: every level of both models, every kind of matching, every refusal."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pydicom import Dataset, Sequence

from interop.dicom import scu
from interop.dicom.dimse import Caller, DimseError, Request, handler_for, perform
from interop.dicom.messages import Field
from interop.dicom.query import on_find
from interop.dicom.query_keys import PATIENT_ROOT_FIND, STUDY_ROOT_FIND
from interop.models import DicomPeer
from orders.services import merge_patients
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM, Actor
from ris.tenants.context import require_facility
from tests.factories.orders import make_patient, make_procedure
from tests.factories.worklist import STORE, stored
from worklist.models import ImagingInstance, ImagingStudy
from worklist.services import index_instance, reject_images

from .conftest import make_peer

EXPLICIT = "1.2.840.10008.1.2.1"


def identifier(level: str = "", **keys: Any) -> Dataset:
    asked = Dataset()
    asked.SpecificCharacterSet = "ISO_IR 192"
    if level:
        asked.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(asked, keyword, value)
    return asked


def ask(level: str, model: str = STUDY_ROOT_FIND, title: str = "WS1", **keys: Any) -> list[Dataset]:
    """The answers, through the handler alone. Their statuses are in ``asked.statuses``."""
    return [found for _status, found in ask_with_status(level, model, title, **keys)]


def ask_with_status(
    level: str, model: str = STUDY_ROOT_FIND, title: str = "WS1", *, is_relational: bool = False, **keys: Any
) -> list[tuple[int, Dataset]]:
    peer = DicomPeer.objects.filter(ae_title=title).first() or make_peer(title, may_query=True)
    caller = Caller(require_facility(), peer, title, "ALPHA", "127.0.0.1")
    request = Request(caller, 1, model, "", EXPLICIT)
    data = request.encoded(identifier(level, **keys))
    request = Request(caller, 1, model, "", EXPLICIT, data=data, is_relational=is_relational)
    answers = []
    for status, found in on_find(request, Actor("query", ae_title=title)):
        answers.append((status, Request(caller, 1, model, "", EXPLICIT, data=found).dataset()))
    return answers


def uids(answers: list[Dataset]) -> set[str]:
    return {str(row.StudyInstanceUID) for row in answers}


def put(procedure: Any = None, **fields: Any) -> ImagingStudy:
    row = index_instance(stored(procedure, **fields), actor=STORE)
    return ImagingStudy.objects.get(pk=row.series.study_id)


def sent(name: str, number: str, **fields: Any) -> ImagingStudy:
    """A study of somebody whom the RIS does not know."""
    return put(patient_name=name, patient_id=number, **{"patient_birth_date": "19700101", "patient_sex": "F"} | fields)


# --- over the network


def find(scp: Any, model: str, asked: Dataset, title: str = "WS1") -> list[tuple[int, Dataset | None, str]]:
    where = {"host": "127.0.0.1", "port": scp.port, "called_ae_title": "ALPHA", "calling_ae_title": title}
    with scu.association(**where, contexts=scu.contexts_for([model])) as line:
        answers = list(line.send_c_find(asked, model))
    return [(status.Status, found, status.get("ErrorComment", "")) for status, found in answers]


LEVELS = [(PATIENT_ROOT_FIND, level) for level in ("PATIENT", "STUDY", "SERIES", "IMAGE")] + [
    (STUDY_ROOT_FIND, level) for level in ("STUDY", "SERIES", "IMAGE")
]


def test_each_level_of_each_model_answers_over_the_network(scp):
    make_peer("WS1", may_query=True)
    study = sent("Odhiambo^Grace", "P7", accession_number="A7")
    series = study.series.get()
    for model, level in LEVELS:
        keys = {
            "PatientID": "P7",
            "StudyInstanceUID": study.study_instance_uid if level != "PATIENT" else "",
            "SeriesInstanceUID": series.series_instance_uid if level in ("SERIES", "IMAGE") else "",
            "SOPInstanceUID": "",
        }
        names = ["PATIENT", "STUDY", "SERIES", "IMAGE"]
        asked = identifier(level, **dict(list(keys.items())[: names.index(level) + 1]), PatientName="")
        [(status, found, _words), last] = find(scp, model, asked)
        assert (status, last[0]) == (0xFF00, 0), (model, level)
        assert found.PatientName == "Odhiambo^Grace"
        assert found.QueryRetrieveLevel == level
        assert found.RetrieveAETitle == "ALPHA"
        assert found.InstanceAvailability == "ONLINE"
        if level == "IMAGE":
            assert found.SOPInstanceUID == series.instances.get().sop_instance_uid


REFUSED = [
    (STUDY_ROOT_FIND, identifier(StudyInstanceUID=""), "(0008,0052) Query/Retrieve Level is missing."),
    (STUDY_ROOT_FIND, identifier("PATIENT", PatientID=""), "(0008,0052) must be one of STUDY, SERIES, IMAGE."),
    (STUDY_ROOT_FIND, identifier("FRAME"), "(0008,0052) must be one of STUDY, SERIES, IMAGE."),
    (STUDY_ROOT_FIND, identifier("SERIES", SeriesInstanceUID=""), "(0020,000D) is needed at the SERIES level."),
    (PATIENT_ROOT_FIND, identifier("STUDY", StudyInstanceUID=""), "(0010,0020) is needed at the STUDY level."),
    (PATIENT_ROOT_FIND, identifier("STUDY", PatientID="P*"), "(0010,0020) must be a single value at STUDY level."),
    (
        STUDY_ROOT_FIND,
        identifier("IMAGE", StudyInstanceUID="1.2", SOPInstanceUID=""),
        "(0020,000E) is needed at the IMAGE level.",
    ),
    (
        STUDY_ROOT_FIND,
        identifier("SERIES", StudyInstanceUID=["1.2", "1.3"]),
        "(0020,000D) must be a single value at SERIES level.",
    ),
    (STUDY_ROOT_FIND, identifier("STUDY", StudyDate="yesterday"), "(0008,0020) is neither a value nor a range."),
    (STUDY_ROOT_FIND, identifier("STUDY", StudyTime="10-x"), "(0008,0030) is neither a value nor a range."),
]


def test_what_breaks_the_rules_is_refused_with_a900_and_words(scp):
    make_peer("WS1", may_query=True)
    sent("Odhiambo^Grace", "P7")
    for model, asked, words in REFUSED:
        assert [(status, said) for status, _found, said in find(scp, model, asked)] == [(0xA900, words)]


def test_who_may_not_query_is_refused(scp):
    make_peer("WS1", may_query=False)
    [(status, _found, _words)] = find(scp, STUDY_ROOT_FIND, identifier("STUDY", StudyInstanceUID=""))
    assert status == 0x0124


@pytest.mark.dcmtk
@pytest.mark.parametrize("model", ["-P", "-S"])
def test_findscu_finds_by_name_and_modality(scp, dcmtk, tmp_path, model):
    make_peer("WS1", may_query=True)
    wanted = sent("Odhiambo^Grace", "P7")
    sent("Kamau^Grace", "P8")
    keys = ["QueryRetrieveLevel=STUDY", "PatientID=P7", "PatientName=odhi*", "StudyInstanceUID", "ModalitiesInStudy=CT"]
    arguments = [part for key in keys for part in ("-k", key)]
    where = ["-aet", "WS1", "-aec", "ALPHA", "127.0.0.1", str(scp.port)]
    answer = dcmtk("findscu", "-v", model, "-X", "-od", str(tmp_path), *arguments, *where)
    assert answer.returncode == 0, answer.stderr
    [found] = tmp_path.glob("rsp*.dcm")
    assert wanted.study_instance_uid in dcmtk("dcmdump", str(found)).stdout


def test_a_cancelled_query_ends_with_fe00(alpha):
    peer = make_peer("WS1", may_query=True)
    for number in range(4):
        sent("Odhiambo^Grace", f"P{number}")
    caller = Caller(require_facility(), peer, "WS1", "ALPHA", "127.0.0.1")
    seen: list[int] = []
    data = Request(caller, 1, STUDY_ROOT_FIND, "", EXPLICIT).encoded(identifier("STUDY", StudyInstanceUID=""))
    request = Request(caller, 1, STUDY_ROOT_FIND, "", EXPLICIT, data=data, is_cancelled=lambda: len(seen) >= 2)
    for answer in perform(handler_for(Field.C_FIND, STUDY_ROOT_FIND), request):
        seen.append(answer.status)
    assert seen == [0xFF00, 0xFF00, 0xFE00]


# --- matching


def test_single_values_wildcards_and_lists_of_uids(alpha):
    one = sent("Odhiambo^Grace", "P1", accession_number="AC_1", study_description="CT Chest")
    two = sent("Odhiambo^Peter", "P2", accession_number="ACX1", study_description="CT Head")
    three = sent("Kamau^Ann", "P3")
    assert uids(ask("STUDY", StudyInstanceUID="", AccessionNumber="AC_1")) == {one.study_instance_uid}
    assert uids(ask("STUDY", StudyInstanceUID="", AccessionNumber="AC_*")) == {one.study_instance_uid}
    assert uids(ask("STUDY", StudyInstanceUID="", AccessionNumber="AC?1")) == {
        one.study_instance_uid,
        two.study_instance_uid,
    }
    both = [one.study_instance_uid, three.study_instance_uid]
    assert uids(ask("STUDY", StudyInstanceUID=both)) == set(both)
    assert uids(ask("STUDY", StudyInstanceUID="", StudyDescription="CT H*")) == {two.study_instance_uid}
    assert uids(ask("STUDY", StudyInstanceUID="", StudyDescription="ct head")) == set()
    assert uids(ask("STUDY", StudyInstanceUID="", PatientID="P3 ")) == {three.study_instance_uid}
    assert len(uids(ask("STUDY", StudyInstanceUID="", AccessionNumber="*"))) == 3
    assert len(uids(ask("STUDY", StudyInstanceUID="", AccessionNumber="?*"))) == 2


NAMES = [
    ("YAMADA^TAROU", True),
    ("yamada^tarou^^", True),
    ("Yamada*", True),
    ("yam?da^t*", True),
    ("Yamada", False),
    ("山田^太郎", True),
    ("山田*", True),
    ("=山田^太郎", True),
    ("YAMADA*=山田*", True),
    ("YAMADA*=鈴木*", False),
    ("==やまだ*", True),
    ("*", True),
    ("tarou*", False),
]


@pytest.mark.parametrize("is_linked", [True, False])
def test_names_match_without_case_and_by_component_group(alpha, is_linked):
    if is_linked:
        patient = make_patient(
            family_name="Yamada", given_name="Tarou", ideographic_name="山田^太郎", phonetic_name="やまだ^たろう"
        )
        put(make_procedure(patient=patient))
        assert ImagingStudy.objects.get().procedures.count() == 1
    else:
        sent("Yamada^Tarou=山田^太郎=やまだ^たろう", "P1")
    found = [(wanted, len(ask("STUDY", StudyInstanceUID="", PatientName=wanted))) for wanted, _is_found in NAMES]
    assert found == [(wanted, int(is_found)) for wanted, is_found in NAMES]


def test_names_match_without_accents(alpha):
    sent("Müller^Zoë", "P1")
    assert len(ask("STUDY", StudyInstanceUID="", PatientName="MULLER^*")) == 1
    assert len(ask("STUDY", StudyInstanceUID="", PatientName="müller^zoe")) == 1


MOMENTS = [
    ("20260301", "", {"a", "b"}),
    ("20260301-20260302", "", {"a", "b", "c"}),
    ("-20260301", "", {"a", "b"}),
    ("20260302-", "", {"c"}),
    ("2026.03.02", "", {"c"}),
    ("", "10", {"a"}),
    ("", "1015", {"a"}),
    ("", "1016", set()),
    ("", "-12", {"a", "c"}),
    ("20260301", "12-", {"b"}),
    ("20260301-20260302", "12-10", {"b", "c"}),
    ("20260301-20260302", "2200-0800", {"c"}),
    ("20260301-20260302", "2200-0759", set()),
]


def test_ranges_of_date_and_time_and_both_as_one_interval(alpha):
    made = {
        "a": sent("A", "P1", study_date="20260301", study_time="101530"),
        "b": sent("B", "P2", study_date="20260301", study_time="203000"),
        "c": sent("C", "P3", study_date="20260302", study_time="080000"),
        "d": sent("D", "P4", study_date="", study_time=""),
    }
    names = {study.study_instance_uid: name for name, study in made.items()}
    for date, time, found in MOMENTS:
        answers = ask("STUDY", StudyInstanceUID="", StudyDate=date, StudyTime=time)
        assert {names[uid] for uid in uids(answers)} == found, (date, time)


def test_empty_values_match_nothing_but_the_universal_key(alpha):
    put(patient_name="", patient_id="", patient_birth_date="", study_description="", accession_number="")
    assert len(ask("STUDY", StudyInstanceUID="", PatientName="*", PatientBirthDate="", StudyDescription="*")) == 1
    for key, wanted in (
        ("PatientName", "A*"),
        ("PatientName", "?*"),
        ("PatientBirthDate", "19000101-"),
        ("StudyDescription", "?*"),
        ("AccessionNumber", "A"),
    ):
        assert ask("STUDY", StudyInstanceUID="", **{key: wanted}) == [], key


def test_modalities_and_classes_in_study_look_at_what_it_holds(alpha):
    study = sent("Odhiambo^Grace", "P1")
    put(study_instance_uid=study.study_instance_uid, modality="SR", sop_class_uid="1.2.840.10008.5.1.4.1.1.88.67")
    sent("Kamau^Ann", "P2", modality="MR", sop_class_uid="1.2.840.10008.5.1.4.1.1.4")
    keys = {"StudyInstanceUID": "", "SOPClassesInStudy": "", "NumberOfStudyRelatedSeries": ""}
    keys["NumberOfStudyRelatedInstances"] = ""
    [found] = ask("STUDY", **keys, ModalitiesInStudy="SR")
    assert list(found.ModalitiesInStudy) == ["CT", "SR"]
    assert set(found.SOPClassesInStudy) == {"1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.67"}
    assert (found.NumberOfStudyRelatedSeries, found.NumberOfStudyRelatedInstances) == (2, 2)
    assert len(ask("STUDY", StudyInstanceUID="", ModalitiesInStudy=["SR", "MR"])) == 2
    assert len(ask("STUDY", StudyInstanceUID="", ModalitiesInStudy="M?")) == 1
    assert len(ask("STUDY", StudyInstanceUID="", SOPClassesInStudy="1.2.840.10008.5.1.4.1.1.4")) == 1


# --- what is told


def test_only_requested_keys_return_and_unsupported_ones_are_noted(alpha):
    sent("Odhiambo^Grace", "P1")
    [(status, found)] = ask_with_status("STUDY", StudyInstanceUID="", PatientID="")
    told = {"SpecificCharacterSet", "QueryRetrieveLevel", "RetrieveAETitle", "InstanceAvailability"}
    assert (status, set(found.dir())) == (0xFF00, told | {"StudyInstanceUID", "PatientID"})
    [(status, found)] = ask_with_status("STUDY", StudyInstanceUID="", StudyComments="", SeriesInstanceUID="")
    assert (status, set(found.dir())) == (0xFF01, told | {"StudyInstanceUID"})
    code = Dataset()
    code.CodeValue = ""
    [(status, _found)] = ask_with_status("STUDY", StudyInstanceUID="", ProcedureCodeSequence=Sequence([code]))
    assert status == 0xFF01


def test_names_come_in_the_peers_character_set_and_spelling(alpha):
    sent("Müller^Zoë", "P1")
    make_peer("OLD", may_query=True, character_set="ISO_IR 100", name_in_capitals=True)
    [found] = ask("STUDY", title="OLD", StudyInstanceUID="", PatientName="")
    assert found.SpecificCharacterSet == "ISO_IR 100"
    assert str(found.PatientName) == "MÜLLER^ZOË"


def test_a_linked_study_goes_under_the_patient_as_the_ris_knows_them(alpha):
    patient = make_patient(family_name="Wanjiru", given_name="Achieng")
    procedure = make_procedure(patient=patient)
    study = put(procedure, accession_number="")
    patient.given_name = "Amina"
    patient.save_as(SYSTEM, "Corrected")
    [found] = ask("STUDY", StudyInstanceUID="", PatientName="WANJIRU^AMINA", PatientID="", AccessionNumber="")
    assert found.StudyInstanceUID == study.study_instance_uid
    assert found.PatientID == patient.primary_identifier.value
    assert found.AccessionNumber == procedure.accession_number
    assert len(ask("STUDY", StudyInstanceUID="", AccessionNumber=procedure.accession_number)) == 1
    assert ask("STUDY", StudyInstanceUID="", PatientName="WANJIRU^ACHIENG") == []
    event = AuditEvent.objects.filter(event_type="worklist.view_study", ae_title="WS1").order_by("pk").first()
    assert event.patients == [patient.uuid]


def test_after_a_merge_the_survivor_has_the_study(alpha):
    kept, lost = make_patient(family_name="Wanjiru"), make_patient(family_name="Wanjiku")
    put(make_procedure(patient=lost))
    old = lost.primary_identifier.value
    merge_patients(survivor=kept, loser=lost, reason="One person", actor=SYSTEM)
    [found] = ask("STUDY", StudyInstanceUID="", PatientID=kept.primary_identifier.value, PatientName="")
    assert str(found.PatientName).startswith("Wanjiru")
    assert ask("STUDY", StudyInstanceUID="", PatientID=old) == []


def test_patients_are_told_once_with_what_is_stored_of_them(alpha):
    patient = make_patient(family_name="Wanjiru")
    put(make_procedure(patient=patient))
    put(make_procedure(patient=patient))
    sent("Kamau^Ann", "P2")
    keys = {"NumberOfPatientRelatedStudies": "", "NumberOfPatientRelatedInstances": "", "PatientName": ""}
    found = ask("PATIENT", PATIENT_ROOT_FIND, PatientID="", **keys)
    number = patient.primary_identifier.value
    assert {row.PatientID: row.NumberOfPatientRelatedStudies for row in found} == {number: 2, "P2": 1}
    [one] = ask("PATIENT", PATIENT_ROOT_FIND, PatientID=number, **keys)
    assert (one.NumberOfPatientRelatedStudies, one.NumberOfPatientRelatedInstances) == (2, 2)


def test_what_is_rejected_is_not_there(alpha):
    study = sent("Odhiambo^Grace", "P1")
    kept = put(study_instance_uid=study.study_instance_uid, modality="SR")
    gone = ImagingInstance.objects.get(series__modality="CT")
    reject_images(study, instances=[gone.sop_instance_uid], code="113038", reason="Other patient", actor=SYSTEM)
    uid = study.study_instance_uid
    [found] = ask("STUDY", StudyInstanceUID="", ModalitiesInStudy="", NumberOfStudyRelatedInstances="")
    assert (found.ModalitiesInStudy, found.NumberOfStudyRelatedInstances) == ("SR", 1)
    assert len(ask("SERIES", StudyInstanceUID=uid, SeriesInstanceUID="")) == 1
    series = gone.series.series_instance_uid
    assert ask("IMAGE", StudyInstanceUID=uid, SeriesInstanceUID=series, SOPInstanceUID="") == []
    rest = list(ImagingInstance.objects.filter(is_rejected=False).values_list("sop_instance_uid", flat=True))
    reject_images(kept, instances=rest, code="113001", reason="All", actor=SYSTEM)
    assert ask("STUDY", StudyInstanceUID="") == []
    assert ask("PATIENT", PATIENT_ROOT_FIND, PatientID="") == []


def test_restricted_patients_are_hidden_from_whom_the_row_says(alpha):
    patient = make_patient(family_name="Wanjiru", is_restricted=True)
    put(make_procedure(patient=patient))
    assert len(ask("STUDY", StudyInstanceUID="")) == 1
    make_peer("WARD", may_query=True, hides_restricted=True)
    assert ask("STUDY", title="WARD", StudyInstanceUID="") == []


def test_too_many_answers_end_with_a700_and_words(scp):
    make_peer("WS1", may_query=True, max_results=3)
    for number in range(5):
        sent("Odhiambo^Grace", f"P{number}")
    answers = find(scp, STUDY_ROOT_FIND, identifier("STUDY", StudyInstanceUID=""))
    assert [status for status, *_rest in answers] == [0xFF00] * 3 + [0xA700]
    assert answers[-1][2] == "More than 3 matches; ask for less."
    make_peer("WS2", may_query=True, max_results=0)
    assert len(find(scp, STUDY_ROOT_FIND, identifier("STUDY", StudyInstanceUID=""), "WS2")) == 6


def test_the_number_of_queries_does_not_grow(alpha):
    make_peer("WS1", may_query=True)
    keys = {"StudyInstanceUID": "", "PatientName": "", "SOPClassesInStudy": "", "ModalitiesInStudy": ""}
    put(make_procedure(patient=make_patient()))
    with CaptureQueriesContext(connection) as few:
        assert len(ask("STUDY", **keys)) == 1
    for _number in range(8):
        put(make_procedure(patient=make_patient()))
    with CaptureQueriesContext(connection) as many:
        assert len(ask("STUDY", **keys)) == 9
    assert len(many) == len(few)


def test_relational_queries_need_no_unique_keys_and_match_below(alpha):
    first, second = put(modality="CT"), put(modality="MR")
    [series] = second.series.all()
    [image] = series.instances.all()

    def related(level: str, model: str = STUDY_ROOT_FIND, **keys: Any) -> list[tuple[int, Dataset]]:
        return ask_with_status(level, model, is_relational=True, **keys)

    [(status, found)] = related("STUDY", SOPInstanceUID=image.sop_instance_uid, StudyInstanceUID="")
    assert (status, found.StudyInstanceUID) == (0xFF00, second.study_instance_uid)
    assert "SOPInstanceUID" not in found
    [(status, found)] = related("STUDY", Modality="CT", SeriesInstanceUID="", StudyInstanceUID="")
    assert (status, found.StudyInstanceUID) == (0xFF01, first.study_instance_uid)
    assert related("STUDY", SeriesNumber="77", StudyInstanceUID="") == []
    [(_status, found)] = related("SERIES", SOPInstanceUID=image.sop_instance_uid, SeriesInstanceUID="")
    assert found.SeriesInstanceUID == series.series_instance_uid
    found_images = {row.SOPInstanceUID for _status, row in related("IMAGE", PATIENT_ROOT_FIND, SOPInstanceUID="")}
    assert len(found_images) == 2 and image.sop_instance_uid in found_images
    with pytest.raises(DimseError):
        ask("IMAGE", SOPInstanceUID="")
