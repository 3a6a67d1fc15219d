"""What falls due on the reading list: reports over time, ends of shifts, locks that nobody keeps alive."""

from __future__ import annotations

from reporting.services.locks import claim_stale_locks, expire_lock
from reporting.services.reading import claim_items, wake_item
from ris.events.dispatcher import register_work

register_work("reporting.reading_item", claim=claim_items, run=wake_item)
register_work("reporting.stale_lock", claim=claim_stale_locks, run=expire_lock)
