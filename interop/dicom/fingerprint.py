"""What tells two objects apart and finds damage: 128 bits over an encoded data set. Pure.

AES-GMAC (NIST SP 800-38D) under a key and a nonce that everybody knows. It costs a quarter of SHA-256, which took
a third of the time that an image of 512 KiB may take. It is no signature: who wants two objects of one fingerprint can
make them, and gains that the second is taken for the first, which stays.
"""

from __future__ import annotations

import threading

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_CIPHER = Cipher(algorithms.AES(b"Picha: an object"), modes.GCM(bytes(12)))
_of_thread = threading.local()


def prepare() -> None:
    """Make what the next fingerprint of this thread begins with, while there is time."""
    _of_thread.next = _CIPHER.encryptor()


class Fingerprint:
    """``update`` with piece after piece, then ``hexdigest``, once."""

    __slots__ = ("_encryptor", "update")

    def __init__(self, data: bytes | memoryview = b"") -> None:
        self._encryptor = _of_thread.__dict__.pop("next", None) or _CIPHER.encryptor()
        self.update = self._encryptor.authenticate_additional_data
        if data:
            self.update(data)

    def hexdigest(self) -> str:
        """32 digits."""
        self._encryptor.finalize()
        return self._encryptor.tag.hex()
