import json
import os
from io import StringIO
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from ris.accounts.bootstrap import ensure_roles
from ris.accounts.models import ApiKey, OidcProvider, Role, User
from ris.accounts.selectors import facility_settings
from ris.tenants.context import use_facility


@pytest.fixture
def roles(alpha):
    ensure_roles()


def run(name, **options):
    out = StringIO()
    call_command(name, facility="alpha", stdout=out, **options)
    return json.loads(out.getvalue())


def test_create_user_makes_a_password_once_and_may_be_repeated(roles):
    first = run("create_user", username="amina", roles=["clerk"], given_name="Amina")
    assert (first["created"], first["roles"]) == (True, ["clerk"])
    assert User.objects.get(username="amina").check_password(first["password"])
    again = run("create_user", username="Amina", roles=["clerk,technologist"])
    assert (again["uuid"], again["created"]) == (first["uuid"], False)
    assert again["roles"] == ["clerk", "technologist"]
    assert "password" not in again
    assert User.objects.get(username="amina").check_password(first["password"])


def test_a_password_comes_by_stdin_or_environment_never_by_argument(roles):
    with mock.patch("sys.stdin", StringIO("a-long-Password-9\n")):
        answer = run("create_user", username="one", roles=["clerk"], password_stdin=True)
    assert "password" not in answer
    with mock.patch.dict(os.environ, {"NEW_PASSWORD": "a-long-Password-9"}):
        run("create_user", username="two", roles=["clerk"], password_env="NEW_PASSWORD")
    assert all(user.check_password("a-long-Password-9") for user in User.objects.filter(username__in=["one", "two"]))
    with pytest.raises(CommandError):
        run("create_user", username="three", password_env="NOT_SET")


@pytest.mark.parametrize(
    "options",
    [
        {"username": "x", "roles": ["emperor"]},
        {"username": "with space and ?", "roles": ["clerk"]},
        {"username": "x", "sites": ["nowhere"]},
    ],
)
def test_bad_input_is_refused_in_words_and_leaves_nothing(roles, options):
    with pytest.raises(CommandError):
        run("create_user", **options)
    assert User.objects.count() == 0


def test_an_unknown_facility_is_refused(roles):
    with pytest.raises(CommandError):
        call_command("create_user", facility="nowhere", username="x")


def test_create_api_key(roles, api):
    run("create_user", username="pacs", roles=["it_admin"], service=True)
    made = run("create_api_key", user="pacs", scopes=["accounts.view_*"], expires="30d", label="pacs")
    assert api.get("/api/v1/users/", HTTP_AUTHORIZATION=f"Api-Key {made['key']}").status_code == 200
    run("create_api_key", user="pacs", scopes=["*"], expires="never", label="pacs", replace=True)
    assert api.get("/api/v1/users/", HTTP_AUTHORIZATION=f"Api-Key {made['key']}").status_code == 401
    assert ApiKey.objects.usable().count() == 1
    for wrong in ({"user": "nobody"}, {"scopes": ["no.such"]}, {"expires": "soon"}, {"expires": "2001-01-01"}):
        with pytest.raises(CommandError):
            run("create_api_key", **{"user": "pacs", "scopes": ["*"], **wrong})


def test_rotate_keys_encrypts_everything_under_the_newest(roles, settings, beta):
    settings.RIS_ENCRYPTION_KEYS = ["old-key"]
    row = facility_settings()
    row.sms_gateway_token = "gateway secret"
    row.save()
    OidcProvider.objects.create(label="x", issuer="https://idp.example", client_id="c", client_secret="client secret")
    settings.RIS_ENCRYPTION_KEYS = ["new-key", "old-key"]
    answer = run("rotate_keys")
    assert answer["rotated"] == 2
    settings.RIS_ENCRYPTION_KEYS = ["new-key"]
    assert facility_settings().sms_gateway_token == "gateway secret"
    assert OidcProvider.objects.get().client_secret == "client secret"
    with connection.cursor() as cursor:
        cursor.execute("select client_secret from accounts_oidcprovider")
        stored = cursor.fetchone()[0]
    from ris.accounts.encryption import decrypt
    from ris.core.errors import InvalidData

    with use_facility(beta), pytest.raises(InvalidData):
        decrypt(stored)


def test_builtin_roles_are_made_once(alpha):
    ensure_roles()
    assert ensure_roles() == 0
    assert Role.objects.filter(is_builtin=True).count() == 8


def test_the_published_matrix_is_what_the_code_says():
    call_command("write_permissions_doc", check=True)
