"""Patients, exams and orders, made as the product makes them: through its services."""

from __future__ import annotations

import itertools
from typing import Any

from orders import services
from orders.models import CatalogueProcedure, Order, Patient, RequestedProcedure
from orders.services import ProcedureRequest
from ris.accounts.models import Practitioner, User
from ris.core.actor import Actor
from tests.factories.accounts import UserFactory

SYSTEM = Actor("system")
_number = itertools.count(1)


def make_user(*roles: str, **fields: Any) -> User:
    values = {
        "username": f"{roles[0] if roles else 'nobody'}{next(_number)}",
        "password": "a-password-of-the-tests",
        **dict.fromkeys(("given_name", "family_name", "email"), ""),
        **fields,
    }
    return UserFactory(roles=roles, **values)


def make_actor(*roles: str, source: str = "web", **fields: Any) -> Actor:
    return Actor(source, make_user(*roles, **fields))


def make_practitioner(user: User | None = None, **fields: Any) -> Practitioner:
    return Practitioner.objects.create(user=user, **{"family_name": f"Otieno{next(_number)}", **fields})


def make_catalogue(code: str = "", **fields: Any) -> CatalogueProcedure:
    code = code or f"X{next(_number)}"
    known = CatalogueProcedure.objects.filter(code=code).first()
    if known is not None:
        return known
    row = CatalogueProcedure(
        code=code,
        **{"name": f"CT exam {code}", "modality": "CT", "body_region": "chest", "duration_minutes": 20} | fields,
    )
    row.save_as(SYSTEM, "made for a test")
    return row


def make_patient(actor: Actor = SYSTEM, **fields: Any) -> Patient:
    return services.register_patient(
        **{"family_name": f"Achieng{next(_number)}", "given_name": "Wanjiru", "sex": "F"} | fields, actor=actor
    )


def make_order(actor: Actor = SYSTEM, *, patient: Patient | None = None, codes: Any = (), **fields: Any) -> Order:
    requests = [ProcedureRequest(code) if isinstance(code, str) else code for code in codes]
    if not requests:
        requests = [ProcedureRequest(make_catalogue().code)]
    return services.create_order(patient=patient or make_patient(), procedures=requests, actor=actor, **fields)


def make_procedure(actor: Actor = SYSTEM, *, status: str = "", **fields: Any) -> RequestedProcedure:
    """One procedure; ``status`` puts it there by force, for tests that begin in the middle."""
    procedure = make_order(actor, **fields).procedures.get()
    if status:
        procedure.status = status
        procedure.save_as(SYSTEM, "put there for a test")
    return procedure
