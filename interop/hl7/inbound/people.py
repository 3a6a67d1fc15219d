"""Requesters of messages (XCN): known by their registration number, or made known."""

from __future__ import annotations

from interop.hl7.mapping import PersonData
from ris.accounts.models import Practitioner
from ris.audit.models import Action
from ris.audit.service import record
from ris.core.actor import Actor


def requester_of(person: PersonData | None, *, default_issuer: str, actor: Actor) -> Practitioner | None:
    """By number and issuer; without issuer by number, without number by name, where only one has it.

    A number that is not known makes a new practitioner, without a sign-in.
    """
    if person is None:
        return None
    known = Practitioner.objects.filter(is_active=True)
    if person.identifier:
        known = known.filter(identifier=person.identifier)
        if person.issuer:
            known = known.filter(issuer=person.issuer)
    else:
        known = known.filter(family_name__iexact=person.family_name, given_name__iexact=person.given_name)
    found = list(known[:2])
    if len(found) == 1:
        return found[0]
    if not person.family_name or not person.identifier:
        return None
    issuer = person.issuer or default_issuer[:64]
    taken = Practitioner.objects.filter(identifier=person.identifier, issuer=issuer).first()
    if taken is not None:
        return taken if taken.is_active else None
    practitioner = Practitioner(
        family_name=person.family_name,
        given_name=person.given_name,
        prefix=person.prefix,
        identifier=person.identifier,
        issuer=issuer,
    )
    practitioner.save_as(actor, "Named in an order message")
    record(actor, "interop.register_requester", Action.CREATE, entity=practitioner)
    return practitioner
