"""The index, asked by the keys of an identifier: one query per request at each level, rows as they stream in."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Case, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, JSONObject

from interop.dicom import coercion, matching
from interop.dicom.query_keys import KEYS, Identifier, Level
from interop.dicom.references import Whereabouts
from orders.models import Patient, PatientIdentifier, RequestedProcedure
from worklist.models import ImagingInstance, ImagingSeries, ImagingStudy

CHUNK = 500
ALL, EVERYTHING = slice(None), Q()
Row = dict[str, Any]
LINKS = ImagingStudy.procedures.through
SCALARS_OF_STUDY = {
    "study_instance_uid": "study_instance_uid",
    "study_id": "study_id",
    "study_description": "description",
    "referring_physician": "referring_physician",
    "study_date": "study_date",
    "study_time": "study_time",
    "study_series": "series_count",
    "study_instances": "instance_count",
    "own_accession_number": "accession_number",
    "own_modalities": "modalities",
    "own_patient_id": "patient_id",
    "own_issuer": "issuer_of_patient_id",
    "own_name": "patient_name",
    "own_birth_date": "patient_birth_date",
    "own_sex": "patient_sex",
}
SCALARS_OF_SERIES = {
    "series_instance_uid": "series_instance_uid",
    "modality": "modality",
    "series_number": "number",
    "series_description": "description",
    "body_part": "body_part",
    "laterality": "laterality",
    "station_name": "station_name",
    "manufacturer": "manufacturer",
    "series_instances": "instance_count",
}
SCALARS_OF_INSTANCE = {
    "sop_instance_uid": "sop_instance_uid",
    "sop_class_uid": "sop_class_uid",
    "instance_number": "number",
    "rows": "rows",
    "columns": "columns",
    "frames": "frames",
    "transfer_syntax_uid": "transfer_syntax_uid",
}


# --- whose study


def _usual_first() -> Case:
    """As ``Patient.primary_identifier`` ranks them."""
    return Case(
        When(use="usual", type="MR", then=Value(0)),
        When(use="usual", then=Value(1)),
        When(type="MR", then=Value(2)),
        default=Value(3),
        output_field=IntegerField(),
    )


def _primary(patient: str) -> QuerySet:
    return PatientIdentifier.objects.filter(patient=OuterRef(patient)).order_by(_usual_first(), "pk")


def _identity(study: str) -> Subquery:
    """Who the RIS knows behind a study, as JSON; null where it is linked to no exam."""
    number = _primary("order__patient").values(data=JSONObject(value="value", issuer="issuer"))[:1]
    patient = "order__patient__"
    rows = (
        RequestedProcedure.objects.filter(studies=OuterRef(study))
        .order_by("pk")
        .values(
            data=JSONObject(
                uuid=f"{patient}uuid",
                name=matching.dicom_name_of(patient),
                birth_date=f"{patient}birth_date",
                sex=f"{patient}sex",
                accession_number="accession_number",
                number=Subquery(number),
            )
        )
    )
    return Subquery(rows[:1])


def _patient_condition(values: dict[str, str], study: str) -> Q:
    """Studies (by their key at ``study``) of the patients that are meant, linked or as their objects say."""
    asked = {name: values[name] for name in PATIENT_KEYS if not matching.is_universal(values.get(name, ""))}
    if not asked:
        return Q()
    linked = LINKS.objects.filter(requestedprocedure__order__patient__in=_patients(asked)).values("imagingstudy")
    own = ImagingStudy.objects.filter(_as_sent(asked), procedures__isnull=True).values("pk")
    return Q(**{f"{study}__in": linked}) | Q(**{f"{study}__in": own})


PATIENT_KEYS = ("patient_name", "patient_id", "issuer_of_patient_id", "patient_birth_date", "patient_sex")


def _patients(asked: dict[str, str]) -> QuerySet:
    """Patients by what the RIS knows; their number is the one that they are told under."""
    rows = Patient.objects.all()
    if name := asked.get("patient_name"):
        rows = rows.filter(matching.name_matches(matching.dicom_name_of(), name))
    for key, column in (("patient_id", "value"), ("issuer_of_patient_id", "issuer")):
        if wanted := asked.get(key):
            some = PatientIdentifier.objects.filter(matching.text_matches(column, wanted)).values("patient")
            rows = rows.annotate(**{f"told_{column}": Subquery(_primary("pk").values(column)[:1])})
            rows = rows.filter(matching.text_matches(f"told_{column}", wanted), pk__in=some)
    if birth := asked.get("patient_birth_date"):
        first, last = matching.date_range(birth, "(0010,0030)")
        rows = rows.filter(**{f"birth_date__{k}": v for k, v in (("gte", first), ("lte", last)) if v is not None})
    if sex := asked.get("patient_sex"):
        rows = rows.filter(matching.text_matches("sex", sex))
    return rows.order_by().values("pk")


def _as_sent(asked: dict[str, str]) -> Q:
    condition = Q()
    if name := asked.get("patient_name"):
        condition &= matching.name_matches(F("patient_name"), name)
    for key in ("patient_id", "issuer_of_patient_id", "patient_sex"):
        if wanted := asked.get(key):
            condition &= matching.text_matches(key, wanted)
    if birth := asked.get("patient_birth_date"):
        first, last = matching.date_range(birth, "(0010,0030)")
        for bound, lookup in ((first, "gte"), (last, "lte")):
            condition &= Q(**{f"patient_birth_date__{lookup}": f"{bound:%Y%m%d}"}) if bound else Q()
        condition &= ~Q(patient_birth_date="")
    return condition


# --- conditions of each level


def _study_condition(values: dict[str, str], prefix: str) -> Q:
    """``prefix``: the way from the searched rows to the study."""
    study = prefix.removesuffix("__") or "pk"
    condition = _patient_condition(values, study)
    condition &= matching.uid_matches(f"{prefix}study_instance_uid", values.get("study_instance_uid", ""))
    condition &= matching.moment_matches(
        f"{prefix}study_date", f"{prefix}study_time", values.get("study_date", ""), values.get("study_time", "")
    )
    for name in ("study_id", "study_description"):
        condition &= matching.text_matches(f"{prefix}{SCALARS_OF_STUDY[name]}", values.get(name, ""))
    if physician := values.get("referring_physician", ""):
        condition &= matching.name_matches(F(f"{prefix}referring_physician"), physician)
    condition &= _accession_number(values.get("accession_number", ""), prefix, study)
    condition &= _held(ImagingSeries.objects.filter(instance_count__gt=0), "modality", values, "modalities", study)
    classes = ImagingInstance.objects.visible()
    return condition & _held(classes, "sop_class_uid", values, "sop_classes", study, "series__study")


def _accession_number(wanted: str, prefix: str, study: str) -> Q:
    """As the objects say; where they say nothing, or what none of their exams has, the exam's."""
    if matching.is_universal(wanted):
        return Q()
    known = LINKS.objects.filter(matching.text_matches("requestedprocedure__accession_number", wanted))
    is_linked = Exists(LINKS.objects.filter(imagingstudy=OuterRef(study)))
    is_wrong = Q(is_linked) & ~Q(_says_its_exams_number(study, f"{prefix}accession_number"))
    told = matching.text_matches(f"{prefix}accession_number", wanted) & ~is_wrong
    return told | (Q(**{f"{study}__in": known.values("imagingstudy")}) & is_wrong)


def _says_its_exams_number(study: str, column: str) -> Exists:
    """Whether an exam of the study has the accession number that its objects carry."""
    same = {"imagingstudy": OuterRef(study), "requestedprocedure__accession_number": OuterRef(column)}
    return Exists(LINKS.objects.filter(**same))


def _held(rows: QuerySet, column: str, values: dict[str, str], name: str, study: str, way: str = "study") -> Q:
    """A study that holds one of the values (Modalities in Study, SOP Classes in Study)."""
    wanted = values.get(name, "")
    if matching.is_universal(wanted):
        return Q()
    condition = Q()
    for one in filter(None, (part.strip() for part in wanted.split("\\"))):
        condition |= matching.text_matches(column, one)
    return Q(**{f"{study}__in": rows.filter(condition).values(way)})


def _series_condition(values: dict[str, str], prefix: str) -> Q:
    condition = matching.uid_matches(f"{prefix}series_instance_uid", values.get("series_instance_uid", ""))
    condition &= matching.integer_matches(f"{prefix}number", values.get("series_number", ""), "(0020,0011)")
    for name in ("modality", "series_description", "body_part", "laterality", "station_name", "manufacturer"):
        condition &= matching.text_matches(f"{prefix}{SCALARS_OF_SERIES[name]}", values.get(name, ""))
    return condition


def _instance_condition(values: dict[str, str]) -> Q:
    return (
        matching.uid_matches("sop_instance_uid", values.get("sop_instance_uid", ""))
        & matching.uid_matches("sop_class_uid", values.get("sop_class_uid", ""))
        & matching.integer_matches("number", values.get("instance_number", ""), "(0020,0013)")
    )


def _held_below(level: Level, values: dict[str, str], way: str) -> Q:
    """Studies or series with something that matches the keys of the levels below theirs, as relational queries ask."""
    lower = {name for own, name in KEYS.values() if own > level}
    if not any(not matching.is_universal(values.get(name, "")) for name in lower):
        return Q()
    condition = _instance_condition(values)
    if level < Level.SERIES:
        condition &= _series_condition(values, "series__")
    return Q(pk__in=ImagingInstance.objects.visible().filter(condition).order_by().values(way))


def _not_restricted(study: str, hides_restricted: bool) -> Q:
    if not hides_restricted:
        return Q()
    hidden = LINKS.objects.filter(requestedprocedure__order__patient__is_restricted=True).values("imagingstudy")
    return ~Q(**{f"{study}__in": hidden})


def selected(identifier: Identifier, *, hides_restricted: bool = False) -> QuerySet[ImagingInstance]:
    """The instances that an identifier names, whatever its level; for retrieval."""
    values = dict(identifier.values)
    condition = _study_condition(values, "series__study__") & _not_restricted("series__study", hides_restricted)
    if identifier.level >= Level.SERIES:
        condition &= _series_condition(values, "series__")
    if identifier.level >= Level.IMAGE:
        condition &= _instance_condition(values)
    return ImagingInstance.objects.visible().filter(condition)


# --- what the objects of a study are to say

#: name in a row -> its element
SAID = {
    "patient_name": coercion.PATIENT_NAME,
    "patient_id": coercion.PATIENT_ID,
    "issuer_of_patient_id": coercion.ISSUER,
    "patient_birth_date": coercion.BIRTH_DATE,
    "patient_sex": coercion.SEX,
    "accession_number": coercion.ACCESSION_NUMBER,
}


def current_of(studies: Collection[int], *, as_sent: bool = False) -> dict[int, coercion.Current]:
    """By key of the study: patient, numbers and UIDs as every answer tells them; in three queries.

    ``as_sent``: only the UIDs, of what a person has moved to another study.
    """
    moved = ImagingSeries.objects.filter(study=OuterRef("pk")).exclude(acquired_study_instance_uid="")
    rows = ImagingStudy.objects.filter(pk__in=studies)
    whereabouts = _whereabouts(studies)
    if as_sent:
        uids = rows.values_list("pk", "study_instance_uid", Exists(moved))
        return {pk: coercion.Current(uid, is_said=not is_moved, moved=whereabouts) for pk, uid, is_moved in uids}
    patients = RequestedProcedure.objects.filter(studies=OuterRef("pk")).order_by("pk")
    found = rows.values(
        "pk",
        "updated_at",
        *(column for name, column in SCALARS_OF_STUDY.items() if name.startswith("own_")),
        "study_instance_uid",
        identity=_identity("pk"),
        own_number_is_right=_says_its_exams_number("pk", "accession_number"),
        patient_updated_at=Subquery(patients.values("order__patient__updated_at")[:1]),
        is_moved=Exists(moved),
    )
    requests: dict[int, list[coercion.Request]] = {}
    columns = ("accession_number", "requested_procedure_id", "description", "study_instance_uid")
    exams = LINKS.objects.filter(imagingstudy__in=studies).order_by("requestedprocedure")
    for study, *values in exams.values_list("imagingstudy", *(f"requestedprocedure__{column}" for column in columns)):
        requests.setdefault(study, []).append(coercion.Request(*values))
    told = {row["pk"]: _current(row, tuple(requests.get(row["pk"], ()))) for row in found}
    return {pk: replace(current, moved=whereabouts) for pk, current in told.items()}


def _whereabouts(studies: Collection[int]) -> Whereabouts:
    """What was moved out of these studies, into them, or within the studies of their patients; in one query."""
    persons = LINKS.objects.filter(imagingstudy__in=studies).values("requestedprocedure__order__patient")
    own = LINKS.objects.filter(requestedprocedure__order__patient__in=persons).values("imagingstudy")
    origins = ImagingSeries.objects.filter(study__in=studies).exclude(acquired_study_instance_uid="").order_by()
    uids = ImagingStudy.objects.filter(pk__in=studies).order_by().values("study_instance_uid")
    near = Q(study__in=studies) | Q(study__in=own) | Q(acquired_study_instance_uid__in=uids)
    near |= Q(acquired_study_instance_uid__in=origins.values("acquired_study_instance_uid"))
    series = ImagingSeries.objects.exclude(acquired_study_instance_uid="").filter(near).order_by()
    gone = ImagingStudy.objects.filter(merged_into__isnull=False).order_by()
    near = Q(pk__in=studies) | Q(merged_into__in=studies) | Q(merged_into__in=own)
    gone = gone.filter(near | Q(merged_into__merged_into__in=studies))
    heir = Coalesce("merged_into__merged_into__study_instance_uid", "merged_into__study_instance_uid")
    told = series.values_list(Value(True), "series_instance_uid", "study__study_instance_uid")
    rows = sorted(told.union(gone.values_list(Value(False), "study_instance_uid", heir)))
    return Whereabouts(
        *(tuple((uid, now) for is_one, uid, now in rows if is_one is wanted) for wanted in (True, False))
    )


def _current(row: Row, requests: tuple[coercion.Request, ...]) -> coercion.Current:
    own = {name: row[column] for name, column in SCALARS_OF_STUDY.items() if name.startswith("own_")}
    told = _told({**own, "identity": row["identity"], "own_number_is_right": row["own_number_is_right"]})
    if not row["identity"]:
        return coercion.Current(row["study_instance_uid"], is_said=not row["is_moved"])
    before = _told({**own, "identity": None, "own_number_is_right": True})
    return coercion.Current(
        row["study_instance_uid"],
        tuple((tag, told[name]) for name, tag in SAID.items()),
        requests,
        max(row["updated_at"], row["patient_updated_at"]),
        is_said=not row["is_moved"] and all(told[name] == before[name] for name in SAID),
    )


# --- rows of each level


def _rows(
    found: QuerySet,
    scalars: dict[str, str],
    identifier: Identifier,
    study: str,
    order: tuple[str, ...],
    window: slice = ALL,
) -> Iterator[Row]:
    said = _says_its_exams_number(study, scalars["own_accession_number"])
    extra: dict[str, Any] = {"identity": _identity(study), "own_number_is_right": said}
    if identifier.wants("sop_classes"):
        classes = ImagingInstance.objects.visible().filter(series__study=OuterRef(study)).order_by()
        told = classes.values("series__study").annotate(all=ArrayAgg("sop_class_uid", distinct=True)).values("all")
        extra["sop_classes"] = Subquery(told)
    named = {f"a_{name}": F(column) for name, column in scalars.items()}
    rows = found.order_by(*order).values(**named, **extra)[window]
    for row in rows.iterator(chunk_size=CHUNK):
        yield _told({key.removeprefix("a_"): value for key, value in row.items()})


def _told(row: Row) -> Row:
    """With the patient as known now, or as the objects say."""
    known = row.pop("identity") or {}
    own = {name: row.pop(f"own_{name}") for name in ("patient_id", "issuer", "name", "birth_date", "sex")}
    number = known.get("number") or {}
    row["patient"] = known.get("uuid")
    row["patient_id"] = number.get("value") or own["patient_id"]
    row["issuer_of_patient_id"] = number.get("issuer") or ("" if number else own["issuer"])
    row["patient_name"] = _name(known["name"]) if known else own["name"]
    row["patient_birth_date"] = _birth_date(known) if known else own["birth_date"]
    row["patient_sex"] = _sex(known["sex"]) if known else own["sex"]
    own_number, is_right = row.pop("own_accession_number"), row.pop("own_number_is_right")
    row["accession_number"] = own_number if is_right or not known else known["accession_number"]
    row["modalities"] = [value for value in row.pop("own_modalities").split("\\") if value]
    return row


def _name(text: str) -> str:
    return "=".join(group.rstrip("^") for group in text.split("=")).rstrip("=")


def _birth_date(known: dict[str, Any]) -> str:
    return (known["birth_date"] or "").replace("-", "")


def _sex(value: str) -> str:
    return value if value in ("M", "F", "O") else ""


def _of_study(way: str) -> dict[str, str]:
    return {name: f"{way}{column}" for name, column in SCALARS_OF_STUDY.items()}


def studies(
    identifier: Identifier, *, hides_restricted: bool = False, within: Q = EVERYTHING, window: slice = ALL
) -> Iterator[Row]:
    """``within``: what the caller may see at all; ``window``: which of the rows."""
    found = ImagingStudy.objects.filter(within, instance_count__gt=0).filter(
        _study_condition(dict(identifier.values), ""),
        _held_below(Level.STUDY, dict(identifier.values), "series__study"),
        _not_restricted("pk", hides_restricted),
    )
    return _rows(found, SCALARS_OF_STUDY, identifier, "pk", ("-study_date", "-study_time", "-pk"), window)


def series(
    identifier: Identifier, *, hides_restricted: bool = False, within: Q = EVERYTHING, window: slice = ALL
) -> Iterator[Row]:
    values = dict(identifier.values)
    found = ImagingSeries.objects.filter(within, instance_count__gt=0).filter(
        _study_condition(values, "study__"),
        _series_condition(values, ""),
        _held_below(Level.SERIES, values, "series"),
        _not_restricted("study", hides_restricted),
    )
    scalars = {**_of_study("study__"), **SCALARS_OF_SERIES}
    return _rows(found, scalars, identifier, "study", ("study", "number", "pk"), window)


def instances(
    identifier: Identifier, *, hides_restricted: bool = False, within: Q = EVERYTHING, window: slice = ALL
) -> Iterator[Row]:
    found = selected(identifier, hides_restricted=hides_restricted).filter(within)
    of_series = {name: f"series__{column}" for name, column in SCALARS_OF_SERIES.items()}
    scalars = {**_of_study("series__study__"), **of_series, **SCALARS_OF_INSTANCE}
    return _rows(found, scalars, identifier, "series__study", ("series__study", "series", "number", "pk"), window)


def patients(identifier: Identifier, *, hides_restricted: bool = False) -> Iterator[Row]:
    """Each once, with all that is stored of them; what the RIS knows goes before what objects say."""
    condition = _patient_condition(dict(identifier.values), "pk") & _not_restricted("pk", hides_restricted)
    number = _primary("order__patient").values("value")[:1]
    told = RequestedProcedure.objects.filter(studies=OuterRef("pk")).order_by("pk").values(told=Subquery(number))[:1]
    found = ImagingStudy.objects.filter(instance_count__gt=0).filter(condition)
    found = found.annotate(
        is_linked=Exists(LINKS.objects.filter(imagingstudy=OuterRef("pk"))),
        told_number=Coalesce(Subquery(told), F("patient_id")),
    )
    rows = _rows(found, SCALARS_OF_STUDY, identifier, "pk", ("told_number", "-is_linked", "-pk"))
    for _number, group in itertools.groupby(rows, key=lambda row: row["patient_id"]):
        yield from _merged(list(group))


def _merged(rows: list[Row]) -> Iterator[Row]:
    """One row per number and issuer."""
    by_issuer: dict[str, Row] = {}
    for row in rows:
        kept = by_issuer.setdefault(row["issuer_of_patient_id"], row)
        counts = {
            "patient_studies": 1,
            "patient_series": row["study_series"],
            "patient_instances": row["study_instances"],
        }
        for name, count in counts.items():
            kept[name] = kept.get(name, 0) + count
    yield from by_issuer.values()


SEARCHES: dict[Level, Callable[..., Iterator[Row]]] = {
    Level.PATIENT: patients,
    Level.STUDY: studies,
    Level.SERIES: series,
    Level.IMAGE: instances,
}
