from uuid import uuid4

import pytest
from django.utils import timezone

from ris.accounts.models import ApiKey, BreakGlass, FacilitySettings, Role, Site, User
from ris.audit.models import AuditEvent, Outcome
from ris.tenants.context import use_facility
from tests.factories.accounts import SiteFactory, UserFactory, user_with_roles


@pytest.fixture
def admin_user(alpha):
    return user_with_roles("it_admin", username="admin")


@pytest.fixture
def admin_client(tclient, admin_user):
    tclient.force_login(admin_user)
    return tclient


def user_form(**changes):
    inline = {"api_keys-TOTAL_FORMS": "0", "api_keys-INITIAL_FORMS": "0"}
    roles = [str(role.pk) for role in Role.objects.filter(name="clerk")]
    form = {"username": "newcomer", "given_name": "Nia", "password_given": "a-long-Password-9", "roles": roles}
    return {**inline, **form, **changes}


def test_everybody_else_is_led_to_the_houses_sign_in(tclient):
    answer = tclient.get("/admin/accounts/user/", follow=True)
    assert answer.redirect_chain[-1] == ("/sign-in/?next=%2Fadmin%2Faccounts%2Fuser%2F", 302)


def test_the_index_shows_only_what_one_may(tclient, alpha):
    tclient.force_login(user_with_roles("clerk"))
    page = tclient.get("/admin/")
    assert page.status_code == 200
    assert "/admin/accounts/practitioner/" in page.content.decode()
    assert "/admin/accounts/user/" not in page.content.decode()
    assert tclient.get("/admin/accounts/user/").status_code == 403
    refusals = AuditEvent.objects.filter(outcome=Outcome.REFUSED)
    assert refusals.get().event_type == "page:admin:accounts_user_changelist"


def test_a_user_is_made_by_the_service(admin_client):
    answer = admin_client.post("/admin/accounts/user/add/", user_form())
    assert answer.status_code == 302, answer.content.decode()[-3000:]
    user = User.objects.get(username="newcomer")
    assert (user.check_password("a-long-Password-9"), user.role_names) == (True, {"clerk"})
    assert AuditEvent.objects.get(event_type="accounts.create_user").entity == user.uuid
    assert user.history.count() >= 1


def test_a_refusal_of_the_service_comes_back_on_the_form(admin_client):
    answer = admin_client.post("/admin/accounts/user/add/", user_form(password_given="password", given_name="Nia"))
    assert answer.status_code == 400
    page = answer.content.decode()
    assert "That password is too weak." in page
    assert 'value="Nia"' in page, "nothing typed is lost"
    assert not User.objects.filter(username="newcomer").exists()


def test_nobody_gives_roles_to_themselves_in_the_admin(admin_client, admin_user):
    both = [str(role.pk) for role in Role.objects.filter(name__in=["clerk", "it_admin"])]
    form = user_form(roles=both, password_given="")
    answer = admin_client.post(f"/admin/accounts/user/{admin_user.pk}/change/", form)
    assert answer.status_code == 409
    assert User.objects.get(pk=admin_user.pk).role_names == {"it_admin"}


def test_nothing_is_deleted_and_nothing_reverted(admin_client, admin_user):
    site = SiteFactory()
    assert admin_client.post(f"/admin/accounts/site/{site.pk}/delete/", {"post": "yes"}).status_code == 403
    assert "delete_selected" not in admin_client.get("/admin/accounts/site/").content.decode()
    admin_client.post(f"/admin/accounts/site/{site.pk}/change/", {"code": site.code, "name": "New", "is_active": "on"})
    assert Site.objects.get(pk=site.pk).name == "New"
    history = admin_client.get(f"/admin/accounts/site/{site.pk}/history/")
    assert history.status_code == 200
    assert "[admin:admin]" in history.content.decode(), "who and through which door"
    version = site.history.first().pk
    url = f"/admin/accounts/site/{site.pk}/history/{version}/"
    assert admin_client.get(url).status_code == 200
    admin_client.post(url, {"code": site.code, "name": "Reverted"})
    assert Site.objects.get(pk=site.pk).name == "New"


def test_views_and_changes_leave_audit_rows(admin_client, admin_user):
    site = SiteFactory()
    admin_client.get("/admin/accounts/site/")
    admin_client.get(f"/admin/accounts/site/{site.pk}/change/")
    admin_client.post(f"/admin/accounts/site/{site.pk}/change/", {"code": site.code, "name": "N", "is_active": "on"})
    rows = AuditEvent.objects.order_by("pk").values_list("event_type", "action", "source", "entity")
    assert list(rows) == [
        ("accounts.view_site", "R", "admin", None),
        ("accounts.view_site", "R", "admin", site.uuid),
        ("accounts.change_site", "U", "admin", site.uuid),
    ]


def test_searched_words_stay_out_of_the_address(admin_client):
    UserFactory(username="findme", family_name="Verysecret")
    UserFactory(username="other")
    answer = admin_client.post("/admin/accounts/user/?is_active__exact=1", {"_search": "1", "q": "Verysecret"})
    assert answer.status_code == 302
    assert "Verysecret" not in answer["Location"]
    assert "is_active__exact=1" in answer["Location"]
    page = admin_client.get(answer["Location"]).content.decode()
    assert "findme" in page
    assert "other" not in page.split('id="result_list"')[1].split("</table>")[0]
    assert "q=Verysecret" not in page, "no link carries the words"


def test_a_look_up_is_recorded(admin_client):
    UserFactory(username="findme")
    params = {"term": "find", "app_label": "accounts", "model_name": "practitioner", "field_name": "user"}
    assert admin_client.get("/admin/autocomplete/", params).status_code == 405, "names never travel in addresses"
    answer = admin_client.post("/admin/autocomplete/", params)
    assert [row["text"] for row in answer.json()["results"]] == [str(User.objects.get(username="findme"))]
    assert AuditEvent.objects.get().detail == {"rows": 1, "page": "look-up"}


def test_an_action_calls_the_service_for_each(admin_client, admin_user):
    users = [UserFactory(), UserFactory()]
    chosen = {"action": "do_deactivate_user", "_selected_action": [user.pk for user in (*users, admin_user)]}
    page = admin_client.post("/admin/accounts/user/", chosen, follow=True).content.decode()
    assert [User.objects.get(pk=user.pk).is_active for user in (*users, admin_user)] == [False, False, True]
    assert "Nobody deactivates themselves." in page


def test_actions_of_other_peoples_rights_are_not_offered(tclient, alpha):
    viewer = user_with_roles()
    role = Role.objects.create(name="viewer", label="Viewer", permissions=["accounts.view_user"])
    viewer.roles.set([role])
    tclient.force_login(viewer)
    page = tclient.get("/admin/accounts/user/").content.decode()
    assert "do_deactivate_user" not in page
    tclient.post("/admin/accounts/user/", {"action": "do_deactivate_user", "_selected_action": [viewer.pk]})
    assert User.objects.get(pk=viewer.pk).is_active


def test_builtin_roles_cannot_be_changed(admin_client):
    role = Role.objects.get(name="clerk")
    answer = admin_client.post(f"/admin/accounts/role/{role.pk}/change/", {"name": "clerk", "label": "Boss"})
    assert answer.status_code == 403
    page = admin_client.get(f"/admin/accounts/role/{role.pk}/change/").content.decode()
    assert "accounts.view_practitioner" in page


def test_settings_are_one_row_and_secrets_never_come_out(admin_client):
    row = FacilitySettings.objects.get_or_create(pk=1)[0]
    row.sms_gateway_token = "very-secret-token"
    row.save()
    answer = admin_client.get("/admin/accounts/facilitysettings/", follow=True)
    assert answer.status_code == 200
    assert "very-secret-token" not in answer.content.decode()


def test_a_new_key_is_shown_once(admin_client, admin_user):
    form = {"user": admin_user.pk, "label": "pacs", "scopes": "accounts.view_site", "allowed_addresses": ""}
    page = admin_client.post("/admin/accounts/apikey/add/", form, follow=True).content.decode()
    key = ApiKey.objects.get()
    assert f"shown only now: {key.prefix}" in page
    assert key.digest not in page
    assert admin_client.get(f"/admin/accounts/apikey/{key.pk}/change/").status_code == 200


@pytest.mark.parametrize(
    "page",
    [
        "accounts/user",
        "accounts/role",
        "accounts/site",
        "accounts/practitioner",
        "accounts/apikey",
        "accounts/accesstoken",
        "accounts/oidcprovider",
        "accounts/breakglass",
        "audit/auditevent",
        "audit/auditseal",
        "events/outboxevent",
        "events/delivery",
        "notifications/notification",
        "notifications/rotashift",
    ],
)
def test_every_list_opens_and_adding_is_offered_only_where_it_may_be(admin_client, page):
    assert admin_client.get(f"/admin/{page}/").status_code == 200
    add = admin_client.get(f"/admin/{page}/add/").status_code
    read_only = {"accesstoken", "breakglass", "auditevent", "auditseal", "outboxevent", "delivery", "notification"}
    assert add == (403 if page.split("/")[1] in read_only else 200)


def test_another_facilitys_rows_are_not_here(admin_client, beta):
    with use_facility(beta):
        theirs = UserFactory(username="theirs")
        site = SiteFactory(name="Their site")
    page = admin_client.get("/admin/accounts/site/").content.decode()
    assert "Their site" not in page
    assert admin_client.get(f"/admin/accounts/site/{site.pk + 1000}/change/").status_code == 302
    assert not User.objects.filter(uuid=theirs.uuid).exists()


def test_a_program_does_not_enter(tclient, alpha):
    program = user_with_roles("it_admin", is_service=True)
    tclient.force_login(program, backend="django.contrib.auth.backends.ModelBackend")
    answer = tclient.get("/admin/")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/login/?next=/admin/")
    assert tclient.get("/admin/login/?next=/admin/")["Location"] == "/sign-in/?next=%2Fadmin%2F"


def test_a_row_is_a_link_only_for_whom_it_opens(tclient, alpha):
    access = BreakGlass.objects.create(
        user=UserFactory(), patient=uuid4(), reason="Collapsed in the corridor", expires_at=timezone.now()
    )
    address = f"/admin/accounts/user/{access.user_id}/change/"
    for role, is_shown in (("qa_lead", False), ("it_admin", True)):
        tclient.force_login(user_with_roles(role))
        page = tclient.get(f"/admin/accounts/breakglass/{access.pk}/change/")
        assert page.status_code == 200
        assert (f'href="{address}"' in page.content.decode()) is is_shown
        assert (tclient.get(address).status_code == 200) is is_shown
