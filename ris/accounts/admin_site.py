"""The admin's front door: the house's own sign-in, everybody who works here, refusals and look-ups recorded."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from ris.accounts.actors import actor_of
from ris.accounts.web import SIGN_IN
from ris.audit.models import Action
from ris.audit.service import record_read, refused
from ris.core.errors import NotPermitted


class AuditedAutocomplete(AutocompleteJsonView):
    """What a look-up shows is a read of patients like any other; what is typed travels in the body of a POST."""

    http_method_names: ClassVar[list[str]] = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self._shown: list[Any] = []
        request.GET = request.POST
        response = self.get(request, *args, **kwargs)
        patients = {patient for row in self._shown if (patient := getattr(row, "audit_patient", None)) is not None}
        code = getattr(self.model_admin, "view_code", "") or self.model_admin.opts.label_lower
        detail = {"rows": len(self._shown), "page": "look-up"}
        record_read(actor_of(request), code, patients=sorted(patients), detail=detail)
        return response

    def get_queryset(self) -> Any:
        return super().get_queryset().prefetch_related(*getattr(self.model_admin.model, "picker_prefetch", ()))

    def serialize_result(self, obj: Any, to_field_name: str) -> dict[str, str]:
        """Patients and their exams are told apart by two identifiers: ``picker_text``."""
        self._shown.append(obj)
        row = super().serialize_result(obj, to_field_name)
        return {**row, "text": getattr(obj, "picker_text", row["text"])}


class FacilityAdminSite(admin.AdminSite):
    site_header = "Picha"
    site_title = "Picha"
    index_title = _("Administration")
    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        return request.user.is_authenticated and bool(getattr(request.user, "is_staff", False))

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """There is one sign-in page; who is signed in and still not let in is told so."""
        if request.user.is_authenticated:
            refusal = NotPermitted("Programs do not enter the administration pages.")
            refused(actor_of(request), "admin.enter", Action.READ, refusal)
            raise refusal
        return HttpResponseRedirect(f"{SIGN_IN}?{urlencode({'next': request.GET.get('next', '/admin/')})}")

    def logout(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        from ris.accounts.web.views import sign_out

        return sign_out(request)

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return HttpResponseRedirect(reverse("profile"))

    def autocomplete_view(self, request: HttpRequest) -> HttpResponseBase:
        return AuditedAutocomplete.as_view(admin_site=self)(request)
