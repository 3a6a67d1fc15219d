"""Short-lived signed launches of viewers outside this house: one study, one person, minutes, one facility.

The token is a bearer credential that ``/dicomweb/`` accepts for that study alone. It holds no name and no number of a
patient, is worth nothing in another facility, and ends early when its person is switched off or may no longer see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from django.utils import timezone
from django.utils.translation import gettext as _

from orders.querysets import VIEW_PATIENT
from reporting.models import ExternalViewer, ViewerLaunch
from reporting.permissions import MANAGE_VIEWERS
from reporting.services.locks import person
from ris.accounts.models import User
from ris.audit.models import Action
from ris.audit.service import record, service
from ris.core.actor import Actor
from ris.core.errors import InvalidData, NotKnown
from ris.tenants import signing
from worklist.models import ImagingStudy
from worklist.permissions import VIEW_STUDY

MARK = "pcl_"
SALT = "viewer-launch"
LONGEST_MINUTES = 120
SAMPLE = {"study_uid": "1.2.826.0.1.3680043.10.543.1", "accession": "SAMPLE-1", "token": "pcl_sample"}


@dataclass(frozen=True)
class Launch:
    """What a token says: whose it is, which study it opens, until when. It is the credential of its requests."""

    user: User
    study_instance_uid: str
    expires_at: datetime

    #: A token reaches no further than these rights, whatever its person holds besides.
    scopes = (VIEW_STUDY, VIEW_PATIENT)


@dataclass(frozen=True)
class Launched:
    """An address that opens a study elsewhere."""

    viewer: ExternalViewer
    study: ImagingStudy
    url: str
    token: str
    expires_at: datetime


def new_launch_token(
    study: ImagingStudy, *, user: User, minutes: int, viewer: ExternalViewer | None = None
) -> tuple[str, datetime]:
    """The token of a launch that is kept, so that it can be revoked."""
    expires_at = timezone.now() + timedelta(minutes=minutes)
    launch = ViewerLaunch.objects.create(viewer=viewer, user=user, study=study, expires_at=expires_at)
    value = {"s": study.study_instance_uid, "i": launch.uuid.hex}
    return MARK + signing.dumps(value, salt=SALT), expires_at


def read_launch_token(token: str) -> Launch | None:
    """None for what is forged, too old, revoked, another facility's, or of somebody who may not sign in any more."""
    if not token.startswith(MARK):
        return None
    try:
        value = signing.loads(token[len(MARK) :], salt=SALT, max_age=LONGEST_MINUTES * 60)
    except signing.BadSignature:
        return None
    rows = ViewerLaunch.objects.live().select_related("user")
    launch = rows.filter(uuid=value["i"], user__is_active=True).first()
    return Launch(launch.user, value["s"], launch.expires_at) if launch is not None else None


@service(VIEW_STUDY, action=Action.UPDATE)
def revoke_launch(launch: ViewerLaunch, *, actor: Actor) -> ViewerLaunch:
    """It opens nothing from now on. One's own, or anybody's for who looks after the links."""
    user = person(actor)
    launch = ViewerLaunch.objects.select_for_update(of=("self",)).get(pk=launch.pk)
    if launch.user_id != user.pk:
        actor.require(MANAGE_VIEWERS)
    if launch.revoked_at is None:
        launch.revoked_at, launch.revoked_by = timezone.now(), user
        launch.save()
    return launch


def expanded(template: str, **values: str) -> str:
    """The address with its placeholders filled, each value escaped. What stands in a value is never a placeholder."""
    pieces = template.replace("}", "{").split("{")
    return "".join(quote(values[piece], safe="") if at % 2 else piece for at, piece in enumerate(pieces))


@service(VIEW_STUDY, action=Action.EXECUTE)
def launch_study(study: ImagingStudy, *, viewer: ExternalViewer, actor: Actor) -> Launched:
    """An address for ``actor`` to open ``study`` with, once and for some minutes. Raises NotKnown, InvalidData."""
    user = person(actor)
    if not ImagingStudy.objects.visible_to(actor).filter(pk=study.pk).exists():
        raise NotKnown(_("There is no such study."))
    if not viewer.is_active:
        raise InvalidData(
            _("This viewer link is switched off."),
            asked=_("To open images in %(name)s.") % {"name": viewer.name},
            found=_("The link is switched off in this facility."),
            todo=_("Use the viewer of this page, or ask your administrator to switch the link on."),
        )
    token, expires_at = new_launch_token(study, user=user, minutes=viewer.minutes, viewer=viewer)
    procedure = study.procedures.order_by("pk").first()
    accession = procedure.accession_number if procedure else study.accession_number
    url = expanded(viewer.url_template, study_uid=study.study_instance_uid, accession=accession, token=token)
    record(
        actor, "reporting.viewer_launched", Action.EXECUTE, entity=study, detail={"viewer": viewer.name},
    )  # fmt: skip
    return Launched(viewer, study, url, token, expires_at)


def sample_link(viewer: ExternalViewer) -> str:
    """What the link looks like, with values that open nothing."""
    return expanded(viewer.url_template, **SAMPLE)


@service(MANAGE_VIEWERS)
def save_external_viewer(viewer: ExternalViewer, *, actor: Actor) -> ExternalViewer:
    viewer.full_clean()
    viewer.save_as(actor, "Viewer link saved")
    return viewer
