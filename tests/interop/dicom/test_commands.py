"""The commands of whoever installs a scanner, and the rows they make."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError, call_command
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset

from interop.dicom.peers import echo_peer, peer_lines, refused_connections
from interop.models import DicomPeer
from ris.core.actor import Actor
from ris.core.errors import InvalidData
from tests.factories.accounts import user_with_roles
from worklist.models import ExceptionItem, ImagingStudy, PerformedProcedureStep, ScheduledProcedureStep

from .conftest import make_peer, make_station, schedule


def command(name: str, *arguments: str, **options) -> dict:
    return json.loads(call_command(name, *arguments, facility="alpha", **options))


def test_add_peer_makes_and_changes(alpha):
    made = command("add_peer", ae_title="CT9", may=["worklist,mpps", "store"], address=["10.1.0.0/16"])
    assert made["may"] == ["echo", "worklist", "mpps", "store"]
    changed = command("add_peer", ae_title="CT9", host="10.1.0.9", port=104)
    assert (changed["uuid"], changed["may"], changed["addresses"]) == (made["uuid"], made["may"], ["10.1.0.0/16"])
    assert DicomPeer.history.filter(ae_title="CT9").count() == 2
    command(
        "add_peer", ae_title="CT9", shown_modalities=["CT", "XA"], hides_blocked=True, days_back=1,
        name_groups="alphabetic", names_without_affixes=True, character_set="\\ISO 2022 IR 87",
    )  # fmt: skip
    peer = DicomPeer.objects.get(ae_title="CT9")
    assert (peer.scope.modalities, peer.scope.hides_blocked, peer.scope.days_back) == (("CT", "XA"), True, 1)
    assert peer.spelling.name("Otieno^Jane^^Dr=大") == "Otieno^Jane"
    assert peer.sees_all_stations and peer.may_store


def test_add_peer_says_what_it_is_sent(alpha):
    made = command("add_peer", ae_title="PACS", host="10.1.0.9", port=104, send=["mpps,images", "archive"], tls=True)
    assert made["send"] == ["mpps", "images", "archive"]
    peer = DicomPeer.objects.get()
    assert (peer.uses_tls, peer.forward_mpps, peer.receives_rejections) == (True, True, False)
    assert not peer.receives_as_sent
    command("add_peer", ae_title="PACS", receives_as_sent=True)
    assert DicomPeer.objects.get().receives_as_sent
    assert command("add_peer", ae_title="PACS", description="PACS")["send"] == made["send"]
    assert command("add_peer", ae_title="PACS", send=[])["send"] == []
    with pytest.raises(CommandError, match="faxes"):
        command("add_peer", ae_title="PACS", send=["faxes"])


@pytest.mark.parametrize(
    "wrong",
    [{"ae_title": "A" * 17}, {"ae_title": "A\\B"}, {"ae_title": "CT9", "may": ["everything"]},
     {"ae_title": "CT9", "address": ["nowhere"]}, {"ae_title": "CT9", "port": 99999},
     {"ae_title": "CT9", "character_set": "UTF-8"}, {"ae_title": "CT9", "shown_modalities": ["XX"]}],
)  # fmt: skip
def test_add_peer_refuses_what_cannot_be(alpha, wrong):
    with pytest.raises(CommandError):
        command("add_peer", **wrong)
    assert not DicomPeer.objects.exists()


def worklist_file(path, **changes):
    item, step = Dataset(), Dataset()
    item.SpecificCharacterSet = "ISO_IR 100"
    item.PatientName, item.PatientID = "Müller^Zoë^Ann", "L-77"
    item.PatientBirthDate, item.PatientSex = "19800102", "F"
    item.AccessionNumber, item.StudyInstanceUID, item.RequestedProcedureID = "ACC77", "1.2.3.77", "RP77"
    item.RequestedProcedureDescription = "CT chest"
    step.ScheduledStationAETitle, step.Modality = "CT1", "CT"
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = "20300105", "101500"
    step.ScheduledProcedureStepID = "S77"
    item.ScheduledProcedureStepSequence = [step]
    for keyword, value in changes.items():
        setattr(item, keyword, value)
    item.file_meta = FileMetaDataset()
    item.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    item.save_as(path, implicit_vr=False, little_endian=True)
    return path


def test_load_worklist_keeps_numbers_and_names_and_may_be_repeated(alpha, tmp_path):
    make_station("CT1")
    worklist_file(tmp_path / "one.wl")
    (tmp_path / "none.wl").write_text("no data set")
    first = command("load_worklist", str(tmp_path))
    again = command("load_worklist", str(tmp_path))
    assert [(len(answer["loaded"]), len(answer["refused"])) for answer in (first, again)] == [(1, 1), (1, 1)]
    [procedure] = [step.procedure for step in ScheduledProcedureStep.objects.all()]
    assert (procedure.accession_number, procedure.study_instance_uid) == ("ACC77", "1.2.3.77")
    patient = procedure.order.patient
    assert (patient.family_name, patient.given_name, patient.middle_name) == ("Müller", "Zoë", "Ann")


def test_testers_and_emulator_speak_to_the_server(scp):
    schedule("CT1")
    where = {"ae_title": "CT1", "port": scp.port}
    told = command("test_worklist", **where)
    assert (told["status"], told["count"], told["items"][0]["missing"]) == ("0000", 1, [])
    assert "Achieng" not in json.dumps(told)
    assert command("test_mpps", **where)["as_expected"] is True
    assert ExceptionItem.objects.filter(kind="unscheduled_step").count() == 1
    played = command("emulate_modality", images=2, size=32, **where)
    assert played["answers"]["C-STORE"] == ["0000"]
    assert (played["answers"]["N-CREATE"], played["answers"]["N-SET"]) == ("0000", "0000")
    assert ImagingStudy.objects.get().instance_count == 3
    assert PerformedProcedureStep.objects.filter(status="COMPLETED").count() == 2
    with pytest.raises(CommandError, match="empty"):
        command("emulate_modality", **where)


@pytest.mark.parametrize("modality", ["MR", "DX", "MG", "US"])
def test_the_emulator_plays_other_modalities(scp, modality):
    from interop.imaging.render import render_frame
    from worklist.models import ImagingInstance

    scanner = scp.scanner(modality=modality)
    scanner.start_unscheduled(patient_name="Doe^Jane", patient_id="9")
    assert scanner.store_images(1) == [0]
    row = ImagingInstance.objects.get()
    assert row.series.modality == modality
    assert render_frame(row) != render_frame(row, window="2000,50")


def test_nobody_there_is_said_in_words(alpha):
    with pytest.raises(CommandError, match="nobody answers"):
        command("test_worklist", ae_title="CT1", port=1)


# --- the integrations page


def test_peers_and_refusals_are_shown(scp, tclient):
    from django.template import Context, Template
    from django.test import RequestFactory

    scp.scanner().echo()
    for title, called in (("STRANGER", "ALPHA"), ("CT1", "ALPAH")):
        with pytest.raises(Exception, match="rejected"):
            scp.scanner(title, called).echo()
    scp.server.stop(3)
    lines = {line.peer.ae_title: line for line in peer_lines()}
    assert lines["CT1"].last.outcome == "released"
    assert lines["CT2"].last is None
    assert {(row.calling, row.called) for row in refused_connections()} == {("STRANGER", "ALPHA"), ("CT1", "ALPAH")}
    request = RequestFactory().get("/integrations/")
    request.user = user_with_roles("it_admin")
    shown = Template("{% load picha %}{% panel 'integrations.dicom' None %}").render(
        Context({"request": request, "user": request.user})
    )
    assert "STRANGER" in shown


def test_a_peer_is_echoed_from_the_page(scp, tclient):
    from django.urls import reverse

    peer = make_peer("ALPHA", host="127.0.0.1", port=scp.port)
    tclient.force_login(user_with_roles("it_admin"))
    answer = tclient.post(reverse("dicom_echo", args=[peer.uuid]))
    assert answer.status_code in (200, 302)
    tclient.force_login(user_with_roles("clerk"))
    assert tclient.post(reverse("dicom_echo", args=[peer.uuid])).status_code == 403


def test_a_peer_without_an_address_is_not_called(alpha):
    with pytest.raises(InvalidData):
        echo_peer(make_peer("CT*"), actor=Actor("command"))


def test_the_administration_saves_through_the_service(alpha, tclient):
    tclient.force_login(user_with_roles("it_admin"))
    form = {
        "ae_title": "XA1", "description": "Angio", "allowed_addresses": "10.0.0.0/8", "max_results": "50",
        "character_set": "ISO_IR 100", "may_echo": "on", "is_active": "on", "host": "", "port": "",
        "name_groups": "all", "shown_modalities": "CT,XA", "days_back": "1",
    }  # fmt: skip
    assert tclient.post("/admin/interop/dicompeer/add/", form).status_code == 302
    peer = DicomPeer.objects.get(ae_title="XA1")
    assert (peer.max_results, peer.may_store) == (50, False)
    assert (peer.scope.modalities, peer.scope.days_back, peer.name_with_affixes) == (("CT", "XA"), 1, False)
    refused = tclient.post("/admin/interop/dicompeer/add/", {**form, "ae_title": "XA2", "allowed_addresses": "nowhere"})
    assert refused.status_code == 400
    assert not DicomPeer.objects.filter(ae_title="XA2").exists()
    assert tclient.get("/admin/interop/dicompeer/").status_code == 200
    assert tclient.get("/admin/interop/associationlog/").status_code == 200
