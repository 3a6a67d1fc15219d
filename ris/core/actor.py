"""Who or what did it, and through which door."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ris.core.errors import NotPermitted

if TYPE_CHECKING:
    from ris.accounts.models import User


@dataclass(frozen=True)
class Actor:
    """A person, a modality, an interface, a clock.

    ``source``: web, admin, api, fhir, mwl, mpps, storage, hl7, beat, command.
    ``scopes``: permission codes an API key or token is limited to; None means all that the user holds.
    A source without user is the system itself, admitted at its own door (peer rights, receiver registry).
    """

    source: str
    user: User | None = None
    ae_title: str = ""
    address: str = ""
    scopes: frozenset[str] | None = field(default=None)
    session_key: str = ""
    #: the API key or token that was shown, for what is to end with it
    credential: object = field(default=None, compare=False, repr=False)

    @property
    def is_system(self) -> bool:
        return self.user is None

    @property
    def name(self) -> str:
        if self.user is not None:
            return self.user.get_username()
        return self.ae_title or "system"

    def may(self, permission: str) -> bool:
        if self.user is None:
            return True
        if self.scopes is not None and permission not in self.scopes:
            return False
        return self.user.may(permission)

    def require(self, permission: str) -> None:
        if not self.may(permission):
            raise NotPermitted(
                f"This needs the right {permission}.",
                asked=permission,
                found="You do not hold that right.",
                todo="Ask your administrator, or let a colleague who holds it do it.",
            )

    def __str__(self) -> str:
        return f"{self.source}:{self.name}"


SYSTEM = Actor("system")
