"""Rooms and stations, as an administrator or a command sets them up."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from orders.models import Modality
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData
from worklist import permissions as perms
from worklist.models import Room, Station
from worklist.models.rooms import ae_title_validator
from worklist.services import rendering


@service(perms.MANAGE_ROOMS, action=Action.CREATE)
def ensure_station(
    *,
    ae_title: str,
    modality: str,
    room: str = "",
    room_name: str = "",
    name: str = "",
    manufacturer: str = "",
    model_name: str = "",
    actor: Actor,
) -> tuple[Station, bool]:
    """The station of this title, made or brought up to date, in a room of this code; True when it is new."""
    ae_title = ae_title.strip()
    _check(ae_title, modality)
    code = (room or ae_title).lower().replace(" ", "-")[:16]
    place = Room.objects.filter(code=code).first() or Room(code=code, name=room_name or room or ae_title)
    if room_name:
        place.name = room_name[:64]
    if place.pk is None or room_name:
        place.save_as(actor, "Set up")
    station = Station.objects.filter(ae_title=ae_title).first()
    is_new = station is None
    station = station or Station(ae_title=ae_title)
    station.room, station.modality = place, modality
    station.name = (name or station.name or ae_title)[:16]
    station.manufacturer = (manufacturer or station.manufacturer)[:64]
    station.model_name = (model_name or station.model_name)[:64]
    station.is_active = True
    station.save_as(actor, "Set up")
    refresh_station(station, actor)
    return station, is_new


def _check(ae_title: str, modality: str) -> None:
    errors: dict[str, str] = {}
    try:
        ae_title_validator(ae_title)
    except ValidationError as problem:
        errors["ae_title"] = problem.messages[0]
    if modality not in Modality.values:
        errors["modality"] = _("There is no such modality.")
    if errors:
        raise InvalidData(_("The station was not set up."), errors=errors)


def refresh_station(station: Station, actor: Actor) -> None:
    """Items that name the station, and those that any station of its modality may take, are rendered again."""
    rendering.refresh_steps(actor, "Station changed", station=station)
    rendering.refresh_steps(actor, "Station changed", station__isnull=True, modality=station.modality)
