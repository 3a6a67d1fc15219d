"""An order as it is written: papers, warnings, earlier exams, and how a sided exam reads."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from orders import services
from orders.models import Document, Order, RequestedProcedure
from orders.services import ProcedureRequest
from orders.services.documents import LARGEST
from ris.core.errors import InvalidData
from tests.factories.orders import SYSTEM, make_catalogue, make_order, make_patient, make_procedure, make_user

pytestmark = pytest.mark.django_db

PDF = b"%PDF-1.7\n% a request form\n"
TYPED = {"indication": "Fell on it", "priority": "urgent", "patient_class": "O"}


@pytest.fixture
def client(tclient):
    tclient.user = make_user("clerk")
    tclient.force_login(tclient.user, backend="ris.accounts.backends.PasswordBackend")
    return tclient


def paper(content: bytes = PDF, name: str = "../../etc/pass'wd<script>.exe") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, content_type="application/x-msdownload")


def test_a_sided_exam_reads_as_one_says_it(alpha):
    make_catalogue("XRWRIST", name="X-ray wrist", modality="DX", has_laterality=True)
    order = make_order(codes=[ProcedureRequest("XRWRIST", laterality="L")])
    assert order.procedures.get().description_with_side == "X-ray wrist, left"


def test_a_paper_is_kept_at_once_and_belongs_to_the_order_when_it_is_placed(client):
    patient, exam = make_patient(), make_catalogue()
    address = reverse("order_create", args=[patient.uuid])
    shown = client.post(address, {**TYPED, "code": exam.code, "paper_kind": "consent", "paper_file": paper()})
    kept = Document.objects.get()
    assert (kept.order, kept.title, kept.content_type) == (None, "Consent", "application/pdf")
    assert f'name="paper" value="{kept.uuid}"' in shown.content.decode()
    placed = client.post(address, {**TYPED, "code": exam.code, "paper": str(kept.uuid), "place": "1"})
    order = Order.objects.get()
    kept.refresh_from_db()
    assert placed["Location"] == reverse("order_detail", args=[order.uuid]) and kept.order == order
    assert kept.title in client.get(placed["Location"]).content.decode()


def test_a_paper_that_is_no_paper_is_refused_at_its_field_and_the_order_waits(client):
    patient, exam = make_patient(), make_catalogue()
    body = {**TYPED, "code": exam.code, "place": "1", "paper_file": paper(b"MZ\x90 a program")}
    answer = client.post(reverse("order_create", args=[patient.uuid]), body)
    assert answer.status_code == 422 and "Only PDF, PNG, JPEG and TIFF are kept." in answer.content.decode()
    assert not Order.objects.exists() and not Document.objects.exists()


def test_a_paper_taken_off_is_withdrawn(client):
    patient = make_patient()
    address = reverse("order_create", args=[patient.uuid])
    client.post(address, {"paper_file": paper()})
    kept = Document.objects.get()
    shown = client.post(address, {"paper": str(kept.uuid), "drop": str(kept.uuid)}).content.decode()
    kept.refresh_from_db()
    assert kept.withdrawn_at is not None and 'name="paper" value' not in shown


def test_another_patients_paper_is_not_attached(client):
    foreign = services.add_document(make_patient(), kind="other", title="x", file=io.BytesIO(PDF), actor=SYSTEM)
    patient, exam = make_patient(), make_catalogue()
    body = {**TYPED, "code": exam.code, "paper": str(foreign.uuid), "place": "1"}
    assert client.post(reverse("order_create", args=[patient.uuid]), body).status_code == 302
    foreign.refresh_from_db()
    assert foreign.order is None
    with pytest.raises(InvalidData):
        services.attach_document(foreign, order=Order.objects.get(), actor=SYSTEM)


def test_a_paper_comes_later_is_downloaded_inert_and_withdrawn(client):
    order = make_order()
    detail = reverse("order_detail", args=[order.uuid])
    body = {"kind": "request_form", "title": "The form", "file": paper()}
    assert client.post(reverse("order_document_add", args=[order.uuid]), body)["Location"] == detail + "#documents"
    kept = Document.objects.get()
    file = client.get(reverse("document_content", args=[kept.uuid]))
    assert b"".join(file) == PDF and file["Content-Type"] == "application/pdf"
    assert file["Content-Disposition"] == f'attachment; filename="request-form-{kept.uuid.hex[-12:]}.pdf"'
    assert file["X-Content-Type-Options"] == "nosniff" and "sandbox" in file["Content-Security-Policy"]
    assert kept.file.name == f"documents/{kept.uuid}" or str(kept.uuid) in kept.file.name
    gone = client.post(reverse("document_withdraw", args=[kept.uuid]), {"reason": "Another patient's", "next": detail})
    assert gone["Location"] == detail
    assert client.get(reverse("document_content", args=[kept.uuid])).status_code == 404
    assert "The form" not in client.get(detail).content.decode()


def test_a_paper_that_is_too_large_is_refused(alpha):
    large = io.BytesIO(PDF + b"0" * LARGEST)
    with pytest.raises(InvalidData) as refusal:
        services.add_document(make_patient(), kind="other", title="x", file=large, actor=SYSTEM)
    assert refusal.value.errors["file"] == ["At most 20 MB."]


def test_the_same_exam_is_warned_of_and_the_last_similar_one_is_shown(client):
    patient = make_patient()
    make_catalogue("NOW", name="CT chest")
    make_catalogue("OLD", name="CT chest, high resolution")
    before = make_procedure(codes=["OLD"], patient=patient)
    long_ago = timezone.now() - timedelta(days=200)
    RequestedProcedure.objects.filter(pk=before.pk).update(status="final", created_at=long_ago, performed_at=long_ago)
    address = reverse("order_create", args=[patient.uuid])
    shown = client.post(address, {"code": "NOW"}).content.decode()
    assert "nothing similar in 90 days" in shown and "Last similar exam" in shown
    assert "CT chest, high resolution" in shown
    make_procedure(codes=["NOW"], patient=patient)
    again = client.post(address, {"code": "NOW"}).content.decode()
    assert "The same exam: CT chest" in again and "nothing similar" not in again


def test_the_day_it_is_wanted_by_goes_to_each_exam(client):
    patient = make_patient()
    exams = [make_catalogue(), make_catalogue()]
    body = {**TYPED, "code": [exam.code for exam in exams], "due_by": "2026-12-24", "place": "1"}
    assert client.post(reverse("order_create", args=[patient.uuid]), body).status_code == 302
    assert {str(row.due_by) for row in RequestedProcedure.objects.all()} == {"2026-12-24"}
