import time

import pytest
from django.utils import timezone
from django_otp.oath import TOTP

from ris.accounts.models import AccessToken, TotpDevice, User
from ris.accounts.selectors import facility_settings
from ris.accounts.services import totp
from ris.accounts.services.users import lift_lockout
from ris.audit.models import AuditEvent, Outcome
from ris.core.actor import Actor
from tests.factories.accounts import PASSWORD, actor_with_roles, user_with_roles

TOKEN = "/api/v1/auth/token"


@pytest.fixture
def clerk(alpha):
    return user_with_roles("clerk", username="clerk")


@pytest.fixture
def locking(settings):
    settings.AXES_ENABLED = True


def sign_in(client, username="clerk", password=PASSWORD, **more):
    return client.post("/sign-in/", {"username": username, "password": password, **more})


def test_right_password_opens_a_session_and_is_recorded(tclient, clerk):
    answer = sign_in(tclient, next="/profile/")
    assert (answer.status_code, answer["Location"]) == (302, "/profile/")
    assert tclient.get("/profile/").status_code == 200
    event = AuditEvent.objects.get(event_type="accounts.sign_in")
    assert (event.user, event.outcome, event.source) == (clerk.uuid, Outcome.SUCCESS, "web")


@pytest.mark.parametrize("typed", ["CLERK", " clerk ", "clerk@example.org"])
def test_the_name_is_known_in_any_case_and_by_mail(tclient, clerk, typed):
    assert sign_in(tclient, typed).status_code == 302


@pytest.mark.parametrize(("username", "password"), [("clerk", "wrong"), ("nobody", PASSWORD), ("", ""), ("a\0b", "x")])
def test_wrong_credentials_are_refused_in_the_same_words(tclient, clerk, username, password):
    answer = sign_in(tclient, username, password)
    assert answer.status_code == 401
    assert "The user name or the password is not right." in answer.content.decode()
    event = AuditEvent.objects.get(event_type="accounts.sign_in")
    assert (event.outcome, event.reason, event.user) == (Outcome.FAILED, "wrong_password", None)


def test_a_program_and_a_deactivated_person_do_not_sign_in(tclient, clerk):
    User.objects.filter(pk=clerk.pk).update(is_service=True)
    assert sign_in(tclient).status_code == 401
    User.objects.filter(pk=clerk.pk).update(is_service=False, is_active=False)
    assert sign_in(tclient).status_code == 401


def test_next_never_leads_off_the_house(tclient, clerk):
    assert sign_in(tclient, next="https://evil.example/")["Location"] == "/"
    assert sign_in(tclient, next="//evil.example/")["Location"] == "/"


def test_lockout_after_the_facilitys_number_says_how_long(tclient, clerk, locking):
    row = facility_settings()
    row.lockout_failures, row.lockout_minutes = 3, 7
    row.save()
    for _attempt in range(2):
        assert sign_in(tclient, password="wrong").status_code == 401
    answer = sign_in(tclient, password="wrong")
    assert (answer.status_code, answer["Retry-After"]) == (429, "420")
    assert "7 minutes" in answer.content.decode()
    assert sign_in(tclient).status_code == 429, "the right password does not help during the rest"
    reasons = list(AuditEvent.objects.filter(event_type="accounts.sign_in").values_list("reason", flat=True))
    assert reasons == ["locked_out", "locked_out", "wrong_password", "wrong_password"]


def test_an_administrator_ends_the_rest(tclient, clerk, locking):
    for _attempt in range(5):
        sign_in(tclient, password="wrong")
    assert sign_in(tclient).status_code == 429
    lift_lockout(clerk, actor=actor_with_roles("it_admin"))
    assert sign_in(tclient).status_code == 302


def test_success_forgets_earlier_failures(tclient, clerk, locking):
    for _attempt in range(4):
        sign_in(tclient, password="wrong")
    assert sign_in(tclient).status_code == 302
    tclient.logout()
    assert sign_in(tclient, password="wrong").status_code == 401


def test_sign_out_ends_session_and_tokens_at_once(tclient, api, clerk):
    token = api.post(TOKEN, {"username": "clerk", "password": PASSWORD}).json()["access_token"]
    me = {"HTTP_AUTHORIZATION": f"Bearer {token}"}
    assert api.get("/api/v1/auth/me", **me).status_code == 200
    sign_in(tclient)
    assert tclient.get("/sign-out/").status_code == 405
    assert tclient.post("/sign-out/").status_code == 302
    assert tclient.get("/profile/").status_code == 302
    assert api.get("/api/v1/auth/me", **me).status_code == 401
    assert AuditEvent.objects.filter(event_type="accounts.sign_out", user=clerk.uuid).count() == 1


def test_sign_out_kills_a_copied_session(tclient, clerk):
    sign_in(tclient)
    copied = tclient.cookies["ris_session"].value
    tclient.post("/sign-out/")
    tclient.cookies["ris_session"] = copied
    assert tclient.get("/profile/").status_code == 302


def test_another_facilitys_session_is_nobody_here(tclient, clerk, client, beta):
    sign_in(tclient)
    tclient.defaults["HTTP_HOST"] = "beta.test"
    assert tclient.get("/profile/").status_code == 302


def test_deactivation_ends_the_session(tclient, clerk):
    sign_in(tclient)
    User.objects.filter(pk=clerk.pk).update(is_active=False)
    assert tclient.get("/profile/").status_code == 302


def test_pages_lead_to_sign_in_and_back(tclient):
    answer = tclient.get("/profile/")
    assert answer["Location"] == "/sign-in/?next=%2Fprofile%2F"
    fragment = tclient.get("/profile/", headers={"HX-Request": "true"})
    assert (fragment.status_code, fragment["HX-Redirect"]) == (401, "/sign-in/")


# --- second factor


def code_of(device, steps=0):
    import base64

    clock = TOTP(base64.b32decode(device.secret))
    clock.time = time.time() + steps * 30
    return f"{clock.token():06d}"


@pytest.fixture
def protected(clerk):
    actor = Actor("web", clerk)
    device = totp.begin_totp(clerk, actor=actor)
    codes = totp.confirm_totp(clerk, code_of(device, -1), actor=actor)
    return TotpDevice.objects.get(user=clerk), codes


def test_the_second_factor_is_asked_and_counts_once(tclient, protected):
    device, _codes = protected
    answer = sign_in(tclient)
    assert answer.status_code == 401
    assert 'name="otp_token"' in answer.content.decode()
    assert sign_in(tclient, otp_token="000000").status_code == 401
    code = code_of(device)
    assert sign_in(tclient, otp_token=code).status_code == 302
    tclient.post("/sign-out/")
    assert sign_in(tclient, otp_token=code).status_code == 401, "a code counts once"


def test_a_recovery_code_lets_in_once(tclient, protected):
    _device, codes = protected
    assert sign_in(tclient, otp_token=codes[0]).status_code == 302
    tclient.post("/sign-out/")
    assert sign_in(tclient, otp_token=codes[0]).status_code == 401


def test_wrong_codes_lock_out_like_wrong_passwords(tclient, protected, locking):
    answers = [sign_in(tclient, otp_token="123").status_code for _attempt in range(5)]
    assert answers == [401, 401, 401, 401, 429]


def test_enrolment_shows_a_picture_only_until_it_is_confirmed(tclient, clerk):
    sign_in(tclient)
    assert tclient.get("/profile/totp/qr.png").status_code == 404
    assert tclient.get("/profile/totp/").status_code == 200
    picture = tclient.get("/profile/totp/qr.png")
    assert picture.content.startswith(b"\x89PNG")
    assert "no-store" in picture["Cache-Control"]
    assert tclient.post("/profile/totp/", {"otp_token": "000000"}).status_code == 400
    device = TotpDevice.objects.get(user=clerk)
    page = tclient.post("/profile/totp/", {"otp_token": code_of(device)}).content.decode()
    assert page.count("<li>") >= 10
    assert tclient.get("/profile/totp/qr.png").status_code == 404


def test_removing_the_second_factor_asks_for_the_password(tclient, protected):
    device, _codes = protected
    sign_in(tclient, otp_token=code_of(device))
    assert tclient.post("/profile/totp/remove/", {"password": "wrong"}).status_code == 403
    assert TotpDevice.objects.filter(pk=device.pk).exists()
    assert tclient.post("/profile/totp/remove/", {"password": PASSWORD}).status_code == 302
    assert not TotpDevice.objects.filter(pk=device.pk).exists()


def test_the_secret_is_encrypted_at_rest(protected):
    from django.db import connection

    device, _codes = protected
    with connection.cursor() as cursor:
        cursor.execute("select secret from accounts_totpdevice")
        assert device.secret not in cursor.fetchone()[0]


# --- idle lock


def test_an_idle_session_is_locked_and_unlocked_in_place(tclient, clerk):
    sign_in(tclient)
    session = tclient.session
    session["seen_at"] = time.time() - 17 * 60
    session.save()
    page = tclient.get("/profile/")
    assert page.status_code == 401
    assert "Locked" in page.content.decode()
    assert tclient.get("/api/v1/auth/me").status_code == 401
    script = tclient.get("/profile/", headers={"HX-Request": "true"})
    assert (script.status_code, script["X-Session-Locked"]) == (401, "1")
    refused = tclient.post("/session/unlock/", {"password": "wrong"}, headers={"Accept": "application/json"})
    assert (refused.status_code, refused.json()["detail"]) == (401, "The user name or the password is not right.")
    answer = tclient.post("/session/unlock/", {"password": PASSWORD}, headers={"Accept": "application/json"})
    assert answer.json() == {"locked": False}
    assert tclient.get("/profile/").status_code == 200


def test_polling_does_not_keep_a_session_awake(tclient, clerk):
    sign_in(tclient)
    session = tclient.session
    session["seen_at"] = seen = time.time() - 600
    session.save()
    tclient.get("/profile/", headers={"X-Background": "1"})
    assert tclient.session["seen_at"] == seen
    tclient.get("/profile/")
    assert tclient.session["seen_at"] > seen


def test_locking_by_hand(tclient, clerk):
    sign_in(tclient)
    assert tclient.post("/session/lock/").json() == {"locked": True}
    assert tclient.get("/profile/").status_code == 401
    answer = tclient.post("/session/unlock/", {"password": PASSWORD, "next": "/profile/"})
    assert answer["Location"] == "/profile/"
    assert AuditEvent.objects.filter(event_type="accounts.lock_session").count() == 1


# --- passwords


def test_changing_the_password_ends_other_sessions_and_tokens(tclient, client, clerk, api):
    sign_in(tclient)
    client.cookies.clear()
    sign_in(tclient)
    token = api.post(TOKEN, {"username": "clerk", "password": PASSWORD}).json()["access_token"]
    form = {"old_password": PASSWORD, "new_password": "another-Long-phrase-7", "repeated": "another-Long-phrase-7"}
    assert tclient.post("/profile/password/", {**form, "old_password": "no"}).status_code == 400
    assert tclient.post("/profile/password/", {**form, "repeated": "x"}).status_code == 422
    weak = {"old_password": PASSWORD, "new_password": "password", "repeated": "password"}
    assert tclient.post("/profile/password/", weak).status_code == 400
    assert tclient.post("/profile/password/", form).status_code == 302
    assert tclient.get("/profile/").status_code == 200, "this session goes on"
    assert api.get("/api/v1/auth/me", HTTP_AUTHORIZATION=f"Bearer {token}").status_code == 401
    assert AccessToken.objects.filter(revoked_at__isnull=True).count() == 0


def test_a_form_without_csrf_token_is_refused_and_recorded(tclient, clerk):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True, HTTP_HOST="alpha.test")
    answer = strict.post("/sign-in/", {"username": "clerk", "password": PASSWORD})
    assert answer.status_code == 403
    assert AuditEvent.objects.filter(event_type="csrf:/sign-in/", outcome=Outcome.REFUSED).count() == 1


def test_reauthentication_is_asked_when_the_sign_in_is_old(tclient, clerk):
    sign_in(tclient)
    session = tclient.session
    session["authenticated_at"] = timezone.now().timestamp() - 7200
    session.save()
    json = {"Accept": "application/json"}
    refused = tclient.post("/session/reauthenticate/", {}, headers=json)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:picha:problem:reauthentication_required")
    assert tclient.post("/session/reauthenticate/", {"password": "no"}, headers=json).status_code == 403
    assert tclient.post("/session/reauthenticate/", {"password": PASSWORD}, headers=json).status_code == 200
    assert tclient.post("/session/reauthenticate/", {}, headers=json).status_code == 200
