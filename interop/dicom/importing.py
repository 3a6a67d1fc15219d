"""Objects from files, on the way that a C-STORE takes: same checks, same store, same index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from interop.dicom.dimse import DISK_FULL, DimseError
from interop.dicom.elements import Malformed
from interop.dicom.headers import Header, read_file_start, read_header
from interop.dicom.sop_classes import STORAGE_SYNTAXES
from interop.dicom.storage import ObjectSink
from interop.dicom.store import HEADER_BYTES, IncomingFile
from ris.core.actor import Actor
from ris.core.errors import DomainError
from worklist.models import ImagingInstance

CHUNK = 1024 * 1024
MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"


@dataclass(frozen=True)
class Imported:
    """``result``: stored, known, or refused (``reason`` says why)."""

    file: str
    result: str
    reason: str = ""
    sop_instance_uid: str = ""
    study_instance_uid: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value}


def files_below(paths: Iterable[Path]) -> Iterator[Path]:
    """Regular files, folders walked in order; links are not followed."""
    for path in paths:
        if path.is_symlink():
            continue
        if path.is_dir():
            yield from files_below(sorted(path.iterdir()))
        elif path.is_file():
            yield path


def import_file(path: Path, *, actor: Actor) -> Imported:
    """Store and index one file. A full disk raises OSError; all else that is wrong is in the answer."""
    try:
        return _import(path, actor)
    except (Malformed, DimseError) as wrong:
        return Imported(str(path), "refused", str(wrong))
    except DomainError as wrong:
        return Imported(str(path), "refused", f"{wrong.detail} {'; '.join(map(str, wrong.errors.values()))}".strip())
    except OSError as wrong:
        if wrong.errno in DISK_FULL:
            raise
        return Imported(str(path), "refused", wrong.strerror or type(wrong).__name__)


def _import(path: Path, actor: Actor) -> Imported:
    with path.open("rb") as source:
        start = read_file_start(source.read(HEADER_BYTES[0]))
        if start.transfer_syntax_uid not in STORAGE_SYNTAXES:
            raise Malformed("Its transfer syntax is not taken.")
        header = _header(source, start.offset, start.transfer_syntax_uid)
        if header.sop_class_uid == MEDIA_DIRECTORY:
            raise Malformed("This is a directory of other files.")
        uid = str(header.sop_instance_uid)
        was_known = ImagingInstance.objects.filter(sop_instance_uid=uid).exists()
        incoming = IncomingFile(str(header.sop_class_uid), uid, start.transfer_syntax_uid, actor.ae_title)
        sink = ObjectSink(incoming, actor)
        try:
            source.seek(start.offset)
            while chunk := source.read(CHUNK):
                sink.write(chunk)
        except BaseException:
            sink.discard()
            raise
    sink.finish()
    result = "known" if was_known else "stored"
    return Imported(str(path), result, sop_instance_uid=uid, study_instance_uid=str(header.study_instance_uid))


def _header(source: Any, offset: int, transfer_syntax_uid: str) -> Header:
    for length in HEADER_BYTES:
        source.seek(offset)
        data = source.read(length)
        try:
            return read_header(data, transfer_syntax_uid)
        except Malformed:
            if len(data) < length or length == HEADER_BYTES[-1]:
                raise
    raise Malformed("The header is too long.")
