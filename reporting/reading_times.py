"""What the reading list counts with, in code and in SQL alike."""

from __future__ import annotations

from datetime import timedelta

from orders.models import Priority, ProcedureStatus

S = ProcedureStatus
#: An exam in one of these waits for a report.
ON_THE_LIST = (S.READY_TO_READ, S.READING, S.PRELIMINARY)
#: Minutes from complete images to the report where no target says otherwise.
SLA_MINUTES: dict[str, int] = {Priority.STAT: 30, Priority.ASAP: 60, Priority.URGENT: 120, Priority.ROUTINE: 1440}
#: Below so many years a patient is a child.
CHILD_UNTIL = 16
#: Where nobody is on shift, assignment by rule asks again after so long.
TRY_AGAIN = timedelta(minutes=5)
