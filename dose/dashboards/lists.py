"""The exams behind a mark of a chart: what a click on a box, a point, a bar, an hour or a missing number leads to."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping

from django.db.models import QuerySet
from django.db.models.functions import ExtractHour, ExtractIsoWeekDay
from django.utils import timezone
from django.utils.translation import gettext as _

from dose import selectors
from dose.dashboards.question import Question, exam_rows, reports_of
from dose.models import DoseReport
from dose.rdsr.content import number
from ris.core.actor import Actor
from ris.core.errors import InvalidData

FILTERS = ("month", "above", "below", "weekday", "hour")


def _wrong(name: str) -> InvalidData:
    return InvalidData(_("This list cannot be shown."), errors={name: [_("This is not understood.")]})


def _number(params: Mapping[str, str], name: str) -> float | None:
    if not params.get(name):
        return None
    found = number(params[name])
    if found is None:
        raise _wrong(name)
    return found


def _clock(rows: QuerySet, params: Mapping[str, str]) -> QuerySet:
    for name, extract, most in (("weekday", ExtractIsoWeekDay, 7), ("hour", ExtractHour, 23)):
        if text := params.get(name):
            if not (text.isdecimal() and len(text) < 3 and int(text) <= most):
                raise _wrong(name)
            rows = rows.annotate(**{name: extract("performed_at")}).filter(**{name: int(text)})
    return rows


def reports_behind(question: Question, params: Mapping[str, str], *, actor: Actor) -> QuerySet[DoseReport]:
    """``weekday`` (1 is Monday) and ``hour`` of all exams of the kind; ``month`` (2026-11), ``above`` (from) and
    ``below`` of the question's exam and quantity. Raises InvalidData."""
    if params.get("weekday") or params.get("hour"):
        rows = _clock(reports_of(question, actor=actor), params)
        return selectors.dose_reports(actor=actor).filter(pk__in=rows.values("pk")).order_by("-performed_at", "-pk")
    rows = exam_rows(question, actor=actor)
    if text := params.get("month"):
        if re.fullmatch(r"(20|19)\d\d-(0[1-9]|1[0-2])", text) is None:
            raise _wrong("month")
        first = dt.datetime(int(text[:4]), int(text[5:]), 1, tzinfo=timezone.get_current_timezone())
        rows = rows.filter(at__gte=first, at__lt=(first + dt.timedelta(days=32)).replace(day=1))
    above, below = _number(params, "above"), _number(params, "below")
    if above is not None:
        rows = rows.filter(value__gte=above)
    if below is not None:
        rows = rows.filter(value__lt=below)
    return (
        selectors.dose_reports(actor=actor)
        .filter(procedure__in=rows.values("procedure"), modality__in=question.modalities)
        .order_by("-performed_at", "-pk")
    )


def words_of(params: Mapping[str, str], question: Question) -> list[str]:
    """What the list is narrowed to, for its head."""
    found = [question.room] if question.room else []
    if params.get("month"):
        found.append(params["month"])
    unit = question.quantity.words
    if params.get("above"):
        found.append(_("from %(value)s %(unit)s") % {"value": params["above"], "unit": unit})
    if params.get("below"):
        found.append(_("below %(value)s %(unit)s") % {"value": params["below"], "unit": unit})
    if params.get("hour"):
        found.append(_("%(hour)s o'clock") % {"hour": params["hour"]})
    return found
