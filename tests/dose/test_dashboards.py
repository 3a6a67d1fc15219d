"""Charts of doses: their numbers, their files, the lists behind them, REST; who may ask."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from dose import selectors, services
from dose.bands import BANDS, band_words
from dose.dashboards import KINDS, ask, make_chart
from dose.dashboards.data import boxes, histogram, missing, scatter, size_bands, trend, workload
from dose.dashboards.question import levels_of
from dose.models import DoseReport, IrradiationEvent, ReferenceLevel, StandardExam
from dose.quantities import QUANTITIES
from orders.models import RequestedProcedure
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import InvalidData
from ris.core.permissions import CLERK, PHYSICIST, TECHNOLOGIST
from tests.conftest import shared_start
from tests.dose.test_services import of
from tests.factories.accounts import actor_with_roles, user_with_roles
from tests.factories.dose import ct_event
from tests.factories.worklist import ct_procedure, make_station

pytestmark = pytest.mark.django_db
STORAGE = Actor("storage", ae_title="CT1")


@pytest.fixture(scope="module")
def filled(django_db_setup, django_db_blocker):
    """21 heads at CT1 (DLP 100, 200 ... 2100), three at CT2 (3000), at 09:30 yesterday."""
    with shared_start(django_db_blocker):
        day = timezone.localdate() - dt.timedelta(days=1)
        make_station("CT1"), make_station("CT2")
        found = []
        for number in range(24):
            fields = {
                "ContentDate": f"{day:%Y%m%d}", "ContentTime": "093000", "StationName": "CT1" if number < 21 else "CT2",
                "PatientWeight": str(40 + 2 * number),
            }  # fmt: skip
            dlp = 100 * (number + 1) if number < 21 else 3000
            found.append(services.import_dose_report(of(ct_procedure(), ct_event(dlp), **fields), actor=STORAGE))
        exams = RequestedProcedure.objects.filter(pk__in=[report.procedure_id for report in found])
        exams.update(status="performed", performed_at=timezone.now())
        found[0].procedure.catalogue.body_region = "head"
        found[0].procedure.catalogue.save_as(SYSTEM, "test")
        yield [report.pk for report in found]


@pytest.fixture
def exams(filled, alpha):
    rows = DoseReport.objects.select_related("procedure__catalogue").in_bulk(filled)
    return [rows[pk] for pk in filled]


@pytest.fixture
def physicist(alpha):
    return actor_with_roles(PHYSICIST)


def test_the_numbers_of_every_chart(exams, physicist):
    question = ask({"level": "none"}, actor=physicist)
    one, two = boxes(question, actor=physicist)
    assert (one.count, one.low, one.lower, one.median, one.upper, one.high) == (21, 200, 600, 1100, 1600, 2000)
    assert one.outside == (2100,) and one.verdict == "" and two.verdict == "few"
    assert (two.count, two.median) == (3, 3000)
    stroke = ReferenceLevel.objects.get(authority="UK", exam="Head, acute stroke", quantity="dlp")
    judged = boxes(ask({"level": str(stroke.uuid)}, actor=physicist), actor=physicist)
    assert judged[0].verdict == "above" and round(judged[0].against) == 39

    months = trend(question, actor=physicist)
    first = (timezone.localdate() - dt.timedelta(days=1)).replace(day=1)
    assert months.months == [first] and months.rooms == [one.room, two.room]
    assert months.medians[one.room, first] == 1100 and months.counts[two.room, first] == 3

    bins = histogram(question, actor=physicist)
    assert bins.total == 24 and bins.median == 1250 and sum(bins.counts[: int(1000 // bins.step)]) == 9

    points = scatter(question, actor=physicist)
    assert (points.by, points.asked, len(points.points)) == ("kg", 24, 24)
    bands = size_bands(points)
    assert [band.count for band in bands] == [5, 5, 5, 5, 4, 0] and bands[0].median == 300
    IrradiationEvent.objects.update(water_equivalent_diameter=250)
    DoseReport.objects.filter(pk=exams[0].pk).update(patient_weight_kg=None)
    points = scatter(question, actor=physicist)
    assert points.by == "mm" and {point.size for point in points.points} == {250}
    assert scatter(question, actor=physicist, by="kg").by == "kg"

    weekday = (timezone.localdate() - dt.timedelta(days=1)).isoweekday()
    assert workload(question, actor=physicist) == {(weekday, 9): 24}

    bare = ct_procedure()
    RequestedProcedure.objects.filter(pk=bare.pk).update(status="performed", performed_at=timezone.now())
    rows = missing(question, actor=physicist)
    assert sum(row.exams for row in rows) == 25 and sum(row.without_dose for row in rows) == 1
    assert sum(row.without_size for row in rows) == 1 and sum(row.unmapped for row in rows) == 0
    DoseReport.objects.filter(pk__in=[report.pk for report in exams[:3]]).update(standard_exam=None)
    assert sum(row.unmapped for row in missing(question, actor=physicist)) == 3
    chart = make_chart("missing", question, actor=physicist)
    (row,) = chart.shown
    assert [(cell, link.rpartition("=")[2]) for cell, link in row if link] == [
        ("1", "dose"),
        ("1", "size"),
        ("3", "exam"),
    ]


def test_children_are_charted_apart_with_the_levels_of_their_band(exams, physicist):
    small, heads = exams[:4], exams[4:6]
    DoseReport.objects.filter(pk__in=[row.pk for row in small]).update(patient_age_years=4, patient_weight_kg=17)
    DoseReport.objects.filter(pk__in=[row.pk for row in heads]).update(patient_age_years=0.1, patient_weight_kg=None)
    exam = StandardExam.objects.get(code="ct-chest")
    level = services.add_level(
        authority="Here", year=2026, exam="Chest", modality="CT", quantity="dlp", value=200, unit="mGy.cm",
        band="1-6 a", source="A letter", standard_exam=exam, actor=physicist,
    )  # fmt: skip
    counts = {}
    for band in BANDS:
        question = ask({"band": band}, actor=physicist)
        counts[band] = sum(box.count for box in boxes(question, actor=physicist))
        assert counts[band] == (question.exam.count if question.exam is not None else 0), band
        assert ("band" in question.params()) == (band != "adult") and (question.level == level) == (band == "1-6 a")
        assert {row.band for row in levels_of(question, actor=physicist)} <= {band}
    found = {band: count for band, count in counts.items() if count}
    assert found == {"adult": 18, "1-6 a": 4, "0-3 mo": 2, "15-30 kg": 4}
    sizes = scatter(ask({"band": "1-6 a"}, actor=physicist), actor=physicist)
    assert [(band.start, band.end, band.count) for band in size_bands(sizes)] == [
        (None, 5, 0), (5, 15, 0), (15, 30, 4), (30, None, 0),
    ]  # fmt: skip
    (row,) = investigated(level, exams[0].procedure.catalogue, physicist)
    assert (row.count, row.median, row.verdict) == (4, 250, "few")
    assert [band_words(band) for band in ("adult", "0-3 mo", "6-16 a", "<5 kg", "up to ten")] == [
        "adults", "children 0 to below 3 months", "children 6 to below 16 years", "children 0 to below 5 kg",
        "up to ten",
    ]  # fmt: skip
    with pytest.raises(InvalidData):
        ask({"band": "giants"}, actor=physicist, strict=True)


def investigated(level, catalogue, physicist):
    """What an investigation measures: of the level's band as well."""
    return selectors.groups(
        actor=physicist, tab="CT", exam=catalogue, quantity=QUANTITIES["dlp"], level=level, days=365
    )


def test_reports_of_one_exam_are_one_value_and_what_is_replaced_counts_nowhere(exams, physicist):
    procedure = exams[20].procedure
    services.import_dose_report(of(procedure, ct_event(400), StationName="CT1"), actor=STORAGE)
    (exam,) = [box for box in boxes(ask({}, actor=physicist), actor=physicist) if box.count == 21]
    DoseReport.objects.filter(procedure=procedure).update(performed_at=exams[20].performed_at)
    assert max(box.outside for box in boxes(ask({}, actor=physicist), actor=physicist) if box.count == 21) == (2500,)
    second = DoseReport.objects.order_by("-pk").first()
    DoseReport.objects.filter(pk=second.pk).update(replaced_by=exams[0])
    assert exam.count == 21
    assert max(box.outside for box in boxes(ask({}, actor=physicist), actor=physicist) if box.count == 21) == (2100,)
    DoseReport.objects.filter(pk=exams[0].pk).update(patient_age_years=9)
    assert {box.count for box in boxes(ask({}, actor=physicist), actor=physicist)} == {20, 3}


def test_a_question_is_taken_leniently_by_pages_and_strictly_by_machines(exams, physicist):
    wrong = {"tab": "X", "quantity": "x", "days": "0", "exam": "nothing", "level": "x"}
    lenient = ask(wrong, actor=physicist)
    assert (lenient.tab, lenient.quantity.key, lenient.days, lenient.exam.count) == ("CT", "dlp", 90, 24)
    for name in wrong:
        with pytest.raises(InvalidData):
            ask({name: wrong[name]}, actor=physicist, strict=True)
    nobody = actor_with_roles(CLERK)
    assert ask({}, actor=nobody).exam is None
    for kind in KINDS:
        chart = make_chart(kind, ask({"tab": "MG"}, actor=physicist), actor=physicist)
        assert chart.drawing is None and (chart.rows == [] or kind == "workload")


def test_the_page_its_files_and_the_lists_behind_the_marks(tclient, exams):
    tclient.force_login(user_with_roles(PHYSICIST), backend="ris.accounts.backends.PasswordBackend")
    words = tclient.get("/dose/").content.decode()
    for kind in KINDS:
        assert f'id="chart-{kind}"' in words, kind
        table = tclient.get(f"/dose/charts/{kind}.csv")
        assert table.status_code == 200 and "attachment" in table["Content-Disposition"], kind
        assert tclient.get(f"/dose/charts/{kind}.xlsx").content[:2] == b"PK"
    lines = tclient.get("/dose/charts/boxplot.csv?level=none").content.decode("utf-8-sig").splitlines()
    assert lines[0].startswith("Room,n,") and lines[1].split(",")[1:7] == ["21", "200", "600", "1100", "1600", "2000"]
    assert tclient.get("/dose/charts/pie.csv").status_code == 404
    assert tclient.get("/dose/charts/boxplot.pdf").status_code == 404
    assert tclient.get("/dose/charts/boxplot.csv?days=7").status_code == 400
    room = boxes(ask({}, actor=actor_with_roles(PHYSICIST)), actor=actor_with_roles(PHYSICIST))[1].room
    month = f"{timezone.localdate() - dt.timedelta(days=1):%Y-%m}"
    for query, count in (
        (f"room={room}", 3), (f"room={room}&month={month}", 3), ("month=2001-01", 0), ("above=1000&below=1200", 2),
        ("above=2900", 3), ("hour=9", 24), ("hour=8", 0), ("missing=dose", 0), ("missing=size", 0),
        ("missing=exam", 0),
    ):  # fmt: skip
        page = tclient.get(f"/dose/exams/?{query}")
        assert page.context["page"].paginator.count == count, query
    for query in ("month=13", "above=x", "hour=99", "weekday=x"):
        assert tclient.get(f"/dose/exams/?{query}").status_code == 400, query
    assert tclient.get("/dose/exams/?missing=x").status_code == 404
    tclient.force_login(user_with_roles(CLERK), backend="ris.accounts.backends.PasswordBackend")
    for url in ("/dose/charts/boxplot.csv", "/dose/exams/"):
        assert tclient.get(url).status_code == 403


def test_a_list_costs_a_fixed_number_of_queries(tclient, exams, django_assert_max_num_queries):
    tclient.force_login(user_with_roles(PHYSICIST), backend="ris.accounts.backends.PasswordBackend")
    tclient.get("/dose/exams/?above=3000")
    with django_assert_max_num_queries(60) as first:
        tclient.get("/dose/exams/?above=3000")
    with django_assert_max_num_queries(len(first.captured_queries)):
        tclient.get("/dose/exams/?above=100")


def test_rest(api, exams):
    api.force_authenticate(user_with_roles(TECHNOLOGIST))
    one = api.get("/api/v1/dose-charts/boxplot/?tab=CT&quantity=dlp&level=none").json()
    assert (one["kind"], one["quantity"], one["days"]) == ("boxplot", "dlp", 90)
    assert one["columns"][:2] == ["Room", "n"] and one["rows"][0][1:7] == [21, 200, 600, 1100, 1600, 2000]
    for kind in KINDS:
        assert api.get(f"/api/v1/dose-charts/{kind}/").status_code == 200, kind
    child = api.get("/api/v1/dose-charts/boxplot/?band=1-6+a").json()
    assert (child["band"], child["rows"], one["band"]) == ("1-6 a", [], "adult")
    assert api.get("/api/v1/dose-charts/pie/").status_code == 404
    assert api.get("/api/v1/dose-charts/boxplot/?days=3").status_code == 400
    api.force_authenticate(user_with_roles(CLERK))
    assert api.get("/api/v1/dose-charts/boxplot/").status_code == 403
