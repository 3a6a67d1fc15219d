"""Sign-in through a provider that is really another process."""

import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from ris.accounts.models import OidcProvider, OidcRoleMapping, Role, User
from ris.accounts.selectors import facility_settings
from ris.audit.models import AuditEvent, Outcome
from ris.tenants.context import use_facility
from tests.accounts.oidc_provider import CLIENT, SECRET
from tests.factories.accounts import UserFactory, user_with_roles


@pytest.fixture(scope="module")
def process():
    script = Path(__file__).with_name("oidc_provider.py")
    with subprocess.Popen([sys.executable, str(script), "0"], stdout=subprocess.PIPE, text=True) as running:
        try:
            yield f"http://127.0.0.1:{running.stdout.readline().strip()}"
        finally:
            running.terminate()


def allow(host):
    row = facility_settings()
    row.allowed_hosts = [host]
    row.save()


@pytest.fixture
def provider(alpha, process):
    allow("127.0.0.1")
    user_with_roles("clerk")
    row = OidcProvider.objects.create(
        label="Hospital", issuer=process, client_id=CLIENT, client_secret=SECRET, roles_claim="realm.roles"
    )
    for value, role in (("rad", "radiologist"), ("desk", "clerk")):
        OidcRoleMapping.objects.create(provider=row, claim_value=value, role=Role.objects.get(name=role))
    return row


def person(**changes):
    return {"preferred_username": "zainab", "family_name": "Ali", "realm": {"roles": ["rad"]}, **changes}


def come(client, provider, *, query="", **wanted):
    """The whole way: to the provider and back; answers the last response of ours."""
    wanted.setdefault("claims", person())
    httpx.post(f"{provider.issuer}/next", json=wanted, trust_env=False)
    start = client.get(f"/sign-in/oidc/{provider.uuid}/{query}")
    assert start.status_code == 302, start.content
    back = httpx.get(start["Location"], trust_env=False)
    assert back.status_code == 302, back.text
    url = urlsplit(back.headers["Location"])
    assert url.netloc == "alpha.test"
    return client.get(f"{url.path}?{url.query}")


def test_somebody_new_comes_in_with_the_mapped_roles(tclient, provider):
    assert "Hospital" in tclient.get("/sign-in/").content.decode()
    answer = come(tclient, provider, query="?next=/profile/")
    assert (answer.status_code, answer["Location"]) == (302, "/profile/")
    user = User.objects.get(username="zainab")
    assert (user.role_names, user.has_usable_password(), user.family_name) == ({"radiologist"}, False, "Ali")
    assert tclient.get("/profile/").status_code == 200
    event = AuditEvent.objects.get(event_type="accounts.sign_in")
    assert (event.user, event.detail) == (user.uuid, {"method": "oidc"})


def test_roles_follow_the_provider_at_each_sign_in(tclient, provider):
    come(tclient, provider)
    come(tclient, provider, claims=person(realm={"roles": ["desk", "unknown"]}))
    assert User.objects.get(username="zainab").role_names == {"clerk"}
    assert User.objects.filter(username="zainab").count() == 1


def test_auth_time_is_the_proof_that_signing_asks_for(tclient, provider):
    come(tclient, provider)
    assert tclient.session["authenticated_at"] > time.time() - 60
    json = {"Accept": "application/json"}
    assert tclient.post("/session/reauthenticate/", {}, headers=json).status_code == 200
    old = int(time.time()) - 7200
    come(tclient, provider, id_token={"auth_time": old})
    assert tclient.post("/session/reauthenticate/", {}, headers=json).status_code == 403
    come(tclient, provider, id_token={"auth_time": None})
    assert tclient.post("/session/reauthenticate/", {}, headers=json).status_code == 403
    come(tclient, provider, query="?again=1&next=/profile/")
    asked = httpx.get(f"{provider.issuer}/asked", trust_env=False).json()["asked"][-1]
    assert (asked["prompt"], asked["max_age"]) == ("login", "0")
    assert tclient.post("/session/reauthenticate/", {}, headers=json).status_code == 200


@pytest.mark.parametrize(
    "mistake",
    [
        {"sign_with": "none"},
        {"sign_with": "hs256"},
        {"sign_with": "other"},
        {"header": {"kid": "unknown"}},
        {"id_token": {"aud": "another-client"}},
        {"id_token": {"iss": "http://127.0.0.1:1"}},
        {"id_token": {"exp": 1}},
        {"id_token": {"nonce": "not-ours"}},
        {"id_token": {"nonce": None}},
        {"id_token": {"sub": "somebody-else"}},
        {"claims": {"preferred_username": "zainab", "realm": {"roles": ["nothing"]}}},
        {"claims": {"realm": {"roles": ["rad"]}}},
        {"claims": {"preferred_username": "zainab", "realm": "rad"}},
    ],
)
def test_a_mistake_of_the_provider_lets_nobody_in(tclient, provider, mistake):
    answer = come(tclient, provider, **mistake)
    assert answer["Location"] == "/sign-in/?refused=oidc"
    assert tclient.get("/profile/").status_code == 302
    assert not User.objects.filter(username="zainab").exists()
    assert AuditEvent.objects.get(event_type="accounts.sign_in").outcome == Outcome.FAILED


def test_a_forged_or_repeated_answer_is_refused(tclient, provider):
    assert tclient.get("/sign-in/oidc/callback/?code=x&state=y")["Location"] == "/sign-in/?refused=oidc"
    come(tclient, provider)
    httpx.post(f"{provider.issuer}/next", json={"claims": person()}, trust_env=False)
    start = tclient.get(f"/sign-in/oidc/{provider.uuid}/")
    state = parse_qs(urlsplit(start["Location"]).query)["state"][0]
    assert tclient.get(f"/sign-in/oidc/callback/?error=denied&state={state}")["Location"].endswith("refused=oidc")
    assert tclient.get(f"/sign-in/oidc/callback/?code=x&state={state}")["Location"].endswith("refused=oidc")


def test_an_account_with_a_password_is_never_taken_over(tclient, provider):
    UserFactory(username="zainab")
    assert come(tclient, provider)["Location"] == "/sign-in/?refused=oidc"
    User.objects.get(username="zainab").set_unusable_password()
    prepared = User.objects.get(username="zainab")
    prepared.set_unusable_password()
    prepared.save()
    assert come(tclient, provider)["Location"] == "/"


def test_the_provider_creates_nobody_when_it_may_not(tclient, provider):
    OidcProvider.objects.update(creates_users=False)
    assert come(tclient, provider)["Location"] == "/sign-in/?refused=oidc"


def test_a_deactivated_person_stays_out(tclient, provider):
    come(tclient, provider)
    tclient.post("/sign-out/")
    User.objects.filter(username="zainab").update(is_active=False)
    assert come(tclient, provider)["Location"] == "/sign-in/?refused=oidc"


def test_only_hosts_on_the_allow_list_are_spoken_to(tclient, provider):
    allow("idp.example.org")
    answer = tclient.get(f"/sign-in/oidc/{provider.uuid}/")
    assert answer.status_code == 409
    assert "not one that this facility connects to" in answer.content.decode()


def test_another_facilitys_provider_is_unknown_here(tclient, provider, beta):
    tclient.defaults["HTTP_HOST"] = "beta.test"
    assert tclient.get(f"/sign-in/oidc/{provider.uuid}/").status_code == 404
    with use_facility(beta):
        assert OidcProvider.objects.count() == 0


def test_the_client_secret_is_encrypted_at_rest(provider):
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("select client_secret from accounts_oidcprovider")
        assert SECRET not in cursor.fetchone()[0]
