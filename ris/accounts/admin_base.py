"""The second door: Django's admin under our rights, our visibility, our services and our audit.

    @admin.register(Order)
    class OrderAdmin(FacilityModelAdmin):
        view_code, add_code, change_code = "orders.view_order", "orders.place_order", "orders.change_order"
        actions = [service_action(_("Cancel"), cancel_order, form=ReasonForm)]

        def service_create(self, cleaned, actor):
            return place_order(**cleaned, actor=actor)

Nothing is deleted or reverted here, status fields are read-only, names searched for stay out of the address.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from simple_history.admin import SimpleHistoryAdmin

from ris.accounts.actors import actor_of
from ris.audit.models import Action
from ris.audit.service import flush_refusals, record, record_read
from ris.core.actor import Actor
from ris.core.errors import DomainError
from ris.core.lifecycle import signed


def _link_where_one_may_go(self: helpers.AdminReadonlyField, remote_field: Any, remote_obj: Any) -> str:
    """A read-only row names another one: a link for who may open that, plain text for the others."""
    owner = self.model_admin.admin_site._registry.get(remote_field.model)
    request = getattr(self.form, "shown_to", None)
    if owner is None or request is None or not owner.has_view_permission(request, remote_obj):
        return str(remote_obj)
    return _plain_link(self, remote_field, remote_obj)


# Django links them all and lets the other page refuse.
_plain_link = helpers.AdminReadonlyField.get_admin_url
helpers.AdminReadonlyField.get_admin_url = _link_where_one_may_go

NEVER_TYPED = frozenset({"status", "status_changed_at", "life_cycle", "version", "uuid"})
SEARCH_MARK, TOKEN_VAR = "_search", "s"
KEPT_SEARCHES = 20


def patients_of(rows: Iterable[Any]) -> list[Any]:
    """The patients whose data these rows are, for the audit."""
    return sorted({patient for row in rows if (patient := getattr(row, "audit_patient", None)) is not None})


def visible(model: type[models.Model], actor: Actor) -> models.QuerySet:
    """What the actor may know of: ``visible_to`` where the model has it."""
    manager = model._default_manager
    if hasattr(manager, "visible_to"):
        return manager.visible_to(actor)
    return manager.all()


def sentences(refusal: DomainError) -> str:
    """What was asked, what was found, what to do; the fields' own messages after them."""
    parts = [refusal.asked, refusal.detail, refusal.todo]
    parts += [f"{field}: {message}" for field, message in refusal.errors.items()]
    return " ".join(str(part) for part in parts if part)


class FacilityChangeList(ChangeList):
    """Writes the token of a search into its links, never the words."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.search_token: str = getattr(request, "search_token", "")
        super().__init__(request, *args, **kwargs)

    def get_query_string(self, new_params: Any = None, remove: Any = None) -> str:
        found = self.filter_params
        if self.search_token and SEARCH_VAR in found:
            others = {name: value for name, value in found.items() if name != SEARCH_VAR}
            self.filter_params = {**others, TOKEN_VAR: [self.search_token]}
        try:
            return super().get_query_string(new_params, remove)
        finally:
            self.filter_params = found


class Picker(AutocompleteSelect):
    """Django's, which takes a key that was made up for a failure of the server."""

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        return super().optgroups(name, [key for key in value if str(key).isdecimal()], attr)


class RightsMixin:
    """Rights from our codes. An empty code means nobody."""

    view_code: ClassVar[str] = ""
    add_code: ClassVar[str] = ""
    change_code: ClassVar[str] = ""

    @staticmethod
    def _may(request: HttpRequest, code: str) -> bool:
        return bool(code) and actor_of(request).may(code)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.view_code) or self.has_change_permission(request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.add_code)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.change_code)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.is_authenticated and (self.has_view_permission(request) or self.has_add_permission(request))

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        model = db_field.remote_field.model
        kwargs.setdefault("queryset", visible(model, actor_of(request)))
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", Picker(db_field, self.admin_site, using=kwargs.get("using")))
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if field is not None and hasattr(model, "picker_text"):
            field.label_from_instance = lambda row: row.picker_text
        return field

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs.setdefault("queryset", visible(db_field.remote_field.model, actor_of(request)))
        return super().formfield_for_manytomany(db_field, request, **kwargs)


class FacilityInline(RightsMixin, admin.TabularInline):
    """Rows of another table on an object's page; read-only unless it names codes to add or change."""

    extra = 0
    can_delete = False
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        queryset = super().get_queryset(request)
        if hasattr(self.model._default_manager, "visible_to"):
            return queryset.filter(pk__in=visible(self.model, actor_of(request)).values("pk"))
        return queryset

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return (*super().get_readonly_fields(request, obj), *never_typed(self.model))


def never_typed(model: type[models.Model]) -> tuple[str, ...]:
    return tuple(field.name for field in model._meta.fields if field.name in NEVER_TYPED and field.editable)


class FacilityModelAdmin(RightsMixin, SimpleHistoryAdmin):
    """A table of the facility. Override ``service_create`` and ``service_change`` to let services do the saving."""

    list_per_page = 50
    show_full_result_count = False
    save_on_top = False
    #: services; take the form's cleaned data and the actor, answer the saved object
    service_create: Callable[..., models.Model] | None = None
    service_change: Callable[..., models.Model] | None = None

    def get_urls(self) -> list[Any]:
        if hasattr(self.model, "history"):
            return super().get_urls()
        return admin.ModelAdmin.get_urls(self)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return FacilityChangeList

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        queryset = visible(self.model, actor_of(request))
        ordering = self.get_ordering(request)
        return queryset.order_by(*ordering) if ordering else queryset

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return (*super().get_readonly_fields(request, obj), *never_typed(self.model))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actor = actor_of(request)
        return {
            name: entry
            for name, entry in actions.items()
            if not (code := getattr(entry[0], "permission_code", "")) or actor.may(code)
        }

    # --- saving

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """A refusal of the service comes back on the form, with everything that was typed."""
        try:
            response = super().changeform_view(request, object_id, form_url, extra_context)
        except DomainError as refusal:
            flush_refusals()
            request.refusal = refusal
            response = super().changeform_view(request, object_id, form_url, extra_context)
            response.status_code = refusal.http_status
            return response
        original = getattr(response, "context_data", None) and response.context_data.get("original")
        if request.method == "GET" and original is not None:
            record_read(actor_of(request), self.view_code or self.change_code, entity=original)
        return response

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm]:
        base = super().get_form(request, obj, change=change, **kwargs)
        refusal: DomainError | None = getattr(request, "refusal", None)
        if refusal is None:
            return base

        class RefusedForm(base):  # type: ignore[valid-type]  # the form of whichever table it is
            def is_valid(self) -> bool:
                super().is_valid()
                self.add_error(None, sentences(refusal))
                return False

        return RefusedForm

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm, change: bool) -> None:
        actor = actor_of(request)
        service = self.service_change if change else self.service_create
        if service is not None:
            saved = service(obj, form.cleaned_data, actor) if change else service(form.cleaned_data, actor)
            obj.__dict__.update(saved.__dict__)
            request.saved_by_service = True
            return
        code = self.change_code if change else self.add_code
        actor.require(code)
        reason = _("Changed in the administration") if change else _("Created in the administration")
        if hasattr(obj, "save_as"):
            obj.save_as(actor, reason)
        else:
            obj._history_user = actor.user
            obj._change_reason = signed(reason, actor)
            obj.save()
        record(actor, code, Action.UPDATE if change else Action.CREATE, entity=obj)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        forms_shown = [context["adminform"].form]
        for inline in context["inline_admin_formsets"]:
            forms_shown += [*inline.formset.forms, inline.formset.empty_form]
        for form in forms_shown:
            form.shown_to = request
        return super().render_change_form(request, context, *args, **kwargs)

    def save_related(self, request: HttpRequest, form: forms.ModelForm, formsets: Any, change: bool) -> None:
        if getattr(request, "saved_by_service", False):
            for formset in formsets:
                self.save_formset(request, form, formset, change=change)
            return
        super().save_related(request, form, formsets, change)

    def save_formset(self, request: HttpRequest, form: forms.ModelForm, formset: Any, change: bool) -> None:
        """Inline rows are signed like any other."""
        actor = actor_of(request)
        for row in formset.save(commit=False):
            is_new = row.pk is None
            if hasattr(row, "save_as"):
                row.save_as(actor, _("Changed in the administration"))
            else:
                row._history_user = actor.user
                row.save()
            record(actor, self.change_code, Action.CREATE if is_new else Action.UPDATE, entity=row)
        formset.save_m2m()

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """History and audit tell it; a third record would ignore who may see what."""

    log_change = log_addition

    # --- reading

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if request.method == "POST" and SEARCH_MARK in request.POST:
            return self._remember_search(request)
        self._recall_search(request)
        response = super().changelist_view(request, extra_context)
        changelist = getattr(response, "context_data", None) and response.context_data.get("cl")
        if changelist is not None:
            rows = list(changelist.result_list)
            code = self.view_code or self.change_code
            record_read(actor_of(request), code, patients=patients_of(rows), detail={"rows": len(rows)})
        return response

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        if not hasattr(self.model, "history"):
            return admin.ModelAdmin.history_view(self, request, object_id, extra_context)
        obj = self.get_object(request, object_id)
        if obj is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        response = super().history_view(request, object_id, extra_context)
        record_read(actor_of(request), self.view_code or self.change_code, entity=obj, detail={"page": "history"})
        return response

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """An earlier version, to be read; of what the actor may see now."""
        obj = self.get_object(request, object_id)
        if obj is None or request.method != "GET":
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        record_read(actor_of(request), self.view_code or self.change_code, entity=obj, detail={"page": "version"})
        return super().history_form_view(request, object_id, version_id, extra_context)

    def revert_disabled(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def get_preserved_filters(self, request: HttpRequest) -> str:
        original = getattr(request, "original_query", None)
        if original is None:
            return super().get_preserved_filters(request)
        found, request.GET = request.GET, original
        try:
            return super().get_preserved_filters(request)
        finally:
            request.GET = found

    def _remember_search(self, request: HttpRequest) -> HttpResponse:
        """Keep the words in the session, send the browser to a token."""
        query = request.GET.copy()
        for name in (SEARCH_VAR, TOKEN_VAR, "p"):
            query.pop(name, None)
        words = request.POST.get(SEARCH_VAR, "").strip()
        if words:
            token = secrets.token_urlsafe(8)
            kept = dict(list(request.session.get("searches", {}).items())[1 - KEPT_SEARCHES :])
            request.session["searches"] = {**kept, token: words[:200]}
            query[TOKEN_VAR] = token
        return HttpResponseRedirect(f"{request.path}?{query.urlencode()}")

    @staticmethod
    def _recall_search(request: HttpRequest) -> None:
        token = request.GET.get(TOKEN_VAR)
        if token is None:
            return
        request.original_query = request.GET
        query = request.GET.copy()
        del query[TOKEN_VAR]
        words = request.session.get("searches", {}).get(token)
        if words:
            query[SEARCH_VAR] = words
            request.search_token = token
        request.GET = query


class ReadOnlyAdmin(FacilityModelAdmin):
    """A table that people look at and only the system writes."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReasonForm(forms.Form):
    """For services that ask why."""

    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=200, widget=forms.Textarea(attrs={"rows": 2}))


def service_action(
    label: Any,
    service: Callable[..., Any],
    *,
    form: type[forms.Form] | None = None,
    permission: str = "",
    **fixed: Any,
) -> Callable[..., HttpResponse | None]:
    """An admin action that calls ``service(obj, actor=..., **form's data, **fixed)`` for each chosen object.

    Each object has its own transaction; what is refused is shown, the others are done. With a form, a page asks first.
    """

    def action(modeladmin: Any, request: HttpRequest, queryset: models.QuerySet) -> HttpResponse | None:
        data: dict[str, Any] = {}
        if form is not None:
            bound = form(request.POST) if "_confirmed" in request.POST else form()
            if not (bound.is_bound and bound.is_valid()):
                return _ask(modeladmin, request, queryset, bound, label, action.__name__)
            data = bound.cleaned_data
        done = 0
        for obj in queryset:
            try:
                with transaction.atomic():
                    service(obj, actor=actor_of(request), **data, **fixed)
                done += 1
            except DomainError as refusal:
                modeladmin.message_user(request, f"{obj}: {sentences(refusal)}", messages.ERROR)
        flush_refusals()
        if done:
            modeladmin.message_user(request, _("%(label)s: done for %(count)d.") % {"label": label, "count": done})
        return None

    action.__name__ = f"do_{getattr(service, '__name__', 'service')}" + "".join(f"_{value}" for value in fixed.values())
    action.short_description = label
    action.permission_code = permission or getattr(service, "permission", "")
    return action


def _ask(
    modeladmin: Any, request: HttpRequest, queryset: models.QuerySet, form: forms.Form, label: Any, name: str
) -> HttpResponse:
    context = {
        **modeladmin.admin_site.each_context(request),
        "title": label,
        "opts": modeladmin.opts,
        "form": form,
        "objects": list(queryset),
        "action_name": name,
        "media": modeladmin.media + form.media,
    }
    return TemplateResponse(request, "accounts/admin_action.html", context)
