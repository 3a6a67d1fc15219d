"""The second factor: an authenticator (RFC 6238), and codes for the day it is lost."""

from __future__ import annotations

import base64
import io
import secrets
import time
from urllib.parse import quote, urlencode

import qrcode
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django_otp.oath import TOTP

from ris.accounts.models import RecoveryCode, TotpDevice, User
from ris.accounts.tokens import digest
from ris.audit.models import Action
from ris.audit.service import record, service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, InvalidData
from ris.tenants.context import require_facility

STEP_SECONDS, TOLERATED_STEPS, DIGITS = 30, 1, 6
RECOVERY_CODES = 10


def has_totp(user: User) -> bool:
    return TotpDevice.objects.filter(user=user, confirmed_at__isnull=False).exists()


@transaction.atomic
def begin_totp(user: User, *, actor: Actor) -> TotpDevice:
    """A new secret, which counts once a code made with it has been given."""
    device = TotpDevice.objects.select_for_update().filter(user=user).first()
    if device is not None and device.confirmed_at is not None:
        raise AlreadyExists(_("You use an authenticator already. Remove it first."))
    if device is None:
        secret = base64.b32encode(secrets.token_bytes(20)).decode()
        device = TotpDevice.objects.create(user=user, secret=secret)
    return device


@transaction.atomic
def confirm_totp(user: User, token: str, *, actor: Actor) -> list[str]:
    """Start asking for the second factor; answers the recovery codes, which are shown this once."""
    device = TotpDevice.objects.select_for_update().filter(user=user, confirmed_at__isnull=True).first()
    if device is None or not _accept_step(device, token):
        raise InvalidData(_("That code is not right."), errors={"otp_token": _("Type the code shown now.")})
    device.confirmed_at = timezone.now()
    device.save()
    codes = [f"{secrets.token_hex(3)}-{secrets.token_hex(3)}" for _number in range(RECOVERY_CODES)]
    RecoveryCode.objects.filter(user=user).delete()
    RecoveryCode.objects.bulk_create(RecoveryCode(user=user, digest=_code_digest(user, code)) for code in codes)
    record(actor, "accounts.enrol_totp", Action.CREATE, entity=user)
    return codes


@transaction.atomic
def remove_own_totp(user: User, *, actor: Actor) -> None:
    _forget(user)
    record(actor, "accounts.remove_totp", Action.DELETE, entity=user)


@service("accounts.reset_totp")
def reset_totp(user: User, *, actor: Actor) -> User:
    """The administrator's way out for who lost everything."""
    _forget(user)
    return user


def _forget(user: User) -> None:
    TotpDevice.objects.filter(user=user).delete()
    RecoveryCode.objects.filter(user=user).delete()


@transaction.atomic
def verify_totp(user: User, token: str) -> bool:
    """Whether the code is right now; each code, recovery codes too, counts once."""
    token = token.strip().replace(" ", "").lower()
    device = TotpDevice.objects.select_for_update().filter(user=user, confirmed_at__isnull=False).first()
    if device is None:
        return False
    if _accept_step(device, token):
        device.save()
        return True
    used = RecoveryCode.objects.filter(user=user, digest=_code_digest(user, token), used_at__isnull=True)
    return used.update(used_at=timezone.now()) == 1


def _accept_step(device: TotpDevice, token: str) -> bool:
    if not (token.isascii() and token.isdigit() and len(token) == DIGITS):
        return False
    clock = TOTP(base64.b32decode(device.secret), step=STEP_SECONDS, digits=DIGITS)
    clock.time = time.time()
    if not clock.verify(int(token), tolerance=TOLERATED_STEPS, min_t=device.last_step + 1):
        return False
    device.last_step = clock.t()
    return True


def _code_digest(user: User, code: str) -> str:
    return digest(f"recovery:{user.uuid}:{code}")


def provisioning_uri(device: TotpDevice) -> str:
    """What the authenticator scans: otpauth://totp/..."""
    issuer = require_facility().name
    label = quote(f"{issuer}:{device.user.username}")
    query = urlencode({"secret": device.secret, "issuer": issuer, "digits": DIGITS, "period": STEP_SECONDS})
    return f"otpauth://totp/{label}?{query}"


def qr_png(device: TotpDevice) -> bytes:
    """The same as a picture, on white, whatever the theme."""
    picture = io.BytesIO()
    qrcode.make(provisioning_uri(device), box_size=6, border=3).save(picture)
    return picture.getvalue()
