"""The catalogue: what the code says is found, kept, compiled and complete, without gettext's tools."""

from __future__ import annotations

import ast
import gettext
import io
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import dates, translation
from django.utils.translation.template import templatize

from orders.models import Order, RequestedProcedure
from ris.core import catalogue, field_names
from ris.core.catalogue import Entry, Message

CODE = """
a = _("Plain")
b = gettext_lazy("Joined " "up")
c = ngettext("%(n)d exam", "%(n)d exams", n)
d = pgettext("state", "Open")
e = translation.npgettext_lazy("state", "%d open", "%d open ones", n)
f = _(name)
g = unrelated("Not this")
"""
TEMPLATE = """
{% load i18n %}{# Translators: not this #}
<a title="{% trans "Go (on)" %}">{% trans "It's so" as w %}{% translate 'Open' context "state" %}</a>
{% blocktrans trimmed count n=number with who=person %}
  {{ n }} exam of {{ who }}, 100 %{% plural %}
  {{ n }} exams of {{ who }}, 100 %
{% endblocktrans %}{% sort_header _("Time left") %}{{ value|default:_("none") }} plain text, gettext("no")
"""


def folders() -> list[Path]:
    return [
        Path(settings.LOCALE_PATHS[0]) / language / "LC_MESSAGES"
        for language, _ in settings.LANGUAGES
        if language != "en"
    ]


def write(folder: Path, entries: list[Entry]) -> Path:
    folder = folder / "sw" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "django.po").write_text(catalogue.write_po(entries, "sw"))
    (folder / "django.mo").write_bytes(catalogue.compile_mo(entries, "sw"))
    return folder


@pytest.fixture
def house(tmp_path):
    """A product of one file and its whole catalogue."""
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "views.py").write_text(
        '_("Order")\nngettext("%(n)d exam", "%(n)d exams", n)\n_("{t} left ")'
    )
    entries = [
        Entry(Message("Order"), ("Oda",)),
        Entry(Message("%(n)d exam", "", "%(n)d exams"), ("kipimo %(n)d", "vipimo %(n)d")),
        Entry(Message("{t} left "), ("Zimebaki {t} ",)),
    ]
    return tmp_path, entries


def test_the_committed_catalogue_is_complete():
    out = io.StringIO()
    call_command("check_catalogue", stdout=out)
    assert out.getvalue() == "sw: complete.\n"


def test_literal_calls_are_found_in_code():
    assert sorted(catalogue.messages_of_tree(ast.parse(CODE))) == [
        Message("%(n)d exam", "", "%(n)d exams"),
        Message("%d open", "state", "%d open ones"),
        Message("Joined up"),
        Message("Open", "state"),
        Message("Plain"),
    ]


def test_an_f_string_is_refused():
    with pytest.raises(catalogue.NotACatalogue, match="line 2: an f-string"):
        list(catalogue.messages_of_tree(ast.parse('\n_(f"{count} exams")')))


def test_tags_blocks_and_arguments_are_found_in_templates():
    assert sorted(catalogue.messages_of_template(TEMPLATE, "page.html")) == [
        Message("%(n)s exam of %(who)s, 100 %%", "", "%(n)s exams of %(who)s, 100 %%"),
        Message("Go (on)"),
        Message("It's so"),
        Message("Open", "state"),
        Message("Time left"),
        Message("none"),
    ]


@pytest.mark.skipif(shutil.which("xgettext") is None, reason="needs xgettext: apt-get install gettext")
def test_xgettext_finds_the_same(tmp_path):
    """The same files through GNU's extractor, with Django's keywords."""
    (tmp_path / "code.py").write_text(CODE)
    (tmp_path / "page.py").write_text(templatize(TEMPLATE, origin="page.html"))
    keywords = ["gettext_noop", "gettext_lazy", "ngettext_lazy:1,2", "pgettext:1c,2", "npgettext:1c,2,3"]
    keywords += ["pgettext_lazy:1c,2", "npgettext_lazy:1c,2,3"]
    run = ["xgettext", "--language=Python", "--from-code=UTF-8", "--omit-header", "--output=-"]
    run += [f"--keyword={keyword}" for keyword in keywords]
    found = subprocess.run([*run, "code.py", "page.py"], cwd=tmp_path, capture_output=True, check=True, text=True)
    (tmp_path / "found.po").write_text(found.stdout)
    ours = {*catalogue.messages_of_tree(ast.parse(CODE)), *catalogue.messages_of_template(TEMPLATE, "page.html")}
    assert {entry.message for entry in catalogue.read_po(tmp_path / "found.po")} == ours


@pytest.mark.parametrize(
    "text", ["plain", 'a "quote"', "back\\slash", "two\nlines", "ends\n", "tab\there", "š – ↵", ""]
)
def test_every_text_survives_the_file(text):
    assert [catalogue.unquoted(line) for line in catalogue.quoted(text).splitlines()] in (
        [text],
        ["", *text.splitlines(True)],
    )


def test_a_file_is_read_as_it_was_written(tmp_path, house):
    entries = [
        *house[1],
        Entry(Message("Open", "state"), ("Wazi",)),
        Entry(Message("two\nlines"), ("",), is_fuzzy=True),
    ]
    (tmp_path / "a.po").write_text(catalogue.write_po(entries, "sw") + '\n#~ msgid "Gone"\n#~ msgstr "Kwisha"\n')
    assert sorted(catalogue.read_po(tmp_path / "a.po"), key=str) == sorted(entries, key=str)


def test_what_is_compiled_is_what_python_reads(house):
    entries = [*house[1], Entry(Message("Open", "state"), ("Wazi",)), Entry(Message("Later"), ("",))]
    entries.append(Entry(Message("Doubtful"), ("Shaka",), is_fuzzy=True))
    read = gettext.GNUTranslations(io.BytesIO(catalogue.compile_mo(entries, "sw")))
    assert read.gettext("Order") == "Oda"
    assert [read.ngettext("%(n)d exam", "%(n)d exams", n) for n in (1, 2)] == ["kipimo %(n)d", "vipimo %(n)d"]
    assert read.pgettext("state", "Open") == "Wazi"
    assert (read.gettext("Later"), read.gettext("Doubtful")) == ("Later", "Doubtful")
    assert read.info()["plural-forms"] == "nplurals=2; plural=(n != 1);"


def test_a_whole_catalogue_has_no_problem(tmp_path, house):
    root, entries = house
    assert list(catalogue.problems_in(root, write(tmp_path / "locale", entries))) == []


@pytest.mark.parametrize(
    ("place", "change", "problem"),
    [
        (0, {"forms": ("",)}, "is not translated"),
        (0, {"is_fuzzy": True}, "is fuzzy"),
        (1, {"forms": ("kipimo %(n)d", "")}, "is not translated"),
        (1, {"forms": ("kipimo %(n)d", "vipimo %(m)d")}, "other placeholders"),
        (2, {"forms": ("Zimebaki ",)}, "other placeholders"),
        (2, {"forms": ("Zimebaki <b>{t}</b> ",)}, "other placeholders"),
        (2, {"forms": ("Zimebaki {t}",)}, "begins or ends otherwise"),
        (0, {"message": Message("Ordre")}, "is missing"),
        (0, {"message": Message("Ordre")}, "is no longer used"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, house, place, change, problem):
    root, entries = house
    entries[place] = replace(entries[place], **change)
    assert any(problem in line for line in catalogue.problems_in(root, write(tmp_path / "locale", entries)))


def test_a_stale_mo_is_found(tmp_path, house):
    root, entries = house
    folder = write(tmp_path / "locale", entries)
    (folder / "django.mo").write_bytes(catalogue.compile_mo(entries[:1], "sw"))
    assert list(catalogue.problems_in(root, folder)) == ["sw: django.mo is not what django.po compiles to"]


def test_a_missing_language_is_found(tmp_path, house):
    assert list(catalogue.problems_in(house[0], tmp_path / "sw" / "LC_MESSAGES")) == ["sw: there is no django.po"]


def test_words_that_no_source_says_are_asked_for(tmp_path, house):
    problems = list(
        catalogue.problems_in(house[0], write(tmp_path / "locale", house[1]), {"accession number", "Order"})
    )
    assert problems == ["sw: 'accession number' is missing"]


def test_names_that_django_makes_for_fields_are_translated():
    name = RequestedProcedure._meta.get_field("images_complete_at")
    assert "images complete at" in field_names.words
    with translation.override("sw"):
        assert name.verbose_name == "picha zilikamilika"
    assert name.verbose_name == "images complete at"
    assert "verbose_name" not in name.deconstruct()[3]


def test_names_that_django_makes_for_models_are_translated():
    """Django's own plural of "Oda" would be "Odas"."""
    with translation.override("sw"):
        assert (Order._meta.verbose_name, Order._meta.verbose_name_plural) == ("oda", "oda")
    assert Order._meta.verbose_name_plural == "orders"


def test_merging_keeps_what_is_said_adds_what_is_new_and_drops_what_is_gone(house):
    merged = catalogue.merge([Message("Order"), Message("New")], house[1])
    assert merged == [Entry(Message("Order"), ("Oda",)), Entry(Message("New"), ("",))]


def test_make_catalogue_fills_the_files_and_check_catalogue_reads_them(monkeypatch, house, settings):
    root, _ = house
    settings.BASE_DIR, settings.LOCALE_PATHS = root, [root / "locale"]
    monkeypatch.setattr(field_names, "words", {"accession number"})
    out = io.StringIO()
    call_command("make_catalogue", stdout=out)
    assert out.getvalue() == "sw: 4 messages, 4 to translate.\n"
    with pytest.raises(CommandError, match="'Order' is not translated"):
        call_command("check_catalogue")


def test_a_message_has_one_plural(tmp_path, house):
    root, _ = house
    (root / "orders" / "more.py").write_text('ngettext("%(n)d exam", "%(n)d examinations", n)')
    with pytest.raises(catalogue.NotACatalogue, match="two plurals"):
        catalogue.messages_in(root)


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.parent.name)
def test_the_house_overrides_no_word_of_the_calendar(folder):
    """A message without a context also answers where Django asks the same word: "May" is a month there."""
    calendar = {str(word) for words in (dates.MONTHS, dates.WEEKDAYS) for word in words.values()}
    with translation.override("en"):
        ours = {
            entry.message.singular for entry in catalogue.read_po(folder / "django.po") if not entry.message.context
        }
        assert not ours & calendar


def test_django_speaks_swahili_with_our_words():
    with translation.override("sw"):
        assert translation.gettext("Patient") == "Mgonjwa"
        assert translation.ngettext("{n} year", "{n} years", 3) == "miaka {n}"
        assert translation.pgettext("state", "Left") == "Ameondoka"
        assert translation.gettext("Left") == "Kushoto"
