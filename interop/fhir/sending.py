"""Signed versions and what else is pushed, on their way to FHIR servers: ``PUT {type}/{uuid}``, safe to repeat.

In order per server and patient. No answer, 5xx, 408, 409 and 429 are tried again with growing pauses; any other refusal
is parked, and the messages behind it go on. No transaction is open while the network is used.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, LiteralString

import httpx
import structlog
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from interop.fhir.diagnostic_report import diagnostic_report, subject_of
from interop.fhir.servers import JSON, TYPE, forget_token, headers_of
from interop.hl7.acknowledgements import new_control_id
from interop.hl7.outbound.sender import alone, back_off
from interop.models import FhirServer, OutboundMessage, OutboundStatus
from reporting import services as reporting
from reporting.models import AttemptOutcome, DeliveryStatus, ReportDelivery, ReportVersion
from ris.accounts.outbound import OutsideFailed, client
from ris.core.actor import Actor
from ris.core.errors import DomainError

log = structlog.get_logger(__name__)

CLAIM_FOR, UNDER_WAY = timedelta(seconds=60), timedelta(seconds=60)
ANSWER_LIMIT = 16 * 1024
AGAIN = (401, 408, 409, 425, 429)
UNAUTHORIZED_TRIES = 5
SETTLED = (DeliveryStatus.SUPERSEDED, DeliveryStatus.ACKNOWLEDGED)

CLAIM: LiteralString = """
update interop_outboundmessage set claimed_until = clock_timestamp() + %(claim)s
where id in (
    select m.id from interop_outboundmessage m
    join interop_hl7destination d on d.id = m.destination_id
    where m.status = 'pending' and m.protocol = 'fhir' and m.next_attempt_at <= clock_timestamp()
      and (m.claimed_until is null or m.claimed_until < clock_timestamp())
      and d.is_active and not d.is_paused
      and not exists (
          select 1 from interop_outboundmessage e
          where e.destination_id = m.destination_id and e.ordering_key = m.ordering_key
            and e.status = 'pending' and e.id < m.id)
    order by m.id limit %(limit)s for update of m skip locked)
returning id
"""


@dataclass(frozen=True)
class Put:
    pk: int
    url: str
    server: FhirServer
    body: bytes


def queue_delivery(uuid: str) -> None:
    """One message per delivery; what was parked goes back into the queue."""
    delivery = ReportDelivery.objects.select_related("report_version__report").get(uuid=uuid)
    if delivery.status in SETTLED:
        return
    actor = Actor("fhir", ae_title=delivery.destination[:16])
    servers = FhirServer.objects.select_related("queue").filter(queue__is_active=True)
    server = servers.filter(queue__name=delivery.destination).first()
    if server is None:
        error = _("No active FHIR server of this name.")
        reporting.mark_delivery_failed(delivery, error=error, actor=actor)
        return
    key = f"fhir:{delivery.uuid}:{server.pk}"
    sent = OutboundMessage.objects.filter(subject=str(delivery.uuid), destination=server.queue, protocol="fhir")
    known = sent.order_by("-pk").select_for_update(of=("self",)).first()  # of whoever the patient turned out to be
    if known is not None:
        if known.status != OutboundStatus.PENDING:
            known.status, known.last_error, known.acknowledgement = OutboundStatus.PENDING, "", None
        known.next_attempt_at, known.claimed_until = timezone.now(), None
        known.save()
        return
    _enqueue(delivery, server, key)


def queue_again(delivery: ReportDelivery, server: FhirServer, cause: str) -> None:
    """Once more and once per ``cause``: the patient is known otherwise now."""
    key = f"fhir:{delivery.uuid}:{server.pk}:{cause}"
    if not OutboundMessage.objects.filter(dedupe_key=key).exists():
        _enqueue(delivery, server, key)


def _enqueue(delivery: ReportDelivery, server: FhirServer, key: str) -> None:
    OutboundMessage.objects.create(
        protocol="fhir",
        destination=server.queue,
        message_type=TYPE,
        control_id=new_control_id(),
        body=json.dumps(_report(delivery.report_version, server.release)).encode(),
        ordering_key=str(delivery.audit_patient or delivery.uuid)[:64],
        patient=delivery.audit_patient,
        accession_number=delivery.accession_number[:16],
        subject=str(delivery.uuid),
        dedupe_key=key,
    )


def _report(version: ReportVersion, release: str) -> dict[str, Any]:
    """As it was signed, of the patient as known now; R5 calls what it was seen in ``study``."""
    resource = {**diagnostic_report(version), "subject": subject_of(version.report.patient)}
    if release == "r5" and "imagingStudy" in resource:
        resource["study"] = resource.pop("imagingStudy")
    return resource


def claim(limit: int = 50) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"claim": CLAIM_FOR, "limit": limit})
        return sorted(row[0] for row in cursor.fetchall())


def run(pk: int) -> bool:
    """One try of one message; True when the server has it. Safe to call twice at once: the second does nothing."""
    key = OutboundMessage.objects.filter(pk=pk).values_list("destination_id", "ordering_key").first()
    if key is None:
        return False
    with alone(f"fhir:{key[0]}:{key[1]}") as is_alone:
        put = _begin(pk) if is_alone else None
        if put is None:
            return False
        try:
            headers = {**headers_of(put.server), "Content-Type": JSON}
            with client() as session:
                answer = session.put(put.url, content=put.body, headers=headers)
        except httpx.HTTPError:
            return _note(put, None, _("The server does not answer."))
        except OutsideFailed as failure:
            return _note(put, None, failure.detail)
        except DomainError as refusal:  # the facility does not connect there
            return _note(put, 403, refusal.detail)
        error = "" if answer.is_success else _("The server answered %(status)d.") % {"status": answer.status_code}
        return _note(put, answer.status_code, error, answer.content)


@transaction.atomic
def _begin(pk: int) -> Put | None:
    """Count the try before it is made; None when there is nothing to do (any more, or yet)."""
    rows = OutboundMessage.objects.select_for_update(of=("self",)).select_related("destination__fhir_server")
    row, now = rows.get(pk=pk), timezone.now()
    server = getattr(row.destination, "fhir_server", None)
    if row.status != OutboundStatus.PENDING or row.next_attempt_at > now or server is None:
        return None
    if row.destination.is_paused or not row.destination.is_active:
        return None
    row.attempts += 1
    row.sent_at, row.claimed_until = now, now + UNDER_WAY
    row.save(update_fields=["attempts", "sent_at", "claimed_until"])
    body = bytes(row.body)
    return Put(row.pk, f"{server.base_url}/{row.message_type}/{json.loads(body)['id']}", server, body)


@transaction.atomic
def _note(put: Put, status: int | None, error: str, answer: bytes = b"") -> bool:
    """What became of a try, in the queue and in the ledger."""
    row = OutboundMessage.objects.select_for_update(of=("self",)).select_related("destination").get(pk=put.pk)
    if row.status != OutboundStatus.PENDING:  # a person has parked or cancelled it meanwhile
        return False
    delivery = ReportDelivery.objects.filter(uuid=row.subject).first() if row.message_type == TYPE else None
    actor = Actor("fhir", ae_title=row.destination.name[:16])
    row.claimed_until, row.last_error, row.acknowledgement = None, error[:500], answer[:ANSWER_LIMIT] or None
    if not error:
        row.status, row.acknowledged_at = OutboundStatus.ACKNOWLEDGED, timezone.now()
        row.save()
        if delivery is not None:
            reporting.mark_delivery_acknowledged(delivery, actor=actor)
        return True
    log.warning("fhir_not_sent", destination=row.destination.name, status=status, attempts=row.attempts)
    if status == httpx.codes.UNAUTHORIZED:
        forget_token(put.server)
    is_again = status in AGAIN and (status != httpx.codes.UNAUTHORIZED or row.attempts < UNAUTHORIZED_TRIES)
    if status is not None and 300 <= status < 500 and not is_again:
        row.status = OutboundStatus.PARKED
        row.save()
        if delivery is not None:
            reporting.mark_delivery_failed(delivery, error=error, actor=actor)
        return False
    row.next_attempt_at = timezone.now() + back_off(row.attempts)
    row.save()
    if delivery is not None:
        reporting.note_try(delivery, AttemptOutcome.RETRY, error=error, actor=actor)
    return False
