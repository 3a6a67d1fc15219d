"""Is the imaging network ready? Each check answers findings in words, with what to do. Calls listeners and peers.

For the evening before a scanner is connected, and for the morning on which one is silent.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from interop.dicom import scu
from interop.dicom.peers import echo_status, refused_connections
from interop.dicom.preview import caller_for, peer_called
from interop.dicom.store import INCOMING, instance_path
from interop.models import DicomPeer
from interop.permissions import MANAGE_INTERFACES
from ris.audit.models import Action
from ris.audit.service import record
from ris.core.actor import Actor
from ris.tenants.context import require_facility
from worklist.data import MwlQuery
from worklist.models import Station
from worklist.selectors import worklist_items

FINE, WARNING, BROKEN = "fine", "warning", "broken"
#: Seconds: a peer that needs longer to answer an echo is as good as silent.
PATIENCE = 3.0
CERTIFICATE_DAYS, FREE_PART, CLOCK_SECONDS, SLOW_SECONDS = 30, 0.05, 1.0, 0.5
REFUSED_SINCE = timedelta(days=1)


@dataclass(frozen=True)
class Finding:
    """``level``: fine, warning or broken. ``subject``: what was looked at."""

    subject: str
    level: str
    words: str
    todo: str = ""


def check_readiness(*, actor: Actor) -> list[Finding]:
    """All findings, in the order in which one would look. Speaks to the network: never inside a transaction."""
    actor.require(MANAGE_INTERFACES)
    found = [finding for check in CHECKS for finding in check()]
    levels = {level: sum(row.level == level for row in found) for level in (FINE, WARNING, BROKEN)}
    record(actor, "interop.check_readiness", Action.EXECUTE, detail=levels)
    return found


# --- our own door


def _listeners() -> Iterator[Finding]:
    host = settings.RIS_BIND if settings.RIS_BIND not in ("", "0.0.0.0", "::") else "127.0.0.1"
    ports = [(_("Listener"), settings.RIS_DICOM_PORT)]
    if settings.RIS_TLS_CERTIFICATE:
        ports.append((_("Listener over TLS"), settings.RIS_DICOM_TLS_PORT))
    for name, port in ports:
        try:
            socket.create_connection((host, port), timeout=PATIENCE).close()
        except OSError as error:
            words = _("Nobody listens on %(host)s:%(port)d (%(why)s).") % {
                "host": host, "port": port, "why": error.strerror or _("no answer")
            }  # fmt: skip
            yield Finding(name, BROKEN, words, _("Start manage.py run_mwl, or compare RIS_DICOM_PORT."))
        else:
            yield Finding(name, FINE, _("It takes connections on port %(port)d.") % {"port": port})


def _certificate() -> Iterator[Finding]:
    name = _("TLS certificate")
    if not settings.RIS_TLS_CERTIFICATE:
        words = _("None is set: images and worklists travel unencrypted.")
        yield Finding(name, WARNING, words, _("Set RIS_TLS_CERTIFICATE where scanners can do TLS."))
        return
    try:
        loaded = x509.load_pem_x509_certificate(Path(settings.RIS_TLS_CERTIFICATE).read_bytes())
    except (OSError, ValueError) as error:
        words = _("It cannot be read: %(why)s") % {"why": type(error).__name__}
        yield Finding(name, BROKEN, words, _("Correct RIS_TLS_CERTIFICATE."))
        return
    days = (loaded.not_valid_after_utc - datetime.now(UTC)).days
    words = ngettext("It is valid for %(days)d more day.", "It is valid for %(days)d more days.", days) % {"days": days}
    if days < 0:
        yield Finding(name, BROKEN, _("It has run out."), _("Renew it."))
    else:
        yield Finding(
            name, WARNING if days < CERTIFICATE_DAYS else FINE, words, _("Renew it.") if days < CERTIFICATE_DAYS else ""
        )


def _called_titles() -> Iterator[Finding]:
    name = _("AE titles of the house")
    doors = list(require_facility().called_ae_titles.all())
    if not doors:
        yield Finding(name, BROKEN, _("Scanners have no title to call."), _("Register one with create_facility."))
    for door in doors:
        where = ", ".join(door.allowed_addresses)
        words = _("%(title)s may be called from %(where)s.") % {"title": door.ae_title, "where": where or _("nowhere")}
        yield Finding(name, FINE if where else WARNING, words, "" if where else _("Register the scanners' network."))


# --- who calls, who is called


def _stations() -> Iterator[Finding]:
    name = _("Stations")
    stations = list(Station.objects.filter(is_active=True).values_list("ae_title", flat=True))
    if not stations:
        yield Finding(name, WARNING, _("There is no station."), _("Add one with manage.py add_station."))
    for title in stations:
        peer = peer_called(title)
        if peer is None or not peer.is_active:
            words = _("%(title)s may not call: it has no active peer.") % {"title": title}
            yield Finding(name, WARNING, words, _("Add it as a peer."))
        elif not peer.may_query_worklist:
            words = _("%(title)s may not query the worklist.") % {"title": title}
            yield Finding(name, WARNING, words, _("Change the peer %(row)s.") % {"row": peer.ae_title})


def _open_doors() -> Iterator[Finding]:
    for peer in DicomPeer.objects.filter(is_active=True, ae_title__regex=r"[*?]", allowed_addresses=[]):
        words = _("%(title)s lets every such title in, from anywhere in the registered network.")
        yield Finding(
            _("Peers"), WARNING, words % {"title": peer.ae_title}, _("Name the addresses that it calls from.")
        )


def _echoes() -> Iterator[Finding]:
    """All peers at once: one that is switched off must not make the others wait."""
    callable_ = DicomPeer.objects.filter(is_active=True, port__isnull=False).exclude(host="")
    peers = list(callable_.exclude(ae_title__regex=r"[*?]"))
    if not peers:
        return
    calling = require_facility().ae_title
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda row: _echo(row, calling), peers))
    for peer, problem in zip(peers, answers, strict=True):
        name = _("Peer %(title)s") % {"title": peer.ae_title}
        if problem:
            yield Finding(name, BROKEN, problem, _("Compare host, port and AE title with the peer's own."))
        else:
            yield Finding(name, FINE, _("It answers an echo."))


def _echo(peer: DicomPeer, calling: str) -> str:
    """What went wrong; nothing here may touch the database."""
    try:
        status = echo_status(peer, calling, PATIENCE)
    except (scu.CallFailed, OSError) as failed:
        return str(failed)
    return "" if status == 0 else _("It answers with status %(status)04X.") % {"status": status}


def _turned_away() -> Iterator[Finding]:
    since = timezone.now() - REFUSED_SINCE
    for row in refused_connections():
        if row.last_at >= since:
            words = _("%(calling)s called %(called)s from %(address)s and was turned away, %(count)d times in all.") % {
                "calling": row.calling or "–", "called": row.called, "address": row.address, "count": row.count
            }  # fmt: skip
            yield Finding(_("Turned away"), WARNING, words, _("See why on the integrations page."))


# --- what stands behind


def _worklists() -> Iterator[Finding]:
    """How many items each station would get for today, and how long the query takes."""
    today = f"{timezone.localdate():%Y%m%d}"
    for title in Station.objects.filter(is_active=True).values_list("ae_title", flat=True):
        peer = peer_called(title)
        if peer is None or not peer.may_query_worklist:
            continue
        begun = time.perf_counter()
        query = MwlQuery(station_ae_title=title, start_date=today)
        count = sum(1 for _item in worklist_items(query, peer=caller_for(peer, title)))
        took = time.perf_counter() - begun
        words = ngettext("%(count)d item today, in %(ms)d ms.", "%(count)d items today, in %(ms)d ms.", count)
        level = FINE if took < SLOW_SECONDS else WARNING
        todo = "" if level == FINE else _("The database is slow: look at its load.")
        yield Finding(
            _("Worklist of %(title)s") % {"title": title}, level, words % {"count": count, "ms": took * 1000}, todo
        )


def _storage() -> Iterator[Finding]:
    name = _("Storage")
    folder = instance_path(INCOMING)
    probe = folder / f"{uuid.uuid4().hex}.probe"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        with probe.open("xb") as target:
            target.write(b"\0" * 4096)
            target.flush()
            os.fsync(target.fileno())
        free = shutil.disk_usage(folder)
    except OSError as error:
        words = _("Images cannot be written: %(why)s.") % {"why": error.strerror}
        yield Finding(name, BROKEN, words, _("Correct RIS_INSTANCE_FOLDER, its owner or its disk."))
        return
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    part = free.free / free.total
    words = _("Writable, %(free)d GiB free (%(part)d %%).") % {"free": free.free >> 30, "part": part * 100}
    yield Finding(name, FINE if part > FREE_PART else WARNING, words, "" if part > FREE_PART else _("Make room."))


def _clock() -> Iterator[Finding]:
    """Against the database server's: a worklist for today needs the right day."""
    with connection.cursor() as cursor:
        before = datetime.now(UTC)
        cursor.execute("SELECT clock_timestamp()")
        [theirs] = cursor.fetchone()
        middle = before + (datetime.now(UTC) - before) / 2
    apart = abs((theirs - middle).total_seconds())
    here = timezone.localtime()
    words = _("%(now)s in the facility's zone, %(apart).1f s from the database's clock.") % {
        "now": f"{here:%Y-%m-%d %H:%M:%S %Z}", "apart": apart
    }  # fmt: skip
    todo = "" if apart < CLOCK_SECONDS else _("Synchronise both clocks (NTP).")
    yield Finding(_("Clock"), FINE if apart < CLOCK_SECONDS else BROKEN, words, todo)


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _listeners,
    _certificate,
    _called_titles,
    _stations,
    _open_doors,
    _echoes,
    _turned_away,
    _worklists,
    _storage,
    _clock,
)
