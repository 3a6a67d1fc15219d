"""A peer's row over a real association: what it hides is hidden, how it spells is spelled, also when it changes."""

from __future__ import annotations

import pytest

from interop.dicom import doorkeeper
from interop.dicom.emulator import worklist_keys
from interop.models import DicomPeer
from ris.core.actor import Actor
from ris.tenants.context import use_facility

from .conftest import make_station, schedule


def seen(scp, **row: object) -> list[str]:
    """The stations that CT1 is told of, under this row."""
    peer = DicomPeer.objects.get(ae_title="CT1")
    for name, value in row.items():
        setattr(peer, name, value)
    peer.save_as(Actor("test"), "Changed")
    status, items = scp.scanner().find(worklist_keys("", "", ""))
    assert status == 0
    return sorted(str(item.ScheduledProcedureStepSequence[0].ScheduledStationAETitle) for item in items)


def test_the_row_decides_what_is_answered_and_a_change_counts_at_the_next_look(scp, monkeypatch):
    monkeypatch.setattr(doorkeeper, "REMEMBERED_SECONDS", 0.0)
    schedule("CT1")
    schedule("CT2", hour=1, family_name="Otieno", is_restricted=True)
    assert seen(scp) == ["CT1", "CT2"]
    assert seen(scp, shown_stations=["CT2"]) == ["CT2"]
    assert seen(scp, shown_stations=[], hides_restricted=True) == ["CT1"]
    assert seen(scp, hides_restricted=False, hidden_statuses=["SCHEDULED"]) == []
    assert seen(scp, hidden_statuses=[], days_back=0, days_ahead=3) == ["CT1", "CT2"]
    assert seen(scp, max_results=1) == ["CT1"]
    assert seen(scp, max_results=9, shown_modalities=["MR"]) == []


@pytest.mark.parametrize(
    ("row", "expected", "terms"),
    [
        ({"name_in_capitals": True}, "ŁUKASZ^ZOË", "ISO_IR 192"),
        ({"character_set": "ISO_IR 101"}, "Łukasz^Zoë", "ISO_IR 101"),
        ({"character_set": "ISO_IR 100"}, "Lukasz^Zoë", "ISO_IR 100"),
        ({"character_set": "ISO_IR 6", "name_in_capitals": True}, "LUKASZ^ZOE", None),
        ({"character_set": "\\ISO 2022 IR 87"}, "Lukasz^Zoe=山田^太郎", ["", "ISO 2022 IR 87"]),
        ({"name_groups": "ideographic"}, "山田^太郎", "ISO_IR 192"),
        ({"name_groups": "alphabetic"}, "Łukasz^Zoë", "ISO_IR 192"),
    ],
)
def test_names_are_told_as_the_row_says(scp, row, expected, terms):
    ideographic = "山田^太郎" if "=" in expected or "groups" in str(row) else ""
    schedule("CT1", family_name="Łukasz", given_name="Zoë", ideographic_name=ideographic)
    DicomPeer.objects.filter(ae_title="CT1").update(**row)
    [item] = scp.scanner().query_worklist()
    assert str(item.PatientName) == expected
    told = item.get("SpecificCharacterSet")
    if terms is not None:
        assert (list(told) if isinstance(terms, list) else told) == terms


def test_a_row_of_another_facility_changes_nothing(scp, beta):
    schedule("CT1")
    with use_facility(beta):
        make_station("CT1")
        DicomPeer.objects.create(ae_title="CT1", may_query_worklist=False, shown_stations=["MR9"])
    assert len(scp.scanner().query_worklist()) == 1
