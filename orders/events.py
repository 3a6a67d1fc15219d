"""What others may hear about patients and orders. Payloads hold identifiers, never names or clinical text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ris.events.bus import Event


@dataclass(frozen=True)
class PatientRegistered(Event):
    """``subject`` is the patient's UUID."""

    name: ClassVar[str] = "orders.patient_registered"


@dataclass(frozen=True)
class PatientUpdated(Event):
    """Demographics, identifiers or alerts have changed: whatever shows them is rendered again."""

    name: ClassVar[str] = "orders.patient_updated"


@dataclass(frozen=True)
class PatientIdentified(Event):
    """Somebody unidentified has a name now; ``procedures`` are those that went out under the alias."""

    name: ClassVar[str] = "orders.patient_identified"

    procedures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PatientsMerged(Event):
    """``subject`` is the survivor's UUID, ``loser`` the other one's; ``procedures`` are those that moved."""

    name: ClassVar[str] = "orders.patients_merged"

    loser: str = ""
    merge: str = ""
    procedures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PatientsUnmerged(Event):
    """``subject`` is the survivor's UUID, ``loser`` the one that stands alone again with ``procedures``."""

    name: ClassVar[str] = "orders.patients_unmerged"

    loser: str = ""
    merge: str = ""
    procedures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class OrderCreated(Event):
    """``subject`` is the order's UUID, ``accession_number`` that of its first procedure."""

    name: ClassVar[str] = "orders.order_created"

    patient: str = ""
    procedures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class OrderChanged(Event):
    """Priority, question, requester or the like: what belongs to the order as a whole."""

    name: ClassVar[str] = "orders.order_changed"

    patient: str = ""
    procedures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ProcedureStatusChanged(Event):
    """``subject`` is the procedure's UUID."""

    name: ClassVar[str] = "orders.procedure_status_changed"

    status: str = ""
    previous: str = ""


@dataclass(frozen=True)
class ProcedureCancelled(Event):
    """It will not be performed: cancelled, rejected or replaced (``status``)."""

    name: ClassVar[str] = "orders.procedure_cancelled"

    status: str = ""
    reason_code: str = ""
    replaced_by: str = ""


@dataclass(frozen=True)
class ProcedureChanged(Event):
    """Exam, side, protocol or the like, while the status stays."""

    name: ClassVar[str] = "orders.procedure_changed"


@dataclass(frozen=True)
class DowntimeFormEntered(Event):
    """``subject``: the form; what was done on paper is now an exam (``procedure``), with its real times."""

    name: ClassVar[str] = "orders.downtime_form_entered"

    procedure: str = ""
    study_instance_uid: str = ""


@dataclass(frozen=True)
class ChargeConfirmed(Event):
    """``subject`` is the charge's UUID: it is to be billed. ``procedure``: what it is for."""

    name: ClassVar[str] = "orders.charge_confirmed"

    procedure: str = ""


@dataclass(frozen=True)
class ChargesVoided(Event):
    """``subject`` is the procedure's UUID; ``charges`` are no longer owed."""

    name: ClassVar[str] = "orders.charges_voided"

    charges: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class InvoiceIssued(Event):
    """``subject`` is the invoice's UUID, or the credit note's (``kind``); ``order`` that of the order."""

    name: ClassVar[str] = "orders.invoice_issued"

    number: str = ""
    kind: str = ""
    order: str = ""


@dataclass(frozen=True)
class PaymentRecorded(Event):
    """Money came or went back (``kind``); ``subject`` is the payment's UUID, ``invoices`` those it belongs to."""

    name: ClassVar[str] = "orders.payment_recorded"

    number: str = ""
    kind: str = ""
    invoices: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DowntimeFormCorrected(Event):
    """``subject``: the form; its times were typed wrongly and are right now."""

    name: ClassVar[str] = "orders.downtime_form_corrected"

    procedure: str = ""
