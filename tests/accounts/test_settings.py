from django.db import connection
from django.test.utils import CaptureQueriesContext

from ris.accounts import selectors
from ris.accounts.memory import remembering
from ris.accounts.sequences import next_value
from ris.tenants.context import use_facility


def test_settings_are_asked_once_per_request_and_belong_to_their_facility(alpha, beta):
    selectors.facility_settings()
    with use_facility(beta):
        row = selectors.facility_settings()
        row.currency = "TZS"
        row.save()
    with remembering():
        with CaptureQueriesContext(connection) as asked:
            assert [selectors.facility_settings().currency for _number in range(3)] == ["KES"] * 3
        assert sum("facilitysettings" in query["sql"] for query in asked) == 1
        with use_facility(beta):
            assert selectors.facility_settings().currency == "TZS"
        changed = selectors.facility_settings()
        changed.currency = "UGX"
        changed.save()
        assert selectors.facility_settings().currency == "UGX"


def test_counters_count_per_facility(alpha, beta):
    assert [next_value("mrn"), next_value("mrn"), next_value("order")] == [1, 2, 1]
    with use_facility(beta):
        assert next_value("mrn") == 1
