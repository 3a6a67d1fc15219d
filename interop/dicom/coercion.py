"""Patient and exam as they are known now, written into the head of an object that leaves. Pure.

Objects lie in the store as they were sent. After a merge, a correction or a reconciliation, what leaves says what is
right, and in Original Attributes Sequence what it said before (PS3.3 C.12.1.1.9; IHE Patient Information
Reconciliation). Only the elements up to that sequence are written anew; what follows is passed on byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from interop.dicom.charsets import TEXT_VRS, UTF8, decode, encode_text, terms_of
from interop.dicom.elements import Element, Encoding, item_of, span, vr_of, walk_until, written
from interop.dicom.references import HOLDERS, NOTHING_MOVED, OF_STUDY, Whereabouts, led_on

CHARACTER_SET, ACCESSION_NUMBER, STUDY = 0x00080005, 0x00080050, 0x0020000D
ISSUER_OF_ACCESSION_NUMBER, ISSUER_QUALIFIERS = 0x00080051, 0x00100024
PATIENT_NAME, PATIENT_ID, ISSUER, BIRTH_DATE, SEX = 0x00100010, 0x00100020, 0x00100021, 0x00100030, 0x00100040
REQUESTS, DOCUMENT_REQUESTS, ORIGINAL_ATTRIBUTES = 0x00400275, 0x0040A370, 0x04000561
#: Referenced Study Sequence, Requested Procedure Code Sequence and the numbers of the two systems (PS3.3 C.17.2)
EMPTY_IN_DOCUMENTS = (ACCESSION_NUMBER, 0x00081110, 0x00321060, 0x00321064, 0x00401001, 0x00402016, 0x00402017)
#: Nothing behind this tag is looked at, unless the character set has to change.
BEHIND_HEAD, PIXELS = ORIGINAL_ATTRIBUTES + 1, 0x7FE00001
MAX_ELEMENTS = 4_000_000
SYSTEM = "PICHA"


class Request(NamedTuple):
    """What Request Attributes Sequence says of one exam (PS3.3 10.6)."""

    accession_number: str
    requested_procedure_id: str
    description: str
    study_instance_uid: str


Changes = dict[int, str | tuple[Request, ...] | Whereabouts | None]


@dataclass(frozen=True)
class Current:
    """What the objects of a study are to say. An exam that the study is linked to tells the patient, else nobody."""

    study_instance_uid: str
    #: tag -> text of patient and accession number; empty where the study is linked to no exam
    texts: tuple[tuple[int, str], ...] = ()
    requests: tuple[Request, ...] = ()
    #: since when this is so, as far as that is known
    established_at: datetime | None = None
    #: as far as the index tells, its objects say it already
    is_said: bool = False
    #: what its objects may point to, and lies elsewhere than they say
    moved: Whereabouts = NOTHING_MOVED

    @property
    def key(self) -> str:
        """Two of one key write the same bytes."""
        return repr(self)


class Coerced(NamedTuple):
    """The new beginning of a data set, and from where on it goes on as it was."""

    head: bytes
    rest: int


def coerced(data: bytes | memoryview, encoding: Encoding, current: Current) -> Coerced | None:
    """None where the object says all of it already. ``data`` begins after group 2. Raises Malformed."""
    elements, end = walk_until(data, encoding, stop=BEHIND_HEAD, most=MAX_ELEMENTS)
    head = _Head(data, encoding, elements)
    changes = _changes(head, current)
    if not changes:
        return None
    original = {tag: head.span(tag) for tag in changes}
    if not all(head.can_write(tag, text) for tag, text in changes.items() if isinstance(text, str)):
        elements, end = walk_until(data, encoding, stop=PIXELS, most=MAX_ELEMENTS)
        original[CHARACTER_SET] = head.span(CHARACTER_SET)
        text = _in_utf8(data, encoding, elements, head.terms)
        head = _Head(text, encoding, walk_until(text, encoding, stop=PIXELS, most=MAX_ELEMENTS)[0])
    return Coerced(head.written(changes, original, current), end)


def _changes(head: _Head, current: Current) -> Changes:
    """tag -> new value; None takes the element out."""
    found: Changes = {}
    wanted = {STUDY: current.study_instance_uid, **dict(current.texts)}
    for tag, text in wanted.items():
        if _plain(head.text(tag)) != _plain(text):
            found[tag] = text
    if found.keys() == {ISSUER} and not head.text(ISSUER):
        del found[ISSUER]  # who says no issuer under the right number is not wrong
    if found.keys() & {PATIENT_ID, ISSUER} and ISSUER_QUALIFIERS in head.by_tag:
        found[ISSUER_QUALIFIERS] = None
    if ACCESSION_NUMBER in found and ISSUER_OF_ACCESSION_NUMBER in head.by_tag:
        found[ISSUER_OF_ACCESSION_NUMBER] = None
    if found.keys() & {ACCESSION_NUMBER, STUDY} and current.requests:
        found |= {tag: current.requests for tag in (REQUESTS, DOCUMENT_REQUESTS) if tag in head.by_tag}
    for tag in HOLDERS:
        now = current.moved
        if tag == OF_STUDY:  # where an object that was moved speaks of its study as such
            now = Whereabouts((), (*now.studies, (head.text(STUDY), current.study_instance_uid)))
        if head.led_on(tag, now) is not None:
            found[tag] = now
    return found


def _plain(text: str) -> str:
    """Without what means nothing: empty components and groups at the end."""
    return "=".join(group.rstrip("^ ") for group in text.split("=")).rstrip("=")


class _Head:
    """The first elements of a data set."""

    def __init__(self, data: bytes | memoryview, encoding: Encoding, elements: Sequence[Element]) -> None:
        self.data, self.encoding, self.elements = data, encoding, elements
        self.by_tag = {element.tag: element for element in elements}
        self.terms = terms_of(self._raw(CHARACTER_SET).decode("ascii", "replace").strip("\0 "))

    def _raw(self, tag: int) -> bytes:
        element = self.by_tag.get(tag)
        return b"" if element is None or element.items is not None else bytes(self.data[element.start : element.end])

    def text(self, tag: int) -> str:
        if vr_of(tag) in TEXT_VRS:
            return decode(self._raw(tag), self.terms)
        return self._raw(tag).decode("latin-1").strip("\0 ")

    def can_write(self, tag: int, text: str) -> bool:
        vr = vr_of(tag)
        return text.isascii() or decode(encode_text(text, "\\".join(self.terms), vr), self.terms) == text

    def span(self, tag: int) -> bytes:
        """The element as it is; of no length where there is none."""
        element = self.by_tag.get(tag)
        return self._element(tag, b"") if element is None else span(self.data, element, self.encoding)

    def led_on(self, tag: int, now: Whereabouts) -> list[bytes] | None:
        element = self.by_tag.get(tag)
        return None if element is None else led_on(self.data, element, self.encoding, now)

    def written(self, changes: Changes, original: dict[int, bytes], current: Current) -> bytes:
        """All of it with ``changes``, and with the ``original`` elements written down."""
        parts = {element.tag: span(self.data, element, self.encoding) for element in self.elements}
        for tag, value in changes.items():
            if value is None:
                del parts[tag]
            elif isinstance(value, str):
                parts[tag] = self._element(tag, self._encoded(tag, value))
            elif isinstance(value, Whereabouts):
                parts[tag] = self._items(tag, self.led_on(tag, value) or ())
            else:
                parts[tag] = self._items(tag, [self._request(tag, request) for request in value])
        parts[ORIGINAL_ATTRIBUTES] = self._original_attributes(original, current)
        return b"".join(parts[tag] for tag in sorted(parts))

    def _encoded(self, tag: int, text: str) -> bytes:
        return encode_text(text, "\\".join(self.terms), vr_of(tag)) if vr_of(tag) in TEXT_VRS else text.encode()

    def _request(self, tag: int, request: Request) -> bytes:
        values = {
            ACCESSION_NUMBER: request.accession_number,
            STUDY: request.study_instance_uid,
            0x00321060: request.description[:64],
            0x00401001: request.requested_procedure_id,
        }
        told = {one: self._element(one, self._encoded(one, value)) for one, value in values.items() if value}
        if tag == DOCUMENT_REQUESTS:  # Type 2 there
            told = {one: self._element(one, b"") for one in EMPTY_IN_DOCUMENTS} | told
        return b"".join(told[one] for one in sorted(told))

    def _original_attributes(self, original: dict[int, bytes], current: Current) -> bytes:
        """What was there before, behind what others have written down of their changes (C.12.1.1.9.1)."""
        is_another_exam = original.keys() & {ACCESSION_NUMBER, STUDY, *HOLDERS}
        moment = f"{current.established_at:%Y%m%d%H%M%S%z}" if current.established_at else "19700101000000+0000"
        item = (
            self._items(0x04000550, [b"".join(original[tag] for tag in sorted(original))]),
            self._element(0x04000562, moment.encode()),
            self._element(0x04000563, SYSTEM.encode()),
            self._element(0x04000564, b""),
            self._element(0x04000565, b"CORRECT" if is_another_exam else b"COERCE"),
        )
        known = self.by_tag.get(ORIGINAL_ATTRIBUTES)
        earlier = b""
        if known is not None and known.items is not None:
            earlier = bytes(self.data[known.start : known.end])
        return self._element(ORIGINAL_ATTRIBUTES, earlier + item_of(b"".join(item), self.encoding), b"SQ")

    def _element(self, tag: int, value: bytes, vr: bytes | None = None) -> bytes:
        return written(tag, vr or vr_of(tag), value, self.encoding)

    def _items(self, tag: int, contents: Iterable[bytes]) -> bytes:
        return self._element(tag, b"".join(item_of(content, self.encoding) for content in contents), b"SQ")


def _in_utf8(
    data: bytes | memoryview, encoding: Encoding, elements: Sequence[Element], terms: tuple[str, ...]
) -> bytes:
    """The elements with all text in UTF-8; sequences get a defined length."""
    parts = {element.tag: _recoded(data, encoding, element, terms) for element in elements}
    parts[CHARACTER_SET] = written(CHARACTER_SET, b"CS", UTF8.encode(), encoding)
    return b"".join(parts[tag] for tag in sorted(parts))


def _recoded(data: bytes | memoryview, encoding: Encoding, element: Element, terms: tuple[str, ...]) -> bytes:
    is_ours = bytes(data[element.start - 8 : element.start - 6]) == b"SQ" or not encoding.explicit
    if element.items is not None and is_ours:
        items = []
        for item in element.items:
            own = next((one for one in item if one.tag == CHARACTER_SET), None)
            inner = terms
            if own is not None:
                inner = terms_of(bytes(data[own.start : own.end]).decode("ascii", "replace").strip("\0 "))
            kept = (one for one in item if one.tag != CHARACTER_SET)
            items.append(item_of(b"".join(_recoded(data, encoding, one, inner) for one in kept), encoding))
        return written(element.tag, b"SQ", b"".join(items), encoding)
    if element.vr not in TEXT_VRS:
        return span(data, element, encoding)
    value = bytes(data[element.start : element.end])
    if value.isascii() and b"\x1b" not in value:
        return span(data, element, encoding)
    text = decode(value, terms).encode()
    return written(element.tag, element.vr, text, encoding)
