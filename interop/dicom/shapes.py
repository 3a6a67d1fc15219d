"""Data sets of one build, one after the other: where the values stand, known after one comparison. Pure.

The images of a series have the same elements of mostly the same lengths. Two of them that agree in every byte which is
no value agree in where their values stand, so that the second need not be walked.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

#: Builds that are remembered of each kind.
KEPT = 8


class Shape:
    """``marks``: (start, end) of all that is no value, in order, the first from 0. ``places``: values by tag."""

    __slots__ = ("_expected", "_places", "_unpack", "size")

    def __init__(self, data: bytes, marks: Sequence[tuple[int, int]], places: Mapping[int, tuple[int, int]]) -> None:
        form, at = ["<"], 0
        for start, end in marks:
            form.append(f"{start - at}x{end - start}s")
            at = end
        fixed = struct.Struct("".join(form))
        self._unpack, self.size = fixed.unpack_from, fixed.size
        self._expected = self._unpack(data)
        self._places = [(tag, slice(*place)) for tag, place in places.items()]

    def values(self, data: bytes) -> dict[int, bytes] | None:
        """The values of a data set of this shape; None where it has another."""
        if len(data) < self.size or self._unpack(data) != self._expected:
            return None
        return {tag: data[place] for tag, place in self._places}


class Shapes:
    """The shapes that came lately. One is kept when two data sets in a row had it.

    ``are_whole``: nothing comes behind what was walked.
    """

    def __init__(self, *, are_whole: bool = False) -> None:
        self._are_whole = are_whole
        self._shapes: tuple[Shape, ...] = ()
        self._last: Sequence[tuple[int, int]] = ()

    def values(self, data: bytes) -> dict[int, bytes] | None:
        for shape in self._shapes:
            if self._are_whole and shape.size != len(data):
                continue
            values = shape.values(data)
            if values is not None:
                return values
        return None

    def seen(self, data: bytes, marks: Sequence[tuple[int, int]], places: Mapping[int, tuple[int, int]]) -> None:
        """This one had to be walked."""
        if marks == self._last:
            self._shapes = (Shape(data, marks, places), *self._shapes[: KEPT - 1])
        self._last = marks
