from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from ris.accounts.models import AccessToken, ApiKey, User
from ris.accounts.services.keys import create_api_key
from ris.accounts.services.sign_in import require_recent_authentication
from ris.accounts.services.users import deactivate_user, set_roles
from ris.audit.models import AuditEvent, Outcome
from ris.core.actor import SYSTEM
from ris.core.errors import Conflict, InvalidData, ReauthenticationRequired
from ris.core.permissions import clinical_codes
from ris.tenants.context import use_facility
from tests.factories.accounts import PASSWORD, UserFactory, user_with_roles

TOKEN, ME, USERS = "/api/v1/auth/token", "/api/v1/auth/me", "/api/v1/users/"


@pytest.fixture
def it_admin(alpha):
    return user_with_roles("it_admin", username="admin")


@pytest.fixture
def token(api, it_admin):
    return api.post(TOKEN, {"username": "admin", "password": PASSWORD}).json()["access_token"]


def bearer(token):
    return {"HTTP_AUTHORIZATION": f"Bearer {token}"}


def api_key(user, *scopes, **more):
    return create_api_key(user, label="test", scopes=scopes or ("*",), actor=SYSTEM, **more)


def keyed(key):
    return {"HTTP_AUTHORIZATION": f"Api-Key {key.secret}"}


def test_a_token_for_a_password(api, it_admin):
    answer = api.post(TOKEN, {"username": "admin", "password": PASSWORD})
    body = answer.json()
    assert (answer.status_code, body["token_type"], body["expires_in"]) == (200, "Bearer", 3600)
    assert answer["Cache-Control"] == "no-store"
    me = api.get(ME, **bearer(body["access_token"])).json()
    assert (me["username"], me["roles"]) == ("admin", ["it_admin"])
    assert not AccessToken.objects.filter(digest=body["access_token"]).exists(), "kept as a hash"
    form = "application/x-www-form-urlencoded"
    assert api.post(TOKEN + "/", f"username=admin&password={PASSWORD}", content_type=form).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"username": "admin", "password": "wrong"}, 401),
        ({"username": "nobody", "password": PASSWORD}, 401),
        ({"username": "admin"}, 400),
        ({}, 400),
        ({"username": ["x"], "password": {}}, 400),
        ({"username": "a\0b", "password": PASSWORD}, 400),
    ],
)
def test_wrong_credentials_are_problems(api, it_admin, body, status):
    answer = api.post(TOKEN, body)
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
    if status == 401:
        assert answer["WWW-Authenticate"].startswith("Bearer")


def test_lockout_over_rest_says_when_to_come_back(api, it_admin, settings):
    settings.AXES_ENABLED = True
    answers = [api.post(TOKEN, {"username": "admin", "password": "x"}).status_code for _attempt in range(5)]
    assert answers == [401, 401, 401, 401, 429]
    answer = api.post(TOKEN, {"username": "admin", "password": PASSWORD})
    assert (answer.status_code, answer["Retry-After"]) == (429, "900")


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer x",
        "Bearer a b",
        "Bearer " + "x" * 300,
        "Api-Key",
        "Api-Key pck_nothing",
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
        "Bearer \xff\xfe",
    ],
)
def test_wrong_credentials_are_401_and_recorded(api, alpha, header):
    answer = api.get(ME, HTTP_AUTHORIZATION=header)
    assert (answer.status_code, answer.json()["status"]) == (401, 401)
    assert answer["WWW-Authenticate"] == 'Bearer realm="picha"'
    assert AuditEvent.objects.get().outcome == Outcome.REFUSED


def test_no_credentials_is_401_and_recorded(api, alpha):
    answer = api.get(USERS)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="picha"')
    event = AuditEvent.objects.get()
    assert (event.event_type, event.outcome, event.user) == ("accounts.view_user", Outcome.REFUSED, None)


def test_an_expired_token_is_dead(api, token):
    AccessToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert api.get(ME, **bearer(token)).status_code == 401


def test_revoke_and_sign_out_kill_tokens(api, it_admin):
    first, second, third = (
        api.post(TOKEN, {"username": "admin", "password": PASSWORD}).json()["access_token"] for _number in range(3)
    )
    assert api.post("/api/v1/auth/revoke", **bearer(first)).status_code == 204
    assert [api.get(ME, **bearer(one)).status_code for one in (first, second, third)] == [401, 200, 200]
    assert api.post("/api/v1/auth/sign-out", **bearer(second)).status_code == 204
    assert [api.get(ME, **bearer(one)).status_code for one in (second, third)] == [401, 401]


def test_a_deactivated_person_has_no_token(api, token):
    User.objects.update(is_active=False)
    assert api.get(ME, **bearer(token)).status_code == 401


def test_another_facilitys_token_and_key_are_unknown_here(api, token, it_admin, beta):
    key = api_key(it_admin)
    with use_facility(beta):
        user_with_roles("it_admin", username="admin")
    at_beta = {"HTTP_HOST": "beta.test"}
    assert api.get(ME, **bearer(token), **at_beta).status_code == 401
    assert api.get(ME, **keyed(key), **at_beta).status_code == 401


def test_a_digest_copied_into_another_facility_fits_nothing(api, token, beta):
    digest = AccessToken.objects.get().digest
    with use_facility(beta):
        user = user_with_roles("it_admin", username="admin")
        AccessToken.objects.create(user=user, digest=digest, expires_at=timezone.now() + timedelta(hours=1))
    assert api.get(ME, **bearer(token), HTTP_HOST="beta.test").status_code == 401


def test_a_key_reaches_as_far_as_its_scopes(api, it_admin):
    narrow = api_key(it_admin, "accounts.view_site")
    pattern = api_key(it_admin, "accounts.view_*")
    assert api.get("/api/v1/sites/", **keyed(narrow)).status_code == 200
    assert api.get(USERS, **keyed(narrow)).status_code == 403
    assert api.get(USERS, **keyed(pattern)).status_code == 200
    assert api.post(USERS, {"username": "x"}, **keyed(pattern)).status_code == 403


def test_scopes_never_exceed_the_users_rights(api, alpha):
    key = api_key(user_with_roles("clerk"), "*")
    assert api.get(USERS, **keyed(key)).status_code == 403


def test_a_key_ends_is_revoked_and_keeps_to_its_addresses(api, it_admin):
    key = api_key(it_admin, allowed_addresses=["10.0.0.0/8"])
    assert api.get(ME, **keyed(key)).status_code == 401
    assert api.get(ME, **keyed(key), REMOTE_ADDR="10.1.2.3").status_code == 200
    ApiKey.objects.update(expires_at=timezone.now())
    assert api.get(ME, **keyed(key), REMOTE_ADDR="10.1.2.3").status_code == 401
    ApiKey.objects.update(expires_at=None, revoked_at=timezone.now())
    assert api.get(ME, **keyed(key), REMOTE_ADDR="10.1.2.3").status_code == 401


@pytest.mark.parametrize("scopes", [[], ["orders.no_such_thing"], ["accounts.view_user", "nothing.*"]])
def test_a_key_needs_scopes_that_exist(it_admin, scopes):
    with pytest.raises(InvalidData):
        create_api_key(it_admin, label="x", scopes=scopes, actor=SYSTEM)


def test_a_session_writes_only_with_a_csrf_token(it_admin):
    client = APIClient(enforce_csrf_checks=True, HTTP_HOST="alpha.test")
    client.force_login(it_admin)
    assert client.get(USERS).status_code == 200
    answer = client.post(USERS, {"username": "made"})
    assert answer.status_code == 403
    assert not User.objects.filter(username="made").exists()
    assert AuditEvent.objects.filter(outcome=Outcome.REFUSED).count() == 1


# --- the resource users


@pytest.fixture
def admin_api(api, token):
    api.credentials(**bearer(token))
    return api


def test_users_live_their_life_over_rest(admin_api):
    body = {"username": "amina", "password": "a-long-Password-9", "roles": ["clerk"], "family_name": "Odhiambo"}
    made = admin_api.post(USERS, body)
    assert made.status_code == 201
    url = made["Location"]
    assert "password" not in made.json()
    assert made.json()["roles"] == ["clerk"]
    assert admin_api.get(url).json() == {**made.json()}
    changed = admin_api.patch(url, {"given_name": "Amina"}, HTTP_IF_MATCH=made["ETag"])
    assert (changed.status_code, changed.json()["given_name"]) == (200, "Amina")
    assert admin_api.patch(url, {"given_name": "X"}, HTTP_IF_MATCH=made["ETag"]).status_code == 412
    roles = admin_api.post(url + "set-roles/", {"roles": ["technologist"]})
    assert roles.json()["roles"] == ["technologist"]
    assert admin_api.post(url + "set-roles/", {"roles": ["emperor"]}).status_code == 400
    assert admin_api.post(url + "set-password/", {"password": "short"}).status_code == 400
    assert admin_api.post(url + "deactivate/").json()["is_active"] is False
    assert admin_api.post(url + "reactivate/").json()["is_active"] is True
    assert admin_api.delete(url).status_code == 405
    assert admin_api.post(USERS, body).status_code == 409


def test_idempotency_key_makes_one_user(admin_api):
    body = {"username": "amina", "roles": ["clerk"]}
    first = admin_api.post(USERS, body, HTTP_IDEMPOTENCY_KEY="k1")
    again = admin_api.post(USERS, body, HTTP_IDEMPOTENCY_KEY="k1")
    assert (first.status_code, again.status_code, first.json()) == (201, 201, again.json())
    assert again["Idempotency-Replayed"] == "true"
    assert admin_api.post(USERS, {"username": "b"}, HTTP_IDEMPOTENCY_KEY="k1").status_code == 422
    assert User.objects.filter(username="amina").count() == 1


@pytest.mark.parametrize("role", ["clerk", "radiologist", "technologist", "qa_lead", "referring_physician"])
def test_only_administrators_manage_users(api, alpha, role):
    user = user_with_roles(role)
    api.force_authenticate(user)
    assert api.get(USERS).status_code == 403
    answer = api.post(USERS, {"username": "x"})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:picha:problem:not_permitted")
    refusals = AuditEvent.objects.filter(outcome=Outcome.REFUSED, user=user.uuid)
    assert sorted(refusals.values_list("event_type", flat=True)) == ["accounts.create_user", "accounts.view_user"]


def test_the_last_administrator_stays_and_nobody_promotes_themselves(admin_api, it_admin):
    own = f"{USERS}{it_admin.uuid}/"
    assert admin_api.post(own + "set-roles/", {"roles": ["it_admin", "radiologist"]}).status_code == 409
    assert admin_api.post(own + "deactivate/").status_code == 409
    with pytest.raises(Conflict):
        deactivate_user(it_admin, actor=SYSTEM)
    with pytest.raises(Conflict):
        set_roles(it_admin, roles=[], actor=SYSTEM)


def test_an_administrator_never_holds_a_clinical_right(alpha):
    both = user_with_roles("it_admin", "radiologist")
    assert not both.permission_codes & clinical_codes()


def test_one_row_per_list_and_per_object_read(admin_api, it_admin):
    UserFactory.create_batch(3)
    before = AuditEvent.objects.count()
    admin_api.get(USERS)
    admin_api.get(f"{USERS}{it_admin.uuid}/")
    rows = list(AuditEvent.objects.order_by("pk")[before:])
    assert [(row.event_type, row.action, row.entity, row.detail) for row in rows] == [
        ("accounts.view_user", "R", None, {"rows": 4}),
        ("accounts.view_user", "R", it_admin.uuid, {}),
    ]


@pytest.mark.parametrize("uuid", ["1", "not-a-uuid", "00000000-0000-7000-8000-000000000000", "%00"])
def test_an_unknown_object_is_404(admin_api, uuid):
    answer = admin_api.get(f"{USERS}{uuid}/")
    assert answer.status_code == 404


def test_another_facilitys_user_is_404(admin_api, beta):
    with use_facility(beta):
        theirs = UserFactory()
    assert admin_api.get(f"{USERS}{theirs.uuid}/").status_code == 404
    assert admin_api.post(f"{USERS}{theirs.uuid}/deactivate/").status_code == 404


def test_api_keys_over_rest(admin_api, it_admin):
    made = admin_api.post("/api/v1/api-keys/", {"username": "admin", "label": "lab", "scopes": ["accounts.view_site"]})
    assert made.status_code == 201
    secret = made.json()["secret"]
    assert admin_api.get(made["Location"]).json()["secret"] is None
    program = APIClient(HTTP_HOST="alpha.test", HTTP_AUTHORIZATION=f"Api-Key {secret}")
    assert program.get("/api/v1/sites/").status_code == 200
    assert admin_api.post(made["Location"] + "revoke/").status_code == 200
    assert program.get("/api/v1/sites/").status_code == 401


def test_audit_events_are_searched_by_body(admin_api, it_admin):
    listed = admin_api.get("/api/v1/audit-events/", {"event_type": "accounts.issue"}).json()["results"]
    assert [row["event_type"] for row in listed] == ["accounts.issue_token"]
    found = admin_api.post("/api/v1/audit-events/search/", {"user_name": "admin", "event_type": "accounts."}).json()
    assert {row["user_name"] for row in found["results"]} == {"admin"}
    assert admin_api.get("/api/v1/audit-events/", {"patient": "x"}).status_code == 400
    assert admin_api.post("/api/v1/audit-events/", {}).status_code == 405


def test_reauthentication_of_a_token(api, it_admin, token, rf):
    class Fake:
        def __init__(self, auth):
            self.auth, self.user, self._request = auth, it_admin, rf.post("/api/v1/x")
            self.path, self.META = "/api/v1/x", {}

    row = AccessToken.objects.get()
    assert require_recent_authentication(Fake(row)) == row.authenticated_at
    AccessToken.objects.update(authenticated_at=timezone.now() - timedelta(hours=3))
    old = Fake(AccessToken.objects.get())
    for wrong in ({}, {"password": "no"}, {"otp_token": "123456"}):
        with pytest.raises(ReauthenticationRequired):
            require_recent_authentication(old, **wrong)
    assert require_recent_authentication(old, password=PASSWORD)
    assert AccessToken.objects.get().authenticated_at > timezone.now() - timedelta(minutes=1)
    with pytest.raises(ReauthenticationRequired):
        require_recent_authentication(Fake(api_key(it_admin)))
