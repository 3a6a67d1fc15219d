"""What a kind of source is: the small interface that REDCap, Calpendo and others' plug-ins fill in.

    class Ours:
        code, label = "ours", _("Our booking system")
        fields = (Field("url", _("Address"), kind="url", required=True), Field("token", _("Token"), kind="secret"))
        targets, suggestions = {...}, [...]

        def test(self, there: There) -> list[str]: ...
        def fetch(self, there: There, ask: Ask) -> Iterator[Batch]: ...

A plug-in is registered here, or found in the entry points of the group ``picha.sources`` of an installed package. It
never touches the database: it asks the other system and gives rows as flat ``name: text``; what they mean is the
mapping's business, and what becomes of them the services'.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.metadata import entry_points
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from interop.sources.wire import Wire
from ris.core.errors import InvalidData, NotKnown

GROUP = "picha.sources"


@dataclass(frozen=True)
class Field:
    """One setting of a connection. ``kind``: text, url, secret, number, flag, list, map, choice."""

    name: str
    label: Any
    kind: str = "text"
    is_required: bool = False
    default: Any = None
    help: Any = ""
    choices: tuple[tuple[str, Any], ...] = ()
    low: int = 0
    high: int = 1_000_000


@dataclass(frozen=True)
class There:
    """The other system as one run sees it: settings with their defaults, credentials, and the wire with its limits."""

    config: Mapping[str, Any]
    secrets: Mapping[str, str]
    wire: Wire
    zone: ZoneInfo
    interval: timedelta
    wanted: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Ask:
    """What a run wants: what changed since (None: everything), rows that are to be read again, and what is live here.

    ``known``: external id -> planned start, of the entries that we hold for live.
    """

    since: datetime | None
    until: datetime
    again: tuple[str, ...] = ()
    known: Mapping[str, datetime | None] = field(default_factory=dict)
    limit: int = 0


@dataclass(frozen=True)
class Row:
    """One entry over there. ``is_gone``: it is not to be done any more, for ``reason`` where one is told."""

    external_id: str
    values: Mapping[str, Any] = field(default_factory=dict)
    is_gone: bool = False
    reason: str = ""


Batch = list[Row]


class SourcePlugin(Protocol):
    code: str
    label: Any
    fields: tuple[Field, ...]
    #: names of fields that rows always have, for the editor
    offers: tuple[str, ...]
    #: a mapping to begin with
    suggestion: list[dict[str, Any]]

    def test(self, there: There) -> list[str]:
        """Ask for something small. The names of the fields there are, or raises SourceFailed."""

    def fetch(self, there: There, ask: Ask) -> Iterator[Batch]:
        """Batches of rows, small enough to be held in memory. Raises SourceFailed."""


_plugins: dict[str, SourcePlugin] = {}
_looked = False


def register(plugin: SourcePlugin) -> None:
    _plugins[plugin.code] = plugin


def plugins() -> dict[str, SourcePlugin]:
    """Ours, and those of installed packages; a package that does not load leaves the others alone."""
    global _looked
    if not _looked:
        _looked = True
        from interop.sources import calpendo, redcap

        register(redcap.RedCap())
        register(calpendo.Calpendo())
        for entry in entry_points(group=GROUP):
            register(entry.load()())
    return _plugins


def plugin_of(kind: str) -> SourcePlugin:
    try:
        return plugins()[kind]
    except KeyError:
        raise NotKnown(
            _("There is no such kind of source."),
            found=_("No plug-in of this name is installed: %(kind)s.") % {"kind": kind[:32]},
            todo=_("Known ones: %(names)s.") % {"names": ", ".join(sorted(plugins()))},
        ) from None


# --- settings


def settings_of(plugin: SourcePlugin, config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as the plug-in reads them: what is left out has its default."""
    return {row.name: config.get(row.name, row.default) for row in plugin.fields if row.kind != "secret"}


def checked_settings(plugin: SourcePlugin, config: Any) -> dict[str, Any]:
    """The settings as they may be stored. Raises InvalidData with a message per field."""
    if not isinstance(config, Mapping):
        raise InvalidData(_("The connection is no object."), errors={"config": _("Name: value.")})
    known = {row.name: row for row in plugin.fields if row.kind != "secret"}
    errors = {name: _("There is no such setting.") for name in config if name not in known}
    cleaned: dict[str, Any] = {}
    for name, row in known.items():
        value = config.get(name)
        if value in (None, "", [], {}):
            if row.is_required:
                errors[name] = _("This is needed.")
            continue
        try:
            cleaned[name] = _CHECKS[row.kind](row, value)
        except (TypeError, ValueError) as problem:
            errors[name] = str(problem)
    if errors:
        raise InvalidData(_("The connection cannot be kept so."), errors={f"config.{k}": v for k, v in errors.items()})
    return cleaned


def checked_secrets(plugin: SourcePlugin, secrets: Any, stored: Mapping[str, str]) -> dict[str, str]:
    """Given credentials over those that are stored; an empty one leaves what there is."""
    if not isinstance(secrets, Mapping):
        raise InvalidData(_("The credentials are no object."), errors={"secrets": _("Name: value.")})
    known = {row.name for row in plugin.fields if row.kind == "secret"}
    wrong = {
        f"secrets.{name}": _("There is no such credential.") if name not in known else _("A text is wanted.")
        for name, value in secrets.items()
        if name not in known or not isinstance(value, str)
    }
    if wrong:
        raise InvalidData(_("The credentials cannot be kept so."), errors=wrong)
    given = {name: value.strip() for name, value in secrets.items() if value.strip()}
    return {**{name: value for name, value in stored.items() if name in known}, **given}


def missing_secrets(plugin: SourcePlugin, secrets: Mapping[str, str]) -> list[Field]:
    return [row for row in plugin.fields if row.kind == "secret" and row.is_required and not secrets.get(row.name)]


def _text(row: Field, value: Any) -> str:
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise ValueError(_("A text is wanted."))
    text = str(value).strip()
    if len(text) > 300 or not text.isprintable():
        raise ValueError(_("At most 300 characters, in one line."))
    return text


def _url(row: Field, value: Any) -> str:
    text = _text(row, value).rstrip("/")
    if not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#@\s]*)?", text):
        raise ValueError(_("An address like https://redcap.example.org/api."))
    return text + ("/" if str(value).strip().endswith("/") else "")


def _number(row: Field, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise ValueError(_("A number is wanted.")) from None
    if isinstance(value, bool) or not row.low <= number <= row.high:
        raise ValueError(_("Between %(low)d and %(high)d.") % {"low": row.low, "high": row.high})
    return number


def _flag(row: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(_("Yes or no is wanted."))
    return value


def _list(row: Field, value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > 500:
        raise ValueError(_("A list of texts is wanted."))
    return [_text(row, item) for item in value if item not in (None, "")]


def _map(row: Field, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or len(value) > 500:
        raise ValueError(_("A list of pairs is wanted."))
    return {_text(row, name): _text(row, item) for name, item in value.items()}


def _choice(row: Field, value: Any) -> str:
    if value not in {code for code, _label in row.choices}:
        raise ValueError(_("One of: %(names)s.") % {"names": ", ".join(code for code, _label in row.choices)})
    return str(value)


_CHECKS = {
    "text": _text,
    "url": _url,
    "number": _number,
    "flag": _flag,
    "list": _list,
    "map": _map,
    "choice": _choice,
}


def in_batches(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch
