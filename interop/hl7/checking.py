"""What becomes of a folder of messages: each is put through the intake as if it had come over a connection, in a
transaction that is rolled back at the end unless it is to stay."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.db import transaction

from interop.hl7 import acknowledgements as ack
from interop.hl7 import batches, mapping
from interop.hl7.door import Door
from interop.hl7.inbound.adt import came_by_merge
from interop.hl7.intake import receive_here
from interop.hl7.mapping import Identifier
from interop.hl7.messages import Hl7Error, parse, peek
from interop.hl7.senders import STANDING
from orders.models import Patient, PatientIdentifier
from ris.accounts.memory import remembering
from ris.accounts.selectors import facility_settings

DOOR = Door(0, "127.0.0.1")


@dataclass
class Fate:
    """What became of one message."""

    file: str
    number: int
    message_type: str
    control_id: str
    code: str
    words: str


@dataclass
class Found:
    fates: list[Fate] = field(default_factory=list)
    #: identifiers of PID-3 that no patient has afterwards, though their message was accepted
    missing: list[str] = field(default_factory=list)
    #: identifiers of PID-3 that are under a patient of another name than their last message says
    wrong: list[str] = field(default_factory=list)
    patients: int = 0
    people: int = 0

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        return Counter((fate.message_type, fate.code) for fate in self.fates)

    @property
    def is_right(self) -> bool:
        return not self.missing and not self.wrong and all(fate.code for fate in self.fates)


def messages_of(path: Path) -> Iterator[bytes]:
    """The messages of a file: one, many after each other, framed or not, with any line ends."""
    content = path.read_bytes().replace(b"\x1c\r", b"\r").replace(b"\x1c", b"\r")
    content = re.sub(rb"\r\n|\n", b"\r", content)
    parts = re.split(rb"\r+(?=\x0b?(?:MSH|FHS|BHS)[^A-Za-z0-9\s])", b"\r" + content)
    for part in join_batches(parts):
        text = part.strip(b"\x0b\r\n\t ")
        if text:
            yield text + b"\r"


def join_batches(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Messages between BHS and BTS, FHS and FTS belong together."""
    held: list[bytes] = []
    for part in parts:
        if held or part.lstrip(b"\x0b")[:3] in (b"FHS", b"BHS"):
            held.append(part)
            ends = b"FTS" if held[0].lstrip(b"\x0b").startswith(b"FHS") else b"BTS"
            if re.search(rb"(?:^|\r)" + ends + rb"(?:[^\r]*)\r*$", part):
                yield b"\r".join(held)
                held = []
        else:
            yield part
    if held:
        yield b"\r".join(held)


def files_of(folder: Path) -> list[Path]:
    """Files that may hold messages: by their first bytes, whatever they are called."""
    found = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in found if re.search(rb"(?:^|[\r\n\x0b])(?:MSH|FHS|BHS)[^A-Za-z0-9\s]", _head(path))]


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def check_folder(folder: Path, *, keep: bool = False, tell: Callable[[Fate], None] | None = None) -> Found:
    """Feed every message of every file, in order; ``tell`` hears of each as it is answered."""
    found = Found()
    with transaction.atomic():
        before = Patient.objects.count()
        people: dict[tuple[str, str], str] = {}
        for path in files_of(folder):
            for number, raw in enumerate(messages_of(path), 1):
                known = len(found.fates)
                _feed(found, people, path.name, number, raw)
                for fate in found.fates[known:] if tell is not None else ():
                    tell(fate)
        _compare(found, people)
        found.patients, found.people = Patient.objects.current().count() - before, len(people)
        if not keep:
            transaction.set_rollback(True)
    return found


def _feed(found: Found, people: dict[tuple[str, str], str], file: str, number: int, raw: bytes) -> None:
    with transaction.atomic(), remembering(STANDING):
        answers = receive_here(raw, DOOR)
    for part in [part for answer in answers for part in _parts(answer)]:
        answer = ack.read(part)
        header = peek(raw)
        kind = header.message_type if header is not None else batches.BATCH
        found.fates.append(Fate(file, number, kind, answer.control_id, answer.code, answer.problem or answer.text))
        if answer.code == ack.ACCEPT and header is not None:
            _remember(people, raw)


def _parts(answer: bytes) -> list[bytes]:
    return batches.split(answer).messages if batches.is_batch(answer) else [answer]


def _remember(people: dict[tuple[str, str], str], raw: bytes) -> None:
    """Whose numbers the message names, with the family name that it gives."""
    try:
        pid = parse(raw).required("PID")
        data = mapping.patient(pid, default_issuer=facility_settings().patient_id_issuer)
    except Hl7Error:
        return
    first = data.identifiers[0]
    people[first.value, first.issuer] = str(data.fields.get("family_name", ""))


def _compare(found: Found, people: dict[tuple[str, str], str]) -> None:
    values = [value for value, _issuer in people]
    rows = PatientIdentifier.objects.filter(value__in=values).select_related("patient")
    known = {(row.value, row.issuer): row.patient for row in rows}
    for (value, issuer), family in people.items():
        patient = known.get((value, issuer))
        if patient is None:
            found.missing.append(value)
            continue
        is_other = bool(family) and patient.family_name.casefold() != family.casefold()
        if is_other and not came_by_merge(Identifier(value, issuer)):
            found.wrong.append(value)
