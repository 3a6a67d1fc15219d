"""``manage.py create_api_key``: a program's credential, shown once."""

from datetime import datetime, time, timedelta

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime, parse_duration

from ris.accounts.commands import FacilityCommand
from ris.accounts.models import ApiKey, User
from ris.accounts.services.keys import create_api_key, revoke_api_key


class Command(FacilityCommand):
    help = "Make an API key for a user. With --replace an earlier key of that label is revoked."

    def add_options(self, parser):
        parser.add_argument("--user", required=True, help="User name; make a program first with create_user --service.")
        parser.add_argument("--label", default="api", help="What the key is for.")
        parser.add_argument("--scopes", nargs="+", required=True, help="Permission codes or patterns, such as orders.*")
        parser.add_argument("--expires", default="", help="A date, a time, or days from now (90d). Default: 365d.")
        parser.add_argument("--addresses", nargs="*", default=[], metavar="CIDR", help="From where it may be used.")
        parser.add_argument("--replace", action="store_true", help="Revoke earlier keys of this user and label.")

    def run(self, **options):
        user = User.objects.filter(username__iexact=options["user"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['user']}.")
        if options["replace"]:
            for key in ApiKey.objects.usable().filter(user=user, label=options["label"]):
                revoke_api_key(key, actor=self.actor)
        key = create_api_key(
            user,
            label=options["label"],
            scopes=[word for value in options["scopes"] for word in value.replace(",", " ").split()],
            expires_at=_moment(options["expires"] or "365d"),
            allowed_addresses=options["addresses"],
            actor=self.actor,
        )
        return {
            "user": user.username,
            "label": key.label,
            "uuid": str(key.uuid),
            "prefix": key.prefix,
            "key": key.secret,
            "scopes": key.scopes,
            "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        }


def _moment(text: str) -> datetime | None:
    """``never``, ``90d``, an ISO date or an ISO time."""
    if text == "never":
        return None
    if text.endswith("d") and text[:-1].isdecimal():
        return timezone.now() + timedelta(days=int(text[:-1]))
    try:
        moment = parse_datetime(text) if "T" in text else None
        day = None if moment else parse_date(text)
    except ValueError:
        moment = day = None
    if moment is None and day is not None:
        moment = datetime.combine(day, time.max.replace(microsecond=0))
    if moment is None:
        duration = parse_duration(text)
        if duration is None:
            raise CommandError(f"--expires {text}: give 90d, 2027-01-31 or never.")
        return timezone.now() + duration
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
