"""A line that breaks: a relay to a port that cuts connections after a random number of bytes, either way."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import threading
from collections.abc import Iterator


class CuttingRelay:
    """Every connection is relayed to ``port``; of ten, ``cuts`` break somewhere in their first ``within`` bytes."""

    def __init__(self, port: int, *, cuts: int = 5, within: int = 2500, seed: int = 7) -> None:
        self._target, self._cuts, self._within = port, cuts, within
        self._chance = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut_count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _address = self._listener.accept()
                budget = self._chance.randrange(self._within) if self._chance.randrange(10) < self._cuts else None
                threading.Thread(target=self._relay, args=(line, budget), daemon=True).start()

    def _relay(self, line: socket.socket, budget: int | None) -> None:
        with line, socket.create_connection(("127.0.0.1", self._target), timeout=5) as other:
            pairs = {line: other, other: line}
            with contextlib.suppress(OSError):
                while True:
                    for ready in select.select(list(pairs), [], [], 20)[0]:
                        chunk = ready.recv(4096)
                        if not chunk:
                            return
                        if budget is not None and len(chunk) >= budget:
                            pairs[ready].sendall(chunk[:budget])
                            self.cut_count += 1
                            return
                        budget = None if budget is None else budget - len(chunk)
                        pairs[ready].sendall(chunk)

    def close(self) -> None:
        self._listener.close()


@contextlib.contextmanager
def cutting(port: int, **how: int) -> Iterator[CuttingRelay]:
    relay = CuttingRelay(port, **how)
    try:
        yield relay
    finally:
        relay.close()
