"""The demo's source tells a believable week without any network."""

from __future__ import annotations

from datetime import date

from interop.demo.sources import NAME, VISITS, ensure_source
from interop.models import Source, SourceRow, SourceRun
from interop.sources.selectors import row_counts
from orders import services as orders
from orders.models import CatalogueProcedure, Patient
from ris.core.actor import SYSTEM
from tests.factories.worklist import make_station


def test_the_demos_source_stands_as_after_a_week(alpha):
    make_station("MR1", "MR")
    CatalogueProcedure.objects.create(code="MRKNEEX", name="MR knee", modality="MR")
    patients = [
        orders.register_patient(
            family_name=f"Family{number}", given_name="A", birth_date=date(1980, 1, 1 + number), sex="F", actor=SYSTEM
        )
        for number in range(VISITS + 2)
    ]
    for _twice in range(2):
        ensure_source(patients)
    source = Source.objects.get()
    assert source.name == NAME and not source.is_active and source.last_success_at is not None
    assert row_counts(source) == {"applied": VISITS - 1, "rejected": 2, "cancelled": 1}
    reasons = [set(row.reasons) for row in SourceRow.objects.filter(state="rejected")]
    assert {"birth_date"} in reasons and {"station"} in reasons
    assert set(SourceRun.objects.values_list("state", flat=True)) == {"done", "failed"}
    assert Patient.objects.count() == len(patients), "its visits are of patients who are there"
