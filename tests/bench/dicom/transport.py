"""``run_mwl`` with a Storage that writes its files and nothing else: what the transport alone can do.

python tests/bench/dicom/transport.py FOLDER PORT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any


class PlainSink:
    """A file with preamble and file meta information, under its name at once."""

    def __init__(self, request: Any, folder: str) -> None:
        from interop.dicom.headers import file_meta

        self.uid = request.sop_instance_uid
        self.meta: bytes = file_meta(request.sop_class_uid, self.uid, request.transfer_syntax_uid)
        self.fd = os.open(f"{folder}/{self.uid}.dcm", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)

    def write(self, *pieces: memoryview) -> None:
        if self.meta:
            os.writev(self.fd, [self.meta, *pieces])
            self.meta = b""
        else:
            os.writev(self.fd, pieces)

    def look(self, *pieces: memoryview) -> bool:
        self.write(*pieces)
        return True

    def finish(self, *rest: memoryview) -> None:
        if rest:
            self.write(*rest)
        os.close(self.fd)

    def discard(self) -> None:
        os.close(self.fd)


def main() -> None:
    folder, port = sys.argv[1:3]
    os.environ["DJANGO_SETTINGS_MODULE"] = "ris.settings"
    import django

    django.setup()
    from django.core.management import call_command

    from interop.dicom import dimse, server  # noqa: F401  handlers register themselves
    from interop.dicom.sop_classes import STORAGE_CLASSES, STORAGE_SYNTAXES

    store = dimse.c_store(STORAGE_CLASSES, transfer_syntaxes=STORAGE_SYNTAXES, allowed_by="may_store", door="storage")
    store(lambda request, _actor: PlainSink(request, folder))
    call_command("run_mwl", host="127.0.0.1", port=int(port))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    main()
