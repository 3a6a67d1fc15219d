"""Typed reading of the environment. Every variable is declared once, with its kind, its default and its reason;
a value that is not of its kind stops the start with a sentence that says which and why, all of them at once.

docs/configuration.md is made from the declarations (``manage.py print_configuration``).
"""

from __future__ import annotations

import difflib
import os
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off", ""})


@dataclass(frozen=True)
class Declaration:
    """One variable, as docs/configuration.md shows it."""

    name: str
    kind: str
    default: str
    help: str
    section: str


@dataclass
class Environment:
    """Reads declared variables; ``finish`` raises ImproperlyConfigured for everything that was wrong."""

    values: Mapping[str, str]
    declared: list[Declaration] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    section: str = ""

    def text(self, name: str, default: str = "", help: str = "") -> str:
        return self._read(name, "text", default, help, str)

    def flag(self, name: str, default: bool, help: str) -> bool:
        return self._read(name, "0 or 1", default, help, _flag)

    def number(self, name: str, default: int, help: str, *, low: int = 0, high: int = 2**31) -> int:
        return self._read(name, f"whole number, {low} to {high}", default, help, _number(low, high))

    def port(self, name: str, default: int, help: str) -> int:
        return self._read(name, "port", default, help, _number(1, 65535))

    def choice(self, name: str, default: str, choices: tuple[str, ...], help: str) -> str:
        return self._read(name, " or ".join(choices), default, help, _choice(choices))

    def words(self, name: str, default: tuple[str, ...], help: str) -> list[str]:
        return list(self._read(name, "list, separated by commas", default, help, _words))

    def path(self, name: str, default: Path, help: str) -> Path:
        return self._read(name, "path", default, help, lambda text: Path(text).expanduser().resolve())

    def url(self, name: str, default: str, schemes: tuple[str, ...], help: str) -> str:
        return self._read(name, f"URL ({', '.join(schemes)})", default, help, _url(schemes))

    def refuse(self, problem: str) -> None:
        """Note something that is wrong with several variables together."""
        self.problems.append(problem)

    def finish(self) -> None:
        known = {declaration.name for declaration in self.declared}
        for name in sorted(name for name in self.values if name.startswith("RIS_") and name not in known):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ", see docs/configuration.md"
            self.problems.append(f"{name} is not a setting{hint}")
        if self.problems:
            raise ImproperlyConfigured("The environment is not right:\n  - " + "\n  - ".join(self.problems))

    def _read(self, name: str, kind: str, default: T, help: str, parse: Callable[[str], T]) -> T:
        self.declared.append(Declaration(name, kind, _shown(default), help, self.section))
        text = self.values.get(name)
        if text is None:
            return default
        try:
            return parse(text.strip())
        except ValueError as wrong:
            self.problems.append(f"{name} is to be {kind}: {wrong}")
            return default


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return str(int(default))
    if isinstance(default, tuple):
        return ",".join(default)
    if isinstance(default, Path):
        return str(default.relative_to(ROOT)) if default.is_relative_to(ROOT) else default.name
    return str(default)


def _flag(text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise ValueError(f"{text!r} is neither 0 nor 1")


def _number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return parse


def _choice(choices: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return parse


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _url(schemes: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        parts = urllib.parse.urlsplit(text)
        if text and (parts.scheme not in schemes or not (parts.hostname or parts.path)):
            raise ValueError(f"it does not begin with {' or '.join(s + '://' for s in schemes)}, or names no host")
        return text

    return parse


@dataclass(frozen=True)
class DatabaseAddress:
    """The parts of ``postgresql://user:password@host:port/name?option=value``."""

    name: str
    user: str
    password: str
    host: str
    port: str
    options: dict[str, str]

    @classmethod
    def parse(cls, url: str) -> DatabaseAddress:
        parts = urllib.parse.urlsplit(url)
        unquote = urllib.parse.unquote
        return cls(
            name=unquote(parts.path.lstrip("/")),
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            host=parts.hostname or "",
            port=str(parts.port or 5432),
            options=dict(urllib.parse.parse_qsl(parts.query)),
        )


def read_env_file(path: Path) -> dict[str, str]:
    """The KEY=VALUE lines of a file such as ``.ris/env``; empty when there is no such file."""
    try:
        lines = path.read_text().splitlines()
    except (FileNotFoundError, PermissionError):
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {key.strip(): value.strip() for key, value in pairs}


def environment(root: Path) -> Environment:
    """The process's environment, or beside a running demo (no DATABASE_URL) that of its state folder under it."""
    values: dict[str, str] = dict(os.environ)
    if not values.get("DATABASE_URL"):
        state = Path(values.get("RIS_STATE", root / ".ris"))
        values = {**read_env_file(state / "env"), **{key: text for key, text in values.items() if text}}
    return Environment(values)


def as_markdown(declared: list[Declaration]) -> str:
    """docs/configuration.md."""
    lines = [
        "# Configuration",
        "",
        "Every setting is an environment variable. A value that is not of its kind, and a `RIS_` variable that is not",
        "listed here, stop the start with a sentence that names it. This page is made from the code: `make docs`.",
    ]
    section = None
    for item in declared:
        if item.section != section:
            section = item.section
            lines += ["", f"## {section}", "", "| Variable | Kind | Default | What it is for |", "|---|---|---|---|"]
        default = f"`{item.default}`" if item.default else "-"
        lines.append(f"| `{item.name}` | {item.kind} | {default} | {item.help} |")
    return "\n".join(lines) + "\n"
