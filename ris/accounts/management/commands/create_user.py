"""``manage.py create_user``: somebody who signs in, or a program that will hold keys."""

import os
import secrets
import sys

from django.core.management.base import CommandError

from ris.accounts.commands import FacilityCommand
from ris.accounts.models import User
from ris.accounts.services import users

FIELDS = ("email", "family_name", "given_name", "prefix", "language")


class Command(FacilityCommand):
    help = "Make a user, or give an existing one these roles. The password comes by stdin or environment, or is made."

    def add_options(self, parser):
        parser.add_argument("--username", required=True)
        parser.add_argument("--roles", nargs="*", default=None, metavar="ROLE", help="clerk, it_admin ...")
        parser.add_argument("--sites", nargs="*", default=None, metavar="CODE", help="None named: all sites.")
        for name in FIELDS:
            parser.add_argument("--" + name.replace("_", "-"), default="")
        parser.add_argument("--service", action="store_true", help="A program: signs in by API key only.")
        group = parser.add_mutually_exclusive_group()
        group.add_argument("--password-stdin", action="store_true", help="Read the password from standard input.")
        group.add_argument("--password-env", metavar="NAME", default="", help="Read it from this environment variable.")
        group.add_argument("--no-password", action="store_true", help="For who comes in through an identity provider.")

    def run(self, **options):
        roles = _words(options["roles"])
        password, made = self._password(options)
        user = User.objects.filter(username__iexact=options["username"].strip()).first()
        if user is None:
            user = users.create_user(
                username=options["username"],
                password=password,
                roles=roles or (),
                sites=_words(options["sites"]) or (),
                is_service=options["service"],
                actor=self.actor,
                **{name: options[name] for name in FIELDS},
            )
            created = True
        else:
            user, created, made = self._complete(user, roles, None if made else password), False, ""
        answer = {
            "username": user.username,
            "uuid": str(user.uuid),
            "roles": sorted(user.roles.values_list("name", flat=True)),
            "created": created,
        }
        return {**answer, "password": made} if made else answer

    def _complete(self, user, roles, password):
        if roles is not None and set(roles) != user.role_names:
            user = users.set_roles(user, roles=roles, actor=self.actor)
        if password and not user.check_password(password):
            user = users.set_password(user, password=password, actor=self.actor)
        return user

    @staticmethod
    def _password(options):
        """The password, and the same again when it was made here and must be shown."""
        if options["service"] or options["no_password"]:
            return None, ""
        if options["password_stdin"]:
            given = sys.stdin.readline().rstrip("\r\n")
        elif options["password_env"]:
            given = os.environ.get(options["password_env"], "")
        else:
            made = secrets.token_urlsafe(15)
            return made, made
        if not given:
            raise CommandError("The password is empty.")
        return given, ""


def _words(values):
    """Separated by spaces or commas, as people write them."""
    return None if values is None else [word for value in values for word in value.replace(",", " ").split()]
