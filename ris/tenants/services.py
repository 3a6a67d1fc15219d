"""A facility comes into being: its row, its doors, its schema."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.conf import settings
from django.db import connection, transaction

from ris.core.errors import AlreadyExists
from ris.tenants.clone import clone_schema
from ris.tenants.context import forget_facilities
from ris.tenants.grants import grant_to_application
from ris.tenants.models import TEMPLATE_SCHEMA, CalledAETitle, Domain, Facility, MLLPReceiver
from ris.tenants.provisioning import provision

LOOPBACK = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True)
class FacilityRequest:
    """What a new facility is to be. ``receivers`` are pairs of MSH-5 and MSH-6."""

    schema: str
    name: str
    ae_title: str
    domains: tuple[str, ...]
    short_name: str = ""
    time_zone: str = "Africa/Nairobi"
    language: str = "en"
    receivers: tuple[tuple[str, str], ...] = ()
    allowed_addresses: tuple[str, ...] = LOOPBACK
    extra_ae_titles: tuple[str, ...] = field(default=())


def create_facility(request: FacilityRequest) -> tuple[Facility, bool]:
    """The facility, and whether it was made now. Needs the database's owner.

    An existing facility is completed (doors that it lacks) and otherwise left as it is. Raises AlreadyExists when a
    host name or an AE title belongs to another one, ValidationError for values that cannot be.
    """
    connection.set_schema_to_public()
    with transaction.atomic():
        facility = Facility.objects.filter(schema_name=request.schema).first()
        created = facility is None
        if facility is None:
            facility = Facility(
                schema_name=request.schema,
                name=request.name,
                short_name=request.short_name,
                ae_title=request.ae_title,
                time_zone=request.time_zone,
                language=request.language,
            )
            _refuse_taken(request)
            facility.full_clean()
            facility.save()
        _open_doors(facility, request)
        if not _schema_exists(request.schema):
            clone_schema(TEMPLATE_SCHEMA, request.schema)
            if settings.APPLICATION_ROLE:
                grant_to_application(settings.APPLICATION_ROLE, [request.schema])
    forget_facilities()
    provision(facility)
    return facility, created


def _refuse_taken(request: FacilityRequest) -> None:
    titles = (request.ae_title, *request.extra_ae_titles)
    taken = [
        *CalledAETitle.objects.filter(ae_title__in=titles).values_list("ae_title", flat=True),
        *Domain.objects.filter(domain__in=request.domains).values_list("domain", flat=True),
    ]
    if taken:
        raise AlreadyExists(f"Another facility is known by {', '.join(taken)}.")


def _open_doors(facility: Facility, request: FacilityRequest) -> None:
    addresses = list(request.allowed_addresses)
    for number, host in enumerate(request.domains):
        if not _mine(Domain.objects.filter(domain=host.lower()).values_list("tenant_id", flat=True), facility, host):
            Domain(domain=host.lower(), tenant=facility, is_primary=number == 0).save()
    for title in (request.ae_title, *request.extra_ae_titles):
        owners = CalledAETitle.objects.filter(ae_title=title).values_list("facility_id", flat=True)
        if not _mine(owners, facility, title):
            door = CalledAETitle(facility=facility, ae_title=title, allowed_addresses=addresses)
            door.full_clean()
            door.save()
    for application, receiving_facility in request.receivers:
        names = {"receiving_application": application, "receiving_facility": receiving_facility, "port": None}
        owners = MLLPReceiver.objects.filter(**names).values_list("facility_id", flat=True)
        if not _mine(owners, facility, f"{application}|{receiving_facility}"):
            receiver = MLLPReceiver(facility=facility, allowed_addresses=addresses, **names)
            receiver.full_clean()
            receiver.save()


def _mine(owners: Iterable[int], facility: Facility, name: str) -> bool:
    """Whether the facility has this already; raises AlreadyExists when another one has."""
    for owner in owners:
        if owner != facility.pk:
            raise AlreadyExists(f"Another facility is known by {name}.")
        return True
    return False


def _schema_exists(schema: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("select 1 from pg_namespace where nspname = %s", [schema])
        return cursor.fetchone() is not None
