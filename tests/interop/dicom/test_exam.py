"""One exam over the wire: worklist, performed step, images, dose report; and each refusal on the way."""

from __future__ import annotations

from pathlib import Path

from pydicom import dcmread
from pydicom.uid import generate_uid

from interop.dicom import scu
from interop.dicom.emulator import worklist_keys
from interop.dicom.store import instance_path
from interop.models import AssociationLog
from ris.audit.models import AuditEvent
from ris.tenants.context import use_facility
from worklist.models import ExceptionItem, ImagingInstance, ImagingStudy, PerformedProcedureStep

from .conftest import schedule

TYPE_1 = ("PatientName", "PatientID", "StudyInstanceUID", "RequestedProcedureID")
TYPE_1_OF_STEP = (
    "ScheduledStationAETitle",
    "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime",
    "Modality",
    "ScheduledProcedureStepID",
)


def files_in_store() -> list[Path]:
    root = instance_path("")
    return sorted(path for path in root.rglob("*") if path.is_file()) if root.exists() else []


# --- worklist


def test_a_station_gets_its_item_once_with_every_type_1_key(scp):
    procedure = schedule("CT1")
    [item] = scp.scanner().query_worklist()
    assert item.AccessionNumber == procedure.accession_number
    assert item.StudyInstanceUID == procedure.study_instance_uid
    [step] = item.ScheduledProcedureStepSequence
    assert all(str(item[keyword].value) for keyword in TYPE_1)
    assert all(str(step[keyword].value) for keyword in TYPE_1_OF_STEP)
    assert scp.scanner().query_worklist()[0].StudyInstanceUID == item.StudyInstanceUID
    row = AuditEvent.objects.filter(source="mwl", action="R").first()
    assert row.ae_title == "CT1"
    assert row.patients == [procedure.order.patient.uuid]


def test_another_station_and_another_facility_get_nothing(scp, beta):
    schedule("CT1")
    assert scp.scanner("CT2").query_worklist() == []
    assert scp.scanner("MR9", "BETA").query_worklist(station_ae_title="", modality="") == []


def test_a_peer_that_sees_only_itself_sees_only_itself(scp):
    from interop.models import DicomPeer

    schedule("CT1")
    DicomPeer.objects.filter(ae_title="CT2").update(sees_all_stations=False)
    assert len(scp.scanner("CT1").query_worklist(station_ae_title="")) == 1
    assert scp.scanner("CT2").query_worklist(station_ae_title="") == []


def test_names_match_without_case_and_with_wildcards(scp):
    schedule("CT1")
    keys, scanner = worklist_keys("CT1", "CT", ""), scp.scanner()
    for name, count in (
        ("ACHIENG*", 1),
        ("achieng*", 1),
        ("Achieng^Wanjiru", 1),
        ("Achieng", 0),
        ("A?HIENG*", 1),
        ("*", 1),
        ("Otieno*", 0),
    ):
        keys.PatientName = name
        status, found = scanner.find(keys)
        assert (status, len(found)) == (0, count), name


def test_only_requested_keys_come_back_and_unsupported_ones_are_named_so(scp):
    from pydicom import Dataset

    schedule("CT1")
    keys, step = Dataset(), Dataset()
    step.ScheduledStationAETitle, step.Modality = "CT1", ""
    keys.PatientID, keys.PatientAge = "", ""
    keys.ScheduledProcedureStepSequence = [step]
    statuses = []
    with scu.association(
        host="127.0.0.1",
        port=scp.port,
        called_ae_title="ALPHA",
        calling_ae_title="CT1",
        contexts=scu.contexts_for(["1.2.840.10008.5.1.4.31"]),
    ) as line:
        for answer, identifier in line.send_c_find(keys, "1.2.840.10008.5.1.4.31"):
            statuses.append(answer.Status)
            if identifier is not None:
                found = identifier
    assert statuses == [0xFF01, 0x0000]
    assert [element.keyword for element in found] == [
        "SpecificCharacterSet", "PatientID", "ScheduledProcedureStepSequence",
    ]  # fmt: skip
    assert [element.keyword for element in found.ScheduledProcedureStepSequence[0]] == [
        "Modality", "ScheduledStationAETitle",
    ]  # fmt: skip


def test_a_date_that_is_none_is_refused(scp):
    schedule("CT1")
    for wrong in ("2026-13", "tomorrow", "20261301-"):
        keys = worklist_keys("CT1", "CT", "")
        keys.ScheduledProcedureStepSequence[0]["ScheduledProcedureStepStartDate"]._value = wrong
        assert scp.scanner().find(keys)[0] == 0xA900


def test_no_more_than_the_peer_may_have(scp):
    from interop.models import DicomPeer

    for hour in range(4):
        schedule("CT1", hour=hour)
    DicomPeer.objects.filter(ae_title="CT1").update(max_results=3)
    assert len(scp.scanner().query_worklist()) == 3


def test_a_query_is_cancelled(scp):
    for hour in range(3):
        schedule("CT1", hour=hour)
    keys = worklist_keys("CT1", "CT", "")
    with scu.association(
        host="127.0.0.1",
        port=scp.port,
        called_ae_title="ALPHA",
        calling_ae_title="CT1",
        contexts=scu.contexts_for(["1.2.840.10008.5.1.4.31"]),
    ) as line:
        context = next(iter(line.accepted_contexts))
        line.send_c_cancel(7, context.context_id)  # of nothing that runs: ignored
        answers = [answer.Status for answer, _identifier in line.send_c_find(keys, "1.2.840.10008.5.1.4.31", msg_id=8)]
    assert answers == [0xFF00, 0xFF00, 0xFF00, 0x0000]


def test_names_come_in_the_letters_that_the_peer_reads(scp):
    from interop.models import DicomPeer

    schedule("CT1", family_name="Müller-Łukasz", given_name="Zoë")
    for title, character_set, expected in (
        ("WL1", "ISO_IR 192", "Müller-Łukasz^Zoë"),
        ("WL2", "ISO_IR 100", "Müller-Lukasz^Zoë"),
        ("WL3", "ISO_IR 6", "Muller-Lukasz^Zoe"),
    ):
        DicomPeer.objects.create(ae_title=title, may_query_worklist=True, character_set=character_set)
        [item] = scp.scanner(title).query_worklist(station_ae_title="CT1")
        assert item.SpecificCharacterSet == character_set
        assert str(item.PatientName) == expected


# --- performed steps


def test_a_performed_step_walks_and_wrong_repeats_are_answered_as_the_standard_has_it(scp):
    procedure = schedule("CT1")
    scanner = scp.scanner()
    [item] = scanner.query_worklist()
    assert scanner.start(item) == 0x0000
    procedure.refresh_from_db()
    assert procedure.status == "in_progress"
    assert scanner.query_worklist() == []
    assert scanner.repeat_start() == 0x0111
    assert scanner.set_unknown() == 0x0112
    assert scanner.store_images(2) == [0, 0]
    assert scanner.complete() == 0x0000
    assert scanner.complete() == 0x0110
    assert scanner.discontinue() == 0x0110
    step = PerformedProcedureStep.objects.get()
    assert (step.status, step.instance_count) == ("COMPLETED", 2)
    assert abs((step.started_at - scanner.started_at).total_seconds()) < 1
    procedure.refresh_from_db()
    assert procedure.status in ("performed", "ready_to_read")


def test_a_final_step_names_error_id_a710(scp):
    schedule("CT1")
    scanner = scp.scanner()
    scanner.start(scanner.query_worklist()[0])
    scanner.complete()
    with scanner._association(["1.2.840.10008.3.1.2.3.3"]) as line:
        answer, _none = line.send_n_set(scanner._ending("COMPLETED"), "1.2.840.10008.3.1.2.3.3", scanner.step_uid)
    assert (answer.Status, answer.ErrorID) == (0x0110, 0xA710)


def test_a_step_is_created_in_progress_or_not_at_all(scp):
    schedule("CT1")
    scanner = scp.scanner()
    item = scanner.query_worklist()[0]
    original = scanner.beginning
    for status, answer in (("COMPLETED", 0x0106), ("", 0x0121), (None, 0x0120), ("FOO", 0x0106)):

        def beginning(status=status):
            begun = original()
            if status is None:
                del begun.PerformedProcedureStepStatus
            else:
                begun.PerformedProcedureStepStatus = status
            return begun

        scanner.beginning = beginning
        assert scanner.start(item) == answer, status
        assert not PerformedProcedureStep.objects.exists()


def test_the_scp_names_a_step_that_the_scanner_does_not(scp):
    scanner = scp.scanner()
    scanner.start_unscheduled(patient_name="Doe^Jhon", patient_id="7")
    with scanner._association(["1.2.840.10008.3.1.2.3.3"]) as line:
        answer, _attributes = line.send_n_create(scanner.beginning(), "1.2.840.10008.3.1.2.3.3", None)
    assert answer.Status == 0
    assert len(set(PerformedProcedureStep.objects.values_list("sop_instance_uid", flat=True))) == 2
    assert ExceptionItem.objects.filter(kind="unscheduled_step").count() == 2


def test_a_step_is_read_back(scp):
    schedule("CT1")
    scanner = scp.scanner()
    scanner.start(scanner.query_worklist()[0])
    retrieve = "1.2.840.10008.3.1.2.3.4"
    with scanner._association([retrieve]) as line:
        answer, found = line.send_n_get([0x00400252, 0x00080060], retrieve, scanner.step_uid)
        missing, _none = line.send_n_get([0x00400252], retrieve, generate_uid())
    assert (answer.Status, found.PerformedProcedureStepStatus, found.Modality) == (0, "IN PROGRESS", "CT")
    assert len(found) == 2
    assert missing.Status == 0x0112


# --- storage


def test_images_and_a_dose_report_are_on_disk_indexed_and_matched(scp):
    procedure = schedule("CT1")
    scanner = scp.scanner()
    scanner.start(scanner.query_worklist()[0])
    assert scanner.store_images(3) == [0, 0, 0]
    assert scanner.store_dose_report() == 0
    study = ImagingStudy.objects.get()
    assert study.study_instance_uid == procedure.study_instance_uid
    assert list(study.procedures.all()) == [procedure]
    assert ImagingInstance.objects.count() == len(files_in_store()) == 4
    for row in ImagingInstance.objects.all():
        stored = dcmread(instance_path(row.path))
        assert stored.SOPInstanceUID == row.sop_instance_uid
        assert stored.preamble == bytes(128)
        assert instance_path(row.path).stat().st_size == row.size
    scp.server.stop(3)
    [audit] = AuditEvent.objects.filter(source="storage", detail__has_key="instances").filter(detail__instances=3)
    assert audit.entity == study.uuid
    assert AssociationLog.objects.filter(counts={"C_STORE": 3}).count() == 1


def test_an_identical_object_is_taken_once_and_another_under_its_uid_is_refused(scp):
    scanner = scp.scanner()
    scanner.start_unscheduled(patient_name="Doe^Jane", patient_id="9")
    image = scanner._image(0, 1)
    assert scanner._store([image, image]) == [0, 0]
    image.PixelData = bytes(len(image.PixelData))
    assert scanner._store([image]) == [0xC111]
    assert ImagingInstance.objects.count() == len(files_in_store()) == 1
    assert ExceptionItem.objects.filter(kind="duplicate_instance").count() == 1


def test_another_patient_in_the_object_waits_for_a_person(scp):
    schedule("CT1")
    scanner = scp.scanner()
    item = scanner.query_worklist()[0]
    assert scanner.store_wrong_patient(item) == 0
    study = ImagingStudy.objects.get()
    assert not study.procedures.exists()
    assert ExceptionItem.objects.get(study=study).kind == "patient_differs"


def test_nothing_is_written_outside_the_store(scp, tmp_path):
    scanner = scp.scanner()
    scanner.start_unscheduled(patient_name="Doe^Jane", patient_id="9")
    for change in (
        {"SOPInstanceUID": "../../../tmp/evil"},
        {"SOPInstanceUID": "1.2." + "3" * 64},
        {"StudyInstanceUID": "../../etc"},
        {"StudyInstanceUID": ""},
        {"SeriesInstanceUID": "/abs"},
        {"SOPInstanceUID": "1.2\0.3"},
    ):
        image = scanner._image(0, 1)
        for keyword, value in change.items():
            setattr(image, keyword, "1.2.3")
            image[keyword]._value = value
        before = set(tmp_path.rglob("*"))
        try:
            statuses = scanner._store([image])
        except (scu.CallFailed, ValueError):
            statuses = [-1]  # pynetdicom itself would not send it
        assert statuses[0] != 0, change
        assert not ImagingInstance.objects.exists()
        assert files_in_store() == []
        assert {path for path in set(tmp_path.rglob("*")) - before if path.is_file()} == set()


def test_a_full_disk_is_out_of_resources_and_leaves_nothing(scp, monkeypatch):
    import errno

    from interop.dicom import store

    def full(self, chunk):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.IncomingFile, "write", full)
    scanner = scp.scanner()
    scanner.start_unscheduled(patient_name="Doe^Jane", patient_id="9")
    assert scanner.store_images(2) == [0xA700, 0xA700]
    monkeypatch.undo()
    assert files_in_store() == []
    assert scanner.store_images(1) == [0]


def test_a_database_that_is_away_is_out_of_resources(scp, monkeypatch):
    from django.db import OperationalError

    from interop.dicom import storage, worklist

    def away(*args, **kwargs):
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(storage, "index_instance", away)
    monkeypatch.setattr(worklist, "statement_of", away)
    scanner = scp.scanner()
    scanner.start_unscheduled(patient_name="Doe^Jane", patient_id="9")
    assert scanner.store_images(1) == [0xA700]
    assert scanner.find(worklist_keys("CT1", "CT", ""))[0] == 0xA700
    monkeypatch.undo()
    assert scanner.store_images(1) == [0]


def test_a_database_that_restarts_costs_one_answer_at_most(scp):
    """R3, shortened: every connection of the database is cut between two requests of one association."""
    from django.db import connection

    from tests.conftest import superuser

    schedule("CT1")
    with scu.association(
        host="127.0.0.1",
        port=scp.port,
        called_ae_title="ALPHA",
        calling_ae_title="CT1",
        contexts=scu.contexts_for(["1.2.840.10008.5.1.4.31"]),
    ) as line:
        keys = worklist_keys("CT1", "CT", "")
        for _number in range(3):
            answers = [answer.Status for answer, _item in line.send_c_find(keys, "1.2.840.10008.5.1.4.31")]
            assert answers in ([0xFF00, 0x0000], [0xA700])
            with superuser() as server:
                database = connection.settings_dict["NAME"]
                server.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [database])
            connection.close()
    assert len(scp.scanner().query_worklist()) == 1


def test_no_name_is_in_the_logs(scp, caplog):
    import logging

    caplog.set_level(logging.DEBUG)
    schedule("CT1", family_name="Kanariya", given_name="Siri")
    scanner = scp.scanner()
    [item] = scanner.query_worklist()
    scanner.start(item)
    scanner.store_images(1)
    scanner.store_wrong_patient(item)
    scanner.complete()
    scanner.start_unscheduled(patient_name="Kanariya^Typed", patient_id="KANARIYA-7")
    image = scanner._image(0, 1)
    image.PatientBirthDate = "19991231"
    del image.StudyInstanceUID
    assert scanner._store([image]) == [0xC000]
    ours = [record for record in caplog.records if not record.name.startswith(("pynetdicom", "pydicom", "django.db"))]
    told = "\n".join(record.getMessage() for record in ours).lower()
    assert "kanariya" not in told
    assert "19991231" not in told


def test_what_a_killed_process_left_is_swept(scp):
    from interop.dicom.store import INCOMING, IncomingFile, sweep_incoming

    coming = IncomingFile("1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1")
    coming.write(b"the first piece")
    orphan = instance_path(f"{INCOMING}/dead.part")
    orphan.write_bytes(b"half of it")
    assert sweep_incoming() == 1
    assert files_in_store() == [Path(coming._path)]
    coming.discard()
    assert files_in_store() == []


def test_two_facilities_store_apart(scp, beta):
    for title, called in (("CT1", "ALPHA"), ("MR9", "BETA")):
        scanner = scp.scanner(title, called)
        scanner.start_unscheduled(patient_name=f"Of^{called}", patient_id="9")
        assert scanner.store_images(2) == [0, 0]
    assert ImagingStudy.objects.get().patient_name == "Of^ALPHA"
    mine = files_in_store()
    with use_facility(beta):
        assert ImagingStudy.objects.get().patient_name == "Of^BETA"
        theirs = files_in_store()
    assert len(mine) == len(theirs) == 2
    assert all("/alpha/" in str(path) for path in mine)
    assert all("/beta/" in str(path) for path in theirs)
