"""Sources out of a JSON document: our own, and both of Pylantir's (``redcap2wl`` and ``data_sources``).

What Pylantir builds into its program (how it makes a patient's number and name, which rows are entries) becomes rules
of the mapping, so that people see and change it. What has no place here is told in the notes and not passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import time
from typing import Any

from django.utils.translation import gettext as _

from interop import permissions as perms
from interop.models import DicomPeer, Source
from interop.sources.plugin import plugin_of
from interop.sources.services import FORMAT, TIMES, clock_of, save_source
from orders.models import Modality
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData

#: Where a document's source lies when nothing says where.
NOWHERE = "https://redcap.invalid/api/"
#: Pylantir's name of a worklist field -> ours. Those that are only parts of a number or a name are not among them.
TARGET_OF = {
    "patient_id": "patient_id",
    "patient_name": "patient_name",
    "patient_birth_date": "birth_date",
    "patient_sex": "sex",
    "patient_weight_lb": "weight_lb",
    "accession_number": "accession_number",
    "referring_physician_name": "requester",
    "modality": "modality",
    "study_description": "description",
    "procedure_description": "description",
    "protocol_name": "protocol",
    "station_name": "station",
    "scheduled_station_aetitle": "station",
    "scheduled_start_date": "start_date",
    "scheduled_start_time": "start_time",
    "hisris_coding_designator": "code_scheme",
    "performed_procedure_step_status": "status",
    "study_instance_uid": "study_instance_uid",
}
PARTS = frozenset({"study_id", "family_id", "session_id", "ses_id", "t1_date", "mri_instance"})
STATUS_WORDS = {
    "SCHEDULED": "scheduled",
    "IN_PROGRESS": "in progress",
    "COMPLETED": "completed",
    "DISCONTINUED": "cancelled",
}
LAST_PART = r"([^-]*)$"


@dataclass
class Draft:
    """A source to be, and what people should know of it."""

    name: str
    kind: str
    config: dict[str, Any]
    mapping: list[dict[str, Any]]
    times: dict[str, Any] = field(default_factory=dict)
    is_active: bool = True
    secrets: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Imported:
    source: Source
    is_new: bool
    notes: tuple[str, ...]


def drafts_of(document: Any, *, environment: Mapping[str, str] | None = None) -> list[Draft]:
    """The sources that a document describes. ``environment``: where Pylantir keeps addresses and credentials."""
    if not isinstance(document, Mapping):
        raise InvalidData(_("The document is no JSON object."), errors={"document": _("An object is wanted.")})
    surroundings = environment or {}
    if document.get("format") == FORMAT:
        return [_own(document)]
    if isinstance(document.get("sources"), list):
        return [_own(entry) for entry in document["sources"]]
    found: list[Draft] = []
    entries = document.get("data_sources")
    if entries and not isinstance(entries, list):
        raise InvalidData(_("The document cannot be read."), errors={"data_sources": _("A list is wanted.")})
    for number, entry in enumerate(entries or (), start=1):
        found.append(_of_data_source(entry, number, document, surroundings))
    if not found and document.get("redcap2wl"):
        found.append(_of_redcap2wl(document, surroundings))
    if not found:
        raise InvalidData(
            _("There is no source in this document."),
            found=_("It has neither “data_sources” nor “redcap2wl”, nor is it an export of ours."),
            errors={"document": _("No source in it.")},
        )
    for draft in found:
        draft.notes += _notes_of(document)
    return found


@service(perms.MANAGE_INTERFACES, action=Action.CREATE)
def import_sources(
    document: Any,
    *,
    environment: Mapping[str, str] | None = None,
    replaces: bool = False,
    is_active: bool | None = None,
    actor: Actor,
) -> list[Imported]:
    """Make the sources of a document. One whose name is taken is changed when ``replaces``, else refused.

    ``is_active``: whatever the document says, on (when there are credentials) or off.
    """
    done = []
    for draft in drafts_of(document, environment=environment):
        known = Source.objects.filter(name=draft.name).first()
        if known is not None and not replaces:
            raise InvalidData(
                _("A source of this name exists: %(name)s.") % {"name": draft.name},
                todo=_("Say that it is to be replaced, or give the other one another name."),
                errors={"name": _("Taken.")},
            )
        if known is not None and draft.config.get("url") == NOWHERE:
            draft.config["url"] = known.config.get("url") or NOWHERE
        lacking = _lacking(draft, known)
        if lacking:
            draft.notes.append(
                _("Switched off until its credentials are entered: %(names)s.") % {"names": ", ".join(lacking)}
            )
        source = save_source(
            known,
            name=draft.name,
            kind=draft.kind,
            config=draft.config,
            secrets=draft.secrets,
            mapping=draft.mapping,
            is_active=(draft.is_active if is_active is None else is_active) and not lacking,
            actor=actor,
            **draft.times,
        )
        done.append(Imported(source, known is None, tuple(draft.notes)))
    return done


def _lacking(draft: Draft, known: Source | None) -> list[str]:
    from interop.sources.plugin import missing_secrets
    from interop.sources.secrets import secrets_of

    stored = secrets_of(known) if known is not None else {}
    plugin = plugin_of(draft.kind)
    return [str(field.label) for field in missing_secrets(plugin, {**stored, **draft.secrets})]


# --- ours


def _own(document: Any) -> Draft:
    if not isinstance(document, Mapping) or not isinstance(document.get("name"), str):
        raise InvalidData(_("The document cannot be read."), errors={"name": _("This is needed.")})
    schedule = document.get("schedule") or {}
    if not isinstance(schedule, Mapping):
        raise InvalidData(_("The document cannot be read."), errors={"schedule": _("An object is wanted.")})
    times = {name: schedule[name] for name in TIMES if name in schedule}
    for name in ("opens_at", "closes_at"):
        if name in times:
            times[name] = clock_of(times[name])
    return Draft(
        name=document["name"],
        kind=str(document.get("kind", "")),
        config=document.get("config") or {},
        mapping=document.get("mapping") or [],
        times=times,
        is_active=document.get("is_active") is not False,
    )


# --- Pylantir's


def _notes_of(document: Mapping[str, Any]) -> list[str]:
    notes = []
    if document.get("allowed_aet"):
        titles = [str(title) for title in document["allowed_aet"]]
        known = set(DicomPeer.objects.filter(ae_title__in=titles).values_list("ae_title", flat=True))
        missing = [title for title in titles if title not in known]
        if missing:
            notes.append(
                _("These scanners may ask for the worklist once they are peers with their addresses: %(names)s.")
                % {"names": ", ".join(missing)}
            )
    if document.get("api"):
        notes.append(_("Who may call the API from other pages is a setting of the installation (CORS)."))
    return notes


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:48] or "source"


def _times(entry: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    seconds = entry.get("sync_interval") or document.get("db_update_interval") or 60
    times: dict[str, Any] = {"interval_seconds": max(15, min(86400, int(float(seconds))))}
    hours = entry.get("operation_interval") or document.get("operation_interval") or {}
    begin, end = _clock(hours.get("start_time"), time(0)), _clock(hours.get("end_time"), time(0))
    if begin == time(0) and end >= time(23, 59):
        end = begin
    return {**times, "opens_at": begin, "closes_at": end}


def _clock(pair: Any, otherwise: time) -> time:
    try:
        hour, minute = (int(part) for part in pair)
        return time(hour % 24, minute)
    except (TypeError, ValueError):
        return otherwise


def _of_redcap2wl(document: Mapping[str, Any], environment: Mapping[str, str]) -> Draft:
    """The older form: one REDCap project; each event of a record is a session."""
    fields = document["redcap2wl"]
    site = str(document.get("site") or "")
    draft = Draft("redcap", "redcap", {"site": site}, [], _times({}, document))
    sessions = {str(name): str(value) for name, value in (document.get("mri_visit_session_mapping") or {}).items()}
    if sessions:
        draft.config["events"] = list(sessions)
    rules = [
        {"target": "_study", "source": _field_of(fields, "study_id"), "pattern": LAST_PART, "group": 1},
        {"target": "_family", "source": _field_of(fields, "family_id"), "pattern": LAST_PART, "group": 1},
        {"target": "_session", "source": "redcap_event_name", **({"values": sessions} if sessions else {})},
        {"target": "patient_name", "template": "cpip-id-{_study}^fa-{_family}"},
        {"target": "patient_id", "template": "sub-{_study}_ses-{_session}_fam-{_family}_site-" + site},
    ]
    _redcap_rules(draft, rules, fields, document.get("protocol"), site, environment)
    draft.config["required"] = [name for name in (_study_field(fields), _field(fields, "scheduled_start_date")) if name]
    return draft


def _of_data_source(entry: Any, number: int, document: Mapping[str, Any], environment: Mapping[str, str]) -> Draft:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("type"), str):
        raise InvalidData(
            _("A source of the document cannot be read."), errors={f"data_sources.{number}": _("It names its type.")}
        )
    kind = entry["type"].strip().lower()
    config = entry.get("config", {})
    fields = entry.get("field_mapping") or (config.get("field_mapping") if isinstance(config, Mapping) else None) or {}
    if not isinstance(config, Mapping) or not isinstance(fields, Mapping):
        raise InvalidData(
            _("A source of the document cannot be read."), errors={f"data_sources.{number}": _("An object is wanted.")}
        )
    plugin_of(kind)
    draft = Draft(_slug(str(entry.get("name") or kind)), kind, {}, [], _times(entry, document))
    draft.is_active = entry.get("enabled") is not False
    if kind == "redcap":
        _redcap(draft, config, fields, environment)
    elif kind == "calpendo":
        _calpendo(draft, config, fields, environment)
    else:
        draft.config, draft.mapping = dict(config), list(fields.get("rules", []))
    return draft


def _redcap(draft: Draft, config: Mapping[str, Any], fields: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """The newer form: each instance of the repeating instrument ``mri`` is a session."""
    site = str(config.get("site_id") or "")
    draft.config = {"site": site, "instrument": "mri", "required": ["mri_instance", "mri_date", "mri_time"]}
    rules = [
        {"target": "_study", "source": _field_of(fields, "study_id"), "pattern": LAST_PART, "group": 1},
        {"target": "_family", "source": _field_of(fields, "family_id"), "pattern": LAST_PART, "group": 1},
        {"target": "_session", "source": _field_of(fields, "session_id", "mri_instance")},
        {"target": "patient_name", "template": "cpip-id-{_study}^fa-{_family}"},
        {"target": "patient_id", "template": "sub_{_study}_ses_{_session}_fam_{_family}"},
    ]
    _redcap_rules(draft, rules, fields, config.get("protocol"), site, environment)


def _redcap_rules(
    draft: Draft,
    rules: list[dict[str, Any]],
    fields: Mapping[str, Any],
    protocol: Any,
    site: str,
    environment: Mapping[str, str],
) -> None:
    for source, wanted in fields.items():
        name = str(wanted)
        if name in PARTS:
            continue
        target = {"youth_dob_y": "birth_date", "demo_sex": "sex"}.get(name) or TARGET_OF.get(name)
        if target is None:
            draft.notes.append(_("The field %(name)s has no place on our worklist and was left out.") % {"name": name})
            continue
        rules += _rules_for(target, str(source))
    rules.append({"target": "modality", "default": "MR"})
    code, scheme = _protocol(protocol, site)
    if code:
        rules.append({"target": "code", "default": code[:16], "note": _("Protocol of the site")})
        rules.append({"target": "protocol", "default": code})
    if scheme:
        rules.append({"target": "code_scheme", "default": scheme[:16]})
    rules.append({"target": "description", "default": "CPIP" if not code else code[:64]})
    draft.mapping = rules
    draft.config["url"] = environment.get("REDCAP_API_URL", "") or NOWHERE
    if not environment.get("REDCAP_API_URL"):
        draft.notes.append(_("Enter the address of the API: Pylantir keeps it in REDCAP_API_URL."))
        draft.is_active = False
    token = _token(environment, draft.name, site)
    if token:
        draft.secrets = {"token": token}


def _rules_for(target: str, source: str) -> list[dict[str, Any]]:
    """A field that Pylantir copies as it is; where it may be written in several ways, each in turn."""
    if target == "birth_date":
        year = {"target": "birth_year", "source": source, "pattern": r"^(\d{4})$", "group": 1}
        day = {"target": "birth_date", "source": source, "pattern": r"^(\d{4}-?\d\d-?\d\d)", "group": 1}
        return [year, day]
    if target == "sex":
        return [{"target": "sex", "source": f"{source}:label"}, {"target": "sex", "source": source}]
    if target == "status":
        return [{"target": "status", "source": source, "values": STATUS_WORDS | {"*": "scheduled"}}]
    return [{"target": target, "source": source}]


def _token(environment: Mapping[str, str], name: str, site: str) -> str:
    """A site's own token where there is one."""
    own = [re.sub(r"\W", "_", text).upper() for text in (name, site) if text]
    names: Iterable[str] = (*(f"REDCAP_API_TOKEN_{text}" for text in own), "REDCAP_API_TOKEN")
    return next((environment[one] for one in names if environment.get(one)), "")


def _protocol(protocol: Any, site: str) -> tuple[str, str]:
    """The name of the site's protocol, and the designator of its coding scheme."""
    if isinstance(protocol, Mapping):
        return str(protocol.get(site) or ""), str(protocol.get("mapping") or "")
    return str(protocol or ""), ""


def _field(fields: Mapping[str, Any], *targets: str) -> str:
    return next((str(source) for target in targets for source, name in fields.items() if name == target), "")


def _field_of(fields: Mapping[str, Any], *targets: str) -> str:
    """The field that gives a part, or the one of that name."""
    return _field(fields, *targets) or targets[-1]


def _study_field(fields: Mapping[str, Any]) -> str:
    return _field_of(fields, "study_id")


def _calpendo(
    draft: Draft, config: Mapping[str, Any], fields: Mapping[str, Any], environment: Mapping[str, str]
) -> None:
    known = {row.value for row in Modality}
    modalities = {str(name): str(value) for name, value in (config.get("resource_modality_mapping") or {}).items()}
    for name, value in modalities.items():
        if value not in known:
            draft.notes.append(_("%(name)s is no modality here: its exams are OT (other).") % {"name": value})
            modalities[name] = "OT"
    status = config.get("status_filter")
    is_daily = config.get("window_mode") == "today" or config.get("daily_window") is True
    draft.config = {
        "base_url": str(config.get("base_url") or ""),
        "resources": [str(name) for name in config.get("resources") or []],
        "statuses": [str(status)] if status else ["Approved", "Pending"],
        "projects": [str(name) for name in config.get("allowed_studies") or []],
        "modalities": modalities,
        "window": "today" if is_daily else "rolling",
        "lookback": max(1, round(float(config.get("lookback_multiplier") or 2))),
    }
    draft.times["time_zone"] = str(config.get("timezone") or "America/Edmonton")
    rules: list[dict[str, Any]] = []
    for name, how in fields.items():
        target = TARGET_OF.get(str(name))
        if target is None or target == "study_instance_uid":
            draft.notes.append(_("The field %(name)s was left out: we make it, and it stays.") % {"name": name})
            continue
        rules += [_calpendo_rule(target, how)]
    for target in ("patient_id", "patient_name"):
        rules.append({"target": target, "source": "title"})
    rules += [
        {"target": "description", "source": "project"},
        {"target": "modality", "source": "modality"},
        {"target": "station", "source": "station"},
        {"target": "starts_at", "source": "starts_at"},
        {"target": "duration_minutes", "source": "duration_minutes"},
    ]
    draft.mapping = rules
    for name, variable in (("username", "CALPENDO_USERNAME"), ("password", "CALPENDO_PASSWORD")):
        if environment.get(variable):
            draft.secrets[name] = environment[variable]


def _calpendo_rule(target: str, how: Any) -> dict[str, Any]:
    if not isinstance(how, Mapping):
        return {"target": target, "source": str(how)}
    rule: dict[str, Any] = {"target": target, "source": str(how.get("source_field") or "")}
    extract = how.get("_extract")
    if isinstance(extract, Mapping) and extract.get("pattern"):
        rule |= {"pattern": rf"\A(?:{extract['pattern']})", "group": extract.get("group", 0), "keeps_unmatched": True}
    return rule
