"""De-identified copies of the images of teaching cases: made, kept beside the store, and shown. No index knows them."""

from __future__ import annotations

import io
import uuid

import structlog
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.http import HttpRequest, HttpResponse
from django.utils.http import parse_etags
from django.utils.translation import gettext as _
from PIL import Image

from interop.dicom.store import is_local, local_path
from interop.imaging.deidentify import NotCopied, copied
from interop.imaging.render import NotShown, Window, picture_of, refuse_bomb
from reporting.models import CopyState, TeachingImage
from reporting.permissions import VIEW_TEACHING
from reporting.services.teaching import note_copy, waiting_images
from ris.accounts.web import ActorRequest, page
from ris.core.actor import SYSTEM
from ris.core.errors import NotKnown
from ris.tenants.context import require_schema

log = structlog.get_logger("interop.teaching")
LARGEST = 2048
#: A longer film is not copied: a case shows frames.
MAX_BYTES = 512 * 1024 * 1024


def make_copies(case_uuid: str) -> None:
    """Of every image of a case that waits. Heard again it does nothing."""
    for image in waiting_images(case_uuid):
        note_copy(image, **_copy(image), actor=SYSTEM)


def _copy(image: TeachingImage) -> dict[str, object]:
    if image.original.size > MAX_BYTES:
        return {"state": CopyState.REFUSED, "problem": "This object is too large to be copied."}
    try:
        with local_path(image.original.path) as path:
            refuse_bomb(path)
            made = copied(path, str(image.case.uuid), was_looked_at=image.looked_at is not None)
    except (NotCopied, NotShown) as why:
        return {"state": CopyState.REFUSED, "problem": str(why)}
    except FileNotFoundError:
        log.error("teaching_source_missing", image=image.pk)
        return {"state": CopyState.REFUSED, "problem": "The file of this object is missing."}
    if made is None:
        return {"state": CopyState.LOOK}
    data, frames = made
    name = f"teaching/{image.case.uuid}/{uuid.uuid4().hex}.dcm"
    kept = storages["instances"].save(name if is_local() else f"{require_schema()}/{name}", ContentFile(data))
    return {"state": CopyState.COPIED, "path": kept, "frames": frames}


@page(VIEW_TEACHING)
def teaching_image(request: ActorRequest, image: uuid.UUID, frame: int) -> HttpResponse:
    """A frame of a copy. ``?size=`` longest edge, ``?window=`` a preset or centre,width."""
    rows = TeachingImage.objects.visible_to(request.actor).shown()
    row = rows.filter(uuid=image).first()
    if row is None or not 1 <= frame <= row.frames:
        raise NotKnown(_("There is no such image here."))
    return picture_answer(request, row, frame)


def picture_answer(request: HttpRequest, row: TeachingImage, frame: int) -> HttpResponse:
    """A frame of a copy as JPEG, in the window and size that the address asks for."""
    window, wanted = request.GET.get("window", "")[:40], request.GET.get("size", "")
    size = min(int(wanted), LARGEST) if wanted.isdecimal() and len(wanted) < 6 else LARGEST
    etag = f'"{row.uuid.hex}-{frame}-{size}-{window.encode().hex()}"'
    if etag in parse_etags(request.headers.get("If-None-Match", "")):
        response = HttpResponse(status=304)
    else:
        response = HttpResponse(_jpeg(row, frame, window, max(size, 1)), content_type="image/jpeg")
    response["ETag"] = etag
    response["Cache-Control"] = "private, no-cache"
    return response


def _jpeg(row: TeachingImage, frame: int, window: str, size: int) -> bytes:
    try:
        with local_path(row.path) as path:
            picture = picture_of(path, frame, Window.parse(window))
    except (FileNotFoundError, NotShown) as error:
        log.error("teaching_copy_not_shown", image=row.pk, error=type(error).__name__)
        raise NotKnown(_("This picture cannot be shown.")) from error
    if max(picture.size) > size:
        picture.thumbnail((size, size), Image.Resampling.BILINEAR)
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=88)
    return target.getvalue()
