"""A frame of a stored object as a PNG: modality and VOI transformations of PS3.3 C.11, monochrome and colour.

Whatever cannot be shown becomes a picture with words that say why; nothing that lies in the store makes this fail.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset, dcmread
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array

from interop.dicom.elements import Malformed
from interop.dicom.headers import read_file_start
from interop.dicom.sop_classes import is_deflated
from interop.dicom.store import local_path
from worklist.models import ImagingInstance

log = structlog.get_logger("interop.imaging")

MAX_PIXELS = 64_000_000
MAX_INFLATED = 512 * 1024 * 1024
PLACEHOLDER = (512, 512)
BACKGROUND, FOREGROUND = 16, 208
#: VOI windows by name: (centre, width) in Hounsfield units.
PRESETS: dict[str, tuple[float, float]] = {
    "soft": (40, 400),
    "lung": (-600, 1500),
    "bone": (300, 1500),
    "brain": (40, 80),
    "vessels": (200, 600),
}
PRESET_LABELS = {
    "": gettext_lazy("As acquired"),
    "soft": gettext_lazy("Soft tissue"),
    "lung": gettext_lazy("Lung"),
    "bone": gettext_lazy("Bone"),
    "brain": gettext_lazy("Brain"),
    "vessels": gettext_lazy("Vessels"),
    "full": gettext_lazy("Full range"),
}


class NotShown(Exception):
    """There is no picture; the words say why."""


@dataclass(frozen=True)
class Window:
    """``centre`` and ``width`` after the modality transformation; without them the object's own, or the full range."""

    centre: float | None = None
    width: float | None = None
    is_full: bool = False

    @classmethod
    def parse(cls, text: str) -> Window:
        """A preset's name, ``full``, or ``centre,width``; anything else is the object's own window."""
        if text in PRESETS:
            return cls(*PRESETS[text])
        if text == "full":
            return cls(is_full=True)
        centre, _comma, width = text.partition(",")
        try:
            given = cls(float(centre), float(width))
        except ValueError:
            return cls()
        sane = all(np.isfinite(part) and abs(part) < 1e7 for part in (given.centre, given.width))
        return given if sane and given.width >= 1 else cls()  # type: ignore[operator]


def render_frame(instance: ImagingInstance, frame: int = 1, window: str = "", size: int = 0) -> bytes:
    """PNG of one frame (counted from 1). ``size``: longest edge in pixels, 0 leaves it. Never raises."""
    try:
        with local_path(instance.path) as path:
            picture = picture_of(path, frame, Window.parse(window))
    except NotShown as why:
        picture = words_as_picture(str(why))
    except FileNotFoundError:
        log.error("instance_file_missing", instance=instance.pk)
        picture = words_as_picture(_("The file of this object is missing."))
    except Exception as error:
        log.info("frame_not_shown", instance=instance.pk, error=type(error).__name__)
        picture = words_as_picture(_("This picture cannot be decoded."))
    if size and max(picture.size) > size:
        picture.thumbnail((size, size), Image.Resampling.BILINEAR)
    return as_png(picture)


def as_png(picture: Image.Image) -> bytes:
    target = io.BytesIO()
    picture.save(target, "PNG", compress_level=3)
    return target.getvalue()


def picture_of(path: Path, frame: int, window: Window) -> Image.Image:
    """Raises NotShown, or whatever the decoders raise."""
    was_deflated = refuse_bomb(path)
    header = dcmread(path, stop_before_pixels=True)
    if "Rows" not in header or "Columns" not in header:
        raise NotShown(_not_an_image(header))
    if not 1 <= frame <= int(header.get("NumberOfFrames") or 1):
        raise NotShown(_("There is no such frame."))
    rows, columns = int(header.Rows), int(header.Columns)
    if not 0 < rows * columns <= MAX_PIXELS:
        raise NotShown(_("This picture is too large to be shown here."))
    try:
        pixels = pixel_array(dcmread(path) if was_deflated else path, index=frame - 1)
    except (NotImplementedError, RuntimeError) as error:
        syntax = getattr(header.file_meta, "TransferSyntaxUID", None)
        name = getattr(syntax, "name", "") or str(syntax)
        raise NotShown(_("No decoder for %(syntax)s here.") % {"syntax": name}) from error
    except AttributeError:
        raise NotShown(_("This object has no pixel data.")) from None
    if pixels.ndim == 3:
        return Image.fromarray(to_bytes(pixels, header), "RGB")
    if header.get("PhotometricInterpretation") == "PALETTE COLOR":
        return Image.fromarray(to_bytes(apply_color_lut(pixels, header), header, palette=True), "RGB")
    return Image.fromarray(grey(pixels, header, frame, window), "L")


def refuse_bomb(path: Path) -> bool:
    """A deflated data set is inflated whole by the reader: look how large it gets, a piece at a time, before.

    Answers whether it is deflated.
    """
    with path.open("rb") as source:
        start = read_file_start(source.read(64 * 1024))
        if not is_deflated(start.transfer_syntax_uid):
            return False
        source.seek(start.offset)
        inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while piece := source.read(256 * 1024):
            while piece:
                size += len(inflater.decompress(piece, 4 * 1024 * 1024))
                if size > MAX_INFLATED:
                    raise Malformed("The data set inflates to too much.")
                piece = inflater.unconsumed_tail
    return True


def _not_an_image(header: Dataset) -> str:
    modality = str(header.get("Modality", ""))
    if modality == "SR":
        return _("Structured report: no picture.")
    if modality in ("PR", "KO"):
        return _("Notes on other images: no picture of its own.")
    if "EncapsulatedDocument" in header or "MIMETypeOfEncapsulatedDocument" in header:
        return _("Document: no picture.")
    return _("This object is no picture.")


def to_bytes(pixels: np.ndarray, header: Dataset, palette: bool = False) -> np.ndarray:
    """Colour of any depth as 8 bits a sample."""
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels[..., :3])
    bits = pixels.dtype.itemsize * 8 if palette else int(header.get("BitsStored") or pixels.dtype.itemsize * 8)
    scaled = pixels.astype(np.float32) * (255.0 / (2**bits - 1))
    return np.ascontiguousarray(np.clip(scaled, 0, 255).astype(np.uint8)[..., :3])


def grey(pixels: np.ndarray, header: Dataset, frame: int, window: Window) -> np.ndarray:
    """Stored values through modality LUT, VOI LUT or window, and presentation (MONOCHROME1 is inverted)."""
    effective = frame_attributes(header, frame)
    values = apply_modality_lut(pixels, effective)
    if window.centre is not None and window.width is not None:
        shown = windowed(values, window.centre, window.width)
    elif not window.is_full and "VOILUTSequence" in effective:
        shown = stretched(apply_voi_lut(np.rint(values).astype(np.int32), effective))
    elif not window.is_full and (own := own_window(effective)):
        shown = windowed(values, *own)
    else:
        shown = stretched(values, header)
    return 255 - shown if header.get("PhotometricInterpretation") == "MONOCHROME1" else shown


def frame_attributes(header: Dataset, frame: int) -> Dataset:
    """The transformations of one frame: its functional groups, else the shared ones, else the image's own."""
    found = Dataset()
    for keyword in ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction"):
        if keyword in header:
            setattr(found, keyword, header[keyword].value)
    for keyword in ("ModalityLUTSequence", "VOILUTSequence"):
        if header.get(keyword):
            setattr(found, keyword, header[keyword].value)
    found.PixelRepresentation = header.get("PixelRepresentation", 0)
    found.BitsStored = header.get("BitsStored", 16)
    groups = list(header.get("SharedFunctionalGroupsSequence") or ())[:1]
    groups += list(header.get("PerFrameFunctionalGroupsSequence") or ())[frame - 1 : frame]
    for group in groups:
        for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for item in group.get(name) or ():
                for element in item:
                    found[element.tag] = element
    return found


def own_window(attributes: Dataset) -> tuple[float, float] | None:
    centre, width = _first(attributes.get("WindowCenter")), _first(attributes.get("WindowWidth"))
    return (centre, width) if centre is not None and width is not None and width >= 1 else None


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)
    except (TypeError, ValueError, IndexError):
        return None


def windowed(values: np.ndarray, centre: float, width: float) -> np.ndarray:
    """PS3.3 C.11.2.1.2.1, LINEAR"""
    span = max(width - 1, 1e-6)
    scaled = ((values.astype(np.float32) - (centre - 0.5)) / span + 0.5) * 255.0
    return np.clip(scaled, 0, 255).astype(np.uint8)


def stretched(values: np.ndarray, header: Dataset | None = None) -> np.ndarray:
    """From the lowest to the highest value; padding does not count."""
    numbers = values.astype(np.float32)
    counted = numbers[np.isfinite(numbers)]
    padding = _first(header.get("PixelPaddingValue")) if header is not None else None
    if padding is not None and (rest := counted[counted != padding]).size:
        counted = rest
    low, high = (float(counted.min()), float(counted.max())) if counted.size else (0.0, 0.0)
    scaled = (np.nan_to_num(numbers) - low) * (255.0 / (high - low) if high > low else 0.0)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def words_as_picture(words: str) -> Image.Image:
    """A dark square that says why there is no picture."""
    picture = Image.new("L", PLACEHOLDER, BACKGROUND)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=22)
    lines: list[str] = [""]
    for word in words.split():
        candidate = f"{lines[-1]} {word}".strip()
        if pen.textlength(candidate, font=font) > PLACEHOLDER[0] - 60:
            lines.append(word)
        else:
            lines[-1] = candidate
    text = "\n".join(lines)
    pen.multiline_text((256, 256), text, fill=FOREGROUND, font=font, anchor="mm", align="center", spacing=8)
    return picture
