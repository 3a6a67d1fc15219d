"""The catalogue as a table: complete, repeatable, all or nothing."""

from __future__ import annotations

import io
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.urls import reverse

from orders.models import CatalogueProcedure, PriceItem, ProcedureCode
from orders.services.catalogue import export_catalogue, import_catalogue, load_starter_catalogue, preview_catalogue
from ris.core.errors import InvalidData, NotPermitted
from tests.factories.orders import SYSTEM, make_actor, make_catalogue, make_user

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


def is_loinc(code: str) -> bool:
    """The last digit is a check digit (mod 10, every other digit doubled from the right)."""
    number, __, check = code.partition("-")
    if not (number.isdigit() and check.isdigit()):
        return False
    odd = str(int(number[::-1][::2][::-1]) * 2)
    total = sum(map(int, odd)) + sum(map(int, number[::-1][1::2]))
    return (10 - total % 10) % 10 == int(check)


def test_every_starter_row_has_a_valid_code_a_duration_and_a_preparation(alpha):
    load_starter_catalogue(actor=SYSTEM)
    rows = list(CatalogueProcedure.objects.prefetch_related("preparations"))
    assert len(rows) >= 150 and len({row.code for row in rows}) == len(rows)
    for row in rows:
        assert 1 <= len(row.code) <= 16 and row.code.isascii() and row.code.isalnum(), row.code
        assert row.code == row.code.upper() and 5 <= row.duration_minutes <= 600, row.code
        assert all(len(text.text) > 20 for text in row.preparations.all()), row.code
    assert all(row.needs_protocol == (row.modality in ("CT", "MR", "NM", "PT", "XA")) for row in rows)
    loinc = list(ProcedureCode.objects.filter(scheme="LN").values_list("value", flat=True))
    assert loinc and all(is_loinc(code) for code in loinc), loinc
    assert is_loinc("36643-5") and not is_loinc("36643-6")


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


TABLE = """code,name,modality,duration_minutes,loinc,radlex,charge_codes
OLD,CT of old,CT,25,36643-5,RPID16,P1
NEW,CT of new,CT,10,,,
"""


def test_a_preview_says_each_change_and_writes_nothing(alpha):
    make_catalogue("OLD", name="CT of old", duration_minutes=20, body_region="")
    PriceItem(code="P1", label="CT", amount=100).save_as(SYSTEM, "test")
    old, new = preview_catalogue(io.StringIO(TABLE), actor=make_actor("it_admin"))
    assert (old.kind, new.kind, new.changes) == ("changed", "new", [])
    assert old.changes == [
        ("duration_minutes", "20", "25"),
        ("loinc", "", "36643-5"),
        ("radlex", "", "RPID16"),
        ("charge_codes", "", "P1"),
    ]
    assert CatalogueProcedure.objects.count() == 1 and not ProcedureCode.objects.exists()
    import_catalogue(io.StringIO(TABLE), actor=SYSTEM)
    assert PriceItem.objects.get().catalogue.code == "OLD"
    assert set(ProcedureCode.objects.values_list("scheme", "value")) == {("LN", "36643-5"), ("RADLEX", "RPID16")}
    assert "RPID16" in export_catalogue(actor=SYSTEM)
    assert [line.kind for line in preview_catalogue(io.StringIO(TABLE), actor=SYSTEM)] == ["unchanged"] * 2


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("A,B,CT,20,1-1,,", ""),
        ("A,B,CT,20,36643-5,,", "loinc"),
        ("A,B,CT,20,,,P9", "charge_codes"),
        ("A,,CT,20,,,", "name"),
        ("A,B,CT,0,,,", "duration_minutes"),
        ("A,B,CT,20,,,,more", "code"),
    ],
)
def test_a_preview_names_the_column_that_is_wrong(alpha, line, column):
    ProcedureCode.objects.create(procedure=make_catalogue("OTHER"), scheme="LN", value="36643-5")
    found = preview_catalogue(io.StringIO(TABLE.splitlines()[0] + "\n" + line + "\n"), actor=SYSTEM)
    assert list(found[0].errors) == ([column] if column else [])


@pytest.fixture
def manager(tclient):
    tclient.force_login(make_user("it_admin"), backend="ris.accounts.backends.PasswordBackend")
    return tclient


def table_file(text: str) -> SimpleUploadedFile:
    return SimpleUploadedFile("catalogue.csv", text.encode("utf-8-sig"), content_type="text/csv")


def test_who_manages_the_catalogue_looks_at_a_table_before_loading_it(manager):
    make_catalogue("OLD", name="CT of old", duration_minutes=20)
    PriceItem(code="P1", label="CT", amount=100).save_as(SYSTEM, "test")
    address = reverse("catalogue_import")
    shown = manager.post(address, {"file": table_file(TABLE)})
    page = shown.content.decode()
    assert shown.status_code == 200 and "Load: 1 new, 1 changed" in page and "<del>20</del>" in page
    assert CatalogueProcedure.objects.count() == 1
    assert manager.post(address, {"table": TABLE.replace("\n", "\r\n"), "load": "1"}).status_code == 302
    assert CatalogueProcedure.objects.count() == 2
    kept = manager.get(reverse("catalogue_export"))
    assert kept["Content-Disposition"].startswith('attachment; filename="catalogue-') and b"CT of new" in kept.content
    listed = manager.get(reverse("catalogue_list") + "?words=of new").content.decode()
    assert "CT of new" in listed and "CT of old" not in listed


def test_a_wrong_table_is_refused_on_its_page_line_by_line(manager):
    address = reverse("catalogue_import")
    wrong = manager.post(address, {"file": table_file("code,name,modality\nA,B,XX\nC,D,CT\n")})
    assert wrong.status_code == 422 and "1 line is wrong" in wrong.content.decode()
    assert "Load:" not in wrong.content.decode()
    assert manager.post(address, {"file": table_file("no,such\n1,2\n")}).status_code == 422
    assert manager.post(address, {}).status_code == 422
    latin = SimpleUploadedFile("c.csv", "code,name,modality\nA,É,CT\n".encode("latin-1"))
    assert "not UTF-8" in manager.post(address, {"file": latin}).content.decode()
    assert not CatalogueProcedure.objects.exists()


def test_others_see_the_catalogue_and_do_not_load_it(tclient, alpha):
    tclient.force_login(make_user("clerk"), backend="ris.accounts.backends.PasswordBackend")
    assert tclient.get(reverse("catalogue_list")).status_code == 200
    assert tclient.get(reverse("catalogue_import")).status_code == 403


def test_the_table_over_rest(api, alpha):
    api.force_authenticate(make_user("it_admin"))
    lines = api.post("/api/v1/catalogue/preview/", {"csv": "code,name,modality\nA,B,XX\n"}, format="json").json()
    assert [line["kind"] for line in lines["results"]] == ["wrong"] and "modality" in lines["results"][0]["errors"]
    loaded = api.post("/api/v1/catalogue/load/", {"csv": "code,name,modality\nA,B,CT\n"}, format="json").json()
    assert loaded == {"created": 1, "changed": 0, "unchanged": 0}
    api.force_authenticate(make_user("clerk"))
    assert api.post("/api/v1/catalogue/preview/", {"csv": ""}, format="json").status_code == 403
    assert "A,B,," in api.get("/api/v1/catalogue/table/").json()["csv"]
