"""MLLP block framing (HL7 v2 transport specification, release 2): <VT> message <FS><CR>. Pure, sans-io."""

from __future__ import annotations

from dataclasses import dataclass

START, END, RETURN = b"\x0b", b"\x1c", b"\x0d"
DEFAULT_LIMIT = 4 * 1024 * 1024
JUNK_LIMIT = 1024
HEAD = 4096


class FrameTooLarge(Exception):
    """``head``: how the frame began, enough to answer it."""

    def __init__(self, head: bytes) -> None:
        super().__init__("frame too large")
        self.head = head


class NotMllp(Exception):
    """What arrives is no MLLP: too much outside of frames."""


def frame(message: bytes) -> bytes:
    return START + message + END + RETURN


@dataclass
class Deframer:
    """Feed it what the socket gives; it answers the frames that are complete.

    A start character inside a frame is content (and makes the parser refuse the message with its place); an end
    character ends the frame when a carriage return or the next start follows.
    """

    limit: int = DEFAULT_LIMIT
    _buffer: bytearray | None = None
    _junk: int = 0

    def __post_init__(self) -> None:
        self._rest = bytearray()
        self._scanned = 0

    @property
    def is_inside(self) -> bool:
        """Whether a frame has begun and not ended."""
        return self._buffer is not None

    def feed(self, data: bytes) -> list[bytes]:
        frames: list[bytes] = []
        self._rest += data
        while self._step(frames):
            pass
        return frames

    def _step(self, frames: list[bytes]) -> bool:
        if self._buffer is None:
            return self._find_start()
        self._buffer += self._rest
        self._rest.clear()
        return self._find_end(frames)

    def _find_start(self) -> bool:
        start = self._rest.find(START)
        skipped = self._rest[: start if start >= 0 else len(self._rest)]
        self._junk += len(skipped.strip(b"\r\n"))
        if self._junk > JUNK_LIMIT:
            raise NotMllp
        if start < 0:
            self._rest.clear()
            return False
        del self._rest[: start + 1]
        self._buffer, self._scanned = bytearray(), 0
        return True

    def _find_end(self, frames: list[bytes]) -> bool:
        buffer = self._buffer
        assert buffer is not None
        position = self._scanned
        while (end := buffer.find(END, position)) >= 0:
            follower = bytes(buffer[end + 1 : end + 2])
            if not follower:
                break
            if follower in (RETURN, START):
                if end > self.limit:
                    raise FrameTooLarge(bytes(buffer[:HEAD]))
                frames.append(bytes(buffer[:end]))
                self._rest += buffer[end + (2 if follower == RETURN else 1) :]
                self._buffer, self._junk = None, 0
                return True
            position = end + 1
        self._scanned = max(0, len(buffer) - 1)
        if len(buffer) > self.limit:
            raise FrameTooLarge(bytes(buffer[:HEAD]))
        return False
