"""QIDO-RS parameters (PS3.18 8.3.4) as keys of the index, which are the same as those of C-FIND."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.http import QueryDict
from django.utils.translation import gettext as _
from pydicom.datadict import keyword_for_tag, tag_for_keyword

from interop.dicom.query_keys import KEYS, ONLY_TOLD, Level
from interop.dicomweb.media import BadRequest
from ris.core.ids import is_valid_uid

#: Results of one answer, at most, and without ``limit``.
MAX_RESULTS = 5000
MAX_VALUE = 1024
MAX_UIDS = 1000
MAX_STARS = 12
MAX_OFFSET = 10_000_000
#: Parameters of every search that are no attributes.
OTHERS = frozenset({"limit", "offset", "includefield", "fuzzymatching", "accept"})
#: Several values may be given, separated by commas.
LISTS = frozenset({"study_instance_uid", "series_instance_uid", "sop_instance_uid", "sop_class_uid", "modalities"})
UIDS = LISTS - {"modalities"}
#: Counts over a patient are told of patients, at a level that RESTful services do not have.
TOLD = {
    tag: key for tag, key in KEYS.items() if key[1] not in ("patient_studies", "patient_series", "patient_instances")
}


@dataclass
class Query:
    """A search as asked. ``values``: name of a key -> its text; ``warnings`` are told to the caller."""

    values: dict[str, str] = field(default_factory=dict)
    included: set[int] = field(default_factory=set)
    includes_all: bool = False
    limit: int = MAX_RESULTS
    offset: int = 0
    warnings: list[str] = field(default_factory=list)

    def includes(self, tag: int) -> bool:
        return self.includes_all or tag in self.included


def read_query(parameters: QueryDict, level: Level) -> Query:
    """Raises BadRequest with the parameter that is wrong; what is known but not matched becomes a warning."""
    query = Query()
    ignored: list[str] = []
    for name in parameters:
        if name in OTHERS:
            continue
        values = parameters.getlist(name)
        if len(values) > 1:
            raise bad(name, _("This parameter is given twice."))
        tag = tag_named(name)
        key = None if "." in name else TOLD.get(tag)
        if key is None or key[1] in ONLY_TOLD or key[0] > level:
            ignored += [name] if values[0] else []
        elif values[0].strip():
            _read_value(query, name, key[1], values[0].strip())
    if ignored:
        query.warnings.append(f"These attributes are not matched and were ignored: {', '.join(ignored)}")
    if _flag(parameters, "fuzzymatching"):
        query.warnings.append("The fuzzymatching parameter is not supported. Only literal matching has been performed.")
    query.limit = min(_count(parameters, "limit", MAX_RESULTS), MAX_RESULTS)
    query.offset = _count(parameters, "offset", 0)
    _read_included(query, parameters.getlist("includefield"))
    return query


def _read_value(query: Query, name: str, key: str, text: str) -> None:
    if len(text) > MAX_VALUE * (64 if key in UIDS else 1):
        raise bad(name, _("This value is too long."))
    if any(letter < " " for letter in text):
        raise bad(name, _("This value holds a character that no text has."))
    if text.count("*") > MAX_STARS:
        raise bad(name, _("There are too many wildcards."))
    if key in LISTS:
        text = text.replace(",", "\\")
    if key in UIDS:
        uids = [uid.strip() for uid in text.split("\\") if uid.strip(" *")]
        if len(uids) > MAX_UIDS or not all(is_valid_uid(uid) for uid in uids):
            raise bad(name, _("That is no UID, or no list of up to %d UIDs separated by commas.") % MAX_UIDS)
    if key in query.values and query.values[key] != text:
        raise bad(name, _("This parameter is given twice."))
    query.values[key] = text


def tag_named(name: str) -> int:
    """The tag of ``GGGGEEEE`` or a keyword, the first one of a path. Raises BadRequest for what is neither."""
    first = name.split(".")[0]
    found = int(first, 16) if re.fullmatch(r"[0-9A-Fa-f]{8}", first) else tag_for_keyword(first)
    if found is None:
        raise bad(name, _("This is no attribute of DICOM and no parameter of a search."))
    return found


def _read_included(query: Query, values: Iterable[str]) -> None:
    for name in ",".join(values).split(","):
        if name.strip().lower() == "all":
            query.includes_all = True
        elif name.strip():
            query.included.add(tag_named(name.strip()))


def _count(parameters: QueryDict, name: str, default: int) -> int:
    value = parameters.get(name, "")
    if not value:
        return default
    if not re.fullmatch(r"[0-9]{1,8}", value) or int(value) > MAX_OFFSET:
        raise bad(name, _("This must be a number from 0 on."))
    return int(value)


def _flag(parameters: QueryDict, name: str) -> bool:
    value = parameters.get(name, "false").lower()
    if value not in ("true", "false", ""):
        raise bad(name, _("This must be true or false."))
    return value == "true"


def bad(name: str, words: str) -> BadRequest:
    return BadRequest(
        _("A parameter of the request cannot be understood."), found=f"{name[:64]}: {words}", errors={name[:64]: words}
    )


def keyword(tag: int) -> str:
    return keyword_for_tag(tag)
