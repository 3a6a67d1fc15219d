"""``manage.py rotate_keys``: after a new first key was put into RIS_ENCRYPTION_KEYS."""

from ris.accounts.commands import FacilityCommand
from ris.accounts.services.keys import rotate_keys


class Command(FacilityCommand):
    help = "Encrypt every stored credential again under the newest key; then the older keys may be taken away."

    def run(self, **options):
        rotated = rotate_keys(actor=self.actor)
        return {"facility": options["facility"], "rotated": sum(rotated.values()), "columns": rotated}
