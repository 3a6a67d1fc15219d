"""The words of signed reports are written down for searching, in the transaction of the signature."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.search import SearchVector
from django.db.models import F, Max, Q, Value
from django.utils import timezone
from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from reporting import permissions as perms
from reporting.models import Report, ReportText, ReportVersion, SavedSearch
from reporting.parts import is_part
from reporting.selectors.search import WORDS, ReportSearch
from reporting.services.locks import person
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData, NotPermitted

SEARCHES_OF_ONE = 100
BATCH = 500


def other_words(version: ReportVersion) -> list[str]:
    """What a version says beside the impression; findings per exam stand in the findings already."""
    named = version.sections.items()
    return [words for name, words in named if name != "impression" and not is_part(name) and words]


def index_report(report: Report) -> ReportText | None:
    """Write down what the newest signed version says, with the addenda; nothing while nothing is signed."""
    versions = list(report.versions.filter(recall__isnull=True).order_by("number"))
    if not versions:
        return None
    newest = versions[-1]
    first = newest.sections.get("impression", "")
    rest = other_words(newest) + [row.addendum for row in versions if row.addendum]
    exams = [procedure.description for procedure in report.procedures.all()]
    words = SearchVector(Value(first), config=WORDS, weight="A") + SearchVector(
        Value(" ".join([*rest, *exams])), config=WORDS, weight="B"
    )
    values = {
        **_place(report),
        "version": newest.number,
        "words": words,
        "signed_at": newest.signed_at,
        "signed_by_id": newest.signed_by_id,
    }
    ReportText.objects.filter(pk=report.pk).update(**values) or ReportText.objects.create(report=report, **values)
    return ReportText.objects.get(pk=report.pk)


def _place(report: Report) -> dict[str, Any]:
    """What a search narrows by: whose it is, what was examined, and where it was asked for."""
    exams = list(report.procedures.select_related("order"))
    asked = [
        facet
        for exam in exams
        for facet in (f"modality:{exam.modality}", f"region:{exam.body_region.lower()}", f"exam:{exam.code}")
    ]
    return {
        "patient_id": min(exams, key=lambda exam: exam.pk).order.patient_id,
        "facets": sorted(set(asked)),
        "sites": sorted({exam.order.site_id or 0 for exam in exams}),
    }


def follow_place(exams: Q) -> None:
    """Other exam, site or patient (a merge): found there from now on. ``exams``: which of all procedures."""
    moved = RequestedProcedure.objects.filter(exams, reports__text__isnull=False)
    for report in Report.objects.filter(pk__in=moved.values("reports__pk")).order_by("pk"):
        ReportText.objects.filter(pk=report.pk).update(**_place(report))


def index_missing() -> int:
    """Write down whatever was signed and is not, or not as it is now (an installation that is brought up to date)."""
    newest = Max("versions__number", filter=Q(versions__recall__isnull=True))
    missing = (
        Report.objects.annotate(newest=newest)
        .filter(newest__isnull=False)
        .filter(Q(text__isnull=True) | ~Q(text__version=F("newest")) | Q(text__patient__isnull=True))
        .order_by("pk")
    )
    done = 0
    while batch := list(missing.prefetch_related("procedures")[:BATCH]):
        for report in batch:
            index_report(report)
        done += len(batch)
    return done


@service(perms.VIEW_REPORT, action=Action.CREATE)
def save_search(*, name: str, search: ReportSearch, actor: Actor) -> SavedSearch:
    """Keep a question under a name; the same name again replaces one's own."""
    user = person(actor)
    name = " ".join(name.split())[:60]
    if not name:
        raise InvalidData(_("Give the search a name."), errors={"name": _("Needed.")})
    if search.is_empty:
        raise InvalidData(_("Nothing is asked yet."), todo=_("Type words or choose a filter, then keep it."))
    row = SavedSearch.objects.filter(owner=user, name=name).first() or SavedSearch(owner=user, name=name)
    if row.pk is None and SavedSearch.objects.filter(owner=user).count() >= SEARCHES_OF_ONE:
        raise InvalidData(_("You keep as many searches as one can."), errors={"name": _("Remove one first.")})
    row.query, row.opened_at = search.as_query(), timezone.now()
    row.save()
    return row


@service(perms.VIEW_REPORT)
def share_search(row: SavedSearch, *, is_shared: bool, actor: Actor) -> SavedSearch:
    """Everybody who sees reports may ask it, each with their own rights; or nobody else any more."""
    actor.require(perms.SHARE_SEARCH)
    row = _own(row, actor)
    row.is_shared = is_shared
    row.save(update_fields=["is_shared"])
    return row


@service(perms.VIEW_REPORT, action=Action.READ)
def open_search(row: SavedSearch, *, actor: Actor) -> SavedSearch:
    """Its owner looks at it: what is signed from now on is new."""
    if row.owner_id == person(actor).pk:
        SavedSearch.objects.filter(pk=row.pk).update(opened_at=timezone.now())
    return row


@service(perms.VIEW_REPORT, action=Action.DELETE)
def remove_search(row: SavedSearch, *, actor: Actor) -> None:
    _own(row, actor).delete()


def _own(row: SavedSearch, actor: Actor) -> SavedSearch:
    if row.owner_id != person(actor).pk:
        raise NotPermitted(
            _("This search is somebody else's."), todo=_("Keep a copy of it as your own: save it under a name.")
        )
    return SavedSearch.objects.select_for_update(of=("self",)).get(pk=row.pk)
