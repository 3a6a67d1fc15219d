"""Instance files of a facility: written under a temporary name, made safe, renamed, and only then known to the index.

    <facility>/incoming/<random>.part            while it comes; locked, so that only orphans are swept
    <facility>/<ab>/<study uid>/<sop uid>.<hash>.dcm

The name ends with a hash of the bytes: two associations that send one UID with two contents never meet in one file,
and two that send the same may overwrite each other without harm.

Files lie behind Django's storage ``instances``: below ``RIS_INSTANCE_FOLDER``, or where ``RIS_INSTANCE_STORAGE`` puts
them. Whoever reads an instance calls ``open_instance(row.path)``, or ``local_path(row.path)`` where a library wants a
path; nobody else joins paths.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from django.conf import settings
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, storages
from django.utils._os import safe_join

from interop.dicom.elements import Malformed
from interop.dicom.fingerprint import Fingerprint
from interop.dicom.headers import Core, Header, file_meta, read_core, read_header
from ris.core.ids import is_valid_uid
from ris.tenants.context import require_schema

INCOMING = "incoming"
SUFFIX = ".part"
#: A header is looked for in so many bytes, and when it is longer, in so many.
HEADER_BYTES = (256 * 1024, 16 * 1024 * 1024)
#: So much of an object stays at hand for the quick look.
HEAD_KEPT = 16 * 1024
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Stored(NamedTuple):
    """A kept file: its name in the store, its size with preamble, and the fingerprint of its data set."""

    path: str
    size: int
    fingerprint: str


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
    with told_as_oserror():
        return cast(BinaryIO, storages["instances"].open(name, "rb"))


@contextlib.contextmanager
def told_as_oserror() -> Iterator[None]:
    """A remote storage raises what its library does; to us it is a disk that does not work."""
    try:
        yield
    except (OSError, SuspiciousFileOperation):
        raise
    except Exception as error:
        raise OSError(errno.EIO, f"The storage of instances: {type(error).__name__}") from error


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
            with told_as_oserror():
                shutil.copyfileobj(source, target, 1024 * 1024)
            target.flush()
            yield copy
    finally:
        copy.unlink(missing_ok=True)


def instance_name(study_instance_uid: str, sop_instance_uid: str, file_hash: str) -> str:
    if not is_valid_uid(sop_instance_uid):
        raise Malformed("A UID cannot name a file.")
    return f"{_folder_of(study_instance_uid)}/{sop_instance_uid}.{file_hash[:12]}.dcm"


@lru_cache(1024)
def _folder_of(study_instance_uid: str) -> str:
    if not is_valid_uid(study_instance_uid):
        raise Malformed("A UID cannot name a file.")
    return f"{hashlib.sha256(study_instance_uid.encode()).hexdigest()[:2]}/{study_instance_uid}"


class IncomingFile:
    """One object on its way in. ``write`` its data set, then ``keep`` it, or ``discard`` it; nothing else is left.

    The fingerprint is of the data set only: what stands before it is ours, and the same for the same object.
    """

    __slots__ = (
        "_fd", "_fingerprint", "_head", "_kept", "_looked", "_meta", "_path", "_root", "_size", "kept_path",
        "sop_class_uid", "sop_instance_uid", "source", "transfer_syntax_uid",
    )  # fmt: skip

    def __init__(
        self, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source: str = "", schema: str = ""
    ) -> None:
        """``schema``: of the current facility, for those who know it; to ask the connection takes a while."""
        self.sop_class_uid, self.sop_instance_uid = sop_class_uid, sop_instance_uid
        self.transfer_syntax_uid, self.source = transfer_syntax_uid, source
        self._meta = file_meta(sop_class_uid, sop_instance_uid, transfer_syntax_uid)
        self._fingerprint = Fingerprint()
        self._head = b""
        self._size = 0
        self._kept = self.kept_path = ""
        self._root = f"{settings.RIS_INSTANCE_FOLDER}/{schema or require_schema()}"
        self._path = ""
        self._fd = -1
        self._looked = 0

    def look(self, *pieces: bytes | memoryview) -> None:
        """At pieces before they come by ``write``, in the same order."""
        for piece in pieces:
            self._fingerprint.update(piece)
            if self._size < HEAD_KEPT:
                self._head += bytes(piece[: HEAD_KEPT - len(self._head)])
            self._size += len(piece)
        self._looked += len(pieces)

    def look_on(self, *pieces: bytes | memoryview) -> None:
        """At those of the next pieces that were not looked at yet."""
        if self._looked < len(pieces):
            self.look(*pieces[self._looked :])

    def write(self, *pieces: bytes | memoryview) -> None:
        """The next pieces; they may be reused afterwards."""
        self.look_on(*pieces)
        self._looked -= len(pieces)
        if self._fd >= 0:
            self._write_all(pieces)
        else:
            self._open()
            self._write_all((self._meta, *pieces))

    def _open(self) -> None:
        """Under a name and with a lock that tell others that it still comes."""
        folder = f"{self._root}/{INCOMING}"
        self._path = f"{folder}/{os.urandom(16).hex()}{SUFFIX}"
        try:
            self._fd = os.open(self._path, CREATE, 0o640)
        except FileNotFoundError:
            os.makedirs(folder, 0o750, exist_ok=True)
            self._fd = os.open(self._path, CREATE, 0o640)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except BaseException:
            self.discard()
            raise

    def _write_all(self, parts: tuple[bytes | memoryview, ...]) -> None:
        written, whole = os.writev(self._fd, parts), sum(map(len, parts))
        if written < whole:
            rest = memoryview(b"".join(parts))[written:]
            while rest:
                rest = rest[os.write(self._fd, rest) :]

    def core(self) -> Core | None:
        """What a further image of a known series must tell; None where the whole header has to be read."""
        return read_core(self._head, self.transfer_syntax_uid)

    def header(self) -> Header:
        """What the object says of itself, when all that was looked at is written. Raises Malformed."""
        if not self._size:
            raise Malformed("The data set is empty.")
        for length in HEADER_BYTES:
            try:
                return read_header(os.pread(self._fd, length, len(self._meta)), self.transfer_syntax_uid)
            except Malformed:
                if self._size <= length or length == HEADER_BYTES[-1]:
                    raise
        raise Malformed("The header is too long.")

    def named(self, study_instance_uid: str) -> Stored:
        """How it will lie in a local store. To be called once, when all was looked at."""
        fingerprint = self._fingerprint.hexdigest()
        file_hash = hashlib.sha256(self._meta + fingerprint.encode()).hexdigest()
        name = instance_name(study_instance_uid, self.sop_instance_uid, file_hash)
        return Stored(name, len(self._meta) + self._size, fingerprint)

    def keep(self, study_instance_uid: str) -> Stored:
        """``keep_as`` under the name that it has by its content."""
        return self.keep_as(self.named(study_instance_uid))

    def keep_as(self, named: Stored) -> Stored:
        """Make the file as safe as RIS_DICOM_FSYNC says and give it its name; it can be read until ``close``."""
        if is_local():
            self._rename(f"{self._root}/{named.path}")
            return named
        return named._replace(path=self._upload(named.path))

    def _rename(self, target: str) -> None:
        is_durable = settings.RIS_DICOM_FSYNC == "instance"
        if is_durable:
            os.fsync(self._fd)
        was_there = os.access(target, os.F_OK)  # half of what os.path.exists costs
        try:
            os.rename(self._path, target)
        except FileNotFoundError:
            _make_folder(os.path.dirname(target))
            os.rename(self._path, target)
        self.kept_path, self._kept = target, "" if was_there else target
        if is_durable:
            _sync(os.path.dirname(target))

    def _upload(self, name: str) -> str:
        """Hand it to a remote storage, which answers when it has it; one that is there already is left.

        The facility's name is a part of the object's there.
        """
        storage, name = storages["instances"], f"{require_schema()}/{name}"
        with told_as_oserror():
            if not storage.exists(name):
                with open(self._path, "rb") as source:
                    name = storage.save(name, File(source))
                self._kept = name
        os.unlink(self._path)
        return name

    def discard(self) -> None:
        """Leave nothing of what is not kept. May be repeated."""
        if self._path:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        self.close()

    def withdraw(self) -> None:
        """The index refused a kept object: remove its file, unless the same bytes were there before."""
        kept, self._kept = self._kept, ""
        if not kept:
            return
        if is_local():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(kept)
        else:
            with told_as_oserror():
                storages["instances"].delete(kept)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _make_folder(folder: str) -> None:
    """With the names of it and of the one above on the disk, so that a power cut does not take them away."""
    os.makedirs(folder, 0o750, exist_ok=True)
    if settings.RIS_DICOM_FSYNC != "none":
        _sync(os.path.dirname(folder))
        _sync(os.path.dirname(os.path.dirname(folder)))


def sync_files(paths: Iterable[str]) -> None:
    """Files and then their folders, each once: what an association leaves to its end."""
    folders = set()
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            _sync(path)
            folders.add(os.path.dirname(path))
    for folder in folders:
        _sync(folder)


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
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
