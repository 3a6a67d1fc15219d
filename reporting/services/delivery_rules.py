"""To whom results go, and how: kept, switched off, tried out."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from reporting import permissions as perms
from reporting.carriers import carrier_of, destination_names
from reporting.models import DeliveryChannel, DeliveryRule, MailForm
from reporting.services.carrying import wrong_address
from reporting.services.deliveries import TO_PEOPLE
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, InvalidData
from ris.notifications.services import notify

C = DeliveryChannel
FIELDS = frozenset(
    {
        "channel", "destination", "requester", "includes_preliminary", "is_mandatory", "includes_copies", "address",
        "mail_form", "password", "is_active",
    }
)  # fmt: skip
SHORTEST_PASSWORD = 10
TEST = "reporting.delivery_test"


def delivery_rules(*, actor: Actor) -> QuerySet[DeliveryRule]:
    """All of them, those in use first."""
    actor.require(perms.MANAGE_DELIVERY_RULES)
    return DeliveryRule.objects.select_related("requester").order_by("-is_active", "channel", "destination", "pk")


@service(perms.MANAGE_DELIVERY_RULES, action=Action.UPDATE)
def save_delivery_rule(rule: DeliveryRule | None = None, *, actor: Actor, **values: Any) -> DeliveryRule:
    """A rule, new or changed. An empty password or address leaves what is there, unless the channel has no use for it.

    Raises InvalidData by field, and AlreadyExists for a second rule to the same recipient by the same channel.
    """
    for name in values.keys() - FIELDS:
        raise InvalidData(_("The rule cannot be kept."), errors={name: _("There is no such field.")})
    row = DeliveryRule.locked(rule.pk) if rule is not None else DeliveryRule()
    for name, value in values.items():
        if name not in ("password", "address") or value:
            setattr(row, name, value.strip() if isinstance(value, str) else value)
    row.mail_form = row.mail_form or MailForm.LINK
    if row.channel not in TO_PEOPLE or not row.destination:
        row.address = ""
    if row.channel != C.EMAIL:
        row.password, row.mail_form = "", MailForm.LINK
    if row.channel == C.SMS or (row.channel == C.EMAIL and row.mail_form == MailForm.PDF):
        row.is_mandatory = False
    errors = _wrong(row)
    if errors:
        raise InvalidData(_("The rule cannot be kept."), errors=errors)
    same = DeliveryRule.objects.filter(channel=row.channel, destination=row.destination, requester=row.requester)
    if same.exclude(pk=row.pk).exists():
        raise AlreadyExists(
            _("There is a rule for this recipient and channel already."),
            errors={"destination": _("Taken.")},
            todo=_("Change that one, or switch it on again."),
        )
    row.save_as(actor, "Rule kept")
    return row


def _wrong(row: DeliveryRule) -> dict[str, str]:
    """What is wrong with a rule, by field."""
    errors: dict[str, str] = {}
    if row.channel not in C.values:
        return {"channel": _("Choose a channel.")}
    if len(row.destination) > 64:
        errors["destination"] = _("At most 64 characters.")
    if row.channel in (C.HL7, C.FHIR):
        if row.channel == C.FHIR and not row.destination:
            errors["destination"] = _("Name the FHIR server.")
        elif row.destination and row.destination not in destination_names(row.channel) and row.is_active:
            errors["destination"] = _("There is no destination of this name.")
    if row.channel == C.INBOX and row.destination:
        errors["destination"] = _("The inbox is the recipient's own.")
    if row.channel in TO_PEOPLE and row.destination and (wrong := wrong_address(row.channel, row.address)):
        errors["address"] = wrong
    if row.mail_form not in MailForm.values:
        errors["mail_form"] = _("A link, or the PDF.")
    needs_password = row.channel == C.EMAIL and (row.destination or row.mail_form == MailForm.PDF)
    if needs_password and not row.password:
        errors["password"] = _("Agree a password with the practice, and type it here.")
    elif row.password and (len(row.password) < SHORTEST_PASSWORD or not row.password.isascii()):
        errors["password"] = _("At least %(count)d letters and digits without accents.") % {"count": SHORTEST_PASSWORD}
    return errors


@service(perms.MANAGE_DELIVERY_RULES, action=Action.UPDATE)
def switch_delivery_rule(rule: DeliveryRule, *, is_active: bool, actor: Actor) -> DeliveryRule:
    """Off: nothing new goes by it; who has seen a version is still told of a newer one. On: from now on."""
    row = DeliveryRule.locked(rule.pk)
    if row.is_active != is_active:
        row.is_active = is_active
        row.save_as(actor, "On" if is_active else "Off")
    return row


@service(perms.MANAGE_DELIVERY_RULES, action=Action.EXECUTE)
def try_delivery_rule(rule: DeliveryRule, *, to: str = "", actor: Actor) -> str:
    """Show that the way works, with a message that holds no result; answers what was done, in words.

    ``to``: the address to try when the rule has none of its own. Raises InvalidData when there is nowhere to go.
    """
    carrier = carrier_of(rule.channel)
    if carrier is not None:
        names = [rule.destination] if rule.destination else carrier.names()
        if not names:
            raise InvalidData(_("There is no destination to try."), errors={"destination": _("Add one first.")})
        return " ".join(carrier.probe(name) for name in names)
    if rule.channel not in TO_PEOPLE:
        return _("Nothing is sent by this channel: the results wait on a page of this system.")
    address = rule.address or to.strip()
    if wrong := wrong_address(rule.channel, address):
        raise InvalidData(_("The test cannot be sent."), errors={"to": wrong})
    notify(address=address, channel=rule.channel, template=TEST, subject=str(rule.uuid))
    return _("A test message is on its way.")
