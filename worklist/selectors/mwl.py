"""Modality worklist queries (PS3.4 K.2, C.2.2.2): one query over the key columns, answered with rendered bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import time, timedelta
from fnmatch import translate
from io import BytesIO
from typing import Any, Protocol

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue

from ris.core.errors import InvalidData
from worklist.data import MwlQuery, MwlScope
from worklist.models import ScheduledProcedureStep, Station
from worklist.services.images import parse_date, parse_time

MOST = 10_000
ON_THE_WIRE = re.compile(r"[0-9.:]+")
LAST_SECOND = time(23, 59, 59, 999999)


class Peer(Protocol):
    """Who asks, and how far its rights reach (``interop.models.DicomPeer``)."""

    ae_title: str
    sees_all_stations: bool
    max_results: int
    scope: MwlScope


def worklist_items(query: MwlQuery, *, peer: Peer | None = None) -> Iterator[tuple[int, bytes]]:
    """(key of the step, rendered identifier) of each match, soonest first.

    Without a peer nothing is withheld. Raises InvalidData for a key that cannot be a value or range.
    """
    if not query.others:
        for pk, item in offered_steps(query, peer=peer).values_list("pk", "item"):
            yield pk, bytes(item)
        return
    rows = matching_steps(query, peer=peer).values_list("pk", "item")
    limit, found = _limit(query, peer), 0
    for pk, item in rows[:MOST].iterator(chunk_size=500):
        if matches_item(bytes(item), query.others):
            yield pk, bytes(item)
            found += 1
            if found >= limit:
                return


def offered_steps(query: MwlQuery, *, peer: Peer | None = None) -> QuerySet[ScheduledProcedureStep]:
    """What a query without keys of ``others`` is answered with."""
    return matching_steps(query, peer=peer)[: _limit(query, peer)]


def _limit(query: MwlQuery, peer: Peer | None) -> int:
    wanted = [number for number in (query.limit, peer.max_results if peer else 0) if number]
    return min([*wanted, MOST])


def matching_steps(query: MwlQuery, *, peer: Peer | None = None) -> QuerySet[ScheduledProcedureStep]:
    condition = Q(is_on_worklist=True)
    if peer is not None:
        if not peer.sees_all_stations:
            condition &= _station(peer.ae_title)
        condition &= _shown(peer.scope, query)
    if query.station_ae_title.strip():
        condition &= _station(query.station_ae_title.strip())
    condition &= _moment(query.start_date.strip(), query.start_time.strip())
    condition &= _text("modality", query.modality)
    condition &= _name("key_performing_physician", query.performing_physician)
    condition &= _name("key_patient_name", query.patient_name)
    condition &= _text("key_patient_id", query.patient_id)
    condition &= _text("key_accession_number", query.accession_number)
    condition &= _text("key_requested_procedure_id", query.requested_procedure_id)
    condition &= _text("scheduled_procedure_step_id", query.scheduled_procedure_step_id)
    if query.study_instance_uid:
        uids = [query.study_instance_uid] if isinstance(query.study_instance_uid, str) else query.study_instance_uid
        condition &= Q(key_study_instance_uid__in=list(uids))
    return ScheduledProcedureStep.objects.filter(condition).order_by("key_date", "key_time", "pk")


def _station(title: str) -> Q:
    """Steps of the station, and those that any station of its modality may take. Single value only (Table K.6-1)."""
    shared = Q(modality__in=Station.objects.filter(ae_title=title, is_active=True).values("modality"))
    return Q(key_station_ae__in=[title, ""]) & (Q(key_station_ae=title) | shared)


def _shown(scope: MwlScope, query: MwlQuery) -> Q:
    """What the peer's row leaves of the worklist, whatever it asks for."""
    condition = Q()
    if scope.stations:
        shared = Station.objects.filter(ae_title__in=scope.stations, is_active=True).values("modality")
        condition &= Q(key_station_ae__in=scope.stations) | Q(key_station_ae="", modality__in=shared)
    if scope.modalities:
        condition &= Q(modality__in=scope.modalities)
    if scope.hidden_statuses:
        condition &= ~Q(status__in=scope.hidden_statuses)
    if scope.hides_blocked:
        condition &= Q(is_blocked=False)
    if scope.hides_restricted:
        condition &= Q(procedure__order__patient__is_restricted=False)
    if _is_universal(query.start_date.strip()):
        today = timezone.localdate()
        if scope.days_back is not None:
            condition &= Q(key_date__gte=today - timedelta(days=scope.days_back))
        if scope.days_ahead is not None:
            condition &= Q(key_date__lte=today + timedelta(days=scope.days_ahead))
    return condition


# --- C.2.2.2.1 single value, C.2.2.2.4 wildcard


def like(pattern: str) -> str:
    """A wildcard pattern as LIKE: ``*`` any run, ``?`` any one character."""
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")


def _is_universal(text: str) -> bool:
    return not text or set(text) == {"*"}


def _text(column: str, wanted: str) -> Q:
    text = wanted.strip()
    if _is_universal(text):
        return Q()
    if "*" in text or "?" in text:
        return Q(**{f"{column}__like": like(text)}) & ~Q(**{column: ""})
    return Q(**{column: text})


def _name(column: str, wanted: str) -> Q:
    """PN: no case, trailing component delimiters do not count, the alphabetic group stands for the name."""
    text = wanted.strip().upper()
    if _is_universal(text):
        return Q()
    if "*" in text or "?" in text:
        whole = Q(**{f"{column}__like": like(text)})
        if "=" not in text:
            whole |= Q(**{f"{column}__like": like(text) + "=%"})
        return whole & ~Q(**{column: ""})
    text = "=".join(group.rstrip("^ ") for group in text.split("=")).rstrip("=")
    exact = Q(**{column: text})
    return exact if "=" in text else exact | Q(**{f"{column}__startswith": f"{text}="})


# --- C.2.2.2.5 range


def _moment(dates: str, times: str) -> Q:
    """Two ranges are one interval from the first date and time to the last (Table K.6-1)."""
    first, last = _range(dates, "start_date", parse_date)
    begin, end = _range(times, "start_time", parse_time, last_of=_end_of_time)
    if "-" in dates and "-" in times:
        condition = Q()
        if first is not None:
            condition &= Q(key_date__gt=first) | Q(key_date=first, key_time__gte=begin or time.min)
        if last is not None:
            condition &= Q(key_date__lt=last) | Q(key_date=last, key_time__lte=end or LAST_SECOND)
        return condition
    if first is not None and first == last:
        condition = Q(key_date=first)  # not a range of one day: the index of station and date serves it
    else:
        condition = Q()
        for value, lookup in ((first, "key_date__gte"), (last, "key_date__lte")):
            condition &= Q(**{lookup: value}) if value is not None else Q()
    for moment, lookup in ((begin, "key_time__gte"), (end, "key_time__lte")):
        condition &= Q(**{lookup: moment}) if moment is not None else Q()
    return condition


def _range(text: str, field: str, parse: Any, last_of: Any = None) -> tuple[Any, Any]:
    if _is_universal(text):
        return None, None
    begins, dash, ends = text.partition("-")
    parts = (begins.strip(), ends.strip() if dash else begins.strip())
    if not any(parts):
        raise _no_value(field)
    values = []
    for index, part in enumerate(parts):
        parser = last_of if index and last_of else parse
        value = parser(part) if part and ON_THE_WIRE.fullmatch(part) else None
        if part and value is None:
            raise _no_value(field)
        values.append(value)
    return values[0], values[1]


def _end_of_time(text: str) -> time | None:
    """A time of lesser precision ends where its last second does: 10 is up to 10:59:59."""
    value = parse_time(text)
    digits = len(re.sub(r"\D", "", text.partition(".")[0]))
    if value is None or digits >= 6:
        return value
    return value.replace(second=59) if digits >= 4 else value.replace(minute=59, second=59)


def _no_value(field: str) -> InvalidData:
    words = _("This is neither a value nor a range.")
    return InvalidData(words, errors={field: words})


# --- all other keys of the table, against the rendered item


def read_item(item: bytes) -> Dataset:
    """A rendered identifier as a data set."""
    return read_dataset(BytesIO(item), is_implicit_VR=True, is_little_endian=True)


def matches_item(item: bytes, others: Mapping[str, str]) -> bool:
    dataset = read_item(item)
    return all(_matches(dataset, path.split("."), wanted) for path, wanted in others.items())


def _matches(dataset: Dataset, path: list[str], wanted: str) -> bool:
    """Sequence matching looks into every item; an empty stored value matches no value (K.2.2.1.1.1)."""
    if _is_universal(wanted.strip()):
        return True
    value = dataset.get(path[0])
    if len(path) > 1:
        return any(_matches(item, path[1:], wanted) for item in value or ())
    if value is None or value == "":
        return False
    values = value if isinstance(value, (list, tuple, MultiValue)) else [value]
    vr = dataset[path[0]].VR
    return any(_equal(str(stored), wanted.strip(), vr) for stored in values if str(stored))


def _equal(stored: str, wanted: str, vr: str) -> bool:
    if vr in ("DA", "TM") and "-" in wanted:
        begins, _dash, ends = (part.strip() for part in wanted.partition("-"))
        return (not begins or stored >= begins) and (not ends or stored[: len(ends)] <= ends)
    if vr == "UI":
        return stored in wanted.split("\\")
    if vr == "PN":
        stored, wanted = stored.upper().rstrip("^"), wanted.upper().rstrip("^")
    if "*" in wanted or "?" in wanted:
        return re.fullmatch(translate(wanted.replace("[", "[[]")), stored) is not None
    return stored == wanted
