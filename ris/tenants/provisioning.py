"""What a facility is given when it is made, and again after every migration: roles, code tables, settings.

An app that has something to give registers a function; it runs inside the facility, as the database's owner, and may
run any number of times:

    @provisions("accounts.roles")
    def provision_roles(facility: Facility) -> None: ...
"""

from __future__ import annotations

from collections.abc import Callable

from django.utils.module_loading import autodiscover_modules

from ris.tenants.context import use_facility
from ris.tenants.models import Facility

Provision = Callable[[Facility], object]
_provisions: dict[str, Provision] = {}


def provisions(name: str) -> Callable[[Provision], Provision]:
    """Register a function under a name. An app keeps its own in ``provisioning.py``, which is found by itself."""

    def register(function: Provision) -> Provision:
        _provisions[name] = function
        return function

    return register


def provision(facility: Facility) -> list[str]:
    """Run all of them, in the order of INSTALLED_APPS; answers their names."""
    autodiscover_modules("provisioning")
    with use_facility(facility):
        for function in _provisions.values():
            function(facility)
    return list(_provisions)
