"""The viewer's pages and launches of other viewers: who may, for which study, for how long, in which facility."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from interop.demo import furniture
from reporting.models import ExternalViewer, ViewerContext, ViewerLaunch
from reporting.models.viewing import check_template
from reporting.services.launch import expanded, launch_study, new_launch_token, read_launch_token, revoke_launch
from reporting.services.viewing import tell_viewer_study
from ris.audit.models import AuditEvent
from ris.core.errors import InvalidData, NotKnown, NotPermitted
from ris.core.ids import new_uid
from ris.tenants.context import use_facility
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import make_patient, make_procedure
from tests.reporting.test_admin import door
from worklist.models import ImagingInstance, ImagingSeries, ImagingStudy

pytestmark = pytest.mark.django_db

CT = "1.2.840.10008.5.1.4.1.1.2"
OHIF = "https://viewer.example/viewer?StudyInstanceUIDs={study_uid}&acc={accession}#token={token}"


def study_of(procedure: Any, *, modality: str = "CT", count: int = 3, frames: int = 1) -> ImagingStudy:
    """A study with a series of the index, without files."""
    study, _made = ImagingStudy.objects.get_or_create(
        study_instance_uid=procedure.study_instance_uid, defaults={"instance_count": count, "modalities": modality}
    )
    study.procedures.add(procedure)
    series = ImagingSeries.objects.create(study=study, series_instance_uid=new_uid(), modality=modality, number=2)
    ImagingInstance.objects.bulk_create(
        ImagingInstance(
            series=series, sop_instance_uid=new_uid(), sop_class_uid=CT, transfer_syntax_uid="1.2.840.10008.1.2.1",
            number=number, rows=64, columns=64, frames=frames, path="x", size=1,
        )
        for number in range(count)
    )  # fmt: skip
    return study


@pytest.fixture
def exam(people: SimpleNamespace) -> SimpleNamespace:
    patient = make_patient()
    procedure = make_procedure(patient=patient)
    link = ExternalViewer.objects.create(name="OHIF", url_template=OHIF, minutes=10)
    return SimpleNamespace(patient=patient, procedure=procedure, study=study_of(procedure), link=link)


@pytest.fixture
def token(exam: SimpleNamespace, people: SimpleNamespace) -> str:
    return launch_study(exam.study, viewer=exam.link, actor=people.radiologist).token


def bearer(token: str) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Bearer {token}"}


# --- launches


def test_a_launch_fills_the_template_and_is_recorded_without_names(exam, people):
    made = launch_study(exam.study, viewer=exam.link, actor=people.radiologist)
    uid, accession = exam.study.study_instance_uid, exam.procedure.accession_number
    assert (
        made.url
        == f"https://viewer.example/viewer?StudyInstanceUIDs={uid}&acc={accession}#token="
        + made.token.replace(":", "%3A")
    )
    row = AuditEvent.objects.get(event_type="reporting.viewer_launched")
    assert row.detail == {"viewer": "OHIF"} and row.user_name == people.radiologist.name
    assert made.token not in str(AuditEvent.objects.filter(event_type__contains="view").values())


def test_values_are_escaped_and_never_read_as_placeholders():
    assert (
        expanded("https://v/?a={accession}&t={token}", accession="A&{token}", token="x/y")
        == "https://v/?a=A%26%7Btoken%7D&t=x%2Fy"
    )


@pytest.mark.parametrize(
    "template", ["javascript:{study_uid}", "https://v/{name}?{study_uid}", "https://v/", "https://v/{study_uid} x"]
)
def test_a_template_that_opens_nothing_or_anything_is_refused(template):
    with pytest.raises(ValidationError):
        check_template(template)


def test_a_token_opens_its_study_until_it_ends(exam, people, token):
    launch = read_launch_token(token)
    assert launch is not None and launch.user == people.radiologist.user
    assert launch.study_instance_uid == exam.study.study_instance_uid
    over, _ended_at = new_launch_token(exam.study, user=people.radiologist.user, minutes=-1)
    assert read_launch_token(over) is None


def test_a_launch_is_revoked_by_its_person_and_by_who_looks_after_links(exam, people, token):
    launch = ViewerLaunch.objects.get()
    other = door(people.resident.user)
    assert other.post(f"/viewer/launches/{launch.uuid}/revoke/").status_code == 404
    own = door(people.radiologist.user)
    assert str(launch.uuid) in own.get("/viewer/launches/").content.decode()
    assert own.post(f"/viewer/launches/{launch.uuid}/revoke/").status_code == 302
    assert read_launch_token(token) is None
    assert str(launch.uuid) not in own.get("/viewer/launches/").content.decode()
    again, _ends_at = new_launch_token(exam.study, user=people.radiologist.user, minutes=5)
    with pytest.raises(NotPermitted):
        revoke_launch(ViewerLaunch.objects.first(), actor=people.resident)
    assert read_launch_token(again) is not None


def test_a_forged_token_one_of_another_facility_and_one_of_a_left_person_open_nothing(exam, people, token, beta):
    assert read_launch_token(token[:-2] + ("aa" if token[-2:] != "aa" else "bb")) is None
    assert read_launch_token("pcl_") is None and read_launch_token("pct_x") is None
    with use_facility(beta):
        assert read_launch_token(token) is None
    people.radiologist.user.is_active = False
    people.radiologist.user.save()
    assert read_launch_token(token) is None


def test_who_may_not_see_the_study_launches_nothing(exam, people):
    with pytest.raises(NotKnown):
        launch_study(exam.study, viewer=exam.link, actor=people.referrer.actor)
    assert not AuditEvent.objects.filter(event_type="reporting.viewer_launched").exists()


def test_a_link_that_is_switched_off_is_refused_in_words(exam, people):
    exam.link.is_active = False
    with pytest.raises(InvalidData) as refusal:
        launch_study(exam.study, viewer=exam.link, actor=people.radiologist)
    assert refusal.value.todo


# --- DICOMweb with a launch


def test_dicomweb_takes_the_token_for_its_study_alone(api, exam, people, token):
    other = study_of(make_procedure())
    own, foreign = exam.study.study_instance_uid, other.study_instance_uid
    assert api.get(f"/dicomweb/studies/{own}/series", **bearer(token)).status_code == 200
    assert api.get(f"/dicomweb/studies/{foreign}/series", **bearer(token)).status_code == 404
    assert api.get(f"/dicomweb/studies/{foreign}/metadata", **bearer(token)).status_code == 404
    assert api.get("/dicomweb/studies", {"StudyInstanceUID": foreign}, **bearer(token)).status_code == 404
    asked = {"requestType": "WADO", "studyUID": foreign, "seriesUID": "1.2", "objectUID": "1.2"}
    assert api.get("/dicomweb/wado", asked, **bearer(token)).status_code == 404
    found = b"".join(api.get("/dicomweb/studies", **bearer(token)).streaming_content)
    assert own.encode() in found and foreign.encode() not in found


def test_a_token_reaches_nothing_but_images(api, exam, token):
    assert api.get("/api/v1/patients/", **bearer(token)).status_code == 401
    body = b"--x--\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary=x'
    assert api.generic("POST", "/dicomweb/studies", body, content_type=kind, **bearer(token)).status_code == 403


def test_a_token_that_is_over_is_401_and_a_right_taken_away_ends_it(api, exam, people, token):
    path = f"/dicomweb/studies/{exam.study.study_instance_uid}/series"
    over, _ended_at = new_launch_token(exam.study, user=people.radiologist.user, minutes=-1)
    assert api.get(path, **bearer(over)).status_code == 401
    people.radiologist.user.roles.clear()
    assert api.get(path, **bearer(token)).status_code == 403


def test_dicomweb_of_another_facility_knows_no_such_token(api, exam, token, beta):
    api.defaults["HTTP_HOST"] = "beta.test"
    assert api.get("/dicomweb/studies", **bearer(token)).status_code == 401


# --- pages


def test_the_page_keeps_the_policy_and_tells_what_it_shows(tclient, exam, people):
    tclient.force_login(people.radiologist.user)
    response = tclient.get(f"/viewer/studies/{exam.study.uuid}/")
    policy = response["Content-Security-Policy"]
    assert "unsafe" not in policy and "blob:" not in policy.split("img-src")[0]
    body = response.content.decode()
    assert exam.study.study_instance_uid in body and "Not for primary diagnosis" in body and "OHIF" in body
    assert AuditEvent.objects.filter(event_type="worklist.view_study").count() == 1


def test_exam_report_and_stacks_open_the_same_study(tclient, exam, people):
    tclient.force_login(people.radiologist.user)
    assert exam.study.study_instance_uid in tclient.get(f"/viewer/exams/{exam.procedure.uuid}/").content.decode()
    told = tclient.get(f"/viewer/studies/{exam.study.uuid}/stacks/").json()
    assert len(told["stacks"]) == 1 and len(told["stacks"][0]["sops"]) == 3


def test_cine_and_mammograms_are_stacks_of_one_object(tclient, people):
    tclient.force_login(people.radiologist.user)
    cine, films = (
        study_of(make_procedure(), modality="US", count=2, frames=8),
        study_of(make_procedure(), modality="MG"),
    )
    assert [row["frames"] for row in tclient.get(f"/viewer/studies/{cine.uuid}/stacks/").json()["stacks"]] == [8, 8]
    assert len(tclient.get(f"/viewer/studies/{films.uuid}/stacks/").json()["stacks"]) == 3


def test_who_may_not_see_the_patient_finds_no_study(tclient, exam, people):
    admin = actor_with_roles("it_admin")
    for path in (f"studies/{exam.study.uuid}/", f"studies/{exam.study.uuid}/stacks/", f"exams/{exam.procedure.uuid}/"):
        tclient.force_login(people.referrer.actor.user)
        assert tclient.get(f"/viewer/{path}").status_code == 404
        tclient.force_login(admin.user)
        assert tclient.get(f"/viewer/{path}").status_code == 403


def test_the_number_of_queries_does_not_grow_with_images_or_priors(tclient, exam, people):
    tclient.force_login(people.radiologist.user)
    path = f"/viewer/studies/{exam.study.uuid}/"
    study_of(make_procedure(patient=exam.patient))
    tclient.get(path)
    with CaptureQueriesContext(
        connection,
    ) as before:
        tclient.get(path)
    study_of(exam.procedure, count=40)
    for _number in range(3):
        study_of(make_procedure(patient=exam.patient))
    with CaptureQueriesContext(connection) as after:
        tclient.get(path)
    assert len(after) == len(before)


def test_a_launch_page_shows_the_link_for_this_study(tclient, exam, people):
    tclient.force_login(people.radiologist.user)
    response = tclient.post(f"/viewer/studies/{exam.study.uuid}/launch/{exam.link.uuid}/")
    assert (
        response.status_code == 200 and "https://viewer.example/viewer?StudyInstanceUIDs=" in response.content.decode()
    )
    assert response["Cache-Control"].startswith("max-age=0")


def test_the_test_page_is_for_who_manages_links_and_opens_nothing(tclient, exam, people):
    tclient.force_login(actor_with_roles("it_admin").user)
    assert "pcl_sample" in tclient.get("/viewer/links/").content.decode()
    tclient.force_login(people.radiologist.user)
    assert tclient.get("/viewer/links/").status_code == 403


def test_the_viewer_tells_what_it_shows_and_only_what_may_be_seen(exam, people, tclient):
    tclient.force_login(people.radiologist.user)
    uid = exam.study.study_instance_uid
    assert tclient.post("/viewer/showing/", {"study": uid}).status_code == 204
    assert ViewerContext.objects.get(user=people.radiologist.user).study_instance_uid == uid
    tell_viewer_study("", actor=people.radiologist)
    assert ViewerContext.objects.get(user=people.radiologist.user).study_instance_uid == ""
    with pytest.raises(InvalidData):
        tell_viewer_study(uid, actor=people.referrer.actor)


def test_rest_keeps_links_and_launches(api, exam, people, beta):
    api.force_authenticate(actor_with_roles("it_admin").user)
    made = api.post("/api/v1/viewer-links/", {"name": "Weasis", "url_template": "weasis://?r={study_uid}&t={token}"})
    assert made.status_code == 201 and "pcl_sample" in made.json()["sample"]
    assert api.post("/api/v1/viewer-links/", {"name": "x", "url_template": "https://v/"}).status_code == 400
    path = f"/api/v1/viewer-links/{made.json()['id']}/"
    assert api.patch(path, {"minutes": 5}).json()["minutes"] == 5
    assert api.post(f"{path}launch/", {"study": str(exam.study.uuid)}).status_code == 403
    api.force_authenticate(people.radiologist.user)
    launched = api.post(f"{path}launch/", {"study": str(exam.study.uuid)})
    assert launched.status_code == 201 and launched.json()["url"].startswith("weasis://?r=2.25.")
    assert api.patch(path, {"minutes": 9}).status_code == 403
    api.force_authenticate(people.referrer.actor.user)
    assert api.post(f"{path}launch/", {"study": str(exam.study.uuid)}).status_code == 404


def test_the_reading_list_and_the_patient_lead_to_the_images(tclient, exam, people):
    tclient.force_login(people.radiologist.user)
    assert f"/viewer/exams/{exam.procedure.uuid}/" in tclient.get("/reading/").content.decode()
    assert f"/viewer/exams/{exam.procedure.uuid}/" in tclient.get(f"/patients/{exam.patient.uuid}/").content.decode()


def test_the_demo_shows_links_that_are_switched_off(alpha):
    furniture.ensure_viewer_links()
    furniture.ensure_viewer_links()
    assert list(ExternalViewer.objects.values_list("name", "is_active")) == [("OHIF", False), ("Weasis", False)]
    for link in ExternalViewer.objects.all():
        check_template(link.url_template)
