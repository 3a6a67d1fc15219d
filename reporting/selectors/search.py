"""Searching what reports say: words with PostgreSQL's full-text search, filters, and the rights of the reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import date, datetime, time, timedelta
from typing import Any

from django.contrib.postgres.search import SearchQuery, SearchVectorField
from django.db import connection
from django.db.models import F, Func, IntegerField, Prefetch, QuerySet
from django.utils import timezone

from orders.models import RequestedProcedure
from orders.querysets import few_patients
from reporting.models import Report, ReportStatus, ReportText, ReportVersion, SavedSearch
from ris.accounts.models import User
from ris.core.actor import Actor

#: Stems of words, "no" and "not" included: made beside the extensions (ris.tenants.database).
WORDS = "public.report_words"
#: So many are found at most; who finds more asks more narrowly.
FOUND_AT_MOST = 500
#: So many of those that say it are looked at, where a reader may not see most of them.
LOOKED_AT_MOST = 20_000
#: Reports of so many patients are read faster than the index of words answers for the whole house.
READ_OF_PATIENTS = 2_000
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


def _exams(search: ReportSearch) -> dict[str, Any]:
    """What is asked of one exam, by its columns."""
    asked = {
        "modality__in": search.modality,
        "body_region__iexact": search.body_region,
        "code": search.exam,
    }
    return {name: value for name, value in asked.items() if value}


def _of_patient(rows: QuerySet[ReportText], search: ReportSearch) -> QuerySet[ReportText]:
    if search.sex:
        rows = rows.filter(patient__sex=search.sex)
    if search.age_from is not None or search.age_to is not None:
        years = "date_part('year', age(%(expressions)s))"
        rows = rows.alias(
            years=Func(F("signed_at"), F("patient__birth_date"), template=years, output_field=IntegerField())
        )
        if search.age_from is not None:
            rows = rows.filter(years__gte=search.age_from)
        if search.age_to is not None:
            rows = rows.filter(years__lte=search.age_to)
    return rows


def _saying(rows: QuerySet[ReportText], words: str, actor: Actor) -> QuerySet[ReportText]:
    """By the index of words; of few patients each report is read instead, as frequent words lead to all the others."""
    query = SearchQuery(words, config=WORDS, search_type="websearch")
    patients = few_patients(actor)
    if patients is None or len(patients) > READ_OF_PATIENTS:
        return rows.filter(words=query)
    read = Func(F("words"), template="(%(expressions)s || '')", output_field=SearchVectorField())
    return rows.alias(read=read).filter(read=query)


def found_texts(search: ReportSearch, *, actor: Actor) -> QuerySet[ReportText]:
    """What may be found, the newest first; each report's own rights are checked after (``search_reports``)."""
    rows = ReportText.objects.maybe_visible_to(actor)
    if search.words.strip():
        rows = _saying(rows, search.words, actor)
    if search.since is not None:
        rows = rows.filter(signed_at__gte=_midnight(search.since))
    if search.until is not None:
        rows = rows.filter(signed_at__lt=_midnight(search.until + timedelta(days=1)))
    if search.signer:
        rows = rows.filter(signed_by__in=list(User.objects.filter(uuid=search.signer).values_list("pk", flat=True)))
    if search.modality:
        rows = rows.filter(facets__overlap=[f"modality:{name}" for name in search.modality])
    needed = [f"region:{search.body_region.lower()}"] if search.body_region else []
    needed += [f"exam:{search.exam}"] if search.exam else []
    if needed:
        rows = rows.filter(facets__contains=needed)
    return _of_patient(rows, search).order_by("-signed_at", "-report_id")


def search_reports(
    search: ReportSearch, *, actor: Actor, at_most: int = FOUND_AT_MOST, after: datetime | None = None
) -> list[int]:
    """Primary keys of the reports that are found and may be seen, the newest first, at most ``at_most``.

    The newest candidates come from one table, in lots; the rights of the reports themselves decide which are found.
    Past ``LOOKED_AT_MOST`` candidates it ends: somebody who may see next to nothing of what was found asks in vain.
    """
    rows, found, looked = found_texts(search, actor=actor), [], 0
    if after is not None:
        rows = rows.filter(signed_at__gt=after)
    lot = at_most
    while lot:
        keys = list(rows.values_list("report_id", flat=True)[looked : looked + lot])
        allowed = _allowed(keys, search, actor)
        found += [pk for pk in keys if pk in allowed]
        looked += len(keys)
        is_over = len(keys) < lot or len(found) >= at_most or looked >= LOOKED_AT_MOST
        lot = 0 if is_over else max(4 * lot, 100)
    return found[:at_most]


def _allowed(keys: list[int], search: ReportSearch, actor: Actor) -> set[int]:
    """Those of them that may be seen, and of which one exam is all that is asked of an exam."""
    if not keys:
        return set()
    rows = Report.objects.filter(pk__in=keys).visible_to(actor).exclude(status=ReportStatus.ENTERED_IN_ERROR)
    exams = _exams(search)
    if len(exams) > 1:
        links = RequestedProcedure.objects.filter(**exams).filter(reports__in=keys)
        rows = rows.filter(pk__in=links.values("reports__pk"))
    return set(rows.values_list("pk", flat=True))


def shown_reports(pks: list[int]) -> list[Report]:
    """The reports of one page of what ``search_reports`` has just found, in the order of their keys, with what a row
    shows. Their versions are those that stand.
    """
    versions = ReportVersion.objects.filter(recall__isnull=True).only("report", "number", "sections", "addendum")
    rows = Report.objects.filter(pk__in=pks).select_related("text").only("uuid", "status", "text__signed_at")
    rows = rows.prefetch_related(
        Prefetch("procedures", RequestedProcedure.objects.select_related("order__patient")),
        "procedures__order__patient__identifiers",
        Prefetch("versions", versions),
    )
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
    asked = ReportSearch.from_query(row.query)
    return len(search_reports(asked, actor=actor, at_most=NEW_AT_MOST, after=row.opened_at))
