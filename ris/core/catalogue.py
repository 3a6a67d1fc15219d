"""The catalogue of translations: what is found in the code, kept in a .po file and compiled to the .mo that is read.

GNU gettext's formats, without its tools: nothing has to be installed to extract, to check or to compile.
"""

from __future__ import annotations

import ast
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from django.utils.translation.template import templatize

from ris.core.field_names import PACKAGES

TEMPLATE_SUFFIXES = (".html", ".txt")
#: Function name -> which of its arguments are context, singular and plural.
KEYWORDS: dict[str, tuple[int | None, int, int | None]] = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop"), (None, 0, None)),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (None, 0, 1)),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), (0, 1, None)),
    **dict.fromkeys(("npgettext", "npgettext_lazy"), (0, 1, 2)),
}
CALL = re.compile(r"\b(?:_|n?p?gettext)\(")
PERCENT = re.compile(r"%(?:\(\w+\))?[#0\- +]*(?:\d+|\*)?(?:\.\d+)?[a-zA-Z]|%%")
BRACES = re.compile(r"{(?:[a-z_][\w.]*)?(?:![rs])?(?::[^{}]*)?}")
MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|&\w+;")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
FORMS = 2
HEADER = """Project-Id-Version: Picha
Language: {language}
MIME-Version: 1.0
Content-Type: text/plain; charset=UTF-8
Content-Transfer-Encoding: 8bit
Plural-Forms: nplurals=2; plural=(n != 1);
"""


@dataclass(frozen=True, order=True)
class Message:
    """What a programmer wrote: the key of a translation."""

    singular: str
    context: str = ""
    plural: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.context, self.singular


@dataclass(frozen=True)
class Entry:
    """A message and what it is called in the other language: one form, or one per grammatical number."""

    message: Message
    forms: tuple[str, ...]
    is_fuzzy: bool = False

    @property
    def is_empty(self) -> bool:
        return not all(self.forms)


class NotACatalogue(ValueError):
    """A .po file that cannot be read, or two different messages under one key."""


# --- What the code says ----------------------------------------------------------------------------------------------


def messages_of_tree(tree: ast.AST) -> Iterator[Message]:
    """Every call of gettext with literal arguments, of Python code."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name not in KEYWORDS:
            continue
        if any(isinstance(arg, ast.JoinedStr) for arg in node.args):
            raise NotACatalogue(f"line {node.lineno}: an f-string is never found in a catalogue")
        words = [arg.value if isinstance(arg, ast.Constant) else None for arg in node.args]
        context, singular, plural = (
            "" if place is None else words[place] if place < len(words) else None for place in KEYWORDS[name]
        )
        if isinstance(singular, str) and singular and isinstance(context, str) and isinstance(plural, str):
            yield Message(singular, context, plural)


def messages_of_template(text: str, name: str) -> Iterator[Message]:
    """Django turns a template into calls of gettext between blanked out text; each is read up to its own bracket."""
    code = templatize(text, origin=name)
    for start in CALL.finditer(code):
        end = start.end()
        while end := code.find(")", end) + 1:
            try:
                tree = ast.parse(code[start.start() : end].strip())
            except (SyntaxError, ValueError):
                continue
            yield from messages_of_tree(tree)
            break


def sources(root: Path) -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted(path for path in (root / package).rglob("*.py") if "migrations" not in path.parts)
    for folder in (root / "templates", *(root.glob("*/templates")), *(root.glob("ris/*/templates"))):
        yield from sorted(path for path in folder.rglob("*") if path.suffix in TEMPLATE_SUFFIXES)


def messages_in(root: Path, words: Iterable[str] = ()) -> list[Message]:
    """Every message of the product, and ``words`` that no source says; sorted.

    A message that is a plural in one place and not in another is one.
    """
    found = {("", word): Message(word) for word in words}
    for path in sources(root):
        text = path.read_text()
        here = (
            messages_of_tree(ast.parse(text, str(path)))
            if path.suffix == ".py"
            else messages_of_template(text, str(path))
        )
        for message in here:
            before = found.get(message.key)
            if before and before.plural and message.plural and before.plural != message.plural:
                raise NotACatalogue(f"{path}: {message.singular!r} has two plurals")
            if before is None or message.plural:
                found[message.key] = message
    return sorted(found.values())


# --- .po -------------------------------------------------------------------------------------------------------------


def unquoted(line: str) -> str:
    found = QUOTED.fullmatch(line)
    if found is None:
        raise NotACatalogue(f"not a quoted string: {line!r}")
    return re.sub(r"\\(.)", lambda escape: ESCAPES.get(escape.group(1), escape.group(0)), found.group(1))


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t").replace("\r", "\\r")
    lines = [f'"{line}"' for line in escaped.replace("\n", "\\n\n").splitlines()]
    return "\n".join(['""', *lines] if len(lines) > 1 else lines or ['""'])


def entry_of(block: str) -> Entry:
    fields: dict[str, str] = {}
    is_fuzzy, name = False, ""
    for line in block.splitlines():
        if line.startswith("#"):
            is_fuzzy |= line.startswith("#,") and "fuzzy" in line
            continue
        if not line.startswith('"'):
            name, _, line = line.partition(" ")
            fields[name] = ""
        fields[name] += unquoted(line.strip())
    if "msgid" not in fields:
        raise NotACatalogue(f"no msgid: {block!r}")
    message = Message(fields["msgid"], fields.get("msgctxt", ""), fields.get("msgid_plural", ""))
    numbers = [f"msgstr[{number}]" for number in range(FORMS)] if message.plural else ["msgstr"]
    return Entry(message, tuple(fields.get(number, "") for number in numbers), is_fuzzy)


def read_po(path: Path) -> list[Entry]:
    """The entries, without the header; those no longer used (``#~``) are left out."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#~"))
    entries = [entry_of(block) for block in re.split(r"\n\s*\n", text.strip()) if block.strip()]
    return [entry for entry in entries if entry.message.singular]


def write_po(entries: Iterable[Entry], language: str) -> str:
    """Sorted, without the places: a word changed is a line changed."""
    blocks = [f'msgid ""\nmsgstr {quoted(HEADER.format(language=language))}']
    for entry in sorted(entries, key=lambda entry: entry.message):
        message, lines = entry.message, []
        flags = ["fuzzy"] * entry.is_fuzzy + ["python-format"] * bool(PERCENT.search(message.singular + message.plural))
        if flags:
            lines.append(f"#, {', '.join(flags)}")
        if message.context:
            lines.append(f"msgctxt {quoted(message.context)}")
        lines.append(f"msgid {quoted(message.singular)}")
        if message.plural:
            lines.append(f"msgid_plural {quoted(message.plural)}")
            lines += [f"msgstr[{number}] {quoted(form)}" for number, form in enumerate(entry.forms)]
        else:
            lines.append(f"msgstr {quoted(entry.forms[0])}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def merge(messages: Iterable[Message], entries: Iterable[Entry]) -> list[Entry]:
    """The code's messages with what is already translated; what is new is empty, what is gone is left out."""
    known = {entry.message.key: entry for entry in entries}
    merged = []
    for message in messages:
        forms = FORMS if message.plural else 1
        entry = known.get(message.key)
        if entry is None or len(entry.forms) != forms:
            entry = Entry(message, ("",) * forms)
        merged.append(replace(entry, message=message))
    return merged


# --- .mo -------------------------------------------------------------------------------------------------------------


def compile_mo(entries: Iterable[Entry], language: str) -> bytes:
    """GNU MO, little endian, revision 0, without a hash table; what is empty or fuzzy stays in English."""
    strings = {b"": HEADER.format(language=language).encode()}
    for entry in entries:
        if entry.is_empty or entry.is_fuzzy:
            continue
        message = entry.message
        key = (f"{message.context}\x04" if message.context else "") + message.singular
        key += f"\0{message.plural}" if message.plural else ""
        strings[key.encode()] = "\0".join(entry.forms).encode()
    keys = sorted(strings)
    first_table, tables = 28, 16 * len(keys)
    tables_of, offset, data = ([], []), first_table + tables, b""
    for table, texts in zip(tables_of, (keys, [strings[key] for key in keys]), strict=True):
        for text in texts:
            table += (len(text), offset + len(data))
            data += text + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(keys), first_table, first_table + tables // 2, 0, offset)
    return head + b"".join(struct.pack(f"<{len(table)}I", *table) for table in tables_of) + data


# --- What must not be ------------------------------------------------------------------------------------------------


def slots_of(text: str) -> list[str]:
    """What a translation must repeat: placeholders, tags and entities."""
    return sorted(found for pattern in (PERCENT, BRACES, MARKUP) for found in pattern.findall(text))


def edges_of(text: str) -> tuple[str, str]:
    """White space at both ends, which joins a message to its neighbours."""
    return text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]


def problems_of(entry: Entry) -> Iterator[str]:
    message = entry.message
    if entry.is_fuzzy:
        yield "is fuzzy"
    if entry.is_empty:
        yield "is not translated"
        return
    for number, form in enumerate(entry.forms):
        of = message.plural or message.singular
        allowed = [slots_of(of)] + [slots_of(message.singular)] * (number == 0)
        if slots_of(form) not in allowed:
            yield f"has other placeholders or markup: {form!r}"
        if edges_of(form) != edges_of(of):
            yield f"begins or ends otherwise: {form!r}"


def problems_in(root: Path, folder: Path, words: Iterable[str] = ()) -> Iterator[str]:
    """What is wrong with the catalogue in ``folder`` (``<language>/LC_MESSAGES``), against the code under ``root``."""
    language = folder.parent.name
    po, mo = folder / "django.po", folder / "django.mo"
    if not po.is_file():
        yield f"{language}: there is no {po.name}"
        return
    entries = read_po(po)
    written, wanted = {entry.message for entry in entries}, set(messages_in(root, words))
    if len(written) != len(entries):
        yield f"{language}: a message stands twice in {po.name}"
    for message in sorted(wanted - written):
        yield f"{language}: {message.singular!r} is missing"
    for message in sorted(written - wanted):
        yield f"{language}: {message.singular!r} is no longer used"
    for entry in entries:
        yield from (f"{language}: {entry.message.singular!r} {problem}" for problem in problems_of(entry))
    if po.read_text() != write_po(entries, language):
        yield f"{language}: {po.name} is not as make_catalogue writes it"
    if not mo.is_file() or mo.read_bytes() != compile_mo(entries, language):
        yield f"{language}: {mo.name} is not what {po.name} compiles to"
