"""After reading: every event has its key, and the totals are held against the events."""

from __future__ import annotations

import hashlib

from dose.rdsr.parsed import FALLBACKS, MAMMOGRAPHY, PROJECTION, RADIOPHARMACEUTICAL, ParsedDose
from ris.core.ids import is_valid_uid

SUMS = (("dlp_total", "dlp"), ("dap_total", "dap"), ("dose_rp_total", "dose_rp"), ("agd_total", "agd"))


def name_events(parsed: ParsedDose) -> None:
    """Every event has a UID: where the device wrote none, or one twice, it follows from the report's."""
    seen: set[str] = set()
    for event in parsed.events:
        key = event.more.pop("key", None)
        if event.uid and is_valid_uid(event.uid) and event.uid not in seen:
            seen.add(event.uid)
            continue
        words = "no Irradiation Event UID" if not event.uid else "an unusable Irradiation Event UID"
        if parsed.kind not in FALLBACKS:
            parsed.warn(f"Event {event.position} has {words}; one was derived.")
        event.uid = derived_uid(key[0], 0) if key else derived_uid(parsed.sop_instance_uid, event.position)
        seen.add(event.uid)


def derived_uid(sop_instance_uid: str, position: int) -> str:
    """The same one each time the same report is read."""
    digest = hashlib.sha256(f"{sop_instance_uid}:{position}".encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16])}"


def complete_totals(parsed: ParsedDose) -> None:
    """Totals that are missing are the sums of the events; a total that contradicts them is kept, with a warning."""
    for name, part in SUMS:
        values = [value for event in parsed.events if (value := getattr(event, part)) is not None]
        total, summed = getattr(parsed, name), sum(values)
        if total is None and values:
            setattr(parsed, name, summed)
            if parsed.kind not in FALLBACKS:
                parsed.warn(f"{name}: not in the report; summed from its events.")
        elif total is not None and values and summed > 0 and not 0.9 * summed <= total <= 1.1 * summed:
            parsed.warn(f"{name}: the report says {total:g}, its events sum to {summed:g}.")
    if parsed.declared_events is not None and parsed.declared_events != len(parsed.events):
        parsed.warn(f"The report announces {parsed.declared_events} events and holds {len(parsed.events)}.")
    parsed.ctdi_vol_max = _highest_ctdi(parsed)
    times = [event.started_at for event in parsed.events if event.started_at is not None]
    if times and parsed.kind in (PROJECTION, MAMMOGRAPHY, RADIOPHARMACEUTICAL):
        parsed.started_at = min(times, key=lambda time: time.replace(tzinfo=None))


def _highest_ctdi(parsed: ParsedDose) -> float | None:
    """16 and 32 cm phantoms are never mixed: of the phantom with most of the DLP; localizers do not count."""
    scans = [event for event in parsed.events if event.ctdi_vol is not None and not event.is_localizer]
    if not scans:
        return None
    weight: dict[str, float] = {}
    for event in scans:
        weight[event.ctdi_phantom] = weight.get(event.ctdi_phantom, 0.0) + (event.dlp or 0.0)
    if len({phantom for phantom in weight if phantom}) > 1:
        parsed.warn("CTDIvol of two phantoms: the highest is of the one with most of the DLP.")
    main = max(weight, key=lambda phantom: weight[phantom])
    return max(event.ctdi_vol or 0.0 for event in scans if event.ctdi_phantom == main)
