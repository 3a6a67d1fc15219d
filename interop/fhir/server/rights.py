"""Who may, and that it is written down who did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from interop.fhir.server.call import Call
from interop.fhir.server.registry import ResourceType
from interop.fhir.smart.guard import reaches
from ris.audit.models import Action
from ris.audit.service import record_read, refused
from ris.core.errors import NotPermitted


def may(call: Call, kind: ResourceType) -> bool:
    return any(call.actor.may(code) for code in kind.permission) and reaches(call, kind.name)


def require(call: Call, kind: ResourceType) -> None:
    """Raises NotPermitted, and records it, when the caller holds none of the type's rights."""
    if may(call, kind):
        return
    refusal = NotPermitted(
        _("This needs the right %(code)s.") % {"code": kind.permission[0]},
        found=_("You do not hold that right, or your key or token does not reach that far."),
        todo=_("Ask your administrator."),
    )
    refused(call.actor, kind.permission[0], Action.READ, refusal)
    raise refusal


def note_read(call: Call, kind: ResourceType, rows: Sequence[Any], count: int) -> None:
    """One audit row for what an answer shows of one type."""
    patients = {patient for row in rows if (patient := getattr(row, "audit_patient", None)) is not None}
    detail = {"resource": kind.name, "rows": count, "version": call.version.name}
    record_read(call.actor, kind.permission[0], patients=sorted(patients), detail=detail)


def note_read_of(call: Call, kind: ResourceType, row: Any) -> None:
    detail = {"resource": kind.name, "version": call.version.name}
    record_read(call.actor, kind.permission[0], entity=row, detail=detail)
