"""What pictures hear. Loaded by every process."""

from __future__ import annotations

from reporting.events import TeachingImagesChosen
from ris.events.bus import subscribe


@subscribe(TeachingImagesChosen, name="interop.copy_teaching_images")
def copy_teaching_images(event: TeachingImagesChosen) -> None:
    """Heard again it copies what waits still."""
    from interop.imaging.teaching import make_copies

    make_copies(event.subject)
