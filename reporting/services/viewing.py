"""What a person's viewer shows now, as the viewer itself tells it."""

from __future__ import annotations

from django.utils import timezone
from django.utils.translation import gettext as _

from reporting.models import ViewerContext
from reporting.services.locks import person
from ris.core.actor import Actor
from ris.core.errors import InvalidData
from ris.core.ids import is_valid_uid
from worklist.models import ImagingStudy
from worklist.permissions import VIEW_STUDY


def tell_viewer_study(study_instance_uid: str, *, actor: Actor) -> ViewerContext:
    """Empty when the viewer is closed. Like a heartbeat it leaves no audit row; opening the images has left one."""
    user = person(actor)
    actor.require(VIEW_STUDY)
    uid = study_instance_uid
    visible = ImagingStudy.objects.visible_to(actor)
    if uid and not (is_valid_uid(uid) and visible.filter(study_instance_uid=uid).exists()):
        raise InvalidData(_("There is no such study."), errors={"study": [_("There is no such study.")]})
    shown, _made = ViewerContext.objects.update_or_create(
        user=user, defaults={"study_instance_uid": uid, "told_at": timezone.now()}
    )
    return shown
