"""The rows of one page of the reading list, by their keys.

A page is shown and polled for all day long, and of its time the larger part went into building the same SQL again.
Here it is built once per process: three statements, of which only the keys change. What comes back are the models of
``reading_list``, with the fields that a row shows.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from django.db import connection
from django.db.models import Model, QuerySet

from orders.models import Order, Patient, PatientAlert, PatientIdentifier, RequestedProcedure
from reporting.models import ReadingGroup, ReadingItem, ReadingLock, Report
from ris.accounts.models import Practitioner, Site, User

#: Stands for the keys in a statement that waits for them.
KEYS = object()


def _in_order(model: type[Model], *names: str) -> list[str]:
    """As ``from_db`` wants them: in the order of the model's columns."""
    return [field.attname for field in model._meta.concrete_fields if field.attname in names]


NAMES_OF_USER = _in_order(User, "id", "username", "prefix", "given_name", "family_name")
PROCEDURE = _in_order(
    RequestedProcedure,
    "id",
    "uuid",
    "accession_number",
    "status",
    "status_changed_at",
    "description",
    "laterality",
    "contrast",
    "images_complete_at",
    "order_id",
)
PATIENT = ("uuid", "family_name", "given_name", "middle_name", "sex", "birth_date", "identity_is_unverified")
ORDER = ("priority", "patient_class", "location", "indication", "patient_id", "requester_id", "site_id")
#: What is joined: where it hangs, its model, what it is called there, its fields.
JOINED: list[tuple[str, type[Model], str, list[str]]] = [
    ("order", Order, "", _in_order(Order, "id", *ORDER)),
    ("patient", Patient, "order", _in_order(Patient, "id", *PATIENT)),
    (
        "requester",
        Practitioner,
        "order",
        _in_order(Practitioner, "id", "prefix", "given_name", "family_name", "suffix"),
    ),
    ("site", Site, "order", _in_order(Site, "id", "code", "name")),
    ("reading_lock", ReadingLock, "", _in_order(ReadingLock, "id", "user_id", "claimed_at", "heartbeat_at")),
    ("user", User, "reading_lock", NAMES_OF_USER),
    ("reading_item", ReadingItem, "", _in_order(ReadingItem, "id", "minutes", "due_at", "group_id", "assigned_to_id")),
    ("group", ReadingGroup, "reading_item", _in_order(ReadingGroup, "id", "code", "name")),
    ("assigned_to", User, "reading_item", NAMES_OF_USER),
]
PATHS = {"": "", "order": "order__"} | {
    name: f"{'order__' if under == 'order' else f'{under}__' if under else ''}{name}__"
    for name, _model, under, _fields in JOINED
}
REPORT = _in_order(Report, "id", "uuid", "status", "author_id", "preliminary_by_id")
IDENTIFIER = _in_order(PatientIdentifier, "id", "patient_id", "value", "issuer", "type", "use")
ALERT = _in_order(PatientAlert, "id", "patient_id", "kind", "text", "is_active")


def _prepared(rows: QuerySet, column: str) -> tuple[str, list[Any]]:
    """The statement for all whose column is among the keys, and its parameters, ``KEYS`` among them."""
    sql, params = rows.extra(where=[f"{column} = any(%s)"], params=[KEYS]).query.sql_with_params()
    return sql, list(params)


def _ask(statement: tuple[str, list[Any]], keys: list[int]) -> list[tuple[Any, ...]]:
    sql, params = statement
    with connection.cursor() as cursor:
        cursor.execute(sql, [keys if value is KEYS else value for value in params])
        return cursor.fetchall()


@functools.cache
def _of_exams(annotated: Callable[[QuerySet], QuerySet]) -> tuple[tuple[str, list[Any]], list[str]]:
    rows = annotated(RequestedProcedure.objects.order_by())
    counted = [name for name in rows.query.annotations if name != "pk"]
    joined = [f"{PATHS[name]}{field}" for name, _model, _under, fields in JOINED for field in fields]
    rows = rows.values_list(*PROCEDURE, *joined, *counted)
    return _prepared(rows, '"orders_requestedprocedure"."id"'), counted


@functools.cache
def _of_patients(model: type[Model], *names: str) -> tuple[str, list[Any]]:
    rows = model._default_manager.order_by("pk").values_list(*names)
    return _prepared(rows, f'"{model._meta.db_table}"."patient_id"')


@functools.cache
def _of_reports() -> tuple[str, list[Any]]:
    links = Report.procedures.through.objects.exclude(report__status__in=("cancelled", "entered-in-error"))
    told = [*REPORT, *(f"preliminary_by__{name}" for name in NAMES_OF_USER)]
    rows = links.order_by("-report__pk").values_list("requestedprocedure_id", *(f"report__{name}" for name in told))
    return _prepared(rows, '"reporting_report_procedures"."requestedprocedure_id"')


def _made(model: type[Model], fields: list[str], values: tuple[Any, ...]) -> Any:
    """As loaded with ``only``; nothing where the outer join found nothing."""
    return None if values[fields.index("id")] is None else model.from_db("default", fields, values)


def _together(values: tuple[Any, ...], counted: list[str]) -> RequestedProcedure:
    """The exam and what is joined to it."""
    at = len(PROCEDURE)
    row = _made(RequestedProcedure, PROCEDURE, values[:at])
    known: dict[str, Any] = {"": row}
    for name, model, under, fields in JOINED:
        part = known[name] = _made(model, fields, values[at : at + len(fields)])
        at += len(fields)
        if known[under] is not None:
            known[under]._state.fields_cache[name] = part
    row.__dict__.update(zip(counted, values[at:], strict=True))
    return row


def rows_of(keys: Iterable[int], *, annotated: Callable[[QuerySet], QuerySet]) -> list[RequestedProcedure]:
    """The exams of these keys, in their order; whoever gives the keys has seen to it who may know of them."""
    wanted = list(keys)
    if not wanted:
        return []
    statement, counted = _of_exams(annotated)
    rows = {row.pk: row for row in (_together(values, counted) for values in _ask(statement, wanted))}
    _add_patients(list(rows.values()))
    _add_reports(rows)
    return [rows[key] for key in wanted if key in rows]


def _add_patients(rows: list[RequestedProcedure]) -> None:
    patients: dict[int, list[Patient]] = defaultdict(list)
    for row in rows:
        patients[row.order.patient_id].append(row.order.patient)
    for name, model, fields in (
        ("identifiers", PatientIdentifier, IDENTIFIER),
        ("alert_rows", PatientAlert, ALERT),
    ):
        found = defaultdict(list)
        for values in _ask(_of_patients(model, *fields), list(patients)):
            row = _made(model, fields, values)
            found[row.patient_id].append(row)
        for key, same in patients.items():
            for patient in same:
                patient.__dict__.setdefault("_prefetched_objects_cache", {})[name] = found[key]


def _add_reports(rows: dict[int, RequestedProcedure]) -> None:
    end = 1 + len(REPORT)
    for row in rows.values():
        row.live_reports = []
    for values in _ask(_of_reports(), list(rows)):
        report = _made(Report, REPORT, values[1:end])
        report._state.fields_cache["preliminary_by"] = _made(User, NAMES_OF_USER, values[end:])
        rows[values[0]].live_reports.append(report)
