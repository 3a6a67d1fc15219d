"""The demo's money: payers, what they cover, invoices in every state, and sums that are right."""

from __future__ import annotations

import pytest
from django.db.models import Sum

from interop.demo.seed import seed_house, seed_work
from orders.models import BillingCode, Charge, Coverage, Invoice, InvoiceLine, PayerScheme, Payment, PriceItem

pytestmark = pytest.mark.django_db


def test_a_seeded_facility_has_payers_invoices_and_payments_that_add_up(alpha, monkeypatch):
    monkeypatch.setenv("RIS_DEMO_PASSWORD", "seeded-Pass-4711")
    stage = seed_house(prefix="T-", letterhead="Test Hospital")
    seed_work(stage, patients=8, exams=36)
    assert {"insurance", "employer", "waiver"} == set(PayerScheme.objects.values_list("kind", flat=True))
    assert Coverage.objects.exists() and PriceItem.objects.filter(scheme__code="NHC").exists()
    assert Payment.objects.exists() and BillingCode.objects.exists()
    assert {"planned", "billable", "billed", "aborted"} >= set(Charge.objects.values_list("status", flat=True))
    billed = Charge.objects.filter(status="billed").aggregate(sum=Sum("amount"))["sum"]
    sums = dict(InvoiceLine.objects.values_list("invoice__kind").annotate(Sum("amount")))
    partly = Charge.objects.filter(status="billable", lines__isnull=False).distinct()
    open_again = sum(row.amount for row in partly)
    assert sums["invoice"] == billed + open_again
    numbers = list(Invoice.objects.filter(kind="invoice").order_by("pk").values_list("sequence", flat=True))
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 3
