"""docs/hl7.md says what the code does."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from interop.hl7 import maps, processor
from interop.hl7.documentation import MARKED, TABLES, renewed

PAGE = Path(settings.BASE_DIR) / "docs" / "hl7.md"
WANTED = (
    "ADT^A01 ADT^A02 ADT^A03 ADT^A04 ADT^A05 ADT^A08 ADT^A11 ADT^A12 ADT^A13 ADT^A18 ADT^A23 ADT^A28 ADT^A31 ADT^A34 "
    "ADT^A40 ADT^A47 ORM^O01 OMG^O19 OMI^O23 SIU^S12 SIU^S13 SIU^S14 SIU^S15 SIU^S16 SIU^S17 SIU^S26 ORU^R01 MDM^T02"
)


def test_the_generated_tables_are_the_codes():
    page = PAGE.read_text()
    assert set(MARKED.findall(page)) == set(TABLES)
    assert renewed(page) == page, "make docs"


def test_every_type_is_taken_and_told_once():
    assert set(processor.known_types()) == set(WANTED.split())
    told = [name for names, _does in processor.told_types() for name in names]
    assert sorted(told) == processor.known_types() and all(does for _names, does in processor.told_types())


def test_every_action_has_words_and_every_table_of_a_field_is_there():
    assert set(maps.ORDER_ACTIONS.values()) <= set(maps.ACTION_WORDS) and set(maps.REPLIES) <= set(maps.ACTION_WORDS)
    assert all(known.table in ("", *maps.VALUES) for known in maps.FIELDS.values())
