"""Scores of another system, from a table: looked at line by line, then kept as a closed round."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time

from django.utils import timezone
from django.utils.translation import gettext as _

from peerreview import permissions as perms
from peerreview.models import CaseStatus, Mode, ReviewCase, ReviewRound, RoundStatus, Score
from peerreview.services.cases import COMMENTED
from peerreview.services.sampling import is_eligible
from reporting.models import Report, ReportVersion, VersionKind
from ris.accounts.models import User
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData

COLUMNS = ("accession_number", "reviewer", "score", "comment", "scored_on")
NEEDED = COLUMNS[:3]
MOST_ROWS = 5000
#: The scale of 2009 called 4 what is 3 today; it is read, never given here.
ALIASES = {"4": "3"}


@dataclass
class ImportedScore:
    """A line of the table and what it would become."""

    line: int
    accession_number: str
    reviewer_name: str
    said: str
    comment: str = ""
    scored_on: date | None = None
    score: str = ""
    problems: list[str] = field(default_factory=list)
    version: ReportVersion | None = None
    reviewer: User | None = None

    @property
    def is_good(self) -> bool:
        return not self.problems


def imported_score(text: str, without_letter: str = "") -> Score:
    """A score as other systems write it, "4b" among them. ``without_letter``: what a bare 2, 3 or 4 counts as.

    InvalidData for anything else.
    """
    plain = "".join(text.split()).lower()
    if plain in ("2", "3", "4") and without_letter in ("a", "b"):
        plain += without_letter
    if plain[:1] in ALIASES:
        plain = ALIASES[plain[:1]] + plain[1:]
    if plain in Score.values:
        return Score(plain)
    if plain in ("2", "3"):
        raise InvalidData(
            _("This score has no letter."), errors={"score": _("Say whether scores without a letter count as a or b.")}
        )
    raise InvalidData(_("There is no such score."), errors={"score": _("Choose 1, 2a, 2b, 3a or 3b.")})


def read_scores(table: str, *, without_letter: str = "", actor: Actor) -> list[ImportedScore]:
    """Every line with what is wrong with it; nothing is written. InvalidData when it is no such table."""
    actor.require(perms.MANAGE_ROUND)
    rows = _lines(table)
    reports = _reports({row.accession_number for row in rows}, actor)
    people = {user.username.casefold(): user for user in _people({row.reviewer_name for row in rows})}
    known = set(
        ReviewCase.objects.filter(round__mode=Mode.IMPORTED, report__in=[report.pk for report in reports.values()])
        .order_by()
        .values_list("report", "reviewer")
    )
    taken: set[int] = set()
    for row in rows:
        _judge(row, reports, people, without_letter)
        if row.version is not None and row.reviewer is not None:
            if (row.version.report_id, row.reviewer.pk) in known:
                row.problems.append(_("This score was imported before."))
            elif row.version.report_id in taken:
                row.problems.append(_("The table scores this report twice."))
            taken.add(row.version.report_id)
    return rows


def _lines(table: str) -> list[ImportedScore]:
    table = table.lstrip("\ufeff")
    head = table.partition("\n")[0]
    delimiter = max((",", ";", "\t"), key=head.count)
    reader = csv.DictReader(io.StringIO(table), delimiter=delimiter, restkey="more")
    names = [(name or "").strip().casefold() for name in reader.fieldnames or []]
    if missing := [name for name in NEEDED if name not in names]:
        raise InvalidData(
            _("This is no table of scores."),
            errors={"table": _("Columns are missing: %(names)s") % {"names": ", ".join(missing)}},
        )
    reader.fieldnames = names
    rows = []
    for entry in reader:
        cells = {name: (entry.get(name) or "").strip() for name in COLUMNS}
        if not any(cells.values()):
            continue
        row = ImportedScore(reader.line_num, cells["accession_number"], cells["reviewer"], cells["score"])
        row.comment = cells["comment"][:4000]
        try:
            row.scored_on = date.fromisoformat(cells["scored_on"]) if cells["scored_on"] else None
        except ValueError:
            row.problems.append(_("Write the day as 2024-03-31."))
        rows.append(row)
    if not rows or len(rows) > MOST_ROWS:
        raise InvalidData(
            _("There is nothing to import."),
            errors={"table": _("A table has 1 to %(most)d lines.") % {"most": MOST_ROWS}},
        )
    return rows


def _reports(numbers: set[str], actor: Actor) -> dict[str, Report]:
    """{accession number: the signed report of it that the actor may see}"""
    rows = (
        Report.objects.visible_to(actor)
        .filter(procedures__accession_number__in=numbers, signed_at__isnull=False)
        .prefetch_related("procedures", "versions__recall", "versions__co_signatures")
    )
    return {exam.accession_number: report for report in rows for exam in report.procedures.all()}


def _people(names: set[str]) -> Sequence[User]:
    wanted = {name.casefold() for name in names}
    return [user for user in User.objects.filter(is_service=False) if user.username.casefold() in wanted]


def _judge(row: ImportedScore, reports: dict[str, Report], people: dict[str, User], without_letter: str) -> None:
    report, row.reviewer = reports.get(row.accession_number), people.get(row.reviewer_name.casefold())
    versions = report.versions.all() if report is not None else []
    finals = [version for version in versions if version.kind == VersionKind.FINAL and not hasattr(version, "recall")]
    row.version = max(finals, key=lambda version: version.number, default=None)
    if row.version is None:
        row.problems.append(_("No signed report has this number."))
    if row.reviewer is None:
        row.problems.append(_("There is no such reviewer."))
    elif row.version is not None and not is_eligible(row.reviewer, row.version):
        row.problems.append(_("The reviewer wrote this report."))
    try:
        row.score = imported_score(row.said, without_letter)
    except InvalidData as refusal:
        row.problems.append(refusal.errors["score"])
    if row.scored_on is not None and row.scored_on > timezone.localdate():
        row.problems.append(_("The day lies in the future."))


@service(perms.MANAGE_ROUND, action=Action.CREATE)
def import_scores(table: str, *, name: str, without_letter: str = "", actor: Actor) -> ReviewRound:
    """What is good of the table, as a closed round: decided there, so nobody arbitrates or is told here."""
    rows = [row for row in read_scores(table, without_letter=without_letter, actor=actor) if row.is_good]
    name, errors = " ".join(name.split()), {}
    if not rows:
        errors["table"] = _("No line of it can be imported.")
    if not name or len(name) > 100:
        errors["name"] = _("Needed; at most 100 characters.")
    elif ReviewRound.objects.filter(name=name).exists():
        errors["name"] = _("There is a round of this name.")
    if errors:
        raise InvalidData(_("The scores cannot be imported like this."), errors=errors)
    days = [_scored_at(row) for row in rows]
    first, last = (timezone.localdate(end) for end in (min(days), max(days)))
    review_round = ReviewRound(name=name, mode=Mode.IMPORTED, signed_from=first, signed_until=last, percent=100, seed=0)
    review_round.save_as(actor, "Imported")
    review_round.move_to(RoundStatus.RUNNING)
    review_round.move_to(RoundStatus.CLOSED)
    review_round.save_as(actor, "Imported")
    for row in rows:
        _keep(row, review_round, actor)
    return review_round


def _scored_at(row: ImportedScore) -> datetime:
    assert row.version is not None and row.version.signed_at is not None  # a good line
    if row.scored_on is None:
        return row.version.signed_at
    return timezone.make_aware(datetime.combine(row.scored_on, time(12)))


def _keep(row: ImportedScore, review_round: ReviewRound, actor: Actor) -> None:
    assert row.version is not None
    comment = row.comment or (_("Imported without a comment.") if row.score in COMMENTED else "")
    case = ReviewCase(
        round=review_round,
        report=row.version.report,
        report_version=row.version,
        reviewer=row.reviewer,
        score=row.score,
        comment=comment,
        scored_at=_scored_at(row),
    )
    case.move_to(CaseStatus.SCORED)
    case.move_to(CaseStatus.CLOSED)
    case.save_as(actor, "Imported")
