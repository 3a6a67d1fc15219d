"""Pages: who may see one, and who is asking.

    @page("orders.view_patient")
    def patient(request, uuid):
        record_read(request.actor, "orders.view_patient", entity=...)

Nobody signed in goes to /sign-in/ and comes back; who lacks the right gets 403, which is recorded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.views.generic import View

from ris.accounts.actors import actor_of, stranger
from ris.audit.models import Action
from ris.audit.service import refused
from ris.core.actor import Actor
from ris.core.errors import NotPermitted

ViewFunction = Callable[..., HttpResponse]
Codes = str | tuple[str, ...] | None

SIGN_IN = "/sign-in/"
READS = {"GET", "HEAD", "OPTIONS"}


class ActorRequest(HttpRequest):
    """A request that has passed ``page``."""

    actor: Actor


def page(permission: Codes = None) -> Callable[[ViewFunction], ViewFunction]:
    """Let a view be seen by who holds the right (one code, any of several, or None for everybody signed in)."""

    def decorate(view: ViewFunction) -> ViewFunction:
        @functools.wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            answer = admit(request, permission)
            return answer if answer is not None else view(request, *args, **kwargs)

        wrapper.permission = permission
        return wrapper

    return decorate


class PageView(View):
    """The same for class-based pages: ``permission`` on the class."""

    permission: Codes = None
    request: ActorRequest

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        answer = admit(request, self.permission)
        return answer if answer is not None else super().dispatch(request, *args, **kwargs)

    @property
    def actor(self) -> Actor:
        return self.request.actor


def admit(request: HttpRequest, permission: Codes) -> HttpResponse | None:
    """Set ``request.actor``; None lets the request pass. Raises NotPermitted, after recording it."""
    if not request.user.is_authenticated:
        return to_sign_in(request)
    actor = actor_of(request)
    request.actor = actor
    codes = (permission,) if isinstance(permission, str) else permission or ()
    if codes and not any(actor.may(code) for code in codes):
        action = Action.READ if request.method in READS else Action.EXECUTE
        refusal = NotPermitted(
            _("You do not hold the right for this page."),
            asked=_("A page that needs the right %(code)s.") % {"code": codes[0]},
            found=_("None of your roles holds it."),
            todo=_("Ask your administrator, or let a colleague who holds it do it."),
        )
        refused(actor, codes[0], action, refusal)
        raise refusal
    return None


def to_sign_in(request: HttpRequest) -> HttpResponse:
    """To /sign-in/ and back to the page (its path only when it was read); a fragment is told to go there."""
    next_path = request.get_full_path() if request.method in READS else ""
    fragment = request.headers.get("HX-Request") == "true"
    if fragment:
        next_path = request.headers.get("HX-Current-URL", "").partition(request.get_host())[2]
    target = SIGN_IN + (f"?{urlencode({'next': next_path})}" if next_path and next_path != "/" else "")
    if fragment:
        refused(stranger(request), f"page:{request.path}"[:100], Action.READ, NotPermitted("not signed in"))
        return HttpResponse(status=401, headers={"HX-Redirect": target})
    return HttpResponseRedirect(target)
