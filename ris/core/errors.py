"""Errors a domain service may raise. The edges translate them, once: the DRF exception handler and the
page middleware to an HTTP status, the DIMSE decorator to a DICOM status, the HL7 listener to an AE/AR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class DomainError(Exception):
    """The request is understood and refused.

    ``asked``, ``found`` and ``todo`` are the three sentences a person reads; ``errors`` maps fields to messages.
    None of them may hold a name or an identifier of a patient: they end in logs and problem documents.
    """

    code = "refused"
    http_status = 409

    def __init__(
        self,
        detail: str = "",
        *,
        asked: str = "",
        found: str = "",
        todo: str = "",
        errors: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail or found or self.code)
        self.detail = str(detail or found or self.code)
        self.asked, self.found, self.todo = asked, found, todo
        self.errors = dict(errors or {})


class InvalidTransition(DomainError):
    """The lifecycle has no such step from here."""

    code = "invalid_transition"


class Conflict(DomainError):
    """Someone else was first, or the row has changed since it was read."""

    code = "conflict"


class AlreadyExists(DomainError):
    code = "already_exists"


class NotKnown(DomainError):
    """No such object in this facility, or none that this actor may know of."""

    code = "not_known"
    http_status = 404


class NotPermitted(DomainError):
    code = "not_permitted"
    http_status = 403


class ReauthenticationRequired(NotPermitted):
    """The action asks for the password, a TOTP code or a fresh OIDC ``auth_time``."""

    code = "reauthentication_required"


class InvalidData(DomainError):
    """A value is impossible; ``errors`` says which field and why."""

    code = "invalid"
    http_status = 400


class PreconditionFailed(DomainError):
    """If-Match names a version that is no longer the current one."""

    code = "precondition_failed"
    http_status = 412


class PreconditionRequired(DomainError):
    """The write must say which version it changes."""

    code = "precondition_required"
    http_status = 428


class NoFacility(DomainError):
    """Work that belongs to a facility was asked for without one: fails closed."""

    code = "no_facility"
    http_status = 404
