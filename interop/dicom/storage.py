"""Storage SCP (PS3.4 Annex B): an object is acknowledged when its file is safe and its row is committed.

A further image of a known series takes a short way: a look at the head of its data set, one file, one statement. All
others, and whatever is unusual about one, take the long way, where the index makes studies and series and finds orders.
"""

from __future__ import annotations

from django.conf import settings
from django.db import close_old_connections, connection

from interop.dicom.dimse import Caller, DimseError, Request, Status, association_end, c_store
from interop.dicom.elements import Malformed
from interop.dicom.headers import Core, Header
from interop.dicom.sop_classes import STORAGE_CLASSES, STORAGE_SYNTAXES
from interop.dicom.store import IncomingFile, Stored, is_local, sync_files
from ris.core.actor import Actor
from ris.core.errors import DomainError
from ris.core.ids import is_valid_uid
from worklist.data import StoredInstance
from worklist.services import Beginning, Indexed, begin_further_instance, index_instance, recount_waiting

#: RIS_DICOM_FSYNC=association: the files of each association that are not on the disk yet.
_unsynced: dict[int, list[str]] = {}


@c_store(STORAGE_CLASSES, transfer_syntaxes=STORAGE_SYNTAXES, allowed_by="may_store", door="storage")
def on_store(request: Request, actor: Actor) -> ObjectSink:
    if not is_valid_uid(request.sop_instance_uid):
        raise DimseError(Status.INVALID_INSTANCE, "The SOP Instance UID is not a UID.")
    incoming = IncomingFile(
        request.sop_class_uid,
        request.sop_instance_uid,
        request.transfer_syntax_uid,
        actor.ae_title,
        request.caller.facility.schema_name,
    )
    if settings.RIS_DICOM_FSYNC == "association":
        return ObjectSink(incoming, actor, is_further=True, unsynced=_unsynced.setdefault(id(request.caller), []))
    return ObjectSink(incoming, actor, is_further=True)


@association_end
def settle(caller: Caller) -> None:
    """Bring the counts up to date, and on the disk what was left for the end."""
    recount_waiting()
    if paths := _unsynced.pop(id(caller), None):
        sync_files(paths)


class ObjectSink:
    """Takes one object into the store and into the index; after ``finish`` it is there, after ``discard`` it is not.

    ``is_further``: try the short way first; counts are then right at the end of the association at the latest.
    """

    def __init__(
        self, incoming: IncomingFile, actor: Actor, *, is_further: bool = False, unsynced: list[str] | None = None
    ) -> None:
        self._incoming, self._actor = incoming, actor
        self._is_further, self._unsynced = is_further, unsynced
        self.write = incoming.write

    def look(self, *pieces: memoryview) -> bool:
        self._incoming.look(*pieces)
        return False

    def finish(self, *rest: memoryview) -> Indexed:
        """Raises Malformed, DimseError, OSError, or what the index refuses."""
        incoming = self._incoming
        try:
            told = self._told(rest)
            if told.sop_instance_uid != incoming.sop_instance_uid:
                raise DimseError(Status.DOES_NOT_MATCH, "The SOP Instance UID differs from the command's.")
            if told.sop_class_uid != incoming.sop_class_uid:
                raise DimseError(Status.DOES_NOT_MATCH, "The SOP Class UID differs from the command's.")
            stored, begun = self._kept(told, rest)
        except BaseException:
            incoming.discard()
            raise
        try:
            row = (begun.commit() if begun is not None else None) or self._index(told, stored)
        except (DomainError, Malformed):
            incoming.withdraw()
            raise
        finally:
            incoming.close()
        if row.path != stored.path:
            incoming.withdraw()
        elif self._unsynced is not None:
            self._unsynced.append(incoming.kept_path)
        return row

    def _told(self, rest: tuple[memoryview, ...]) -> Core | Header:
        """What the object says of itself; to look closer takes its file."""
        self._incoming.look_on(*rest)
        core = self._incoming.core() if self._is_further else None
        if core is not None:
            return core
        self._incoming.write(*rest)
        return self._incoming.header()

    def _kept(self, told: Core | Header, rest: tuple[memoryview, ...]) -> tuple[Stored, Beginning | None]:
        """Its file, safe, and its row, which PostgreSQL adds meanwhile."""
        incoming, begun = self._incoming, None
        stored = incoming.named(str(told.study_instance_uid))
        if not isinstance(told, Core):
            return incoming.keep_as(stored), None
        if is_local():
            begun = self._begin(told, stored)
        try:
            incoming.write(*rest)
            stored = incoming.keep_as(stored)
        except BaseException:
            if begun is not None:
                begun.cancel()
            raise
        return stored, begun or self._begin(told, stored, may_be_ahead=False)

    def _begin(self, told: Core, stored: Stored, *, may_be_ahead: bool = True) -> Beginning | None:
        return begin_further_instance(
            **told._asdict(),
            transfer_syntax_uid=self._incoming.transfer_syntax_uid,
            path=stored.path,
            size=stored.size,
            fingerprint=stored.fingerprint,
            received_from=self._incoming.source[:16],
            actor=self._actor,
            may_be_ahead=may_be_ahead,
        )

    def _index(self, told: Core | Header, stored: Stored) -> Indexed:
        incoming = self._incoming
        header = incoming.header() if isinstance(told, Core) else told
        instance = StoredInstance(
            **header.fields,
            transfer_syntax_uid=incoming.transfer_syntax_uid,
            path=stored.path,
            size=stored.size,
            fingerprint=stored.fingerprint,
            received_from=incoming.source[:16],
        )
        if self._is_further and not connection.in_atomic_block:
            close_old_connections()  # the line may have been cut since the last object
        return index_instance(instance, actor=self._actor)

    def discard(self) -> None:
        self._incoming.discard()
