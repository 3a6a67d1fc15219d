"""The catalogue as a table: complete, repeatable, all or nothing."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command

from orders.models import CatalogueProcedure
from orders.services.catalogue import export_catalogue, import_catalogue, load_starter_catalogue
from ris.core.errors import InvalidData, NotPermitted
from tests.factories.orders import SYSTEM, make_actor

pytestmark = pytest.mark.django_db


def test_the_starter_catalogue_is_complete_and_may_be_loaded_again(alpha):
    first = load_starter_catalogue(actor=SYSTEM)
    assert first.created >= 150
    again = load_starter_catalogue(actor=SYSTEM)
    assert (again.created, again.changed, again.unchanged) == (0, 0, first.created)
    for row in CatalogueProcedure.objects.prefetch_related("preparations"):
        assert row.name and row.name_sw and row.body_region and row.duration_minutes
        assert {text.language for text in row.preparations.all()} == {"en", "sw"}
    hand, chest = CatalogueProcedure.objects.get(code="XRHAND"), CatalogueProcedure.objects.get(code="CTCHESTC")
    assert hand.has_laterality and not chest.has_laterality and chest.uses_contrast


def test_what_is_exported_is_what_is_imported(alpha):
    load_starter_catalogue(actor=SYSTEM)
    text = export_catalogue(actor=SYSTEM)
    result = import_catalogue(io.StringIO(text), actor=SYSTEM)
    assert result.unchanged == result.total
    changed = import_catalogue(io.StringIO(text.replace("CT chest with contrast", "CT thorax")), actor=SYSTEM)
    assert changed.changed == 1
    assert CatalogueProcedure.objects.get(code="CTCHESTC").history.count() == 2


@pytest.mark.parametrize(
    "table",
    [
        "code,name\nA,B\n",
        "code,name,modality\nA,B,XX\n",
        "code,name,modality\nA,B,CT\nA,C,CT\n",
        "code,name,modality,duration_minutes\nA,B,CT,long\n",
        "code,name,modality,has_laterality\nA,B,CT,maybe\n",
        "code,name,modality,loinc\nA,B,CT,1-1\nC,D,CT,1-1\n",
        "code,name,modality\nA,B\\C,CT\n",
        "",
    ],
)
def test_a_wrong_table_loads_nothing(alpha, table):
    with pytest.raises(InvalidData) as refusal:
        import_catalogue(io.StringIO(table), actor=SYSTEM)
    assert refusal.value.errors
    assert not CatalogueProcedure.objects.exists()


def test_only_who_manages_the_catalogue_loads_it(alpha):
    with pytest.raises(NotPermitted):
        load_starter_catalogue(actor=make_actor("clerk"))


def test_the_command_answers_json(alpha, tmp_path):
    table = tmp_path / "catalogue.csv"
    table.write_text("code,name,modality\nCTX,CT of x,CT\n")
    answer = json.loads(call_command("load_catalogue", str(table), facility="alpha", stdout=io.StringIO()))
    assert answer == {"created": 1, "changed": 0, "unchanged": 0}
