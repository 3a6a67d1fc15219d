"""The picture panel that other apps' pages show: series strip, stack, window presets. Without scripts, a list."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from interop.imaging.render import PRESET_LABELS
from interop.imaging.selectors import note_view, series_of, studies_of
from ris.accounts.actors import actor_of
from ris.core.actor import Actor
from ris.core.panels import Panel, register_panel
from worklist.permissions import VIEW_STUDY

WINDOWED = frozenset({"CT", "PT", "CR", "DX", "MR", "MG", "XA", "RF", "NM", "DR", "IO", "PX"})


def viewer_context(studies: list[Any], actor: Actor, **looked_at: Any) -> dict[str, Any] | None:
    """None when there is nothing to look at. ``looked_at``: of ``note_view``, where not the study itself is."""
    if not studies:
        return None
    for study in studies:
        note_view(study, actor=actor, **looked_at)
    by_study = series_of(studies)
    shown = [(study, by_study.get(study.pk, [])) for study in studies]
    first = next((series for _study, rows in shown for series in rows if series.frames), None)
    modalities = {series.modality for _study, rows in shown for series in rows}
    presets = PRESET_LABELS if "CT" in modalities else {key: PRESET_LABELS[key] for key in ("", "full")}
    return {
        "image_studies": shown,
        "image_first": first,
        "image_presets": presets.items() if modalities & WINDOWED else (),
        "image_count": sum(series.instance_count for _study, rows in shown for series in rows),
        "image_stacks": [series.stack for _study, rows in shown for series in rows],
    }


def images_panel(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    actor = actor_of(request)
    return viewer_context(list(studies_of(thing, actor=actor)), actor)


def small_images_panel(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    context = images_panel(thing, request=request)
    return {**context, "image_is_small": True} if context else None


SLOTS = {
    "report.images": images_panel,
    "console.images": small_images_panel,
    "order.images": small_images_panel,
    "exception.images": small_images_panel,
}


def register() -> None:
    from interop.imaging.blinded import blind_panel

    for slot, selector in {**SLOTS, "peerreview.images": blind_panel}.items():
        register_panel(Panel(slot, selector, "interop/images_panel.html", permission=VIEW_STUDY, key="images"))
