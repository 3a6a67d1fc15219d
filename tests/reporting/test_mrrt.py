"""MRRT (IHE RAD): HTML5 templates taken in cleaned, filled as forms, kept as codes, given back without loss."""

from __future__ import annotations

from typing import Any

import pytest
from django.template.loader import render_to_string

from reporting import services
from reporting.models import FilledForm, Report, ReportTemplate
from reporting.mrrt.answers import checked_answers, coded_answers, section_texts, still_open
from reporting.mrrt.document import read
from reporting.mrrt.tree import NotATemplate, clean, meaning, parse, written
from reporting.web.editor import form_sections
from ris.core.errors import InvalidData
from tests.factories.reporting import make_procedure

DOCUMENT = """<!DOCTYPE html>
<html lang="en"><head><title>CT brain</title><meta charset="UTF-8">
<meta name="dcterms.title" content="CT brain, form"><meta name="dcterms.description" content="For injuries">
<meta name="dcterms.identifier" content="urn:example:7"><meta name="dcterms.language" content="en">
<meta name="dcterms.license" content="CC BY 4.0">
<script type="text/xml"><template_attributes>
<term><code meaning="brain" value="RID6434" scheme="RADLEX"/></term>
<coded_content><entry ORIGTXT="o2"><term><code meaning="haemorrhage" value="RID4700" scheme="RADLEX"/></term></entry>
<entry ORIGTXT="f3"><term><code meaning="Diameter" value="81827009" scheme="SCT"/></term></entry></coded_content>
</template_attributes></script></head>
<body>
<section id="s1" class="level1" data-section-name="Procedure"><header class="level1">Procedure</header>
<p><textarea id="f0" name="Technique" data-field-type="TEXTAREA">{{exam}} without contrast.</textarea></p></section>
<section id="s2" class="level1" data-section-name="Findings"><header>Findings</header>
<p><label for="f1">Haemorrhage:</label> <select id="f1" name="Haemorrhage" data-field-type="SELECTION_LIST">
<option value="none" selected>none</option><option id="o2" value="present">present</option></select></p>
<p>Diameter: <input type="number" id="f3" name="diameter" min="0" max="90" data-field-units="mm"
 data-field-completion-action="ALERT"></p>
<p>Midline: <input type="text" id="f4" name="midline" data-field-completion-action="PROHIBIT"></p>
<p>Earlier operation <input type="date" id="f5"></p>
<p><input type="checkbox" id="f6" value="yes"><label for="f6">Fracture of the skull base</label></p>
<section id="s3" data-section-name="Ventricles"><p>Width &amp; shape: <input type="text" id="f7" value="normal"></p>
</section></section>
<section id="s4" data-section-name="Impression"><textarea id="f8" data-field-type="TEXTAREA"></textarea></section>
</body></html>"""
HOSTILE = (
    DOCUMENT.replace(
        "</head>", "<script>steal()</script><style>p{}</style><link rel=stylesheet href=//x.example></head>"
    )
    .replace("<body>", '<body onload="steal()" style="color:red"><iframe src="//x.example"></iframe>')
    .replace('id="f4"', 'id="f4" onfocus="steal()" formaction="//x.example"')
    .replace("Earlier operation", '<a href="javascript:steal()">Earlier operation</a><img src="//x.example/i.png">')
)


def test_a_template_is_read_as_sections_fields_and_codes() -> None:
    form = read(DOCUMENT).form
    assert (form.title, form.language, form.description) == ("CT brain, form", "en", "For injuries")
    assert [(row.name, row.key) for row in form.sections] == [
        ("Procedure", "technique"),
        ("Findings", "findings"),
        ("Ventricles", "findings"),
        ("Impression", "impression"),
    ]
    kinds = {row.id: row.kind for row in form.fields.values()}
    assert kinds == {
        "f0": "area", "f1": "select", "f3": "number", "f4": "text", "f5": "date", "f6": "checkbox", "f7": "text",
        "f8": "area",
    }  # fmt: skip
    assert (form.fields["f3"].completion, form.fields["f3"].units) == ("ALERT", "mm")
    assert form.codes[0].value == "RID6434"
    assert ("dcterms.license", "CC BY 4.0") in form.metadata


def test_answers_become_text_and_codes() -> None:
    form = read(DOCUMENT).form
    answers = {**form.defaults(), "f1": "present", "f3": "12", "f5": "2026-01-02", "f6": "yes", "f8": "Bleed."}
    assert section_texts(form, answers)["findings"].replace("\xa0", " ") == (
        "Haemorrhage: present\nDiameter: 12 mm\nMidline: [midline]\nEarlier operation 2 Jan 2026\n"
        "Fracture of the skull base\nVentricles: Width & shape: normal"
    )
    coded = {row["field"]: row for row in coded_answers(form, answers)}
    assert coded["f1"]["codes"] == [{"value": "RID4700", "scheme": "RADLEX", "meaning": "haemorrhage"}]
    assert (coded["f3"]["concept"][0]["value"], coded["f3"]["units"]) == ("81827009", "mm")
    assert [row.id for row in still_open(form, answers)] == ["f4"]
    assert "Diameter" not in section_texts(form, form.defaults())["findings"]


@pytest.mark.parametrize(
    ("name", "given"),
    [("f1", "perhaps"), ("f3", "wide"), ("f3", "91"), ("f5", "yesterday"), ("f4", ["x"]), ("f99", "x")],
)
def test_an_answer_that_does_not_fit_is_refused(name: str, given: Any) -> None:
    with pytest.raises(InvalidData) as refusal:
        checked_answers(read(DOCUMENT).form, {name: given})
    assert list(refusal.value.errors) == [name]


def test_what_runs_or_reaches_outside_is_stripped_and_named() -> None:
    imported = read(HOSTILE)
    for word in ("steal", "x.example", "onload", "style", "iframe", "javascript"):
        assert word not in imported.html
    said = " ".join(imported.stripped)
    for word in ("<script>", "<style>", "<link>", "<iframe>", "<img>", "onload", "onfocus", "formaction"):
        assert word in said
    assert imported.form.fields.keys() == read(DOCUMENT).form.fields.keys()
    assert read(DOCUMENT).stripped == []


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("just words", "no HTML"),
        (DOCUMENT.replace("data-section-name", "data-other"), "no section"),
        (DOCUMENT.replace("CT brain", "").replace(", form", ""), "no title"),
        (DOCUMENT.replace('id="f4"', 'id="f3"'), "same id"),
        (DOCUMENT.replace('id="f4" name="midline"', ""), "no id"),
        (DOCUMENT.replace("</coded_content>", ""), "no XML"),
        (DOCUMENT.replace("<template_attributes>", "<!DOCTYPE x [<!ENTITY a 'a'>]><template_attributes>"), "entities"),
        ("<html><body>" + "<div>" * 200 + "</body></html>", "deeply"),
    ],
)
def test_what_is_no_template_is_refused_with_the_reason(document: str, why: str) -> None:
    with pytest.raises(NotATemplate) as refusal:
        read(document)
    assert refusal.value.http_status == 422
    assert why in refusal.value.detail


pytest_db = pytest.mark.django_db


@pytest_db
def test_a_template_goes_out_as_it_came_in(people: Any) -> None:
    template = services.import_template(DOCUMENT, actor=people.radiologist).template
    out = services.export_template(template)
    assert meaning(clean(parse(out))[0]) == meaning(clean(parse(DOCUMENT))[0])
    assert read(out).form == read(DOCUMENT).form
    services.save_template(template, name="CT brain, ours", actor=people.radiologist)
    assert read(services.export_template(ReportTemplate.objects.get(pk=template.pk))).form.title == "CT brain, ours"


@pytest_db
def test_a_text_template_goes_out_and_comes_back(people: Any) -> None:
    sections = {"technique": "CT {{contrast}}.", "findings": "Liver: Normal.\nSize [1:mm] & more", "impression": "x"}
    template = services.save_template(name="Plain", sections=sections, actor=people.radiologist)
    again = read(services.export_template(template))
    assert again.sections == sections
    assert (again.form.title, again.stripped) == ("Plain", [])
    assert again.form.sections[1].key == "findings"


@pytest_db
def test_a_form_fills_the_sections_and_keeps_what_was_written_beside_it(people: Any) -> None:
    actor = people.radiologist
    template = services.import_template(
        DOCUMENT, actor=actor, modality="CT", body_region="chest", is_own=True, is_default=True
    ).template
    report = services.open_report([make_procedure()], actor=actor)
    assert (report.template, report.sections["technique"]) == (template, "CT chest without contrast.")
    answers = {"f0": "Native CT.", "f1": "none", "f3": "3", "f4": "straight", "f7": "normal", "f8": "All well."}
    report = services.fill_form(report, answers=answers, revision=report.revision, actor=actor)
    assert report.sections["impression"] == "All well."
    assert report.sections["findings"].startswith("Haemorrhage: none\nDiameter: 3 mm\nMidline: straight\n")
    beside = {"findings": report.sections["findings"] + "\nOld burr hole."}
    report = services.save_report(report, sections=beside, revision=report.revision, actor=actor)
    again = {**answers, "f3": "4"}
    report = services.fill_form(report, answers=again, revision=report.revision, actor=actor)
    assert "Diameter: 4 mm" in report.sections["findings"] and "3 mm" not in report.sections["findings"]
    assert report.sections["findings"].endswith("Old burr hole.")
    filled = FilledForm.objects.get(report=report)
    assert filled.answers["f3"] == "4" and filled.history.count() == 2
    signed = services.sign_report(Report.objects.get(pk=report.pk), actor=actor)
    with pytest.raises(Exception, match="signed this report"):
        services.fill_form(signed, answers=answers, revision=None, actor=actor)


@pytest_db
def test_a_form_over_several_exams_fills_the_findings_of_one(people: Any) -> None:
    actor = people.radiologist
    template = services.import_template(DOCUMENT, actor=actor, modality="CT").template
    neck = make_procedure(description="CT neck", body_region="neck")
    chest = make_procedure(order=neck.order)
    report = services.open_report([neck, chest], actor=actor)
    report = services.apply_template(report, template=template, procedure=chest, actor=actor)
    report = services.fill_form(report, answers={"f4": "here"}, revision=None, procedure=chest, actor=actor)
    assert "Midline: here" in report.sections[f"findings:{chest.uuid}"]
    assert "Midline: here" not in report.sections[f"findings:{neck.uuid}"]


@pytest.mark.parametrize(
    "body",
    [
        '<textarea id="a"><script type="text/xml"></textarea><img src=x onerror=alert(1)></script></textarea>',
        '<script type="text/xml"><a></SCRIPT foo><img src=x onerror=alert(1)></a></script>',
        '<script type="text/xml"><!--<script></script>',
    ],
)
def test_nothing_leaves_the_elements_that_browsers_read_as_text(body: str) -> None:
    root, _stripped = clean(parse(f"<html><head><title>T</title></head><body>{body}</body></html>"))
    html = written(root)
    assert "</textarea><img" not in html and "</SCRIPT" not in html
    assert html.count("<script") == html.count("</script")


RADIO = DOCUMENT.replace(
    "<p>Midline:",
    '<p>Side: <input type="radio" id="r1" name="side" value="L"><label for="r1">left</label>'
    '<input type="radio" id="o3" name="side" value="R" checked><label for="o3">right</label></p><p>Midline:',
)


def test_radio_buttons_of_one_name_are_one_answer() -> None:
    imported = read(RADIO)
    side = imported.form.fields["side"]
    assert (side.kind, side.default) == ("radio", "R")
    assert [(row.value, row.label) for row in side.options] == [("L", "left"), ("R", "right")]
    assert "Side: left\n" in section_texts(imported.form, {"side": "L"})["findings"]
    assert checked_answers(imported.form, {"side": "L"}) == {"side": "L"}
    with pytest.raises(InvalidData):
        checked_answers(imported.form, {"side": "B"})
    assert imported.html.count('type="radio"') == 2
    with pytest.raises(NotATemplate):
        read(RADIO.replace('id="f4"', 'id="side"'))


@pytest_db
def test_radio_buttons_are_shown_and_go_out_as_such(people: Any) -> None:
    template = services.import_template(RADIO, actor=people.radiologist, is_own=True).template
    assert read(services.export_template(template)).form == read(RADIO).form
    form = read(template.mrrt).form
    sections = form_sections(form, form.defaults())
    lines = render_to_string("reporting/_form_lines.html", {"form_sections": sections})
    assert lines.count('type="radio" name="f-side"') == 2 and 'value="R" checked' in lines
