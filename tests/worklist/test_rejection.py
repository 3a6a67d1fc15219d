"""Images are taken out of use and back into it: hidden, not counted, told, never deleted."""

from __future__ import annotations

import pytest

from ris.core.actor import SYSTEM
from ris.core.errors import Conflict, InvalidData, NotKnown, NotPermitted
from ris.core.ids import new_uid
from ris.core.permissions import CLERK, TECHNOLOGIST
from ris.events.models import OutboxEvent
from tests.factories.orders import make_actor
from tests.factories.worklist import STORE, booked, stored
from worklist.models import ImageRejection, ImagingInstance, ImagingSeries, ImagingStudy
from worklist.services import index_instance, reject_images, restore_images

pytestmark = pytest.mark.usefixtures("alpha")


def study_of_three():
    """A CT series of two, a structured report of one."""
    procedure = booked().procedure
    first, series = stored(procedure), new_uid()
    rows = [
        index_instance(stored(procedure, series_instance_uid=series, instance_number=1), actor=STORE),
        index_instance(stored(procedure, series_instance_uid=series, instance_number=2), actor=STORE),
        index_instance(
            stored(procedure, series_instance_uid=first.series_instance_uid, modality="SR", series_number=9),
            actor=STORE,
        ),
    ]
    study = ImagingStudy.objects.get()
    return procedure, study, [row.sop_instance_uid for row in rows]


def figures(study) -> tuple[int, int, str]:
    study.refresh_from_db()
    return study.series_count, study.instance_count, study.modalities


def test_rejected_images_are_hidden_not_counted_told_and_restored():
    procedure, study, uids = study_of_three()
    assert figures(study) == (2, 3, "CT\\SR")
    actor = make_actor(TECHNOLOGIST)
    rejection = reject_images(study, instances=uids[:2], code="113001", reason="Motion", actor=actor)
    assert figures(study) == (1, 1, "SR")
    assert set(ImagingInstance.objects.filter(is_rejected=True).values_list("sop_instance_uid", flat=True)) == set(
        uids[:2]
    )
    assert sorted(ImagingSeries.objects.values_list("instance_count", flat=True)) == [0, 1]
    event = OutboxEvent.objects.get(name="worklist.images_rejected")
    assert event.payload["study"] == str(study.uuid)
    assert sorted(event.payload["instances"]) == sorted(uids[:2])
    assert event.payload["reason_code"] == "113001"
    assert event.ordering_key == procedure.accession_number
    assert rejection.rejected_by == actor.user
    assert rejection.history.count() == 1

    restored = restore_images(rejection, reason="Wrong series", actor=actor)
    assert figures(study) == (2, 3, "CT\\SR")
    assert not ImagingInstance.objects.filter(is_rejected=True).exists()
    assert restored.restored_reason == "Wrong series"
    assert OutboxEvent.objects.filter(name="worklist.images_restored").count() == 1
    with pytest.raises(Conflict):
        restore_images(rejection, reason="Again", actor=actor)


def test_what_is_rejected_already_stays_with_its_first_rejection():
    _procedure, study, uids = study_of_three()
    reject_images(study, instances=uids[:1], code="113001", reason="Motion", actor=SYSTEM)
    second = reject_images(study, instances=uids[:2], code="113038", reason="Other patient", actor=SYSTEM)
    assert second.instances == [uids[1]]
    restore_images(second, reason="It was right", actor=SYSTEM)
    assert list(ImagingInstance.objects.filter(is_rejected=True).values_list("sop_instance_uid", flat=True)) == uids[:1]
    with pytest.raises(Conflict):
        reject_images(study, instances=uids[:1], code="113001", reason="Motion", actor=SYSTEM)


def test_rejecting_is_refused_without_reason_code_images_or_right():
    _procedure, study, uids = study_of_three()
    index_instance(stored(), actor=STORE)
    foreign = ImagingInstance.objects.exclude(series__study=study).get().sop_instance_uid
    for wrong, refusal in (
        ({"reason": " "}, InvalidData),
        ({"code": "113000"}, InvalidData),
        ({"instances": []}, InvalidData),
        ({"instances": [uids[0], foreign]}, NotKnown),
        ({"actor": make_actor(CLERK)}, NotPermitted),
    ):
        with pytest.raises(refusal):
            reject_images(study, **{"instances": uids[:1], "code": "113001", "reason": "x", "actor": SYSTEM} | wrong)
    assert not ImageRejection.objects.exists()
    assert figures(study) == (2, 3, "CT\\SR")


def test_an_object_sent_again_stays_rejected():
    procedure, study, _uids = study_of_three()
    again = stored(procedure, series_instance_uid=new_uid())
    index_instance(again, actor=STORE)
    reject_images(study, instances=[again.sop_instance_uid], code="113037", reason="Wrong dose", actor=SYSTEM)
    assert index_instance(again, actor=STORE).is_rejected
    assert figures(study)[1] == 3


def test_rest_rejects_lists_and_restores(api):
    _procedure, study, uids = study_of_three()
    user = make_actor(TECHNOLOGIST).user
    api.force_authenticate(user)
    asked = {"study": str(study.uuid), "instances": uids[:1], "code": "113037", "reason": "Wrong dose"}
    answer = api.post("/api/v1/rejections/", asked, format="json")
    assert answer.status_code == 201, answer.content
    row = answer.json()
    assert (row["study"], row["code"], row["instances"]) == (str(study.uuid), "113037", uids[:1])
    assert api.post("/api/v1/rejections/", {**asked, "code": "1"}, format="json").status_code == 400
    assert api.post("/api/v1/rejections/", asked, format="json").status_code == 409
    assert [one["id"] for one in api.get("/api/v1/rejections/").json()["results"]] == [row["id"]]
    restored = api.post(f"/api/v1/rejections/{row['id']}/restore/", {"reason": "It was right"}, format="json")
    assert restored.json()["restored_reason"] == "It was right"
    assert api.post(f"/api/v1/rejections/{row['id']}/restore/", {"reason": "x"}, format="json").status_code == 409
    api.force_authenticate(make_actor(CLERK).user)
    assert api.post("/api/v1/rejections/", asked, format="json").status_code == 403


def test_the_viewer_does_not_show_a_rejected_image():
    from interop.imaging.selectors import series_of, visible_instance

    _procedure, study, uids = study_of_three()
    reject_images(study, instances=uids[:1], code="113001", reason="Motion", actor=SYSTEM)
    with pytest.raises(NotKnown):
        visible_instance(uids[0], actor=SYSTEM)
    assert visible_instance(uids[1], actor=SYSTEM).sop_instance_uid == uids[1]
    shown = {frame.sop_instance_uid for series in series_of([study])[study.pk] for frame in series.frames}
    assert shown == set(uids[1:])
