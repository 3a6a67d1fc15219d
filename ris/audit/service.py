"""``@service``: what every verb of the house does besides its own work.

Right checked, one transaction, one audit row in it. A refusal leaves no half-written row, and is itself recorded
after the rollback, so that it commits on its own.
"""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from django.db import models, transaction

from ris.audit.models import Action, AuditEvent, Outcome
from ris.core.actor import Actor
from ris.core.errors import DomainError

P = ParamSpec("P")
R = TypeVar("R")

correlation_id: contextvars.ContextVar[str] = contextvars.ContextVar("correlation_id", default="")
_depth: contextvars.ContextVar[int] = contextvars.ContextVar("service_depth", default=0)
_refusals: contextvars.ContextVar[tuple[dict[str, Any], ...]] = contextvars.ContextVar("refusals", default=())


def service(code: str, *, action: Action = Action.UPDATE) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function a service: ``code`` is the right it needs and the type of its audit row.

    The function takes ``actor`` by keyword. The audit row speaks of what it returns (a model instance), else of its
    first argument.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            actor: Actor = kwargs["actor"]
            token = _depth.set(_depth.get() + 1)
            try:
                with transaction.atomic():
                    actor.require(code)
                    result = function(*args, **kwargs)
                    record(actor, code, action, entity=_speaks_of(result, args, kwargs))
                    return result
            except DomainError as refusal:
                if _depth.get() == 1:
                    refused(actor, code, action, refusal, entity=_speaks_of(None, args, kwargs))
                raise
            finally:
                _depth.reset(token)

        wrapper.permission = code
        return wrapper

    return decorate


def _speaks_of(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> models.Model | None:
    candidates = (result, *args, *(value for key, value in kwargs.items() if key != "actor"))
    return next((value for value in candidates if isinstance(value, models.Model)), None)


def row_of(
    actor: Actor, event_type: str, action: str, entity: models.Model | None, patients: Iterable[UUID], **fields: Any
) -> dict[str, Any]:
    """The fields of an audit row."""
    several = list(patients)
    patient = getattr(entity, "audit_patient", None) or (several[0] if len(several) == 1 else None)
    return {
        "event_type": event_type,
        "action": action,
        "source": actor.source[:20],
        "user": getattr(actor.user, "uuid", None),
        "user_name": actor.user.get_username() if actor.user else "",
        "ae_title": actor.ae_title[:16],
        "address": actor.address[:64],
        "patient": patient,
        "patients": several,
        "entity_type": entity._meta.label_lower if entity is not None else "",
        "entity": getattr(entity, "uuid", None),
        "accession_number": (getattr(entity, "accession_number", "") or "")[:16],
        "correlation_id": correlation_id.get()[:64],
        **fields,
    }


def record(
    actor: Actor,
    event_type: str,
    action: Action | str,
    *,
    entity: models.Model | None = None,
    patients: Iterable[UUID] = (),
    reason: str = "",
    detail: dict[str, Any] | None = None,
    outcome: Outcome = Outcome.SUCCESS,
) -> AuditEvent:
    """Write one row in the caller's transaction."""
    fields = row_of(
        actor, event_type, action, entity, patients, reason=reason[:500], detail=detail or {}, outcome=outcome
    )
    return AuditEvent.objects.create(**fields)


def record_read(
    actor: Actor,
    event_type: str,
    *,
    entity: models.Model | None = None,
    patients: Iterable[UUID] = (),
    detail: dict[str, Any] | None = None,
) -> AuditEvent:
    """One row per page or query that shows patient data: a chart opened, a list shown, an image fetched."""
    return record(actor, event_type, Action.READ, entity=entity, patients=patients, detail=detail)


def refused(
    actor: Actor,
    event_type: str,
    action: Action | str,
    refusal: Exception,
    *,
    entity: models.Model | None = None,
) -> None:
    """Record a refusal; where a transaction is still open, once it has ended (``flush_refusals`` at the edge)."""
    code = getattr(refusal, "code", type(refusal).__name__)
    fields = row_of(actor, event_type, action, entity, (), reason=str(code), outcome=Outcome.REFUSED)
    _refusals.set((*_refusals.get(), fields))
    if not _in_transaction():
        flush_refusals()


@contextmanager
def told_by_the_next_try() -> Iterator[None]:
    """Around an attempt that is made again when it fails: what it was refused is told by the next one."""
    before = _refusals.get()
    try:
        yield
    except BaseException:
        _refusals.set(before)
        raise


def flush_refusals() -> int:
    """Write what was refused; edges call it when their transaction has ended, however it ended."""
    rows = _refusals.get()
    if rows:
        _refusals.set(())
        AuditEvent.objects.bulk_create(AuditEvent(**row) for row in rows)
    return len(rows)


def _in_transaction() -> bool:
    blocks = transaction.get_connection().atomic_blocks
    return any(not getattr(block, "_from_testcase", False) for block in blocks)
