"""``manage.py sync_sources``: sources read now, in this process, or what they would change."""

from django.core.management.base import CommandError

from interop.models import Source
from interop.sources import services
from interop.sources.running import run_now
from ris.accounts.commands import FacilityCommand


class Command(FacilityCommand):
    help = "Read sources now. Their hours are not asked; one that is being read elsewhere is refused."

    def add_options(self, parser):
        parser.add_argument("names", nargs="*", metavar="NAME", help="Of sources. None: all that are active.")
        parser.add_argument("--dry-run", action="store_true", help="Say what would change, and change nothing.")

    def run(self, **options):
        found = Source.objects.order_by("name")
        found = found.filter(name__in=options["names"]) if options["names"] else found.filter(is_active=True)
        rows = list(found)
        missing = sorted(set(options["names"]) - {row.name for row in rows})
        if missing:
            raise CommandError(f"There is no source {', '.join(missing)}.")
        if options["dry_run"]:
            return {"sources": [self._preview(row) for row in rows]}
        return {"sources": [self._sync(row) for row in rows]}

    def _sync(self, row):
        run = run_now(row, asked_by=self.actor.name)
        counts = {name: getattr(run, name) for name in ("read", "created", "updated", "cancelled", "rejected", "kept")}
        return {"name": row.name, "state": run.state, **counts, "error": run.error}

    def _preview(self, row):
        seen = services.preview(row, actor=self.actor)
        names = ("created", "updated", "cancelled", "rejected", "kept")
        return {"name": row.name, "read": seen.read, **{name: seen.count(name) for name in names}, "cut": seen.is_cut}
