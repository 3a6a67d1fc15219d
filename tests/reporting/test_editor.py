"""The report editor through its pages, REST and the administration: exams, templates, macros, forms, conflicts."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, override_settings

from reporting import services
from reporting.diff import merged
from reporting.models import FilledForm, Macro, Report, ReportTemplate
from reporting.parts import composed, split
from ris.core.errors import Conflict, InvalidData, InvalidTransition, NotPermitted
from tests.factories.reporting import SECTIONS, drafted, make_patient, make_procedure
from tests.reporting.test_admin import door
from tests.reporting.test_mrrt import DOCUMENT, HOSTILE

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(people: Any) -> Client:
    return door(people.radiologist.user)


def group(**first: Any) -> tuple[Any, Any]:
    neck = make_procedure(description="CT neck", body_region="neck", **first)
    return neck, make_procedure(order=neck.order)


def json_post(client: Client, address: str, data: dict[str, Any]) -> Any:
    return client.post(address, data, HTTP_ACCEPT="application/json")


# --- several exams


def test_a_report_over_two_exams_has_findings_of_each(people: Any) -> None:
    neck, chest = group()
    report = services.open_report([neck, chest], actor=people.radiologist)
    assert report.sections["findings"].startswith("CT neck:\nPharynx and larynx")
    assert "\n\nCT chest:\nLungs: Clear." in report.sections["findings"]
    assert report.sections["technique"].count("\n") == 1
    written = {f"findings:{neck.uuid}": "A stone.", f"findings:{chest.uuid}": "Nothing."}
    report = services.save_report(report, sections=written, revision=report.revision, actor=people.radiologist)
    assert report.sections["findings"] == "CT neck:\nA stone.\n\nCT chest:\nNothing."
    whole = {"findings": "CT neck:\nTwo stones.\n\nCT chest:\nNothing."}
    report = services.save_report(report, sections=whole, revision=report.revision, actor=people.radiologist)
    assert report.sections[f"findings:{neck.uuid}"] == "Two stones."
    signed = services.sign_report(report, sections={"impression": "Stones."}, revision=None, actor=people.radiologist)
    assert signed.versions.get().sections["findings"] == whole["findings"]


def test_an_exam_joins_and_leaves_before_the_signature(people: Any) -> None:
    neck, chest = group()
    report = drafted(neck, actor=people.radiologist, findings="A stone.")
    report = services.add_procedure(report, procedure=chest, actor=people.radiologist)
    chest.refresh_from_db()
    assert (report.procedures.count(), chest.status) == (2, "reading")
    assert report.sections[f"findings:{neck.uuid}"] == "A stone."
    written = {f"findings:{chest.uuid}": "A nodule."}
    report = services.save_report(report, sections=written, revision=report.revision, actor=people.radiologist)
    report = services.remove_procedure(report, procedure=chest, actor=people.radiologist)
    chest.refresh_from_db()
    assert (report.sections["findings"], chest.status) == ("A stone.", "ready_to_read")
    assert not any(":" in key for key in report.sections)
    own = Report.objects.get(procedures=chest)
    assert (own.sections["findings"], own.status) == ("A nodule.", "partial")


def test_what_cannot_join_is_refused_and_changes_nothing(people: Any) -> None:
    neck, chest = group()
    report = drafted(neck, actor=people.radiologist)
    stranger, waiting = make_procedure(), make_procedure(order=neck.order, status="scheduled")
    with pytest.raises(InvalidData, match="different patients"):
        services.add_procedure(report, procedure=stranger, actor=people.radiologist)
    with pytest.raises(InvalidTransition):
        services.add_procedure(report, procedure=waiting, actor=people.radiologist)
    drafted(chest, actor=people.radiologist)
    with pytest.raises(Conflict, match="report of its own"):
        services.add_procedure(report, procedure=chest, actor=people.radiologist)
    with pytest.raises(InvalidData, match="one exam at least"):
        services.remove_procedure(report, procedure=neck, actor=people.radiologist)
    with pytest.raises(InvalidData, match="cannot be stored"):
        foreign = {f"findings:{stranger.uuid}": "x"}
        services.save_report(report, sections=foreign, revision=report.revision, actor=people.radiologist)
    services.sign_report(report, actor=people.radiologist)
    with pytest.raises(Conflict, match="signed this report"):
        services.add_procedure(report, procedure=make_procedure(order=neck.order), actor=people.radiologist)
    assert report.procedures.count() == 1


def test_one_text_and_its_parts_agree() -> None:
    titles = {"findings:a": "CT neck", "findings:b": "CT chest"}
    parts = {"findings:a": "One.\nTwo.", "findings:b": "Three."}
    assert split(composed(parts, titles), titles) == parts
    assert split("Loose.\nCT chest:\nThree.", titles) == {"findings:a": "Loose.", "findings:b": "Three."}


def test_the_page_of_a_group_has_a_text_per_exam(people: Any, desk: Client) -> None:
    neck, chest = group()
    report = drafted(neck, actor=people.radiologist)
    page = desk.get(f"/reports/{report.uuid}/").content.decode()
    assert f'value="{chest.uuid}"' in page
    desk.post(f"/reports/{report.uuid}/exams/", {"procedure": chest.uuid})
    page = desk.get(f"/reports/{report.uuid}/").content.decode()
    assert f'name="section-findings:{neck.uuid}"' in page and f'name="section-findings:{chest.uuid}"' in page
    saved = json_post(
        desk, f"/reports/{report.uuid}/save/", {f"section-findings:{chest.uuid}": "Clear.", "revision": "2"}
    )
    assert saved.status_code == 200
    desk.post(f"/reports/{report.uuid}/exams/remove/", {"procedure": neck.uuid})
    assert list(Report.objects.get(pk=report.pk).procedures.all()) == [chest]


# --- two people, two texts


def test_two_texts_are_merged_line_by_line() -> None:
    base = "Lungs: Clear.\nPleura: Clear.\nBones: Intact."
    theirs = base.replace("Lungs: Clear.", "Lungs: A nodule.")
    mine = base + "\nSoft tissues: Normal."
    assert merged(base, theirs, mine) == (theirs + "\nSoft tissues: Normal.", False)
    other = base.replace("Lungs: Clear.", "Lungs: A cavity.")
    text, clashes = merged(base, theirs, other)
    assert clashes and "A nodule." in text and "A cavity." in text and text.count("Bones") == 1


def test_a_conflict_shows_both_texts_and_saves_what_is_chosen(people: Any, desk: Client) -> None:
    report = drafted(actor=people.radiologist, findings="One.\nTwo.\nThree.")
    read_at = report.revision
    services.save_report(
        report, sections={"findings": "One!\nTwo.\nThree.", "impression": "Theirs."}, revision=read_at,
        actor=people.radiologist,
    )  # fmt: skip
    typed = {"section-findings": "One.\nTwo.\nThree!", "section-impression": "Mine.", "revision": str(read_at)}
    refused = json_post(desk, f"/reports/{report.uuid}/save/", typed)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:picha:problem:revision_conflict")
    shown = desk.post(f"/reports/{report.uuid}/compare/", typed)
    assert shown.status_code == 409
    assert shown.context["pairs"][0].both == "One!\nTwo.\nThree!"
    kept = {
        "section-findings": "One!\nTwo.\nThree!", "section-impression": "Mine.", "take-impression": "theirs",
        "scripted": "", "revision": shown.context["report"].revision,
    }  # fmt: skip
    assert desk.post(f"/reports/{report.uuid}/save/", kept).status_code == 302
    report.refresh_from_db()
    assert (report.sections["findings"], report.sections["impression"]) == ("One!\nTwo.\nThree!", "Theirs.")


# --- templates and macros


def test_templates_are_looked_after_on_pages(people: Any, desk: Client) -> None:
    assert desk.get("/reading/templates/?language=sw&modality=CT").status_code == 200
    sent = {
        "name": "CT wrist", "language": "en", "modality": "CT", "body_region": "wrist", "age_from": "3", "age_to": "90",
        "sex": "F", "is_default": "on", "is_active": "on", "section-findings": "Bones of {{patient.sex}}: [1:which]",
    }  # fmt: skip
    made = desk.post("/reading/templates/new/", sent)
    template = ReportTemplate.objects.get(name="CT wrist")
    assert made.status_code == 302 and (template.owner, template.age_from, template.sex) == (None, 3, "F")
    wrong = desk.post(f"/reading/templates/{template.uuid}/", {**sent, "section-findings": "{{patient.secret}}"})
    assert wrong.status_code == 400 and "patient.secret" in wrong.content.decode()
    desk.post(f"/reading/templates/{template.uuid}/", {**sent, "section-findings": "Changed."})
    page = desk.get(f"/reading/templates/{template.uuid}/").content.decode()
    assert "<ins>" in page and "Changed." in page
    desk.post(f"/reading/templates/{template.uuid}/copy/")
    assert ReportTemplate.objects.get(name="CT wrist, mine").owner == people.radiologist.user


def test_shared_templates_need_the_right_and_ones_own_do_not(people: Any) -> None:
    sections = {"findings": "x"}
    with pytest.raises(NotPermitted):
        services.save_template(name="Shared", sections=sections, actor=people.resident)
    own = services.save_template(name="Own", sections=sections, owner=people.resident.user, actor=people.resident)
    with pytest.raises(NotPermitted):
        services.save_template(own, sections={"findings": "y"}, actor=people.radiologist)
    resident = door(people.resident.user)
    assert resident.get(f"/reading/templates/{own.uuid}/").status_code == 200
    assert door(people.radiologist.user).get(f"/reading/templates/{own.uuid}/").status_code == 404


def test_ones_own_template_is_chosen_before_a_shared_one(people: Any) -> None:
    values = {"modality": "CT", "body_region": "chest", "is_default": True, "sections": {"findings": "My way."}}
    services.save_template(name="Mine", owner=people.radiologist.user, actor=people.radiologist, **values)
    assert services.open_report([make_procedure()], actor=people.radiologist).sections["findings"] == "My way."
    assert services.open_report([make_procedure()], actor=people.other).sections["findings"] != "My way."


def test_merge_fields_are_filled_and_unknown_values_become_blanks(people: Any) -> None:
    words = "{{patient.age}}, {{patient.sex}}; {{comparison.date}}; {{order.requester}}"
    values = {"modality": "CT", "is_default": True, "body_region": "chest", "sections": {"findings": words}}
    services.save_template(name="Merge", owner=people.radiologist.user, actor=people.radiologist, **values)
    report = services.open_report([make_procedure(patient=make_patient(birth_date=None))], actor=people.radiologist)
    assert report.sections["findings"] == "[Age on the day of the exam], Female; [Its day]; [Who asked]"


def test_macros_of_ones_own_stand_before_shared_ones(people: Any, desk: Client) -> None:
    assert desk.post("/reading/templates/macros/new/", {
        "code": "nad", "words": "Nothing abnormal in {{exam}}.", "language": "en", "is_shared": "on", "is_active": "on",
    }).status_code == 302  # fmt: skip
    macro = Macro.objects.get()
    assert macro.owner is None
    report = drafted(actor=people.radiologist)
    assert "Nothing abnormal in CT chest." in desk.get(f"/reports/{report.uuid}/").content.decode()
    services.save_macro(code="nad", words="Mine.", actor=people.radiologist)
    page = desk.get(f"/reports/{report.uuid}/").content.decode()
    assert "Mine." in page and "Nothing abnormal in" not in page
    with pytest.raises(NotPermitted):
        services.save_macro(macro, code="nad", words="x", is_shared=True, actor=people.resident)
    with pytest.raises(InvalidData, match="cannot be filled"):
        services.save_macro(code="bad", words="{{nothing.such}}", actor=people.radiologist)
    assert desk.get("/reading/templates/macros/").status_code == 200
    assert desk.get(f"/reading/templates/macros/{macro.uuid}/").status_code == 200


# --- forms


def test_a_form_is_imported_on_a_page_and_filled_in_the_editor(people: Any, desk: Client) -> None:
    upload = SimpleUploadedFile("t.html", HOSTILE.encode(), content_type="text/html")
    answer = desk.post("/reading/templates/import/", {"document": upload})
    assert "event handler (onload)" in answer.content.decode()
    template = ReportTemplate.objects.get(name="CT brain, form")
    assert desk.get(f"/reading/templates/{template.uuid}/").status_code == 200
    report = drafted(actor=people.radiologist)
    desk.post(f"/reports/{report.uuid}/template/", {"template": template.uuid})
    page = desk.get(f"/reports/{report.uuid}/").content.decode()
    assert 'name="f-f3"' in page and "2 answers are needed" in page
    report.refresh_from_db()
    filled = json_post(
        desk, f"/reports/{report.uuid}/form/", {"f-f3": "7", "f-f4": "straight", "revision": report.revision}
    )
    assert "Diameter: 7 mm" in filled.json()["sections"]["findings"]
    assert FilledForm.objects.get().answers["f4"] == "straight"
    out = desk.get(f"/reading/templates/{template.uuid}/export/")
    assert out["Content-Disposition"].startswith("attachment") and b"data-section-name" in out.content


def test_a_document_that_is_no_template_is_refused_with_the_reason(desk: Client) -> None:
    upload = SimpleUploadedFile("t.html", b"<html><body>x</body></html>", content_type="text/html")
    answer = desk.post("/reading/templates/import/", {"document": upload})
    assert answer.status_code == 422 and "no title" in answer.content.decode()
    latin = SimpleUploadedFile("t.html", "<html>\xe9".encode("latin-1"), content_type="text/html")
    assert desk.post("/reading/templates/import/", {"document": latin}).status_code == 422


def test_rest_takes_a_form_in_and_gives_it_out(api: Any, people: Any) -> None:
    api.force_authenticate(people.radiologist.user)
    made = api.post("/api/v1/report-templates/import/", DOCUMENT, content_type="text/html")
    assert made.status_code == 201
    assert (made.json()["name"], made.json()["is_form"], made.json()["stripped"]) == ("CT brain, form", True, [])
    template = made.json()["id"]
    again = api.post("/api/v1/report-templates/import/", DOCUMENT, content_type="text/html")
    assert again.status_code == 409
    refused = api.post("/api/v1/report-templates/import/", "<p>no", content_type="text/html")
    assert refused.status_code == 422 and "no HTML document" in refused.json()["detail"]
    out = api.get(f"/api/v1/report-templates/{template}/document/", HTTP_ACCEPT="text/html")
    assert out.status_code == 200 and out["Content-Type"].startswith("text/html")
    api.force_authenticate(people.clerk.user)
    assert api.post("/api/v1/report-templates/import/", DOCUMENT, content_type="text/html").status_code == 403


def test_rest_groups_templates_fills_and_keeps_macros(api: Any, people: Any) -> None:
    api.force_authenticate(people.radiologist.user)
    neck, chest = group()
    report = drafted(neck, actor=people.radiologist)
    at = f"/api/v1/reports/{report.uuid}"
    joined = api.post(f"{at}/add-procedure/", {"procedure": str(chest.uuid)}, format="json")
    assert joined.status_code == 200 and len(joined.json()["procedures"]) == 2
    part = {f"findings:{chest.uuid}": "A nodule."}
    written = api.patch(f"{at}/", {"sections": part}, format="json")
    assert written.json()["findings"][str(chest.uuid)] == "A nodule."
    assert "CT chest:\nA nodule." in written.json()["sections"]["findings"]
    assert api.post(f"{at}/remove-procedure/", {"procedure": str(chest.uuid)}, format="json").status_code == 200
    template = services.import_template(DOCUMENT, actor=people.radiologist).template
    chosen = api.post(f"{at}/template/", {"template": str(template.uuid)}, format="json")
    assert chosen.status_code == 200
    form = api.get(f"{at}/form/").json()
    assert form["title"] == "CT brain, form" and len(form["fields"]) == 8
    filled = api.post(f"{at}/form/", {"answers": {"f1": "present"}}, format="json")
    assert "Haemorrhage: present" in filled.json()["sections"]["findings"]
    assert api.get(f"{at}/form/").json()["coded"][0]["codes"][0]["value"] == "RID4700"
    macro = api.post("/api/v1/report-macros/", {"code": "nad", "text": "Nothing.", "language": "en"}, format="json")
    assert macro.status_code == 201
    changed = api.patch(f"/api/v1/report-macros/{macro.json()['id']}/", {"text": "Nothing abnormal."}, format="json")
    assert changed.json()["text"] == "Nothing abnormal."
    assert len(api.get("/api/v1/report-macros/").json()["results"]) == 1


def test_the_administration_takes_forms_in_and_keeps_macros(people: Any, desk: Client) -> None:
    upload = SimpleUploadedFile("t.html", DOCUMENT.encode(), content_type="text/html")
    common = {"name": "x", "language": "en", "is_active": "on"}
    assert desk.get("/admin/reporting/reporttemplate/add/").status_code == 200
    assert desk.post("/admin/reporting/reporttemplate/add/", {**common, "document": upload}).status_code == 302
    template = ReportTemplate.objects.get(name="CT brain, form")
    assert template.is_form and desk.get(f"/admin/reporting/reporttemplate/{template.pk}/change/").status_code == 200
    assert desk.post(
        "/admin/reporting/macro/add/", {"code": "nad", "text": "Nothing.", "language": "en", "is_active": "on"}
    ).status_code == 302  # fmt: skip
    assert Macro.objects.get().text == "Nothing."


# --- dictation


def test_dictation_is_off_by_default(people: Any, desk: Client) -> None:
    report = drafted(actor=people.radiologist)
    assert "data-dictate=" not in desk.get(f"/reports/{report.uuid}/").content.decode()
    audio = SimpleUploadedFile("a", b"voice", content_type="audio/webm")
    assert json_post(desk, f"/reports/{report.uuid}/dictate/", {"audio": audio}).status_code == 409


def test_what_is_spoken_goes_to_an_allowed_host_and_comes_back_as_words(
    people: Any, desk: Client, speech_server: Any
) -> None:
    from ris.accounts.selectors import facility_settings

    report = drafted(actor=people.radiologist)
    with override_settings(RIS_SPEECH_URL=speech_server.url, RIS_SPEECH_TOKEN="secret"):
        assert "data-dictate=" in desk.get(f"/reports/{report.uuid}/").content.decode()

        def say(kind: str = "audio/webm;codecs=opus") -> Any:
            audio = SimpleUploadedFile("a", b"voice", content_type=kind)
            return json_post(desk, f"/reports/{report.uuid}/dictate/", {"audio": audio})

        assert say().status_code == 409 and speech_server.heard == []
        settings = facility_settings()
        settings.allowed_hosts = ["127.0.0.1"]
        settings.save()
        assert say().json() == {"text": "No pleural effusion."}
        assert speech_server.heard == [("/hear?language=en", "audio/webm", "Bearer secret", b"voice")]
        assert say("text/html").status_code == 400
        speech_server.answers = 500
        assert say().status_code == 502


@pytest.fixture
def speech_server() -> Any:
    import json
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from types import SimpleNamespace

    state = SimpleNamespace(heard=[], answers=200)

    class Ears(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.heard.append((self.path, self.headers["Content-Type"], self.headers["Authorization"], body))
            self.send_response(state.answers)
            self.end_headers()
            self.wfile.write(json.dumps({"text": " No pleural effusion. "}).encode())

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Ears)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/hear"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


# --- size and number of queries


def test_a_large_report_opens_small_and_with_a_fixed_number_of_queries(people: Any, desk: Client) -> None:
    def opened(count: int) -> tuple[int, bytes]:
        patient = make_patient()
        report = drafted(make_procedure(patient=patient), actor=people.radiologist)
        for number in range(count):
            services.save_macro(code=f"m{patient.pk}-{number}", words="Words.", actor=people.radiologist)
            make_procedure(patient=patient, status="final")
        desk.get(f"/reports/{report.uuid}/")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            page = desk.get(f"/reports/{report.uuid}/")
        assert page.status_code == 200
        return len(queries), page.content

    few, _page = opened(1)
    many, page = opened(8)
    assert many == few <= 41
    assert len(gzip.compress(page)) < 60_000


def test_an_autosave_costs_a_fixed_number_of_queries(people: Any, desk: Client) -> None:
    report = drafted(actor=people.radiologist)
    address = f"/reports/{report.uuid}/save/"

    def saved(words: str) -> int:
        report.refresh_from_db()
        with CaptureQueriesContext(connection) as queries:
            sent = {"section-findings": words, "revision": report.revision}
            assert json_post(desk, address, sent).status_code == 200
        return sum("SAVEPOINT" not in query["sql"] for query in queries)

    saved("Warm.")
    short, long = saved("Short."), saved("Lungs: Clear.\n" * 3000)
    assert short == long < 18


def test_text_from_right_to_left_and_of_any_length_is_kept_as_it_is(people: Any) -> None:
    report = drafted(actor=people.radiologist)
    words = "الرئتان: سليمتان.\u200f left 5 mm"
    report = services.save_report(report, sections={"findings": words}, revision=None, actor=people.radiologist)
    assert report.sections["findings"] == words
    with pytest.raises(InvalidData):
        services.save_report(report, sections={"findings": "x" * 50_001}, revision=None, actor=people.radiologist)
    assert SECTIONS["impression"]
