"""Papers of a patient or an order: stored under a name of our own, recognised by their content, never by their name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import BinaryIO, Protocol

from django.core.files.base import ContentFile
from django.db import DatabaseError, InterfaceError
from django.utils import timezone
from django.utils.translation import gettext as _

from orders import permissions as perms
from orders import validation
from orders.models import Document, DocumentKind, Order, Patient
from orders.services.patients import refuse_merged, sign
from orders.validation import Errors
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData

LARGEST = 20 * 1024 * 1024
#: How a file of each kind is called when it is saved: ours, never what somebody typed.
EXTENSIONS = {"application/pdf": "pdf", "image/png": "png", "image/jpeg": "jpg", "image/tiff": "tif"}
SIGNATURES = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)


class Uploaded(Protocol):
    """A file as a form or a REST upload brings it."""

    size: int

    def read(self, size: int = -1, /) -> bytes: ...


def content_type_of(content: bytes) -> str:
    """What the bytes are, by their first ones; "" when it is nothing we keep."""
    return next((kind for signature, kind in SIGNATURES if content.startswith(signature)), "")


def download_name(document: Document) -> str:
    """Letters, digits and one dot: nothing that a file system or a shell takes for more than a name."""
    return f"{document.kind.replace('_', '-')}-{document.uuid.hex[-12:]}.{EXTENSIONS.get(document.content_type, 'bin')}"


def _checked_content(file: Uploaded | BinaryIO, errors: Errors) -> tuple[bytes, str]:
    content = file.read(LARGEST + 1)
    kind = content_type_of(content)
    if len(content) > LARGEST:
        errors.add("file", _("At most 20 MB."))
    elif not content:
        errors.add("file", _("This file is empty."))
    elif not kind:
        errors.add("file", _("Only PDF, PNG, JPEG and TIFF are kept."))
    return content, kind


#: Files that a transaction has written which may still be undone
_written: ContextVar[list[str] | None] = ContextVar("written_papers", default=None)


@contextmanager
def papers_fall_with_it() -> Iterator[None]:
    """Around a transaction: when it is undone, the files of papers that were added in it go as well."""
    outer, mine = _written.get(), list[str]()
    token = _written.set(mine)
    try:
        yield
    except BaseException:
        mine = _removed(mine)
        raise
    finally:
        _written.reset(token)
        if outer is not None:
            outer += mine


def _removed(names: list[str]) -> list[str]:
    """Those that are left: where it cannot be known whether a row names a file, the file stays."""
    if not names:
        return []
    try:
        kept = set(Document.objects.filter(file__in=names).values_list("file", flat=True))
    except (DatabaseError, InterfaceError):
        return names
    for name in set(names) - kept:
        Document._meta.get_field("file").storage.delete(name)
    return [name for name in names if name in kept]


@service(perms.ADD_DOCUMENT, action=Action.CREATE)
def add_document(
    patient: Patient, *, kind: str, title: str, file: Uploaded | BinaryIO, order: Order | None = None, actor: Actor
) -> Document:
    """Keep a paper; the same content of the same patient is kept once."""
    refuse_merged(patient)
    errors = Errors()
    kind = validation.choice(kind, DocumentKind, "kind", errors)
    title = validation.short_string(title, "title", errors, length=120, required=True)
    content, content_type = _checked_content(file, errors)
    if order is not None and order.patient_id != patient.pk:
        errors.add("order", _("This order is another patient's."))
    errors.raise_if_any(_("The document was not stored."))
    digest = hashlib.sha256(content).hexdigest()
    known = Document.objects.filter(patient=patient, order=order, sha256=digest, withdrawn_at__isnull=True).first()
    if known is not None:
        return known
    document = Document(
        patient=patient,
        order=order,
        kind=kind,
        title=title,
        content_type=content_type,
        size=len(content),
        sha256=digest,
        added_by=actor.user,
    )
    document.file.save(str(document.uuid), ContentFile(content), save=False)
    written = _written.get()
    if written is not None:
        written.append(document.file.name)
    sign(document, actor, _("Document added"))
    return document


@service(perms.ADD_DOCUMENT)
def attach_document(document: Document, *, order: Order, actor: Actor) -> Document:
    """A paper that was kept with the patient belongs to this order from now on."""
    document = Document.objects.select_for_update(of=("self",)).get(pk=document.pk)
    errors = Errors()
    if document.patient_id != order.patient_id:
        errors.add("order", _("This order is another patient's."))
    if document.withdrawn_at is not None:
        errors.add("document", _("This document was withdrawn."))
    if document.order_id not in (None, order.pk):
        errors.add("document", _("This document belongs to another order."))
    errors.raise_if_any(_("The document was not attached."))
    if document.order_id is None:
        document.order = order
        sign(document, actor, _("Attached to the order"))
    return document


@service(perms.ADD_DOCUMENT)
def withdraw_document(document: Document, *, reason: str, actor: Actor) -> Document:
    """It belongs to somebody else, or is of no use: no longer shown, kept."""
    if not reason.strip():
        raise InvalidData(_("Say why."), errors={"reason": [_("This is needed.")]})
    document = Document.objects.select_for_update(of=("self",)).get(pk=document.pk)
    if document.withdrawn_at is None:
        document.withdrawn_at = timezone.now()
        sign(document, actor, reason[:150])
    return document
