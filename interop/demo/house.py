"""The demo's house: people, rooms, stations, peers and settings, all repeatable."""

from __future__ import annotations

import os

from interop.demo.cast import MACHINES, REFERRERS, SECOND_READER, STAFF, Member
from interop.demo.ready_text import ensure_ready_text
from interop.models import DicomPeer
from orders.models import CatalogueProcedure, PriceItem
from orders.services import load_starter_catalogue
from reporting.services import ensure_templates
from ris.accounts.bootstrap import ensure_roles
from ris.accounts.models import Practitioner, Role, Site, User
from ris.accounts.selectors import facility_settings
from ris.core.actor import Actor
from worklist.models import Room, Station
from worklist.services import ensure_questionnaires

SEEDER = Actor("command")
LOOPBACK = ["127.0.0.0/8", "::1"]
READERS = ("radiologist", "resident")


def ensure_settings(*, prefix: str, letterhead: str) -> None:
    settings = facility_settings()
    if settings.letterhead:
        return
    settings.mrn_prefix, settings.letterhead = prefix, letterhead
    settings.patient_id_issuer = letterhead.splitlines()[0][:64]
    settings.allowed_hosts = ["127.0.0.1", "localhost"]
    settings.save_as(SEEDER, "Demo")


def ensure_sites() -> dict[str, Site]:
    names = {"main": "Main building", "kilima": "Kilima Clinic"}
    return {code: Site.objects.get_or_create(code=code, defaults={"name": name})[0] for code, name in names.items()}


def ensure_member(member: Member) -> User:
    """A sign-in with the demo's password; without one in the environment nobody can sign in."""
    user, is_new = User.objects.get_or_create(
        username=member.username,
        defaults={"prefix": member.prefix, "given_name": member.given_name, "family_name": member.family_name},
    )
    password = os.environ.get("RIS_DEMO_PASSWORD", "")
    if is_new or (password and not user.check_password(password)):
        if password:
            user.set_password(password)
        else:
            user.set_unusable_password()
        user.save()
    user.roles.set(Role.objects.filter(name=member.role))
    if member.specialty:
        Practitioner.objects.get_or_create(
            user=user,
            defaults={
                "family_name": member.family_name,
                "given_name": member.given_name,
                "prefix": member.prefix,
                "specialty": member.specialty,
                "organisation": "Radiology" if member.role in READERS else "Medical ward 3",
            },
        )
    return user


def ensure_people() -> dict[str, User]:
    ensure_roles()
    return {member.username: ensure_member(member) for member in (*STAFF, SECOND_READER)}


def ensure_referrers() -> list[Practitioner]:
    return [
        Practitioner.objects.get_or_create(
            family_name=row.family_name,
            given_name=row.given_name,
            defaults={"prefix": "Dr", "specialty": row.specialty, "organisation": row.organisation},
        )[0]
        for row in REFERRERS
    ]


def ensure_rooms(site: Site) -> dict[str, Station]:
    """One room and one station a machine, each allowed to call from this computer."""
    stations = {}
    for machine in MACHINES:
        room, _new = Room.objects.get_or_create(code=machine.room, defaults={"name": machine.room_name, "site": site})
        stations[machine.ae_title] = Station.objects.get_or_create(
            ae_title=machine.ae_title,
            defaults={
                "room": room,
                "name": machine.ae_title,
                "modality": machine.modality,
                "manufacturer": machine.manufacturer,
            },
        )[0]
        DicomPeer.objects.get_or_create(
            ae_title=machine.ae_title,
            defaults={
                "description": machine.room_name,
                "allowed_addresses": LOOPBACK,
                "may_query_worklist": True,
                "may_send_mpps": True,
                "may_store": True,
                "sees_all_stations": False,
            },
        )
    return stations


#: Invented prices, by modality
PRICES = {"CT": 9500, "MR": 18500, "DX": 1800, "US": 3200, "MG": 4200}


def ensure_furniture() -> None:
    """Catalogue, prices, questionnaires, report templates and reference levels."""
    if not CatalogueProcedure.objects.exists():
        load_starter_catalogue(actor=SEEDER)
    for row in CatalogueProcedure.objects.filter(modality__in=PRICES, prices__isnull=True):
        PriceItem(code=row.code, label=row.name, catalogue=row, amount=PRICES[row.modality]).save_as(SEEDER, "Demo")
    ensure_questionnaires()
    ensure_templates()
    ensure_ready_text(SEEDER)
