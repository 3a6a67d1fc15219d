"""Money over REST and in the administration: the same services, the same refusals."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone

from orders import services
from orders.models import Charge, Coverage, Invoice, PayerScheme, Payment, PriceItem
from ris.tenants.context import use_facility
from tests.factories.billing import charged_exam, invoiced_exam, make_price, make_scheme
from tests.factories.orders import SYSTEM, make_catalogue, make_patient, make_procedure, make_user

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


@pytest.fixture
def enter(api):
    def as_role(*roles: str):
        api.force_authenticate(make_user(*roles))
        return api

    return as_role


def post(client, path, body=None, expect=200, **headers):
    answer = client.post(f"{V1}/{path}", body or {}, format="json", **headers)
    assert answer.status_code == expect, answer.content
    return answer.json()


def listed(client, path):
    answer = client.get(f"{V1}/{path}")
    assert answer.status_code == 200, answer.content
    return answer.json()["results"]


def test_an_administrator_sets_payers_and_prices(enter):
    admin = enter("it_admin")
    make_catalogue("CTC")
    body = {"code": "SHA", "name": "Social Health Authority", "kind": "insurance", "default_share": "80.00"}
    scheme = post(admin, "payer-schemes/", body, 201)
    changed = admin.patch(f"{V1}/payer-schemes/{scheme['id']}/", {"needs_preauthorisation": True}, format="json")
    assert changed.json()["needs_preauthorisation"] is True
    price = post(admin, "prices/", {"code": "P", "label": "CT", "amount": "9500.00", "exam": "CTC"}, 201)
    own = {"code": "P", "label": "CT", "amount": "8000.00", "exam": "CTC", "scheme": "SHA"}
    assert post(admin, "prices/", own, 201)["scheme"] == "SHA"
    assert (price["amount"], price["currency"], price["scheme"]) == ("9500.00", "KES", "")
    again = post(admin, "prices/", {"code": "P", "label": "CT", "amount": "1", "exam": "CTC"}, 409)
    assert "valid_from" in again["errors"]
    post(admin, "prices/", {"code": "P", "label": "CT", "amount": "1", "exam": "NONE"}, 404)
    assert post(admin, f"prices/{price['id']}/end/")["valid_to"] == str(timezone.localdate())
    clerk = enter("clerk")
    assert len(listed(clerk, f"prices/?code=P&on={timezone.localdate()}")) == 2
    assert len(listed(clerk, f"prices/?code=P&on={timezone.localdate() + timedelta(days=1)}")) == 1
    post(clerk, "prices/", own, 403)


def test_from_coverage_to_receipt_over_rest(enter):
    clerk = enter("clerk")
    scheme, patient = make_scheme(code="SHA", needs_preauthorisation=True), make_patient()
    body = {"patient": str(patient.uuid), "scheme": "SHA", "member_number": "M1", "share": "80.00"}
    coverage = post(clerk, "coverages/", body, 201)
    procedure = charged_exam(9500, confirmed=False, patient=patient)
    address = f"pre-authorisations/warnings/?procedure={procedure.uuid}"
    assert [row["problem"] for row in listed(clerk, address)] == ["missing"]
    body = {"procedure": str(procedure.uuid), "coverage": coverage["id"], "number": "PA-7", "amount": "7000.00"}
    assert post(clerk, "pre-authorisations/", body, 201)["status"] == "approved"
    assert listed(clerk, address) == []
    codes = {"procedure": str(procedure.uuid), "system": "ICD-10", "codes": [{"code": "I26.9"}]}
    assert [row["code"] for row in post(clerk, "billing-codes/", codes)["results"]] == ["I26.9"]
    charge = listed(clerk, f"charges/?procedure={procedure.uuid}")[0]
    assert (charge["quantity"], charge["unit_price"], charge["amount"]) == ("1.00", "9500.00", "9500.00")
    post(clerk, f"charges/{charge['id']}/confirm/")
    key = {"HTTP_IDEMPOTENCY_KEY": str(uuid4())}
    issued = post(clerk, "invoices/", {"order": str(procedure.order.uuid)}, 201, **key)["results"]
    assert post(clerk, "invoices/", {"order": str(procedure.order.uuid)}, 201, **key)["results"] == issued
    assert [(row["scheme"], row["total"]) for row in issued] == [("SHA", "7000.00"), ("", "2500.00")]
    post(clerk, "invoices/", {"order": str(procedure.order.uuid)}, 409)
    own = issued[1]
    pay = {"allocations": [{"invoice": own["id"], "amount": "2500.00"}], "method": "mobile", "reference": "qk1"}
    payment = post(clerk, "payments/", pay, 201)
    assert (payment["reference"], payment["allocations"][0]["number"]) == ("QK1", own["number"])
    assert clerk.get(f"{V1}/invoices/{own['id']}/").json()["status"] == "balanced"
    refused = post(clerk, "payments/", {**pay, "reference": "QK2"}, 400)
    assert "only KES 0.00 is due" in str(refused["errors"]["amount"])
    for address in (f"invoices/{own['id']}/paper/", f"payments/{payment['id']}/receipt/"):
        assert clerk.get(f"{V1}/{address}").content.startswith(b"%PDF-")
    note = post(clerk, f"invoices/{own['id']}/credit/", {"reason": "Wrong", "is_rebilled": True}, 201)
    assert (note["kind"], note["corrects"]) == ("credit_note", own["id"])
    back = {"amount": "2500.00", "method": "cash", "reason": "Wrong"}
    assert post(clerk, f"invoices/{own['id']}/refund/", back, 201)["kind"] == "refund"
    assert Charge.objects.get().status == "billable" and scheme.invoices.count() == 1


def test_a_charge_by_hand_over_rest(enter):
    clerk = enter("clerk")
    make_price("CD", 300, kind="other")
    procedure = make_procedure(status="performed")
    body = {"procedure": str(procedure.uuid), "code": "CD", "quantity": "2"}
    assert post(clerk, "charges/", body, 201)["amount"] == "600.00"
    post(clerk, "charges/", body, 409)
    post(clerk, "charges/", {**body, "procedure": str(uuid4())}, 404)


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_what_was_issued_is_not_changed_over_rest(enter, method):
    invoice, client = invoiced_exam(), enter("clerk")
    answer = getattr(client, method)(f"{V1}/invoices/{invoice.uuid}/", {"total": "1"}, format="json")
    assert answer.status_code == 405


def test_another_facilitys_money_is_unknown(enter, beta):
    clerk = enter("clerk")
    with use_facility(beta):
        invoice = invoiced_exam()
        payment = services.record_payment(allocations=[(invoice, 1)], method="cash", actor=SYSTEM)
    for path in (f"invoices/{invoice.uuid}/", f"invoices/{invoice.uuid}/paper/", f"payments/{payment.uuid}/"):
        assert clerk.get(f"{V1}/{path}").status_code == 404
    pay = {"allocations": [{"invoice": str(invoice.uuid), "amount": "1.00"}], "method": "cash"}
    post(clerk, "payments/", pay, 404)
    post(clerk, "invoices/", {"order": str(invoice.order.uuid)}, 404)
    assert listed(clerk, "invoices/") == [] and listed(clerk, "payments/") == []


def test_money_of_restricted_patients_is_not_listed(enter):
    clerk, invoice = enter("clerk"), invoiced_exam()
    services.record_payment(allocations=[(invoice, 1)], method="cash", actor=SYSTEM)
    services.set_restricted(invoice.order.patient, is_restricted=True, reason="Staff", actor=SYSTEM)
    assert listed(clerk, "invoices/") == listed(clerk, "payments/") == listed(clerk, "charges/") == []


def test_revenue_over_rest_holds_no_patient(enter):
    invoice = invoiced_exam(500)
    found = enter("qa_lead").get(f"{V1}/revenue/?group=payer&months=3")
    body = found.json()
    assert (len(body["months"]), body["totals"][-1], body["series"][0]["amounts"][-1]) == (3, "500.00", "500.00")
    assert invoice.order.patient.family_name not in str(body)
    assert enter("clerk").get(f"{V1}/revenue/").status_code == 403


PATHS = ("payer-schemes/", "prices/", "coverages/", "pre-authorisations/", "billing-codes/", "invoices/", "payments/")


def test_a_list_costs_a_fixed_number_of_queries(enter, django_assert_max_num_queries):
    clerk = enter("clerk")

    def work():
        patient, scheme = make_patient(), make_scheme()
        coverage = services.add_coverage(patient, scheme=scheme, member_number="1", share=50, actor=SYSTEM)
        procedure = charged_exam(100, 200, patient=patient)
        services.record_authorisation(procedure, coverage=coverage, number="1", actor=SYSTEM)
        services.set_codes(procedure, system="ICD-10", codes=[{"code": "I26.9"}], actor=SYSTEM)
        invoices = services.issue_invoices(procedure.order, actor=SYSTEM)
        services.record_payment(allocations=[(row, 10) for row in invoices], method="cash", actor=SYSTEM)

    for _more in range(4):
        work()
    for path in PATHS:
        listed(clerk, path)
        with django_assert_max_num_queries(12):
            assert len(listed(clerk, path)) >= 4, path


# --- the administration


@pytest.fixture
def admin(tclient):
    def sign_in(*roles: str):
        tclient.force_login(make_user(*roles), backend="ris.accounts.backends.PasswordBackend")
        return tclient

    return sign_in


def test_the_administration_sets_prices_and_ends_them(admin):
    client, row = admin("it_admin"), make_catalogue("CTC")
    data = {"code": "SHA", "name": "SHA", "kind": "insurance", "default_share": "80", "terms_days": "30"}
    assert client.post(reverse("admin:orders_payerscheme_add"), {**data, "is_active": "on"}).status_code == 302
    price = {
        "code": "P",
        "label": "CT",
        "kind": "exam",
        "catalogue": row.pk,
        "amount": "100",
        "valid_from": "1 Jan 2026",
    }
    add = reverse("admin:orders_priceitem_add")
    assert client.post(add, price).status_code == 302
    assert client.post(add, {**price, "amount": "120", "valid_from": "1 Feb 2026"}).status_code == 302
    assert [str(p.valid_to) for p in PriceItem.objects.order_by("pk")] == ["2026-01-31", "None"]
    refused = client.post(add, {**price, "amount": "90"})
    assert refused.status_code == 409 and PriceItem.objects.count() == 2
    assert PayerScheme.objects.get().history.count() == 1


def test_a_clerk_records_coverage_and_credits_in_the_administration(admin):
    client, scheme, patient = admin("clerk"), make_scheme(), make_patient()
    data = {"patient": patient.pk, "scheme": scheme.pk, "member_number": "1", "share": "80", "rank": "1"}
    assert client.post(reverse("admin:orders_coverage_add"), data).status_code == 302
    assert Coverage.objects.get().share == Decimal(80)
    invoice = invoiced_exam()
    for model in ("invoice", "payment", "charge", "billingcode", "preauthorisation", "coverage"):
        assert client.get(reverse(f"admin:orders_{model}_changelist")).status_code == 200
    assert client.get(reverse("admin:orders_invoice_change", args=[invoice.pk])).status_code == 200
    assert client.post(reverse("admin:orders_invoice_change", args=[invoice.pk]), {"total": 1}).status_code == 403
    assert client.get(reverse("admin:orders_invoice_delete", args=[invoice.pk])).status_code == 403
    assert Invoice.objects.get().total == 100 and not Payment.objects.exists()
