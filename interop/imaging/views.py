"""Pictures of stored objects for the pages: a frame as PNG, and a study with all its series."""

from __future__ import annotations

import contextlib
import os
import uuid

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import parse_etags
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from interop.dicom.store import instance_path
from interop.imaging.panels import viewer_context
from interop.imaging.render import render_frame
from interop.imaging.selectors import note_view, visible_instance
from ris.accounts.web import ActorRequest, page
from ris.core.errors import NotKnown
from worklist.models import ImagingInstance, ImagingStudy
from worklist.permissions import REJECT_IMAGES, VIEW_STUDY
from worklist.selectors.rejections import rejections
from worklist.services import restore_images

THUMBNAIL, LARGEST = 128, 4096


@page(VIEW_STUDY)
def instance_image(request: ActorRequest, uid: str, frame: int) -> HttpResponse:
    """``?window=`` a preset or centre,width; ``?size=`` longest edge. The browser asks each time whether it changed."""
    instance = visible_instance(uid, actor=request.actor)
    note_view(instance.series.study, actor=request.actor)
    return drawn(request, instance, frame)


def drawn(request: HttpRequest, instance: ImagingInstance, frame: int) -> HttpResponse:
    """A frame as PNG, in the window and size that the address asks for."""
    window, size = request.GET.get("window", "")[:40], _size(request.GET.get("size", ""))
    etag = f'"{instance.pk}-{instance.fingerprint[:20]}-{frame}-{size}-{window.encode().hex()}"'
    if etag in parse_etags(request.headers.get("If-None-Match", "")):
        response = HttpResponse(status=304)
    else:
        response = HttpResponse(_picture(instance, frame, window, size), content_type="image/png")
    response["ETag"] = etag
    response["Cache-Control"] = "private, no-cache"
    return response


def _size(text: str) -> int:
    return min(int(text), LARGEST) if text.isdecimal() and len(text) < 6 else 0


def _picture(instance: ImagingInstance, frame: int, window: str, size: int) -> bytes:
    """A thumbnail is kept in the facility's store; everything else is drawn anew."""
    if size != THUMBNAIL or window:
        return render_frame(instance, frame, window, size)
    path = instance_path(f"thumbnails/{instance.pk % 100:02}/{instance.pk}-{instance.fingerprint[:8]}-{frame}.png")
    with contextlib.suppress(OSError):
        return path.read_bytes()
    picture = render_frame(instance, frame, size=size)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        temporary = path.with_suffix(f".{uuid.uuid4().hex}")
        temporary.write_bytes(picture)
        os.replace(temporary, path)
    return picture


@page(VIEW_STUDY)
def study_images(request: HttpRequest, study: uuid.UUID) -> HttpResponse:
    """All series of one study on a page of their own."""
    actor = request.actor
    found = ImagingStudy.objects.visible_to(actor).filter(uuid=study).first()
    if found is None:
        raise NotKnown(_("There is no such study."))
    procedure = found.procedures.select_related("order__patient").order_by("pk").first()
    patient = procedure.order.patient if procedure else None
    context = {
        **(viewer_context([found], actor) or {}),
        "study": found,
        "patient": patient,
        "image_is_alone": True,
        "rejections": list(rejections(actor=actor).filter(study=found)),
        "may_restore": actor.may(REJECT_IMAGES),
        "restore_form": RestoreForm(),
    }
    return render(request, "interop/images.html", context)


class RestoreForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("Why are they in use again?"), max_length=200)


@require_POST
@page(REJECT_IMAGES)
def rejection_restore(request: ActorRequest, rejection: uuid.UUID) -> HttpResponse:
    """Images that a person or a rejection note took out of use are shown and counted again."""
    row = rejections(actor=request.actor).filter(uuid=rejection).first()
    if row is None:
        raise NotKnown(_("There is no such rejection."))
    restore_images(row, reason=request.POST.get("reason", ""), actor=request.actor)
    messages.success(request, _("The images are in use again."))
    return redirect("study_images", row.study.uuid)
