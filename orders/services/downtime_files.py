"""The files of a night: plain pages and papers in a folder that needs no server, readable by its owner alone.

``RIS_DOWNTIME_FOLDER/<facility>/<date and time>/``: index.html, the coming days, the worklist, the recent final
reports, and the packs as PDF. A night appears as a whole or not at all; the oldest go when there are more than planned.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from orders import permissions as perms
from orders.downtime_parts import ExportPage, RoomList, department, export_pages
from orders.downtime_pdf import Paper, render_pack_pdf
from orders.models import DowntimePack, DowntimePlan
from orders.services.downtime import downtime_plan, ensure_night_pack, note_pack_printed
from ris.accounts.models import Site
from ris.audit.models import Action
from ris.audit.service import record, record_read
from ris.core.actor import SYSTEM, Actor
from ris.tenants.context import require_facility, require_schema

NIGHT = re.compile(r"^\d{4}-\d{2}-\d{2}_\d{6}$")
OWNER_ONLY, OWNER_FOLDER = 0o600, 0o700
STYLE = "css/downtime-export.css"
DAYS_ON_PAPER = 2


@dataclass(frozen=True)
class Night:
    """What was made: its folder, its pages and papers, the packs whose forms are in it."""

    folder: Path
    made_at: datetime
    pages: list[str] = field(default_factory=list)
    papers: list[str] = field(default_factory=list)
    packs: list[str] = field(default_factory=list)


def folder_of_facility() -> Path:
    return Path(settings.RIS_DOWNTIME_FOLDER) / require_schema()


def nights() -> list[Path]:
    """The folders that are there, newest first."""
    root = folder_of_facility()
    found = [path for path in root.iterdir() if path.is_dir() and NIGHT.match(path.name)] if root.is_dir() else []
    return sorted(found, key=lambda path: path.name, reverse=True)


# --- paper


def print_downtime_pack(pack: DowntimePack, *, actor: Actor) -> bytes:
    """The pack as a PDF for the printer, with today's and tomorrow's lists as this person may see them."""
    pack = note_pack_printed(pack, actor=actor)
    lists = _lists_of(pack.site, pack.room, actor)
    record_read(actor, perms.PRINT_DOWNTIME, entity=pack, patients=_patients(lists), detail={"forms": pack.form_count})
    who = actor.user.display_name if actor.user else ""
    return render_pack_pdf(_paper(pack, lists, timezone.now(), printed_by=who))


def _lists_of(site: Site | None, room: str, actor: Actor) -> list[RoomList]:
    today = timezone.localdate()
    days = [today + timedelta(days=number) for number in range(DAYS_ON_PAPER)]
    lists = department().room_lists(days, site=site, actor=actor)
    return [row for row in lists if row.name == room] if room else lists


def _paper(pack: DowntimePack, lists: Sequence[RoomList], made_at: datetime, *, printed_by: str = "") -> Paper:
    plan = downtime_plan()
    forms = list(pack.forms.exclude(status__in=("void", "entered")).order_by("number"))
    for form in forms:
        form.pack = pack
    return Paper(
        facility=require_facility().name,
        made_at=made_at,
        language=pack.language,
        pack=pack,
        forms=forms,
        lists=lists,
        contacts=_lines(plan.contacts) + _site_phones(),
        instructions=_lines(plan.instructions),
        printed_by=printed_by,
    )


def _lines(words: str) -> list[str]:
    return [line.strip() for line in words.splitlines() if line.strip()]


def _site_phones() -> list[str]:
    return [f"{site.name}: {site.phone}" for site in Site.objects.filter(is_active=True).exclude(phone="")]


def _patients(lists: Sequence[RoomList]) -> list[Any]:
    return sorted({row.patient for room in lists for row in room.rows if row.patient is not None})


# --- the night


def make_downtime_night(*, actor: Actor) -> Night:
    """Make the folder of this moment. Numbers are reserved first, each pack in its own short transaction: while the
    files are written nobody waits for an accession number.
    """
    actor.require(perms.PRINT_DOWNTIME)
    plan, made_at = downtime_plan(), timezone.now()
    sites: list[Site | None] = list(Site.objects.filter(is_active=True).order_by("code")) or [None]
    packs = [ensure_night_pack(site, actor=actor) for site in sites]
    files = _Files(plan, made_at)
    try:
        with translation.override(plan.language):
            files.write_papers(packs)
            files.write_pages(export_pages())
        night = files.publish([pack.code for pack in packs])
    finally:
        shutil.rmtree(files.folder, ignore_errors=True)
    _forget_old(plan.nights_kept)
    _write_front_page(plan)
    with transaction.atomic():
        DowntimePlan.objects.filter(pk=1).update(last_night_at=made_at, last_night_folder=night.folder.name)
        detail = {"folder": night.folder.name, "pages": len(night.pages), "papers": night.papers}
        record(actor, "orders.make_downtime_night", Action.EXECUTE, patients=files.patients, detail=detail)
    return night


class _Files:
    """A folder being written beside the nights; it gets its name when everything is in it."""

    def __init__(self, plan: DowntimePlan, made_at: datetime) -> None:
        self.plan, self.made_at = plan, made_at
        self.patients: list[Any] = []
        self.pages: list[ExportPage] = []
        self.papers: list[tuple[str, str]] = []
        root = folder_of_facility()
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(OWNER_FOLDER)
        self.name = f"{timezone.localtime(made_at):%Y-%m-%d_%H%M%S}"
        self.folder = root / f".{self.name}.{os.getpid()}"
        self.folder.mkdir(mode=OWNER_FOLDER)

    def write(self, name: str, content: bytes) -> None:
        write_private(self.folder / name, content)

    def write_papers(self, packs: Sequence[DowntimePack]) -> None:
        for pack in packs:
            lists = _lists_of(pack.site, "", SYSTEM)
            self.patients = sorted({*self.patients, *_patients(lists)})
            code = pack.site.code if pack.site else "house"
            self._paper(f"pack-{code}.pdf", _("Pack %(pack)s") % {"pack": pack.code}, _paper(pack, lists, self.made_at))
            for room_code in dict.fromkeys(row.code for row in lists):
                rows = [row for row in lists if row.code == room_code]
                paper = Paper(require_facility().name, self.made_at, self.plan.language, lists=rows, has_cover=False)
                self._paper(f"list-{code}-{room_code}.pdf", rows[0].name, paper)

    def _paper(self, name: str, title: str, paper: Paper) -> None:
        self.write(name, render_pack_pdf(paper))
        self.papers.append((name, title))

    def write_pages(self, pages: Sequence[ExportPage]) -> None:
        self.pages = list(pages)
        self.write("style.css", (Path(settings.BASE_DIR) / "static" / STYLE).read_bytes())
        listed = [page for page in self.pages if page.is_listed]
        index = ExportPage(
            "index", _("Read-only copy"), "orders/downtime/index.html", {"listed": listed, "papers": self.papers}
        )
        for page in [index, *self.pages]:
            context = {
                **page.context,
                "page": page,
                "pages": listed,
                "made_at": self.made_at,
                "facility": require_facility().name,
                "language": self.plan.language,
            }
            self.write(f"{page.name}.html", render_to_string(page.template, context).encode())

    def publish(self, packs: list[str]) -> Night:
        target = folder_of_facility() / self.name
        if target.exists():
            shutil.rmtree(target)
        self.folder.rename(target)
        return Night(
            target, self.made_at, [page.name for page in self.pages], [name for name, _title in self.papers], packs
        )


def write_private(path: Path, content: bytes) -> None:
    """Readable by nobody else from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, OWNER_ONLY)
        file.write(content)


def _forget_old(kept: int) -> None:
    for folder in nights()[kept:]:
        shutil.rmtree(folder)


def _write_front_page(plan: DowntimePlan) -> None:
    """The page to keep a shortcut to: the nights that are there, newest first."""
    found = [
        (folder.name, timezone.make_aware(datetime.strptime(folder.name, "%Y-%m-%d_%H%M%S"))) for folder in nights()
    ]
    with translation.override(plan.language):
        context = {"nights": found, "facility": require_facility().name, "language": plan.language}
        page = render_to_string("orders/downtime/nights.html", context)
    root = folder_of_facility()
    write_private(root / "style.css", (Path(settings.BASE_DIR) / "static" / STYLE).read_bytes())
    write_private(root / "index.html", page.encode())


def zip_of(folder: Path) -> bytes:
    """A night in one file, to be carried away."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"{folder.name}/{path.name}")
    return out.getvalue()
