"""Who sees and does what with doses, tried with every role at every door: pages, files, forms, REST, administration."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.utils import timezone

from dose import permissions as perms
from dose.models import (
    DoseAlertRule,
    DoseTrigger,
    ExamRule,
    NotPatientRule,
    ReferenceLevel,
    SkinFollowUp,
    StandardExam,
    TriggerLevel,
)
from ris.accounts.models import User
from ris.core.permissions import ROLES, permissions
from tests.conftest import shared_start
from tests.dose.test_entry_and_alerts import fluoroscopy, procedure_of
from tests.dose.test_services import STORAGE, imported, of
from tests.factories.accounts import actor_with_roles
from tests.factories.dose import ct_event, file_of
from tests.factories.worklist import ct_procedure, make_station, stored
from worklist.services import index_instance

pytestmark = pytest.mark.django_db
BACKEND = "ris.accounts.backends.PasswordBackend"


@pytest.fixture(scope="module")
def made(django_db_setup: None, django_db_blocker: Any) -> Iterator[SimpleNamespace]:
    """A CT above its trigger whose original is kept, a fluoroscopy to follow up, a report that waits for its exam."""
    with shared_start(django_db_blocker):
        people = {role: actor_with_roles(role).user.pk for role in ROLES}
        make_station("CT1")
        TriggerLevel.objects.update_or_create(modality="CT", quantity="dlp", defaults={"limit": 400, "unit": "mGy.cm"})
        now = {"ContentDate": f"{timezone.localdate():%Y%m%d}", "ContentTime": "000100", "StationName": "CT1"}
        procedure = ct_procedure()
        dataset = of(procedure, ct_event(1500), **now)
        path = storages["instances"].save("who.dcm", ContentFile(file_of(dataset)))
        index_instance(stored(procedure, sop_instance_uid=dataset.SOPInstanceUID, path=path), actor=STORAGE)
        report = imported(dataset)
        fluoroscopy(procedure_of("XA"), rp=5.5, dap=0.01)
        waiting = imported(of(ct_procedure(), ct_event(100), PatientID="SOMEBODY", StudyInstanceUID="1.2.88",
                              AccessionNumber="", **now))  # fmt: skip
        assert report.procedure == procedure and waiting.procedure is None
        doors = _doors(report, DoseTrigger.objects.get(report=report), SkinFollowUp.objects.get(), ct_procedure())
        yield SimpleNamespace(people=people, doors=doors, waiting=waiting.uuid, patient=procedure.order.patient.uuid)


def _doors(report: Any, trigger: Any, skin: Any, bare: Any) -> list[tuple[str, str, str]]:
    """(method, path, the right that opens it). What is posted is empty or of nothing: it changes nothing."""
    level, rule = ReferenceLevel.objects.filter(is_active=True).first(), ExamRule.objects.first()
    told, test = DoseAlertRule.objects.first(), NotPatientRule.objects.first()
    exam, nothing = StandardExam.objects.first(), uuid4()
    one, rest = f"/dose/reports/{report.uuid}/", "/api/v1/"
    looked_at = [
        "/dose/", "/dose/?tab=CT&band=1-6+a", "/dose/charts/boxplot.csv", "/dose/charts/trend.xlsx", "/dose/rejects/",
        "/dose/rejects.csv", "/dose/exams/", "/dose/exams/?missing=dose", one, f"{one}original/", f"{one}events.csv",
        "/dose/names/", "/dose/levels/", "/dose/levels/export/", f"/dose/levels/{level.uuid}/", "/dose/compliance/",
        "/dose/alerts/",
        *(f"{rest}{name}/" for name in (
            "dose-reports", "dose-triggers", "dose-investigations", "reference-levels", "level-alerts",
            "level-alerts/comparisons", "standard-exams", "exam-rules", "exam-rules/unnamed", "not-patient-rules",
            "dose-alert-rules", "skin-follow-ups", "dose-charts/boxplot", "dose-charts/missing", "dose-rejects",
            f"dose-reports/{report.uuid}", f"dose-reports/{report.uuid}/original", f"dose-triggers/{trigger.uuid}",
            f"reference-levels/{level.uuid}", f"exam-rules/{rule.uuid}", f"skin-follow-ups/{skin.uuid}",
        )),
        *(f"/admin/dose/{name}/" for name in (
            "dosereport", "dosetrigger", "doseinvestigation", "referencelevel", "triggerlevel", "rejecttarget",
            "standardexam", "examrule", "notpatientrule", "dosealertrule", "levelalert", "skinfollowup",
        )),
    ]  # fmt: skip
    found = [("get", path, perms.VIEW_DOSE) for path in looked_at]
    for code, paths in {
        perms.MANAGE_DOSE: ["/dose/registry/", f"{rest}dose-registry/json/"],
        perms.ENTER_DOSE: [f"/dose/exams/{bare.uuid}/enter/"],
        perms.MANAGE_LEVELS: ["/dose/levels/add/", "/dose/levels/import/"],
    }.items():
        found += [("get", path, code) for path in paths]
    for code, paths in {
        perms.MANAGE_DOSE: ["/dose/registry/file/", f"{one}link/", f"{one}unlink/",
                            f"{rest}dose-reports/{report.uuid}/link/", f"{rest}dose-reports/{report.uuid}/unlink/"],
        perms.ENTER_DOSE: [f"/dose/exams/{bare.uuid}/enter/", f"{rest}dose-reports/"],
        perms.EXPLAIN_TRIGGER: [f"/dose/triggers/{trigger.uuid}/", f"{rest}dose-triggers/{trigger.uuid}/explain/"],
        perms.FOLLOW_SKIN: [f"/dose/skin/{skin.uuid}/tell/", f"/dose/skin/{skin.uuid}/close/",
                            f"{rest}skin-follow-ups/{skin.uuid}/tell/", f"{rest}skin-follow-ups/{skin.uuid}/close/"],
        perms.MANAGE_ALERTS: ["/dose/alerts/rules/", f"{rest}dose-alert-rules/"],
        perms.MANAGE_NAMES: ["/dose/names/exams/", "/dose/names/rules/", "/dose/names/not-patients/",
                             f"{rest}standard-exams/", f"{rest}exam-rules/", f"{rest}not-patient-rules/"],
        perms.MANAGE_LEVELS: ["/dose/rejects/target/", "/dose/investigations/", f"/dose/investigations/{nothing}/",
                              f"/dose/investigations/{nothing}/measure/", "/dose/local-level/", "/dose/levels/add/",
                              "/dose/levels/import/", f"/dose/levels/{level.uuid}/withdraw/",
                              "/dose/compliance/local-level/", f"{rest}dose-investigations/",
                              f"{rest}dose-investigations/{nothing}/act/", f"{rest}reference-levels/",
                              f"{rest}reference-levels/{level.uuid}/withdraw/"],
    }.items():  # fmt: skip
        found += [("post", path, code) for path in paths]
    for code, paths in {
        perms.MANAGE_ALERTS: [f"{rest}dose-alert-rules/{told.uuid}/"],
        perms.MANAGE_NAMES: [f"{rest}standard-exams/{exam.code}/", f"{rest}not-patient-rules/{test.uuid}/"],
    }.items():
        found += [("patch", path, code) for path in paths]
    return found


@pytest.mark.parametrize("role", ROLES)
def test_each_role_opens_the_doors_of_its_rights_and_no_other(made, alpha, tclient, api, role):
    user = User.objects.get(pk=made.people[role])
    tclient.force_login(user, backend=BACKEND)
    api.force_authenticate(user)
    wrong = []
    for method, path, code in made.doors:
        client = api if path.startswith("/api/") else tclient
        answer = getattr(client, method)(path)
        is_open = role in permissions()[code].roles
        # what is asked wrongly gets past the door and is refused behind it
        allowed = {200} if method == "get" else {200, 302, 400, 404, 405, 409}
        if path.endswith("/original/"):
            allowed = {200, 404}  # its file is the module's, not this test's
        refused = {403} if not path.startswith("/admin/") else {302, 403}
        if answer.status_code not in (allowed if is_open else refused):
            wrong.append((method, path, answer.status_code, is_open))
    assert wrong == []


def test_what_waits_and_what_a_patient_received_is_for_who_may_know(made, alpha, api, tclient):
    for role in ROLES:
        user = User.objects.get(pk=made.people[role])
        api.force_authenticate(user)
        tclient.force_login(user, backend=BACKEND)
        waits = api.get(f"/api/v1/dose-reports/{made.waiting}/").status_code
        assert waits == (200 if role in permissions()[perms.MANAGE_DOSE].roles else
                         404 if role in permissions()[perms.VIEW_DOSE].roles else 403), role  # fmt: skip
        page = tclient.get(f"/patients/{made.patient}/")
        is_shown = 'id="dose"' in page.content.decode()
        assert is_shown == (role in permissions()[perms.VIEW_CUMULATIVE].roles), (role, page.status_code)
