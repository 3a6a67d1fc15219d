"""Instance files of a facility: written under a temporary name, made safe, renamed, and only then known to the index.

    <facility>/incoming/<random>.part            while it comes; locked, so that only orphans are swept
    <facility>/<ab>/<study uid>/<sop uid>.<hash>.dcm

The name ends with the hash of the bytes: two associations that send one UID with two contents never meet in one file,
and two that send the same may overwrite each other without harm.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import uuid
from pathlib import Path

from django.conf import settings
from django.core.files.storage import storages

from interop.dicom.elements import Malformed
from interop.dicom.headers import Header, file_meta, read_header
from ris.core.ids import is_valid_uid
from worklist.data import StoredInstance

INCOMING = "incoming"
SUFFIX = ".part"
#: A header is looked for in so many bytes, and when it is longer, in so many.
HEADER_BYTES = (256 * 1024, 16 * 1024 * 1024)


def instance_path(name: str) -> Path:
    """The file of a stored instance; raises SuspiciousFileOperation for a name that leads out of the store."""
    return Path(storages["instances"].path(name))


def instance_name(study_instance_uid: str, sop_instance_uid: str, content_hash: str) -> str:
    if not (is_valid_uid(study_instance_uid) and is_valid_uid(sop_instance_uid)):
        raise Malformed("A UID cannot name a file.")
    first = hashlib.sha256(study_instance_uid.encode()).hexdigest()[:2]
    return f"{first}/{study_instance_uid}/{sop_instance_uid}.{content_hash[:12]}.dcm"


class IncomingFile:
    """One object on its way in. ``write`` its data set, then ``keep`` it, or ``discard`` it; nothing else is left."""

    def __init__(self, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source: str = "") -> None:
        self.sop_class_uid, self.sop_instance_uid = sop_class_uid, sop_instance_uid
        self.transfer_syntax_uid, self.source = transfer_syntax_uid, source
        self._meta = file_meta(sop_class_uid, sop_instance_uid, transfer_syntax_uid)
        self._file_hash, self._data_hash = hashlib.sha256(self._meta), hashlib.sha256()
        self._size = len(self._meta)
        self._kept: Path | None = None
        self._path = instance_path(f"{INCOMING}/{uuid.uuid4().hex}{SUFFIX}")
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            self._write_all(self._meta)
        except BaseException:
            self.discard()
            raise

    def write(self, chunk: bytes | memoryview) -> None:
        self._write_all(chunk)
        self._file_hash.update(chunk)
        self._data_hash.update(chunk)
        self._size += len(chunk)

    def _write_all(self, chunk: bytes | memoryview) -> None:
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def header(self) -> Header:
        """What the object says of itself. Raises Malformed."""
        size = self._size - len(self._meta)
        if not size:
            raise Malformed("The data set is empty.")
        for length in HEADER_BYTES:
            try:
                return read_header(os.pread(self._fd, length, len(self._meta)), self.transfer_syntax_uid)
            except Malformed:
                if size <= length or length == HEADER_BYTES[-1]:
                    raise
        raise Malformed("The header is too long.")

    def keep(self, header: Header) -> StoredInstance:
        """Make the file safe and give it its name; answers what the index is to know."""
        file_hash = self._file_hash.hexdigest()
        name = instance_name(str(header.study_instance_uid), self.sop_instance_uid, file_hash)
        target = instance_path(name)
        self._make_folder(target.parent)
        if settings.RIS_DICOM_FSYNC:
            os.fsync(self._fd)
        was_there = target.exists()
        os.rename(self._path, target)
        self._kept = None if was_there else target
        if settings.RIS_DICOM_FSYNC:
            _sync_folder(target.parent)
        self._close()
        return StoredInstance(
            **header.fields,  # type: ignore[arg-type]
            transfer_syntax_uid=self.transfer_syntax_uid,
            path=name,
            size=self._size,
            sha256=file_hash,
            dataset_sha256=self._data_hash.hexdigest(),
            received_from=self.source[:16],
        )

    @staticmethod
    def _make_folder(folder: Path) -> None:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)
            if settings.RIS_DICOM_FSYNC:
                _sync_folder(folder.parent)
                _sync_folder(folder.parent.parent)

    def discard(self) -> None:
        """Leave nothing of what is not kept. May be repeated."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        self._close()

    def withdraw(self) -> None:
        """The index refused a kept object: remove its file, unless the same bytes were there before."""
        if self._kept is not None:
            self._kept.unlink(missing_ok=True)
            self._kept = None

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sweep_incoming() -> int:
    """Remove what a killed process left half written in the current facility; files that still come are locked."""
    folder = instance_path(INCOMING)
    swept = 0
    for path in folder.glob(f"*{SUFFIX}") if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                swept += 1
            finally:
                os.close(fd)
    return swept
