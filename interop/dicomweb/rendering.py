"""Rendered frames (PS3.18 8.3.5): window, viewport and quality of a picture, as JPEG or PNG."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import structlog
from django.http import QueryDict
from django.utils.translation import gettext as _
from PIL import Image

from interop.dicom.store import local_path
from interop.dicomweb.matching import bad
from interop.dicomweb.media import NotAcceptable
from interop.dicomweb.objects import FileMissing
from interop.imaging.render import NotShown, Window, picture_of, words_as_picture
from ris.core.errors import NotKnown
from worklist.models import ImagingInstance

log = structlog.get_logger("interop.dicomweb")

FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG"}
THUMBNAIL = 128
LARGEST = 8192
DEFAULT_QUALITY = 85


@dataclass(frozen=True)
class Viewport:
    """The size to fit into, and the part of the picture that is shown; negative sizes of a part mirror it."""

    width: int
    height: int
    part: tuple[float, float, float, float] | None = None

    def of(self, picture: Image.Image) -> Image.Image:
        if self.part is not None:
            picture = self._cut(picture, self.part)
        scale = min(self.width / picture.width, self.height / picture.height)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        return picture.resize(size, Image.Resampling.BILINEAR) if size != picture.size else picture

    @staticmethod
    def _cut(picture: Image.Image, part: tuple[float, float, float, float]) -> Image.Image:
        left, top, width, height = part
        box = (left, top, min(picture.width, left + abs(width)), min(picture.height, top + abs(height)))
        box = tuple(round(edge) for edge in box)
        if box[2] <= box[0] or box[3] <= box[1]:
            raise bad("viewport", _("The part lies outside of the picture."))
        picture = picture.crop(box)
        if width < 0:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if height < 0 else picture


@dataclass(frozen=True)
class Rendering:
    """How a picture is asked for."""

    window: Window
    viewport: Viewport | None = None
    quality: int = DEFAULT_QUALITY

    @classmethod
    def of(cls, parameters: QueryDict, *, thumbnail: bool = False) -> Rendering:
        """Raises BadRequest with the parameter that is wrong."""
        if thumbnail:
            return cls(Window(), _viewport(parameters.get("viewport", "")) or Viewport(THUMBNAIL, THUMBNAIL))
        return cls(
            _window(parameters.get("window", "")),
            _viewport(parameters.get("viewport", "")),
            _quality(parameters.get("quality", "")),
        )

    @property
    def key(self) -> str:
        return repr(self)


def _numbers(name: str, text: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise bad(name, _("These must be numbers separated by commas.")) from None
    if not all(abs(number) < 1e7 for number in found):
        raise bad(name, _("These must be numbers separated by commas."))
    return found


def _window(text: str) -> Window:
    """``centre,width,function``; LINEAR_EXACT is LINEAR of a half and one more (PS3.3 C.11.2.1.3.2)."""
    if not text:
        return Window()
    parts = text.split(",")
    function = parts[2].strip().upper() if len(parts) == 3 else "LINEAR"
    if len(parts) not in (2, 3) or function not in ("LINEAR", "LINEAR_EXACT", "LINEAR-EXACT"):
        raise bad("window", _("This must be centre,width,linear or centre,width,linear-exact."))
    centre, width = _numbers("window", ",".join(parts[:2]))
    if function != "LINEAR":
        centre, width = centre + 0.5, width + 1
    if width < 1:
        raise bad("window", _("The width must be 1 or more."))
    return Window(centre, width)


def _viewport(text: str) -> Viewport | None:
    if not text:
        return None
    parts = text.split(",")
    if len(parts) not in (2, 6):
        raise bad("viewport", _("This must be width,height or width,height,left,top,width,height."))
    width, height = _numbers("viewport", ",".join(parts[:2]))
    if not (1 <= width <= LARGEST and 1 <= height <= LARGEST):
        raise bad("viewport", _("Width and height must be 1 to %d.") % LARGEST)
    if len(parts) == 2:
        return Viewport(int(width), int(height))
    left, top, across, down = _numbers("viewport", ",".join(part or "0" for part in parts[2:]))
    if left < 0 or top < 0:
        raise bad("viewport", _("The part lies outside of the picture."))
    return Viewport(int(width), int(height), (left, top, across or LARGEST, down or LARGEST))


def _quality(text: str) -> int:
    if not text:
        return DEFAULT_QUALITY
    if not re.fullmatch(r"\d{1,3}", text) or not 1 <= int(text) <= 100:
        raise bad("quality", _("This must be 1 to 100."))
    return int(text)


def rendered(row: ImagingInstance, frame: int, asked: Rendering, media_type: str) -> bytes:
    """Raises NotKnown (no such frame), NotAcceptable (what has no picture), FileMissing."""
    if not 1 <= frame <= row.frames:
        raise no_such_frame(row)
    return encoded(_picture(row, frame, asked.window), asked, media_type)


def no_such_frame(row: ImagingInstance) -> NotKnown:
    return NotKnown(_("There is no such frame."), found=_("It has frames 1 to %d.") % row.frames)


def thumbnail(row: ImagingInstance, frame: int, asked: Rendering, media_type: str) -> bytes:
    """A small picture; of what has none, one with words that say so."""
    try:
        return rendered(row, frame, asked, media_type)
    except NotAcceptable as why:
        return encoded(words_as_picture(why.detail), asked, media_type)


def encoded(picture: Image.Image, asked: Rendering, media_type: str) -> bytes:
    if asked.viewport is not None:
        picture = asked.viewport.of(picture)
    target = io.BytesIO()
    if media_type == "image/png":
        picture.save(target, "PNG", compress_level=3)
    else:
        picture.save(target, "JPEG", quality=asked.quality)
    return target.getvalue()


def _picture(row: ImagingInstance, frame: int, window: Window) -> Image.Image:
    try:
        with local_path(row.path) as path:
            return picture_of(path, frame, window)
    except NotShown as why:
        raise NotAcceptable(str(why)) from None
    except OSError as error:
        raise FileMissing(_("The file of this object cannot be read.")) from error
    except Exception as error:  # the decoders raise whatever they like
        log.info("frame_not_rendered", instance=row.pk, error=type(error).__name__)
        raise NotAcceptable(_("This picture cannot be decoded.")) from error
