"""The components of docs/ui.md: what each says, in words and not in colour alone."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

import pytest
from django.db import connection
from django.template import TemplateSyntaxError
from django.utils import timezone, translation

from ris.core import panels, text, vocabulary
from ris.core.errors import Conflict
from ris.core.styleguide import SampleForm, sheet
from tests.core.ui import draw, person, request, sprite


@pytest.mark.parametrize("code", list(vocabulary.STATUS))
def test_each_status_is_a_word_an_icon_and_a_tone(code):
    html = draw("{% status code %}", code=code)
    look = vocabulary.STATUS[code]
    assert f"chip t-{look.tone}" in html
    assert str(look.text) in html
    assert look.icon in sprite()
    assert f"icons.svg#{look.icon}" in html


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("IN PROGRESS", "In progress"),
        ("entered-in-error", "Entered in error"),
        ("CANCELED", "Cancelled"),
        ("noshow", "No show"),
        ("info_requested", "Information asked"),
        ("something_new", "Something new"),
        ("", "Unknown"),
    ],
)
def test_a_status_is_known_by_every_standard_that_spells_it(code, words):
    assert words in draw("{% status code %}", code=code)


def test_a_status_says_since_when_and_by_whom():
    moment = timezone.make_aware(dt.datetime(2026, 11, 19, 10, 42))
    step = SimpleNamespace(status="reading", status_changed_at=moment, status_changed_by="Dr J. Mutua")
    html = draw('{% status step "Reading: J. Mutua" %}', step=step)
    assert 'title="Reading · 19\xa0Nov\xa02026, 10:42 · Dr J. Mutua"' in html
    assert "Reading: J. Mutua" in html


def test_words_given_to_a_tag_are_escaped():
    html = draw(
        "{% status 'final' words %}{% chip 'red' 'flask' words %}{% flag 'red' 'flask' words %}", words="<b>x</b>"
    )
    assert "<b>" not in html
    html = draw(
        "{% alert 'red' words asked=words %}{{ words }}{% endalert %}{% empty words words %}{% endempty %}",
        words="<b>x",
    )
    assert "<b>x" not in html


@pytest.mark.parametrize(
    ("code", "css", "words"),
    [("STAT", "stat", "STAT"), ("urgent", "urgent", "URGENT"), ("asap", "urgent", "ASAP"), ("R", "routine", "Routine")],
)
def test_a_priority_is_known_by_its_code(code, css, words):
    html = draw("{% priority code %}", code=code)
    assert f'class="prio {css}"' in html
    assert words in html


def test_a_category_and_a_verdict_say_what_they_mean():
    html = draw("{% category 1 %}{% category '2' %}{% verdict 'review' %}{% verdict 'block' %}")
    assert all(words in html for words in ("Cat 1 · minutes", "Cat 2 · hours", "Needs review", "Blocked"))
    assert 'class="chip t-red crit"' in html


@pytest.mark.parametrize(
    ("left", "total", "state", "words"),
    [
        (100, 160, "ok", "1\xa0h\xa040 left"),
        (18, 60, "soon", "18\xa0min left"),
        (-12, 60, "over", "Over 12\xa0min"),
        (4320, 10080, "ok", "3\xa0d left"),
    ],
)
def test_time_left_in_words_with_a_bar(left, total, state, words):
    html = draw("{% sla left total %}", left=left, total=total)
    assert f'class="sla {state}"' in html
    assert words in html
    assert "<progress" in html


def test_no_limit_is_no_time_left():
    assert "progress" not in draw("{% sla None 60 %}")


def test_the_banner_shows_two_identifiers_and_the_alerts():
    patient = sheet()["patients"][0]
    html = draw("{% patient_banner patient %}", patient=patient)
    for words in ("OTIENO, Achieng Grace", "Female", "14\xa0Mar\xa01990", "ZRH-0048213", "Allergy: iodinated contrast"):
        assert words in html
    assert 'aria-label="Patient"' in html


def test_the_banner_of_somebody_unknown_says_so():
    patient = sheet()["patients"][1]
    html = draw("{% patient_banner patient %}", patient=patient)
    assert "<dd>Unknown</dd>" in html
    assert "about 40\xa0y" in html
    assert "Identity not confirmed" in html


def test_the_banner_of_a_merged_record_says_so():
    patient = SimpleNamespace(
        family_name="A", given_name="B", sex="M", birth_date=None, primary_identifier=None, merged_into=1
    )
    html = draw("{% patient_banner patient %}", patient=patient)
    assert "Merged into another record" in html
    assert "none yet" in html


def test_an_alert_has_the_three_sentences_and_its_buttons():
    html = draw(
        '{% alert "red" "That time is taken" asked="CT1 12:00" found="booked 09:41" todo="take another" live=True %}'
        '<div class="act"><button>CT1 12:20</button></div>{% endalert %}'
    )
    for words in (
        "You asked",
        "CT1 12:00",
        "We found",
        "booked 09:41",
        "What to do",
        "take another",
        "<button>CT1 12:20</button>",
    ):
        assert words in html
    assert 'role="alert"' in html


def test_a_refusal_is_drawn_from_the_error():
    html = draw("{% refusal error %}", error=Conflict("Taken.", asked="a", found="b", todo="c"))
    assert "<dt>You asked</dt><dd>a</dd>" in html
    assert "Taken." in html


def test_a_field_is_tied_to_its_help_and_its_error():
    form = SampleForm({"birth_date": "soon", "sex": "F"})
    html = draw("{% field form.birth_date cols=6 %}", form=form)
    assert 'aria-describedby="id_birth_date_help id_birth_date_error"' in html
    assert 'id="id_birth_date_help"' in html
    assert 'id="id_birth_date_error"' in html
    assert 'aria-invalid="true"' in html
    assert '<label for="id_birth_date">' in html
    assert html.count("aria-describedby") == 1


def test_choices_are_a_group_with_a_legend_and_a_chosen_one():
    form = SampleForm({"sex": "F"})
    html = draw("{% field form.sex seg=True %}", form=form)
    assert "<legend>Sex" in html
    assert html.count('type="radio"') == 4
    assert html.count("checked") == 1
    assert 'class="pi-seg"' in html


def test_the_summary_of_a_refused_form_leads_to_its_fields():
    html = draw("{% form_errors form %}", form=SampleForm({}))
    assert "3 things need you" in html
    assert 'href="#id_family_name"' in html
    assert 'href="#id_sex"' in html
    assert draw("{% form_errors form %}", form=SampleForm()) == ""


def test_lists_keep_their_state_in_the_address():
    asked = request("/reading/", modality="CT", page="3")
    html = draw('{% sort_header "due" "Time left" default="due" %}', asked)
    assert 'aria-sort="ascending"' in html
    assert 'href="?modality=CT&amp;sort=-due"' in html
    html = draw(
        '{% filter_menu "modality" "Modality" choices multiple=True %}', asked, choices=[("CT", "CT"), ("MR", "MR")]
    )
    assert "Modality <b>CT</b>" in html
    assert 'href="?modality=CT&amp;modality=MR"' in html
    assert 'aria-label="Remove filter: Modality"' in html


def test_a_seg_control_marks_what_is_chosen():
    html = draw('{% seg "view" choices %}', request("/", view="week"), choices=[("", "Day"), ("week", "Week")])
    assert '<a href="?view=week" aria-current="true">Week</a>' in html


def test_pages_say_which_rows_they_show():
    from django.core.paginator import Paginator

    html = draw("{% pagination page %}", page=Paginator(range(1200), 50).page(2))
    assert "51–100 of 1\u2009200" in html
    assert 'rel="next" href="?page=3"' in html
    html = draw("{% pagination page %}", page=SimpleNamespace(next="abc", previous=None))
    assert 'href="?cursor=abc"' in html


@pytest.mark.parametrize(
    ("value", "words"),
    [(1110, "1\u2009110"), (8.4, "8.4"), (-8, "\u22128"), (None, "–"), (1234567, "1\u2009234\u2009567")],
)
def test_numbers_have_thin_spaces(value, words):
    assert text.thousands(value) == words


@pytest.mark.parametrize(
    ("minutes", "words"), [(0, "0 min"), (59, "59 min"), (65, "1 h 05"), (660, "11 h"), (4320, "3 d"), (None, "–")]
)
def test_durations_have_one_unit_that_matters(minutes, words):
    assert text.duration(minutes).replace("\xa0", " ") == words


@pytest.mark.parametrize(
    ("born", "words"),
    [
        (dt.date(1990, 11, 20), "35 y"),
        (dt.date(1990, 11, 19), "36 y"),
        (dt.date(2025, 9, 1), "14 mo"),
        (dt.date(2026, 11, 7), "12 d"),
        (dt.date(2030, 1, 1), ""),
        (40, "40 y"),
    ],
)
def test_ages_count_days_then_months_then_years(born, words):
    assert text.age(born, dt.date(2026, 11, 19)).replace("\xa0", " ") == words


def test_names_are_family_in_capitals_first():
    assert (
        text.person_name(SimpleNamespace(family_name="García", given_name="Elena", middle_name="")) == "GARCÍA, Elena"
    )
    assert text.person_name(None) == "Unknown"


def test_times_are_absolute_and_relative():
    now = timezone.now()
    assert text.absolute_and_relative(now - dt.timedelta(days=170)).endswith("5 months")
    assert text.relative(dt.timedelta(minutes=18)) == "18\xa0min"
    assert "in " in text.absolute_and_relative(now + dt.timedelta(hours=3))
    assert draw("{% ago None %}") == "–"


def test_dates_follow_the_language():
    with translation.override("sw"):
        assert text.day(dt.date(2026, 8, 2)) == "2\xa0Ago\xa02026"
    assert text.day(dt.date(2026, 11, 19)) == "19\xa0Nov\xa02026"


def test_identifiers_can_be_masked():
    assert text.masked("ZRH-0048213") == "•••• 8213"


def test_every_component_stands_on_the_sheet(monkeypatch):
    from ris.core.web.views import styleguide

    connection.set_schema("ziwa")
    monkeypatch.setattr(panels, "_nav", {})
    monkeypatch.setattr(panels, "_bells", {})
    monkeypatch.setattr(panels, "_panels", {})
    response = styleguide(request("/styleguide/", person()))
    html = response.content.decode()
    assert response.status_code == 200
    for words in ("Patient banner", "Time left", "Empty list", "Form, refused", "NW", "Ziwa Regional Hospital"):
        assert words in html
    assert 'style="' not in html


def test_the_sheet_is_not_served_in_production(settings):
    from django.http import Http404

    from ris.core.web.views import styleguide

    connection.set_schema("ziwa")
    settings.DEBUG = settings.RIS_DEMO = False
    with pytest.raises(Http404):
        styleguide(request("/styleguide/"))


def test_an_unclosed_alert_is_a_mistake_of_the_template():
    with pytest.raises(TemplateSyntaxError):
        draw('{% alert "red" "x" %}')
