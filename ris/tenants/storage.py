"""Files under a folder that bears the facility's schema name; outside of a facility there is no folder."""

from __future__ import annotations

import os

from django.conf import settings
from django.core.files.storage import FileSystemStorage

from ris.tenants.context import require_schema


class FacilityFileSystemStorage(FileSystemStorage):
    """Django's file system storage, rooted at ``<location>/<schema>``. Never served by URL.

    The folder is computed at each use, because one process serves many facilities.
    """

    @property
    def base_location(self) -> str:
        return os.path.join(self._location or settings.MEDIA_ROOT, require_schema())

    @property
    def location(self) -> str:
        return os.path.abspath(self.base_location)

    @property
    def base_url(self) -> None:
        return None
