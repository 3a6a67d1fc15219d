"""Size-specific dose: computed where a size is known and the device sends none, of the trunk, said to be computed."""

from __future__ import annotations

import pytest
from django.utils import timezone

from dose import ssde
from dose.event_rows import columns_of
from dose.models import IrradiationEvent
from ris.core.permissions import PHYSICIST
from tests.dose.test_services import imported, of
from tests.factories.accounts import user_with_roles
from tests.factories.dose import HEAD, ct_event, num, whole_ct_event
from tests.factories.worklist import ct_procedure

BODY_PHANTOM, HEAD_PHANTOM = "113691", "113690"


def acquired(**fields):
    values = {"ctdi_vol": 10.0, "ctdi_phantom": BODY_PHANTOM, "target_region": "Chest", "event_type": "Spiral"}
    return IrradiationEvent(**values | fields)


@pytest.mark.parametrize(
    ("phantom", "centimetres", "expected"),
    [
        (BODY_PHANTOM, 8, 2.76), (BODY_PHANTOM, 20, 1.78), (BODY_PHANTOM, 30, 1.23), (BODY_PHANTOM, 45, 0.71),
        (HEAD_PHANTOM, 8, 1.38), (HEAD_PHANTOM, 16, 1.01), (HEAD_PHANTOM, 30, 0.59),
        (BODY_PHANTOM, 7.9, None), (BODY_PHANTOM, 45.1, None), ("", 20, None),
    ],
)  # fmt: skip
def test_the_factor_falls_with_the_diameter_within_what_it_was_made_of(phantom, centimetres, expected):
    found = ssde.factor(phantom, 10 * centimetres)
    assert found == (None if expected is None else pytest.approx(expected, abs=0.005))


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"water_equivalent_diameter": 280.0}, ssde.WATER),
        ({"more": {"effective_diameter": [280, "mm"]}}, ssde.EFFECTIVE),
        ({"more": {"lateral_dimension": [350, "mm"], "ap_dimension": [224, "mm"]}}, ssde.BOTH_SIDES),
        ({"water_equivalent_diameter": 280.0, "target_region": "", "protocol": ""}, ssde.WATER),
        ({}, None),
        ({"more": {"lateral_dimension": [350, "mm"]}}, None),
        ({"water_equivalent_diameter": 280.0, "ssde": 9.0}, None),
        ({"water_equivalent_diameter": 280.0, "ctdi_vol": None}, None),
        ({"water_equivalent_diameter": 280.0, "event_type": "Constant Angle Acquisition"}, None),
        ({"water_equivalent_diameter": 160.0, "target_region": "Head"}, None),
        ({"water_equivalent_diameter": 160.0, "target_region": "", "protocol": "Neck routine"}, None),
        ({"water_equivalent_diameter": 160.0, "target_region": "", "ctdi_phantom": HEAD_PHANTOM}, None),
        ({"water_equivalent_diameter": 160.0, "ctdi_phantom": HEAD_PHANTOM}, ssde.WATER),
    ],
)
def test_it_is_computed_of_the_trunk_only_and_never_instead_of_the_devices_own(fields, kind):
    event = acquired(**fields)
    found = ssde.estimate_of(event)
    assert (found.kind if found is not None else None) == kind
    if kind is not None and event.ctdi_phantom == BODY_PHANTOM:
        assert (found.value, found.diameter) == (pytest.approx(13.25, abs=0.01), pytest.approx(280))
    assert event.ssde_computed == (None if found is None else round(found.value, 3))


def test_columns_are_those_that_an_event_fills():
    scout = IrradiationEvent(event_type="Constant Angle Acquisition", kvp=120.0)
    own, made = acquired(ssde=9.0), acquired(water_equivalent_diameter=280.0)
    heads, rows = columns_of([scout, own, made])
    assert heads == ["CTDIvol mGy", "SSDE mGy", "kV"]
    assert [cells[1].words for _event, cells in rows] == ["–", "9", "13.2"]
    assert rows[1][1][1].note == "" and "280 mm" in rows[2][1][1].note and "32 cm" in rows[2][1][1].note
    assert columns_of([]) == ([], [])


def test_the_page_rest_and_the_files_say_which_was_computed(alpha, tclient, api):
    sized, head = ct_event(500, 10), ct_event(300, 40, phantom=HEAD)
    sized.ContentSequence[-1].ContentSequence.append(num("113980", 28, "cm"))
    today = {"ContentDate": f"{timezone.localdate():%Y%m%d}", "ContentTime": "000100"}
    dataset = of(ct_procedure(), sized, head, **today, total=1120)
    dataset.ContentSequence.append(whole_ct_event())
    report = imported(dataset)
    user = user_with_roles(PHYSICIST)
    tclient.force_login(user, backend="ris.accounts.backends.PasswordBackend")
    page = tclient.get(f"/dose/reports/{report.uuid}/").content.decode()
    assert page.count('class="ds-computed"') == 1 and "13.2" in page and "AAPM reports 204" in page
    api.force_authenticate(user)
    events = api.get(f"/api/v1/dose-reports/{report.uuid}/").json()["events"]
    assert [event["ssde_computed"] for event in events] == [pytest.approx(13.25, abs=0.01), None, None]
    assert [event["ssde"] for event in events] == [None, None, 13.5]
    lines = tclient.get(f"/dose/reports/{report.uuid}/events.csv").content.decode("utf-8-sig").splitlines()
    place = lines[0].split(",").index("ssde_computed")
    assert [float(line.split(",")[place] or 0) for line in lines[1:]] == [pytest.approx(13.25, abs=0.01), 0, 0]
