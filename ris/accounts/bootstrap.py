"""The roles that every facility has, as the code declares them. Runs any number of times."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from ris.accounts.models import FacilitySettings, Role
from ris.core.permissions import (
    CLERK,
    IT_ADMIN,
    PHYSICIST,
    QA_LEAD,
    RADIOLOGIST,
    REFERRER,
    RESIDENT,
    ROLES,
    TECHNOLOGIST,
)

LABELS = {
    RADIOLOGIST: gettext_noop("Radiologist"),
    RESIDENT: gettext_noop("Resident"),
    TECHNOLOGIST: gettext_noop("Technologist"),
    REFERRER: gettext_noop("Referring physician"),
    CLERK: gettext_noop("Clerk"),
    QA_LEAD: gettext_noop("Quality lead"),
    PHYSICIST: gettext_noop("Medical physicist"),
    IT_ADMIN: gettext_noop("IT administrator"),
}


def ensure_roles() -> int:
    """Make the built-in roles that are missing; answers how many there were to make."""
    known = set(Role.objects.filter(is_builtin=True).values_list("name", flat=True))
    missing = [name for name in ROLES if name not in known]
    for name in missing:
        Role.objects.create(name=name, label=LABELS[name], is_builtin=True)
    FacilitySettings.objects.get_or_create(pk=1)
    return len(missing)
