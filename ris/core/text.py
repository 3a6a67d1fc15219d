"""Words, numbers and times as people read them here: FAMILY, Given; 19 Nov 2026; 1 110; 10:42 · 18 min."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils import formats, timezone
from django.utils.dates import MONTHS_3
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

THIN_SPACE = "\u2009"
NBSP = "\u00a0"
MINUS = "\u2212"
ADULT_FROM = 2
MONTHS_UNTIL = 24
DAYS_UNTIL = 60


def person_name(person: Any) -> str:
    """FAMILY, Given Middle. Takes an object with name components, or a string that is left as it is."""
    if person is None or person == "":
        return _("Unknown")
    if isinstance(person, str):
        return person
    family = str(getattr(person, "family_name", "") or "").upper()
    given = " ".join(str(getattr(person, part, "") or "") for part in ("given_name", "middle_name")).strip()
    name = ", ".join(part for part in (family, given) if part)
    return name or str(getattr(person, "display_name", "") or person)


def thousands(value: Any) -> str:
    """1110 -> "1 110" with a thin space; decimals stay; a true minus sign."""
    if value is None or value == "":
        return "–"
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    decimals = len(str(value).partition(".")[2]) if not isinstance(value, int) else 0
    words = f"{abs(number):,.{decimals}f}".replace(",", THIN_SPACE)
    return (MINUS if number < 0 else "") + words


def percent(value: Any, decimals: int = 0) -> str:
    """93 -> "93 %"."""
    if value is None or value == "":
        return "–"
    return f"{float(value):.{decimals}f}{NBSP}%".replace("-", MINUS)


def duration(minutes: Any) -> str:
    """Minutes (or a timedelta) as "18 min", "1 h 05", "11 h", "3 d"."""
    if minutes is None or minutes == "":
        return "–"
    if isinstance(minutes, dt.timedelta):
        minutes = minutes.total_seconds() / 60
    whole = int(abs(float(minutes)))
    if whole < 60:
        return f"{whole}{NBSP}{_('min')}"
    hours, rest = divmod(whole, 60)
    if hours < 10:
        return f"{hours}{NBSP}{_('h')}{NBSP}{rest:02}"
    if hours < 48:
        return f"{hours}{NBSP}{_('h')}"
    return f"{hours // 24}{NBSP}{_('d')}"


def age(born: Any, on: dt.date | None = None) -> str:
    """ "36 y", under two years "14 mo", under two months "12 d"; years as a number also pass."""
    if born is None or born == "":
        return ""
    if isinstance(born, int):
        return f"{born}{NBSP}{_('y')}"
    on = on or timezone.localdate()
    if isinstance(born, dt.datetime):
        born = timezone.localtime(born).date() if timezone.is_aware(born) else born.date()
    days = (on - born).days
    if days < 0:
        return ""
    if days < DAYS_UNTIL:
        return f"{days}{NBSP}{_('d')}"
    months = (on.year - born.year) * 12 + on.month - born.month - (on.day < born.day)
    if months < MONTHS_UNTIL:
        return f"{months}{NBSP}{_('mo')}"
    return f"{months // 12}{NBSP}{_('y')}"


def _local(moment: Any) -> Any:
    return timezone.localtime(moment) if isinstance(moment, dt.datetime) and timezone.is_aware(moment) else moment


def day(moment: Any) -> str:
    """ "19 Nov 2026", the month in the reader's language."""
    if not moment:
        return "–"
    local = _local(moment)
    return f"{local.day}{NBSP}{str(MONTHS_3[local.month]).title()}{NBSP}{local.year}"


def clock(moment: Any) -> str:
    """ "10:42"."""
    return f"{_local(moment):%H:%M}" if moment else "–"


def stamp(moment: Any) -> str:
    """ "19 Nov 2026, 10:42"."""
    if not moment:
        return "–"
    return f"{day(moment)}, {clock(moment)}" if isinstance(moment, dt.datetime) else day(moment)


def relative(delta: dt.timedelta) -> str:
    """How long that is, in the one unit that matters."""
    minutes = int(abs(delta.total_seconds()) // 60)
    days = minutes // 1440
    if days < 2:
        return duration(minutes)
    if days < DAYS_UNTIL:
        return f"{days}{NBSP}{_('d')}"
    if days < 730:
        months = days // 30
        return ngettext("{n} month", "{n} months", months).format(n=months)
    years = days // 365
    return ngettext("{n} year", "{n} years", years).format(n=years)


def absolute_and_relative(moment: Any) -> str:
    """Today by the clock, this week with the day, earlier by the date; always with its age."""
    now = timezone.localtime()
    if not isinstance(moment, dt.datetime):
        days = (moment - now.date()).days
        if days == 0:
            return f"{day(moment)} · {_('today')}"
        words = relative(dt.timedelta(days=days))
        return f"{day(moment)} · " + (_("in {t}").format(t=words) if days > 0 else words)
    local = _local(moment)
    delta = now - local if timezone.is_aware(moment) else now.replace(tzinfo=None) - local
    away = abs(delta)
    if local.date() == now.date():
        absolute = clock(local)
    elif away < dt.timedelta(days=DAYS_UNTIL):
        absolute = f"{formats.date_format(local, 'j M').replace(' ', NBSP)} {clock(local)}"
    else:
        absolute = day(local)
    words = relative(delta)
    return f"{absolute} · " + (
        _("in {t}").format(t=words) if delta < dt.timedelta(0) and away >= dt.timedelta(minutes=1) else words
    )


SEX_WORDS = {
    "F": ("F", "Female"),
    "FEMALE": ("F", "Female"),
    "M": ("M", "Male"),
    "MALE": ("M", "Male"),
    "O": ("O", "Other"),
    "OTHER": ("O", "Other"),
    "A": ("O", "Other"),
}


def sex(code: Any) -> str:
    """Sex in words; unknown is a word too."""
    words = {"Female": _("Female"), "Male": _("Male"), "Other": _("Other")}
    known = SEX_WORDS.get(str(code or "").upper())
    return words[known[1]] if known else _("Unknown")


def masked(value: Any) -> str:
    """An identifier's last four characters: "•••• 4410"."""
    value = str(value or "")
    return f"•••• {value[-4:]}" if value else ""


def line_of(patient: Any) -> str:
    """ "F · 36 y · ZRH-0048213": who it is beside the name, from what ``identity_of`` takes."""
    identifier = getattr(patient, "primary_identifier", None)
    letter = SEX_WORDS.get(str(getattr(patient, "sex", "") or "").upper(), ("U", ""))[0]
    number = str(getattr(identifier, "value", identifier) or "")
    return " · ".join(filter(None, (letter, _age_of(patient), number)))


def _age_of(patient: Any) -> str:
    if born := getattr(patient, "birth_date", None):
        return age(born)
    years = getattr(patient, "age", None)
    return age(years) if isinstance(years, int) else str(years or "")


def identity_of(patient: Any) -> dict[str, Any]:
    """Who it is, from anything that looks like a patient.

    Uses ``display_name`` or name components, ``sex``, ``birth_date`` (``birth_date_is_estimated``) or ``age``, and
    ``primary_identifier`` (``value``, ``issuer``, or a string).
    """
    identifier = getattr(patient, "primary_identifier", None)
    born = getattr(patient, "birth_date", None)
    code = str(getattr(patient, "sex", "") or "").upper()
    named = any(getattr(patient, part, "") for part in ("family_name", "given_name"))
    return {
        "patient": patient,
        "name": person_name(patient) if named else str(getattr(patient, "display_name", "") or person_name(patient)),
        "sex": sex(code),
        "sex_letter": SEX_WORDS.get(code, ("U", ""))[0],
        "born": born,
        "age": _age_of(patient),
        "estimated": bool(getattr(patient, "birth_date_is_estimated", False)),
        "identifier": str(getattr(identifier, "value", identifier) or ""),
        "issuer": str(getattr(identifier, "issuer", "") or ""),
    }


def banner_of(patient: Any) -> dict[str, Any]:
    """The same with what must be seen before anything is done: ``alerts`` (tone, icon, text) and ``merged_into``."""
    return identity_of(patient) | {
        "alerts": list(getattr(patient, "alerts", None) or []),
        "merged_into": getattr(patient, "merged_into", None),
    }
