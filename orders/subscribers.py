"""What happens to an exam is followed here in the same commit: nothing is owed for what did not come about."""

from __future__ import annotations

from django.utils.translation import gettext as _

from orders.events import ProcedureStatusChanged
from orders.models import RequestedProcedure
from orders.services.charges import void_open_charges
from orders.services.lifecycle import STOPPED
from ris.core.concepts import DISCONTINUATION_REASONS
from ris.events.bus import subscribe


@subscribe(ProcedureStatusChanged, name="orders.void_charges", in_transaction=True)
def void_charges(event: ProcedureStatusChanged) -> None:
    """Cancelled, rejected, not come, replaced, discontinued: with the reason that was given."""
    if event.status not in STOPPED:
        return
    procedure = RequestedProcedure.objects.get(uuid=event.subject)
    coded = DISCONTINUATION_REASONS.get(procedure.reason_code)
    why = procedure.reason_text or (coded.meaning if coded else "")
    status = procedure.get_status_display()
    void_open_charges(procedure, reason=": ".join(filter(None, (_("Exam: %s") % status, why))))
