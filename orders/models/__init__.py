from orders.models.catalogue import CatalogueProcedure, Laterality, Modality, Preparation, ProcedureCode
from orders.models.charges import Charge, ChargeStatus, PriceItem
from orders.models.documents import Document, DocumentKind
from orders.models.orders import (
    LIFE_CYCLE,
    AccessionNumber,
    Order,
    PatientClass,
    Priority,
    ProcedureStatus,
    RequestedProcedure,
)
from orders.models.patients import (
    IdentifierType,
    IdentifierUse,
    Patient,
    PatientAlert,
    PatientIdentifier,
    PatientMerge,
    PatientUserObjectPermission,
    Sex,
    Visit,
)

__all__ = [
    "LIFE_CYCLE",
    "AccessionNumber",
    "CatalogueProcedure",
    "Charge",
    "ChargeStatus",
    "Document",
    "DocumentKind",
    "IdentifierType",
    "IdentifierUse",
    "Laterality",
    "Modality",
    "Order",
    "Patient",
    "PatientAlert",
    "PatientClass",
    "PatientIdentifier",
    "PatientMerge",
    "PatientUserObjectPermission",
    "Preparation",
    "PriceItem",
    "Priority",
    "ProcedureCode",
    "ProcedureStatus",
    "RequestedProcedure",
    "Sex",
    "Visit",
]
