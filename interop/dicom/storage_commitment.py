"""Storage Commitment Push Model SCP (PS3.4 Annex J): the request. It is a row before it is answered.

The report goes out by itself, on an association of its own: see commitment_reports.
"""

from __future__ import annotations

from django.db import IntegrityError, transaction
from pydicom import Dataset

from interop.dicom.dimse import DimseError, Request, Status, n_action
from interop.dicom.values import text_of
from interop.models import StorageCommitment
from ris.core.actor import Actor
from ris.core.ids import is_valid_uid

PUSH_MODEL, PUSH_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
REQUEST_COMMITMENT = 1


class ActionStatus:
    """PS3.7 10.1.4.1.10"""

    INVALID_ARGUMENT = 0x0115
    NO_SUCH_ACTION = 0x0123


@n_action(PUSH_MODEL, allowed_by="may_commit", door="commitment")
def on_n_action(request: Request, actor: Actor) -> bytes:
    if request.sop_instance_uid != PUSH_INSTANCE:
        raise DimseError(Status.NO_SUCH_INSTANCE, "There is only the well-known instance.")
    if request.action_type_id != REQUEST_COMMITMENT:
        raise DimseError(ActionStatus.NO_SUCH_ACTION, "There is only action 1.")
    dataset = request.dataset()
    transaction_uid = text_of(dataset, "TransactionUID")
    if not is_valid_uid(transaction_uid):
        raise DimseError(ActionStatus.INVALID_ARGUMENT, "The Transaction UID is missing, or is no UID.")
    references = _references(dataset)
    caller = request.caller
    try:
        with transaction.atomic():
            StorageCommitment.objects.create(
                peer=caller.peer,
                transaction_uid=transaction_uid,
                calling_ae_title=caller.calling_ae_title,
                called_ae_title=caller.called_ae_title,
                references=references,
            )
    except IntegrityError:
        _expect_the_same(caller.calling_ae_title, transaction_uid, references)
    return b""


def _references(dataset: Dataset) -> list[list[str]]:
    items = dataset.get("ReferencedSOPSequence") or ()
    pairs = [[text_of(item, "ReferencedSOPClassUID"), text_of(item, "ReferencedSOPInstanceUID")] for item in items]
    if not pairs:
        raise DimseError(ActionStatus.INVALID_ARGUMENT, "The Referenced SOP Sequence is missing or empty.")
    if not all(is_valid_uid(uid) for pair in pairs for uid in pair):
        raise DimseError(ActionStatus.INVALID_ARGUMENT, "A reference is no UID.")
    return [list(pair) for pair in dict.fromkeys(map(tuple, pairs))]


def _expect_the_same(calling_ae_title: str, transaction_uid: str, references: list[list[str]]) -> None:
    """A repeated request changes nothing; another one under the same UID is refused."""
    known = StorageCommitment.objects.get(calling_ae_title=calling_ae_title, transaction_uid=transaction_uid)
    if known.references != references:
        raise DimseError(ActionStatus.INVALID_ARGUMENT, "The Transaction UID is in use for other instances.")
