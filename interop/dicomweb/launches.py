"""A viewer outside this house comes with the launch that a person was given: one study, some minutes, reading only."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from interop.dicomweb.resources import not_known
from reporting.services.launch import MARK, Launch, read_launch_token
from ris.accounts.models import User

SCHEME = f"bearer {MARK}"
STUDY_KEYS = ("StudyInstanceUID", "0020000D")


class LaunchAuthentication(authentication.BaseAuthentication):
    """``Authorization: Bearer pcl_...``; stands before the other ways, which know no launches."""

    def authenticate(self, request: Request) -> tuple[User, Launch] | None:
        given = authentication.get_authorization_header(request).decode("latin-1")
        if not given.lower().startswith(SCHEME):
            return None
        launch = read_launch_token(given.partition(" ")[2].strip())
        if launch is None:
            raise exceptions.AuthenticationFailed(_("The launch is unknown or over. Open the study again."))
        return launch.user, launch

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="picha"'


def study_of_launch(request: Request, named: str) -> str:
    """The study that the address may name: with a launch, the launch's. Raises NotKnown for another one.

    A search that names no study in its address is answered within the launch's study.
    """
    launch: Any = request.auth
    if not isinstance(launch, Launch):
        return named
    asked = {named, *(request.query_params.get(key, "") for key in (*STUDY_KEYS, "studyUID"))} - {""}
    if asked - {launch.study_instance_uid}:
        raise not_known()
    return launch.study_instance_uid
