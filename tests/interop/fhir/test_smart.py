"""SMART Backend Services: registration, assertions, tokens, scopes; what is wrong is turned away and written down."""

from __future__ import annotations

import json
import time
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.test import Client

from interop.fhir.server.registry import types
from interop.fhir.smart import scopes
from interop.fhir.smart.clients import change_client, register_client
from interop.fhir.smart.keys import clean_jwks
from interop.fhir.smart.views import FAILURES
from interop.hl7 import services as hl7
from interop.models import SmartAssertion, SmartGrant
from ris.accounts.actors import expand_scopes
from ris.accounts.models import AccessToken
from ris.audit.models import AuditEvent, Outcome
from ris.core.actor import SYSTEM
from ris.core.errors import InvalidData, NotPermitted
from ris.core.permissions import CLERK, IT_ADMIN
from tests.factories.accounts import actor_with_roles, user_with_roles
from tests.factories.orders import make_patient
from tests.interop.fhir.fake_servers import FakeServer, Reply

BASE = "http://alpha.test/fhir"
TOKEN, INTROSPECT, REVOKE = "/fhir/auth/token", "/fhir/auth/introspect", "/fhir/auth/revoke"
EC_KEY, OTHER_KEY = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def jwk(key, kid, algorithm):
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {**made, "kid": kid, "alg": algorithm, "use": "sig"}


KEYS = {"keys": [jwk(EC_KEY, "ec", "ES384"), jwk(RSA_KEY, "rsa", "RS384")]}


@pytest.fixture
def program(alpha):
    return register_client(
        name="Referral portal",
        user=user_with_roles(CLERK, username="portal"),
        scopes=["system/Patient.rs", "system/ServiceRequest.cruds"],
        jwks=KEYS,
        actor=SYSTEM,
    )


@pytest.fixture
def http(alpha):
    return Client(HTTP_HOST="alpha.test")


def assertion(client_id, key=EC_KEY, kid="ec", algorithm="ES384", **claims):
    header = {"kid": kid, "typ": "JWT"} | claims.pop("header", {})
    said = {
        "iss": client_id,
        "sub": client_id,
        "aud": BASE + "/auth/token",
        "exp": int(time.time()) + 240,
        "jti": uuid4().hex,
    } | claims
    return jwt.encode({k: v for k, v in said.items() if v is not None}, key, algorithm=algorithm, headers=header)


def signed(made, **more):
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return {"client_assertion_type": kind, "client_assertion": made, **more}


def ask(http, client_id, scope="", made=None, **claims):
    form = signed(made or assertion(client_id, **claims), grant_type="client_credentials", scope=scope)
    return http.post(TOKEN, form)


def test_the_document_says_where_tokens_are(http):
    for release in ("r4", "r5"):
        said = http.get(f"/fhir/{release}/.well-known/smart-configuration").json()
        assert said["token_endpoint"] == BASE + "/auth/token"
        assert said["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
        assert said["grant_types_supported"] == ["client_credentials"]
        assert "client-confidential-asymmetric" in said["capabilities"]
        assert all(scopes.read(scope) for scope in said["scopes_supported"])
    security = http.get("/fhir/r4/metadata").json()["rest"][0]["security"]
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    assert security["extension"][0]["extension"][0] == {"url": "token", "valueUri": BASE + "/auth/token"}
    assert http.get("/fhir/r3/.well-known/smart-configuration").status_code == 404


@pytest.mark.parametrize(("key", "kid", "algorithm"), [(EC_KEY, "ec", "ES384"), (RSA_KEY, "rsa", "RS384")])
def test_a_signed_assertion_is_worth_a_token(http, program, key, kid, algorithm):
    made = assertion(program.client_id, key, kid, algorithm)
    answer = ask(http, program.client_id, "system/Patient.read system/Observation.rs", made)
    body = answer.json()
    assert (answer.status_code, body["token_type"], body["expires_in"]) == (200, "Bearer", 300)
    assert body["scope"] == "system/Patient.rs", "only what is registered"
    assert answer["Cache-Control"] == "no-store"
    grant = SmartGrant.objects.get()
    assert grant.client == program
    assert not AccessToken.objects.filter(digest=body["access_token"]).exists(), "kept as a hash"
    assert expand_scopes(grant.token.scopes) == {"orders.view_patient", "system/Patient.rs"}
    row = AuditEvent.objects.filter(event_type="interop.issue_smart_token").get()
    assert (row.outcome, row.detail["client"]) == (Outcome.SUCCESS, program.client_id)
    assert http.get("/api/v1/patients/", HTTP_AUTHORIZATION=f"Bearer {body['access_token']}").status_code == 401


def test_on_fhir_a_token_reaches_as_far_as_its_scopes_and_its_user(http, program):
    secret = ask(http, program.client_id, "system/Patient.r system/ServiceRequest.s").json()["access_token"]
    patient = make_patient(family_name="Wanjiru")

    def status(path, method="get", **more):
        return getattr(http, method)(f"/fhir/r4/{path}", HTTP_AUTHORIZATION=f"Bearer {secret}", **more).status_code

    body = {"content_type": "application/fhir+json", "data": json.dumps({"resourceType": "Patient"})}
    assert status(f"Patient/{patient.uuid}") == 200
    assert status("Patient") == 403, "r is not s"
    assert status("ServiceRequest") == 200
    assert status("ServiceRequest?patient.family=Wanjiru") == 200, "a chain may read what it may read"
    assert status("Appointment") == 403 and status("DiagnosticReport") == 403
    assert status("Patient", "post", **body) == 403
    assert status("metadata") == 200
    change_client(program, scopes=["system/Patient.c"], actor=SYSTEM)
    secret = ask(http, program.client_id).json()["access_token"]
    nothing = {**body, "data": ""}
    assert status(f"Patient/{patient.uuid}/$everything", "post", **nothing) == 403, "a posted question is still a read"
    change_client(program, scopes=["system/*.cruds"], actor=SYSTEM)
    secret = ask(http, program.client_id).json()["access_token"]
    assert status("Patient") == 200 and status("Appointment") == 200
    assert status("AuditEvent") == 403, "the clerk that it acts as may not"
    assert status("Patient", "post", **body) == 422


def test_without_a_scope_it_gets_all_that_is_registered(http, program):
    assert ask(http, program.client_id).json()["scope"] == "system/Patient.rs system/ServiceRequest.cruds"
    assert ask(http, program.client_id, "system/*.cruds").json()["scope"] == (
        "system/Patient.rs system/ServiceRequest.cruds"
    )
    refused = ask(http, program.client_id, "system/Observation.rs launch openid")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")


def test_what_is_wrong_about_an_assertion_is_refused_alike_and_written_down(http, program):
    known, now = program.client_id, int(time.time())
    weak = ec.generate_private_key(ec.SECP256R1())
    wrong = {
        "another key": assertion(known, OTHER_KEY),
        "another key's name": assertion(known, kid="nobody"),
        "unknown": assertion("picha-nobody"),
        "other subject": assertion(known, sub="somebody"),
        "other house": assertion(known, aud="https://beta.test/fhir/auth/token"),
        "the base, not the token address": assertion(known, aud=BASE + "/r4"),
        "dead": assertion(known, exp=now - 60),
        "too long": assertion(known, exp=now + 3600),
        "not yet": assertion(known, nbf=now + 120),
        "no jti": assertion(known, jti=None),
        "no end": assertion(known, exp=None),
        "other keys' address": assertion(known, header={"jku": "https://evil.example.org/keys"}),
        "weak": assertion(known, weak, algorithm="ES256"),
        "unsigned": jwt.encode({"iss": known, "sub": known}, None, algorithm="none"),
        "the public key as a secret": jwt.encode({"iss": known, "sub": known}, "x" * 64, algorithm="HS256"),
        "no JWT": "a.b.c",
        "huge": "a" * 9000,
    }
    told = set()
    for why, made in wrong.items():
        answer = ask(http, known, made=made)
        told.add((answer.status_code, answer.content))
        assert answer.status_code == 401, why
    assert len(told) == 1, "the caller is not told which"
    rows = AuditEvent.objects.filter(event_type="interop.issue_smart_token", outcome=Outcome.FAILED)
    assert rows.count() == len(wrong)
    assert "jku is not the registered address" in rows.values_list("reason", flat=True)
    assert not SmartGrant.objects.exists()


def test_an_assertion_counts_once(http, program):
    made = assertion(program.client_id)
    assert ask(http, program.client_id, made=made).status_code == 200
    again = ask(http, program.client_id, made=made)
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")
    SmartAssertion.objects.update(expires_at="2020-01-01T00:00:00Z")
    ask(http, program.client_id)
    assert SmartAssertion.objects.count() == 1, "dead ones are forgotten"


def test_form_and_method(http, program):
    assert http.get(TOKEN).status_code == 405
    assert http.post(TOKEN, {"grant_type": "password"}).json()["error"] == "unsupported_grant_type"
    assert http.post(TOKEN, {"grant_type": "client_credentials"}).status_code == 401
    assert http.post(INTROSPECT, {"token": "x"}).status_code == 401
    tries = (ask(http, program.client_id, made="no.jwt.here") for _try in range(2 * FAILURES + 1))
    slow = next(answer for answer in tries if answer.status_code == 429)  # a minute may end meanwhile
    assert 1 <= int(slow["Retry-After"]) <= 60, "guessing is slow"


def test_a_token_is_looked_at_and_ended_by_its_own_client(http, program):
    other = register_client(
        name="Other", user=program.user, scopes=["system/Patient.r"], jwks=jwk(OTHER_KEY, "o", "ES384"), actor=SYSTEM
    )
    secret = ask(http, program.client_id).json()["access_token"]

    def call(address, client, key=EC_KEY, kid="ec"):
        return http.post(address, signed(assertion(client.client_id, key, kid), token=secret))

    looked = call(INTROSPECT, program).json()
    assert (looked["active"], looked["client_id"]) == (True, program.client_id)
    assert call(INTROSPECT, other, OTHER_KEY, "o").json() == {"active": False}
    assert call(REVOKE, other, OTHER_KEY, "o").status_code == 200
    assert call(INTROSPECT, program).json()["active"] is True
    assert call(REVOKE, program).status_code == 200
    assert call(INTROSPECT, program).json() == {"active": False}


def test_a_change_of_reach_kills_the_tokens(http, program):
    ask(http, program.client_id)
    change_client(program, name="Portal", actor=SYSTEM)
    assert AccessToken.objects.usable().count() == 1
    change_client(program, scopes=["system/Patient.rs"], actor=SYSTEM)
    assert AccessToken.objects.usable().count() == 0
    ask(http, program.client_id)
    change_client(program, is_active=False, actor=SYSTEM)
    assert AccessToken.objects.usable().count() == 0
    assert ask(http, program.client_id).status_code == 401
    assert program.history.count() == 4
    change_client(program, is_active=True, allowed_addresses=["10.9.0.0/16"], actor=SYSTEM)
    assert ask(http, program.client_id).status_code == 401


def test_keys_are_fetched_from_the_registered_address_only_and_kept(http, alpha, program):
    hl7.allow_host("127.0.0.1", actor=SYSTEM)
    with FakeServer() as server:
        server.at["/jwks"] = Reply(body=json.dumps(KEYS).encode())
        change_client(program, jwks={}, jwks_url=server.url + "/jwks", actor=SYSTEM)
        assert ask(http, program.client_id).status_code == 200
        assert ask(http, program.client_id).status_code == 200
        assert len(server.got) == 1, "kept"
        assert ask(http, program.client_id, kid="new").status_code == 401
        assert len(server.got) == 1, "an unknown name does not make us ask all the time"
        program.refresh_from_db()
        server.at["/jwks"] = Reply(body=b" " * 70_000)
        change_client(program, jwks_url=server.url + "/jwks?2", actor=SYSTEM)
        assert ask(http, program.client_id).status_code == 401, "too large"
        server.at["/jwks"] = Reply(302, headers={"Location": server.url + "/elsewhere"})
        change_client(program, jwks_url=server.url + "/jwks?3", actor=SYSTEM)
        assert ask(http, program.client_id).status_code == 401
        assert all(got.path.startswith("/jwks") for got in server.got), "redirects are not followed"
    from ris.accounts.selectors import facility_settings

    settings = facility_settings()
    settings.allowed_hosts = []
    settings.save()
    change_client(program, jwks_url="http://127.0.0.1:9/jwks", actor=SYSTEM)
    assert ask(http, program.client_id).status_code == 401


def test_registration_refuses_what_cannot_be_used(alpha):
    admin, user = actor_with_roles(IT_ADMIN), user_with_roles(CLERK)
    good = {"name": "P", "user": user, "scopes": ["system/Patient.rs"], "jwks": KEYS}
    private = {"keys": [{**KEYS["keys"][0], "d": "AAAA"}]}
    short = jwk(rsa.generate_private_key(public_exponent=65537, key_size=1024), "s", "RS384")
    wrong = [
        ({"name": " "}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["system/Patient.sr"]}, "scopes"),
        ({"scopes": ["system/Spaceship.rs"]}, "scopes"),
        ({"scopes": ["system/Patient.rs?gender=male"]}, "scopes"),
        ({"jwks": {}}, "jwks"),
        ({"jwks": "not json"}, "jwks"),
        ({"jwks": private}, "jwks"),
        ({"jwks": short}, "jwks"),
        ({"jwks": {}, "jwks_url": "http://keys.example.org/"}, "jwks_url"),
        ({"jwks": {}, "jwks_url": "file:///etc/passwd"}, "jwks_url"),
        ({"token_minutes": 600}, "token_minutes"),
        ({"allowed_addresses": ["everywhere"]}, "allowed_addresses"),
    ]
    for change, field in wrong:
        with pytest.raises(InvalidData) as refusal:
            register_client(**{**good, **change}, actor=admin)
        assert list(refusal.value.errors) == [field], change
    with pytest.raises(NotPermitted):
        register_client(**good, actor=actor_with_roles(CLERK))
    made = register_client(**good, actor=admin)
    assert made.client_id.startswith("picha-")
    assert clean_jwks(json.dumps(KEYS)) == KEYS


def test_scopes_by_letter_and_by_name():
    assert str(scopes.read("system/Patient.read")) == "system/Patient.rs"
    assert str(scopes.read("user/*.write")) == "user/*.cud"
    assert str(scopes.read("system/*.*")) == "system/*.cruds"
    for nonsense in ("patient/Patient.rs", "system/Patient", "system/Patient.x", "system/Patient.rr", "openid"):
        assert scopes.read(nonsense) is None
    token = ["orders.view_patient", "system/Patient.rs"]
    assert scopes.allows(token, "Patient", "read") and scopes.allows(token, "Patient", "search-type")
    assert not scopes.allows(token, "Patient", "update") and not scopes.allows(token, "Observation", "read")
    assert scopes.allows(["orders.*"], "Observation", "read"), "an API key's scopes are rights of the house"
    assert scopes.allows(None, "Observation", "read")
    assert scopes.granted(["system/*.read"], ["system/Patient.r", "system/Task.cruds"]) == [
        "system/Patient.r",
        "system/Task.rs",
    ]
    from ris.core.permissions import permissions

    assert set(scopes.rights_of(["system/*.cruds"])) <= set(permissions())
    for name, kind in types().items():
        rights = scopes.RIGHTS[name]
        assert set(kind.permission) & set(rights["rs"]), name
        letters = {"create": "c", "update": "u"}
        for interaction, code in kind.write_permissions.items():
            held = {one for key, codes in rights.items() if letters[interaction] in key for one in codes}
            assert code in held, (name, interaction)
