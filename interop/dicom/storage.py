"""Storage SCP (PS3.4 Annex B): an object is acknowledged when its file is safe and its row is committed."""

from __future__ import annotations

from interop.dicom.dimse import DimseError, Request, Status, c_store
from interop.dicom.sop_classes import STORAGE_CLASSES, STORAGE_SYNTAXES
from interop.dicom.store import IncomingFile
from ris.core.actor import Actor
from ris.core.errors import DomainError
from ris.core.ids import is_valid_uid
from worklist.models import ImagingInstance
from worklist.services import index_instance


@c_store(STORAGE_CLASSES, transfer_syntaxes=STORAGE_SYNTAXES, allowed_by="may_store", door="storage")
def on_store(request: Request, actor: Actor) -> ObjectSink:
    if not is_valid_uid(request.sop_instance_uid):
        raise DimseError(Status.INVALID_INSTANCE, "The SOP Instance UID is not a UID.")
    incoming = IncomingFile(
        request.sop_class_uid, request.sop_instance_uid, request.transfer_syntax_uid, actor.ae_title
    )
    return ObjectSink(incoming, actor)


class ObjectSink:
    """Takes one object into the store and into the index; after ``finish`` it is there, after ``discard`` it is not."""

    def __init__(self, incoming: IncomingFile, actor: Actor) -> None:
        self._incoming, self._actor = incoming, actor
        self.write = incoming.write

    def finish(self) -> ImagingInstance:
        """Raises Malformed, DimseError, OSError, or what the index refuses."""
        try:
            header = self._incoming.header()
            if header.sop_instance_uid != self._incoming.sop_instance_uid:
                raise DimseError(Status.DOES_NOT_MATCH, "The SOP Instance UID differs from the command's.")
            if header.sop_class_uid != self._incoming.sop_class_uid:
                raise DimseError(Status.DOES_NOT_MATCH, "The SOP Class UID differs from the command's.")
            stored = self._incoming.keep(header)
        except BaseException:
            self._incoming.discard()
            raise
        try:
            row = index_instance(stored, actor=self._actor)
        except DomainError:
            self._incoming.withdraw()
            raise
        if row.path != stored.path:
            self._incoming.withdraw()
        return row

    def discard(self) -> None:
        self._incoming.discard()
