"""multipart/related (RFC 2387, RFC 2046 5.1): read piece by piece from a stream, written piece by piece. Pure.

Nothing is held but one piece and the headers of one part; what is read is bounded in headers, parts and preamble.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator

PIECE = 256 * 1024
MAX_HEADERS = 16 * 1024
MAX_PREAMBLE = 64 * 1024
MAX_BOUNDARY = 70


class BrokenMultipart(ValueError):
    """The bytes are no multipart message; the words say where they fail."""


class Part:
    """One part on its way in: ``headers`` by lower-case name; ``pieces`` once, before the next part is asked for."""

    def __init__(self, headers: dict[str, str], reader: MultipartReader) -> None:
        self.headers, self._reader = headers, reader

    def pieces(self) -> Iterator[bytes]:
        return self._reader._pieces()


class MultipartReader:
    """``read(n)`` gives at most n bytes, and none at the end."""

    def __init__(self, read: Callable[[int], bytes], boundary: str) -> None:
        if not 1 <= len(boundary) <= MAX_BOUNDARY or not boundary.isascii() or not boundary.isprintable():
            raise BrokenMultipart("The boundary is missing or is none.")
        self._read = read
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._buffer = bytearray(b"\r\n")
        self._in_part = False

    def parts(self) -> Iterator[Part]:
        """Raises BrokenMultipart for what does not begin, go on or end as it must."""
        self._skip_preamble()
        while self._after_delimiter():
            headers = self._headers()
            self._in_part = True
            yield Part(headers, self)
            if self._in_part:
                for _piece in self._pieces():
                    pass

    def _fill(self, what: str) -> None:
        piece = self._read(PIECE)
        if not piece:
            raise BrokenMultipart(f"The message ends inside of {what}.")
        self._buffer += piece

    def _skip_preamble(self) -> None:
        while (found := self._buffer.find(self._delimiter)) < 0:
            if len(self._buffer) > MAX_PREAMBLE:
                raise BrokenMultipart("The message does not begin with its boundary.")
            self._fill("its beginning: the boundary was not found")
        del self._buffer[: found + len(self._delimiter)]

    def _after_delimiter(self) -> bool:
        """Whether another part follows."""
        while b"\r\n" not in self._buffer[:1024]:
            if self._buffer.startswith(b"--"):
                return False
            if len(self._buffer) >= 1024:
                raise BrokenMultipart("A boundary is followed by something else than a new line.")
            self._fill("a boundary")
        if self._buffer.startswith(b"--"):
            return False
        line = self._buffer.find(b"\r\n")
        if self._buffer[:line].strip(b" \t"):
            raise BrokenMultipart("A boundary is followed by something else than a new line.")
        del self._buffer[:line]  # the new line stays: the headers may be empty
        return True

    def _headers(self) -> dict[str, str]:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0 or end > MAX_HEADERS:
            if len(self._buffer) > MAX_HEADERS:
                raise BrokenMultipart(f"The headers of a part are longer than {MAX_HEADERS} bytes.")
            self._fill("the headers of a part")
        raw = bytes(self._buffer[:end])
        del self._buffer[: end + 2]  # of a part without content this new line may be the delimiter's
        found: dict[str, str] = {}
        for line in raw.decode("latin-1").split("\r\n"):
            name, colon, value = line.partition(":")
            if colon:
                found[name.strip().lower()] = value.strip()
        return found

    def _pieces(self) -> Iterator[bytes]:
        """The content up to the next delimiter."""
        while len(self._buffer) < len(self._delimiter):
            self._fill("a part")
        if self._buffer.startswith(self._delimiter):
            del self._buffer[: len(self._delimiter)]
            self._in_part = False
            return
        del self._buffer[:2]
        while (found := self._buffer.find(self._delimiter)) < 0:
            keep = len(self._delimiter) - 1
            if len(self._buffer) > keep:
                ready = bytes(self._buffer[:-keep])
                del self._buffer[:-keep]
                yield ready
            self._fill("a part")
        ready = bytes(self._buffer[:found])
        del self._buffer[: found + len(self._delimiter)]
        self._in_part = False
        if ready:
            yield ready


def new_boundary() -> str:
    return f"picha-{secrets.token_hex(16)}"


def written(parts: Iterable[tuple[dict[str, str], Iterable[bytes]]], boundary: str) -> Iterator[bytes]:
    """The message of these parts (headers, pieces), lazily."""
    mark = f"--{boundary}".encode()
    first = True
    for headers, pieces in parts:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        yield (b"" if first else b"\r\n") + mark + b"\r\n" + lines.encode("latin-1") + b"\r\n"
        first = False
        yield from pieces
    yield (b"" if first else b"\r\n") + mark + b"--\r\n"
