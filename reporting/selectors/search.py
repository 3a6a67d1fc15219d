"""Searching what reports say: words with PostgreSQL's full-text search, filters, and the rights of the reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import date, datetime, time, timedelta
from typing import Any

from django.contrib.postgres.search import SearchQuery
from django.db import connection
from django.db.models import Exists, F, Func, IntegerField, OuterRef, QuerySet
from django.utils import timezone

from orders.models import RequestedProcedure
from reporting.models import Report, ReportStatus, ReportText, SavedSearch
from ris.core.actor import Actor

#: Stems of words, "no" and "not" included: made beside the extensions (ris.tenants.database).
WORDS = "public.report_words"
#: So many are found at most; who finds more asks more narrowly.
FOUND_AT_MOST = 500
NEW_AT_MOST = 99
#: Marks around what was asked for: of the private use area, so that no text holds them.
START, STOP = "\ue000", "\ue001"
HEADLINE = f'StartSel={START}, StopSel={STOP}, MaxWords=40, MinWords=20, MaxFragments=2, FragmentDelimiter=" … "'


@dataclass(frozen=True)
class ReportSearch:
    """What is asked. ``words`` as people type them: all of them, "a phrase", one OR another, -without."""

    words: str = ""
    modality: tuple[str, ...] = ()
    body_region: str = ""
    exam: str = ""
    since: date | None = None
    until: date | None = None
    signer: str = ""
    sex: str = ""
    age_from: int | None = None
    age_to: int | None = None

    @property
    def is_empty(self) -> bool:
        return self == ReportSearch()

    def as_query(self) -> dict[str, Any]:
        """JSON of what is asked, for keeping."""
        asked = {name: value for name, value in asdict(self).items() if value not in ("", (), None)}
        return {name: value.isoformat() if isinstance(value, date) else value for name, value in asked.items()}

    @classmethod
    def from_query(cls, query: dict[str, Any]) -> ReportSearch:
        """What ``as_query`` kept; names that are not known any more are dropped."""
        known = {field.name for field in fields(cls)}
        kept = {name: value for name, value in query.items() if name in known}
        for name in ("since", "until"):
            if name in kept:
                kept[name] = date.fromisoformat(kept[name])
        return cls(**{**kept, "modality": tuple(kept.get("modality", ()))})


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def _exams(search: ReportSearch) -> QuerySet[RequestedProcedure] | None:
    """The exams of a report that fit what is asked of exam and patient; None when nothing of that is asked."""
    asked: dict[str, Any] = {}
    if search.modality:
        asked["modality__in"] = search.modality
    if search.body_region:
        asked["body_region__iexact"] = search.body_region
    if search.exam:
        asked["code"] = search.exam
    if search.sex:
        asked["order__patient__sex"] = search.sex
    exams = RequestedProcedure.objects.filter(reports=OuterRef("report_id"))
    if search.age_from is not None or search.age_to is not None:
        born, signed = F("order__patient__birth_date"), OuterRef("signed_at")
        years = Func(signed, born, template="date_part('year', age(%(expressions)s))", output_field=IntegerField())
        exams = exams.annotate(years=years)
        if search.age_from is not None:
            asked["years__gte"] = search.age_from
        if search.age_to is not None:
            asked["years__lte"] = search.age_to
    return exams.filter(**asked) if asked else None


def found_texts(search: ReportSearch, *, actor: Actor) -> QuerySet[ReportText]:
    """What may be found, the newest first; ``search_reports`` checks each report's own rights."""
    rows = ReportText.objects.maybe_visible_to(actor)
    if search.words.strip():
        rows = rows.filter(words=SearchQuery(search.words, config=WORDS, search_type="websearch"))
    if search.since is not None:
        rows = rows.filter(signed_at__gte=_midnight(search.since))
    if search.until is not None:
        rows = rows.filter(signed_at__lt=_midnight(search.until + timedelta(days=1)))
    if search.signer:
        rows = rows.filter(signed_by__uuid=search.signer)
    exams = _exams(search)
    if exams is not None:
        rows = rows.filter(Exists(exams))
    return rows.order_by("-signed_at", "-report_id")


def search_reports(search: ReportSearch, *, actor: Actor, at_most: int = FOUND_AT_MOST) -> list[int]:
    """Primary keys of the reports that are found and may be seen, the newest first, at most ``at_most``."""
    found = list(found_texts(search, actor=actor).values_list("report_id", flat=True)[:at_most])
    seen = Report.objects.visible_to(actor).exclude(status=ReportStatus.ENTERED_IN_ERROR)
    allowed = set(seen.filter(pk__in=found).values_list("pk", flat=True))
    return [pk for pk in found if pk in allowed]


def shown_reports(pks: list[int], *, actor: Actor) -> list[Report]:
    """The reports of one page, in the order of their keys, with what a row shows."""
    rows = Report.objects.visible_to(actor).filter(pk__in=pks).select_related("text").for_display()
    by_pk = {row.pk: row for row in rows}
    return [by_pk[pk] for pk in pks if pk in by_pk]


def excerpts(texts: dict[int, str], words: str) -> dict[int, list[tuple[str, bool]]]:
    """{key: [(piece, whether it was asked for)]} of texts, around what was found; without words their beginning."""
    if not texts:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "select * from unnest(%s::bigint[], %s::text[]) as t(pk, body),"
            " lateral (select ts_headline(%s::regconfig, body, websearch_to_tsquery(%s::regconfig, %s), %s)) h",
            [list(texts), list(texts.values()), WORDS, WORDS, words, HEADLINE],
        )
        return {pk: _pieces(cut) for pk, _body, cut in cursor.fetchall()}


def _pieces(cut: str) -> list[tuple[str, bool]]:
    pieces = []
    for number, part in enumerate(cut.split(START)):
        hit, _end, after = part.partition(STOP) if number else ("", "", part)
        pieces += [(hit, True), (after, False)]
    return [(text, is_hit) for text, is_hit in pieces if text]


def saved_searches(*, actor: Actor) -> QuerySet[SavedSearch]:
    return SavedSearch.objects.visible_to(actor).select_related("owner").order_by("name", "pk")


def count_since(row: SavedSearch, *, actor: Actor) -> int:
    """Reports signed since its owner last looked, at most NEW_AT_MOST."""
    if row.opened_at is None:
        return 0
    asked = found_texts(ReportSearch.from_query(row.query), actor=actor).filter(signed_at__gt=row.opened_at)
    return asked[:NEW_AT_MOST].count()
