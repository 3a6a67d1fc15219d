"""References to studies inside of objects (evidence of SR, KOS and the like), led to where the series lie now. Pure.

A reference names study, series and instance (PS3.3 C.17.2.1). Whoever moves a series to another study makes the first
of the three wrong in every object that points there, wherever that object lies itself.
"""

from __future__ import annotations

from typing import NamedTuple

from interop.dicom.elements import Element, Encoding, item_of, span, written

STUDY, SERIES, OF_SERIES, INSTANCE = 0x0020000D, 0x0020000E, 0x00081115, 0x00081155
#: Study Instance UID over Referenced Series Sequence: studies with other referenced instances, predecessor documents,
#: current and pertinent other evidence, identical documents
HIERARCHICAL = (0x00081200, 0x0040A360, 0x0040A375, 0x0040A385, 0x0040A525)
#: Referenced Study Sequence: the study's UID where other references have an instance's
OF_STUDY = 0x00081110
HOLDERS = (OF_STUDY, *HIERARCHICAL)


class Whereabouts(NamedTuple):
    """Where series lie that were acquired in another study."""

    #: (series, its study)
    series: tuple[tuple[str, str], ...] = ()
    #: (study, the one that all of it went to)
    studies: tuple[tuple[str, str], ...] = ()


NOTHING_MOVED = Whereabouts()


def led_on(data: bytes | memoryview, element: Element, encoding: Encoding, now: Whereabouts) -> list[bytes] | None:
    """The contents of the sequence's items with the studies of today; None where it names these, or cannot be read."""
    raw = bytes(data[element.start - 8 : element.start - 6])
    if not element.items or (encoding.explicit and raw != b"SQ"):
        return None
    of = _References(data, encoding, now)
    items = of.to_studies(element) if element.tag == OF_STUDY else of.to_series(element)
    return items if of.is_changed else None


class _References:
    def __init__(self, data: bytes | memoryview, encoding: Encoding, now: Whereabouts) -> None:
        self.data, self.encoding, self.is_changed = data, encoding, False
        self.series, self.studies = dict(now.series), dict(now.studies)

    def uid(self, item: tuple[Element, ...], tag: int) -> str:
        found = next((one for one in item if one.tag == tag and one.items is None), None)
        return "" if found is None else bytes(self.data[found.start : found.end]).decode("latin-1").strip("\0 ")

    def to_studies(self, element: Element) -> list[bytes]:
        contents = []
        for item in element.items or ():
            study = self.uid(item, INSTANCE)
            heir = self.studies.get(study, study)
            self.is_changed |= heir != study
            contents.append(self.item(item, {INSTANCE: written(INSTANCE, b"UI", heir.encode(), self.encoding)}))
        return contents

    def to_series(self, element: Element) -> list[bytes]:
        """An item for each study: what lies in two now is parted, what lies in one is put together."""
        by_study: dict[tuple[str, tuple[tuple[int, bytes], ...]], list[bytes]] = {}
        for item in element.items or ():
            study = self.uid(item, STUDY)
            others = tuple(
                (one.tag, span(self.data, one, self.encoding)) for one in item if one.tag not in (STUDY, OF_SERIES)
            )
            listed = next((one.items for one in item if one.tag == OF_SERIES and one.items is not None), ())
            for series in listed or ((),):
                now = self.series.get(self.uid(series, SERIES)) or self.studies.get(study, study)
                self.is_changed |= now != study
                kept = by_study.setdefault((now, others), [])
                if series:
                    kept.append(item_of(self.item(series, {}), self.encoding))
        return [self._of_study(study, dict(others), series) for (study, others), series in by_study.items()]

    def _of_study(self, study: str, parts: dict[int, bytes], series: list[bytes]) -> bytes:
        parts[STUDY] = written(STUDY, b"UI", study.encode(), self.encoding)
        parts[OF_SERIES] = written(OF_SERIES, b"SQ", b"".join(series), self.encoding)
        return b"".join(parts[tag] for tag in sorted(parts))

    def item(self, item: tuple[Element, ...], new: dict[int, bytes]) -> bytes:
        return b"".join(new.get(one.tag) or span(self.data, one, self.encoding) for one in item)
