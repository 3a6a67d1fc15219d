"""Exports hold no cell that a spreadsheet would run: one writer for all of them, and names that try."""

from __future__ import annotations

import ast
import csv
import io
from pathlib import Path

from orders.models import Patient
from orders.services import export_catalogue, import_catalogue
from ris.core.actor import SYSTEM
from ris.core.permissions import CLERK
from ris.core.spreadsheet import FORMULA_STARTS, meant, safe
from tests.factories.accounts import user_with_roles
from tests.factories.orders import make_catalogue, make_patient

ROOT = Path(__file__).resolve().parents[2]
#: the catalogue's table goes out, is filled in and comes back: it writes itself, and disarms
WRITERS = {"ris/core/api_csv.py", "ris/core/spreadsheet.py", "orders/services/catalogue.py"}
EVIL = ("=HYPERLINK('http://evil.test')", "+1+1", "-2+3", "@SUM(A1)", "\t=1+1", "  =1", "＝1+1", "a\r\n=1+1")


def test_only_the_writers_that_disarm_cells_write_csv():
    found = set()
    for folder in ("ris", "orders", "worklist", "reporting", "dose", "peerreview", "interop"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                is_writer = isinstance(node, ast.Attribute) and node.attr in ("writer", "DictWriter")
                if is_writer and isinstance(node.value, ast.Name) and node.value.id == "csv":
                    found.add(str(path.relative_to(ROOT)))
    assert found == WRITERS


def test_a_list_by_rest_disarms_what_came_from_outside(alpha, api):
    for place, words in enumerate(EVIL):
        Patient.objects.filter(pk=make_patient().pk).update(given_name=words, family_name=f"Evil{place}")
    api.force_authenticate(user_with_roles(CLERK))
    answer = api.get("/api/v1/patients/?format=csv")
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    lines = list(csv.reader(io.StringIO(text, newline="")))
    assert len(lines) == len(EVIL) + 1
    cells = [cell for line in lines for cell in line]
    assert not [cell for cell in cells if cell.lstrip(" ").startswith(FORMULA_STARTS)]
    for words in EVIL:
        assert words in cells or f"'{words}" in cells, "disarmed, not lost"


def test_the_catalogue_comes_back_as_it_went_and_runs_nothing(alpha):
    row = make_catalogue("CT1", name="=1+1 CT")
    text = export_catalogue(actor=SYSTEM)
    cells = [cell for line in csv.reader(io.StringIO(text)) for cell in line]
    assert "'=1+1 CT" in cells and not [cell for cell in cells if cell.startswith(FORMULA_STARTS)]
    done = import_catalogue(io.StringIO(text), actor=SYSTEM)
    row.refresh_from_db()
    assert (done.created, done.changed, row.name) == (0, 0, "=1+1 CT")
    assert [meant(safe(words)) for words in EVIL] == list(EVIL) and meant("'tis") == "'tis"
