"""Instance files of a facility: written under a temporary name, made safe, renamed, and only then known to the index.

    <facility>/incoming/<random>.part            while it comes; locked, so that only orphans are swept
    <facility>/<ab>/<study uid>/<sop uid>.<hash>.dcm

The name ends with the hash of the bytes: two associations that send one UID with two contents never meet in one file,
and two that send the same may overwrite each other without harm.

Files lie behind Django's storage ``instances``: below ``RIS_INSTANCE_FOLDER``, or where ``RIS_INSTANCE_STORAGE`` puts
them. Whoever reads an instance calls ``open_instance(row.path)``, or ``local_path(row.path)`` where a library wants a
path; nobody else joins paths.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.utils._os import safe_join

from interop.dicom.elements import Malformed
from interop.dicom.headers import Header, file_meta, read_header
from ris.core.ids import is_valid_uid
from ris.tenants.context import require_schema
from worklist.data import StoredInstance

INCOMING = "incoming"
SUFFIX = ".part"
#: A header is looked for in so many bytes, and when it is longer, in so many.
HEADER_BYTES = (256 * 1024, 16 * 1024 * 1024)


def instance_path(name: str) -> Path:
    """A file in the facility's own folder: what comes in, thumbnails, and where storage is local the instances.

    Raises SuspiciousFileOperation for a name that leads out of it.
    """
    return Path(safe_join(str(settings.RIS_INSTANCE_FOLDER), require_schema(), name))


def is_local() -> bool:
    """Instances lie in the facility's own folder."""
    return isinstance(storages["instances"], FileSystemStorage)


def open_instance(name: str) -> BinaryIO:
    """The file of a stored instance (``ImagingInstance.path``), open for reading from its preamble on.

    To be closed by the caller. Raises OSError (FileNotFoundError when it is gone), SuspiciousFileOperation.
    """
    if is_local():
        return instance_path(name).open("rb")
    return cast(BinaryIO, storages["instances"].open(name, "rb"))


@contextlib.contextmanager
def local_path(name: str) -> Iterator[Path]:
    """A path of this machine with a stored instance's content, while the context lasts; read-only.

    Of a remote storage it is a copy. Raises OSError (FileNotFoundError when it is gone), SuspiciousFileOperation.
    """
    if is_local():
        yield instance_path(name)
        return
    copy = instance_path(f"{INCOMING}/{uuid.uuid4().hex}{SUFFIX}")
    copy.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    try:
        with copy.open("xb") as target, open_instance(name) as source:
            fcntl.flock(target, fcntl.LOCK_EX)
            shutil.copyfileobj(source, target, 1024 * 1024)
            target.flush()
            yield copy
    finally:
        copy.unlink(missing_ok=True)


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
