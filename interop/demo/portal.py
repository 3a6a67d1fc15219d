"""The referrers' portal: a program that would sign in by SMART on FHIR, its subscription to reports, its webhook.

Nobody holds its private key, and subscription and webhook are paused: nothing leaves the demo.
"""

from __future__ import annotations

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from interop.demo.house import SEEDER
from interop.fhir.smart.clients import register_client
from interop.fhir.subscriptions.services import pause_subscription, subscribe_to
from interop.hl7.services import allow_host
from interop.models import SmartClient
from interop.permissions import SUBSCRIBE
from interop.webhooks.services import create_webhook, pause_webhook
from orders import permissions as orders
from reporting.permissions import VIEW_REPORT
from ris.accounts.models import Role, User
from ris.accounts.services.users import create_user
from ris.core.actor import Actor

NAME, HOST = "referral-portal", "portal.example.org"
RIGHTS = (orders.VIEW_PATIENT, orders.VIEW_ORDER, orders.CREATE_ORDER, orders.CANCEL_ORDER, VIEW_REPORT, SUBSCRIBE)
SCOPES = ("system/Patient.rs", "system/ServiceRequest.cruds", "system/DiagnosticReport.rs", "system/Subscription.cruds")


def ensure_portal() -> None:
    if SmartClient.objects.exists():
        return
    role = Role(name=NAME, label="Referral portal", permissions=sorted(RIGHTS))
    role.save_as(SEEDER, "Demo")
    made = create_user(
        username=NAME, roles=[NAME], is_service=True, family_name="Portal", given_name="Referral", actor=SEEDER
    )
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    jwk = jwt.get_algorithm_by_name("ES384").to_jwk(key, as_dict=True)
    register_client(
        name="Referral portal",
        user=made,
        scopes=SCOPES,
        jwks={"keys": [{**jwk, "kid": "portal-1", "alg": "ES384", "use": "sig"}]},
        actor=SEEDER,
    )
    allow_host(HOST, actor=SEEDER)
    row = subscribe_to(
        release="r5",
        topic="report",
        reason="Reports for the referrers' portal",
        endpoint=f"https://{HOST}/hooks/reports",
        actor=Actor("command", User.objects.get(pk=made.pk)),
    )
    pause_subscription(row, actor=SEEDER)
    told = ["report.*", "critical_result.raised", "appointment.*"]
    webhook = create_webhook(name=NAME, url=f"https://{HOST}/hooks/events", events=told, actor=SEEDER)
    pause_webhook(webhook, actor=SEEDER)
