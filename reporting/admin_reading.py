"""The reading list in the administration: report times, groups, readers; places on the list with their actions."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from orders.models import Modality, PatientClass, Priority
from reporting import permissions as perms
from reporting import services
from reporting.models import (
    ReaderProfile,
    ReadingGroup,
    ReadingItem,
    ReadingReturn,
    Report,
    ReturnReason,
    SavedList,
    SlaTarget,
)
from reporting.selectors.reading_filters import ReadingFilter
from reporting.services.reading_groups import set_group, set_reader
from ris.accounts.admin_base import FacilityModelAdmin, ReadOnlyAdmin, service_action
from ris.accounts.models import User
from ris.accounts.selectors import users_with_role
from ris.core.actor import Actor
from ris.core.permissions import READERS


@admin.register(SlaTarget)
class SlaTargetAdmin(FacilityModelAdmin):
    view_code = add_code = change_code = perms.MANAGE_READING
    list_display = ("priority", "patient_class", "modality", "minutes", "is_active")
    list_filter = ("is_active", "priority", "patient_class")
    fields = ("priority", "patient_class", "modality", "minutes", "is_active")

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> SlaTarget:
        return services.set_sla_target(**cleaned, actor=actor)

    def service_change(self, obj: SlaTarget, cleaned: dict[str, Any], actor: Actor) -> SlaTarget:
        return services.set_sla_target(obj, **cleaned, actor=actor)


def _several(label: Any, choices: Any) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label, choices=choices, required=False, widget=forms.CheckboxSelectMultiple, help_text=_("None: all.")
    )


class ReadingGroupForm(forms.ModelForm):
    modalities = _several(_("modalities"), Modality.choices)
    priorities = _several(_("priorities"), Priority.choices)
    patient_classes = _several(_("patient classes"), PatientClass.choices)

    class Meta:
        model = ReadingGroup
        fields = (
            "code", "name", "position", "site", "modalities", "body_regions", "priorities", "patient_classes",
            "children_only", "catalogue", "members", "assigns", "is_active",
        )  # fmt: skip


@admin.register(ReadingGroup)
class ReadingGroupAdmin(FacilityModelAdmin):
    view_code = add_code = change_code = perms.MANAGE_READING
    form = ReadingGroupForm
    list_display = ("name", "code", "position", "assigns", "is_active")
    search_fields = ("name", "code")
    filter_horizontal = ("catalogue", "members")

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "members":
            kwargs["queryset"] = users_with_role(*READERS)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> ReadingGroup:
        return set_group(None, cleaned, actor=actor)

    def service_change(self, obj: ReadingGroup, cleaned: dict[str, Any], actor: Actor) -> ReadingGroup:
        return set_group(obj, cleaned, actor=actor)


@admin.register(ReaderProfile)
class ReaderProfileAdmin(FacilityModelAdmin):
    view_code = add_code = change_code = perms.MANAGE_READING
    list_display = ("user", "most_at_once")
    list_select_related = ("user",)
    fields = ("user", "most_at_once")

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> ReaderProfile:
        return set_reader(cleaned["user"], most_at_once=cleaned["most_at_once"], actor=actor)

    def service_change(self, obj: ReaderProfile, cleaned: dict[str, Any], actor: Actor) -> ReaderProfile:
        return set_reader(cleaned["user"], most_at_once=cleaned["most_at_once"], actor=actor)


class WhomForm(forms.Form):
    to = forms.ModelChoiceField(label=_("Reader"), queryset=User.objects.none(), required=False)
    group = forms.ModelChoiceField(label=_("or group"), queryset=ReadingGroup.objects.none(), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["to"].queryset = users_with_role(*READERS).order_by("family_name", "given_name")
        self.fields["group"].queryset = ReadingGroup.objects.filter(is_active=True)


class BackForm(forms.Form):
    reason = forms.ChoiceField(label=_("Reason"), choices=ReturnReason.choices)
    text = forms.CharField(label=_("What is to be done"), max_length=400, widget=forms.Textarea(attrs={"rows": 2}))


def assign_place(item: ReadingItem, *, actor: Actor, **whom: Any) -> None:
    services.assign_exam(item.procedure, **whom, actor=actor)


def claim_place(item: ReadingItem, *, actor: Actor) -> None:
    services.claim_exam(item.procedure, actor=actor)


def release_place(item: ReadingItem, *, actor: Actor) -> None:
    services.release_exam(item.procedure, actor=actor)


def send_place_back(item: ReadingItem, *, reason: str, text: str, actor: Actor) -> None:
    services.send_back(item.procedure, reason=reason, text=text, actor=actor)


def open_place(item: ReadingItem, *, actor: Actor) -> Report:
    return services.open_report([item.procedure], actor=actor)


@admin.register(ReadingItem)
class ReadingItemAdmin(ReadOnlyAdmin):
    """Due first, as on the page; opened, claimed, assigned and sent back from here as well."""

    view_code = perms.VIEW_READING_LIST
    list_display = ("due_at", "procedure", "group", "assigned_to", "breached_at")
    list_filter = ("procedure__status", "group", "procedure__modality", "procedure__order__priority")
    list_select_related = ("procedure__order__patient", "group", "assigned_to")
    search_fields = ("procedure__accession_number", "procedure__description")
    ordering = ("due_at", "pk")
    actions = (
        service_action(_("Read"), open_place, permission=perms.CLAIM_PROCEDURE),
        service_action(_("Claim"), claim_place, permission=perms.CLAIM_PROCEDURE),
        service_action(_("Release"), release_place, permission=perms.CLAIM_PROCEDURE),
        service_action(_("Assign"), assign_place, form=WhomForm, permission=perms.ASSIGN_READING),
        service_action(_("Send back"), send_place_back, form=BackForm, permission=perms.SEND_BACK),
    )


@admin.register(ReadingReturn)
class ReadingReturnAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_READING_LIST
    list_display = ("sent_at", "procedure", "reason", "text", "sent_by", "closed_at")
    list_filter = ("reason",)
    list_select_related = ("procedure__order__patient", "sent_by")


class SavedListForm(forms.ModelForm):
    class Meta:
        model = SavedList
        fields = ("name", "query")

    def clean_query(self) -> dict[str, Any]:
        return ReadingFilter.from_query(self.cleaned_data["query"] or {}).as_query()


class ShareForm(forms.Form):
    is_shared = forms.BooleanField(label=_("Others see it"), required=False)
    role = forms.ChoiceField(
        label=_("Only those of the role"), required=False, choices=[("", "–"), *((name, name) for name in READERS)]
    )


@admin.register(SavedList)
class SavedListAdmin(FacilityModelAdmin):
    """Lists of the reading room: one's own and those that others share."""

    view_code = add_code = change_code = perms.VIEW_READING_LIST
    form = SavedListForm
    list_display = ("name", "owner", "is_shared", "role", "position")
    list_select_related = ("owner",)
    actions = (
        service_action(_("Share"), services.share_list, form=ShareForm),
        service_action(_("Move up"), services.move_list, up=True),
        service_action(_("Move down"), services.move_list, up=False),
        service_action(_("Remove"), services.remove_list),
    )

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> SavedList:
        filters = ReadingFilter.from_query(cleaned["query"])
        return services.save_list(name=cleaned["name"], filters=filters, actor=actor)

    def service_change(self, obj: SavedList, cleaned: dict[str, Any], actor: Actor) -> SavedList:
        filters = ReadingFilter.from_query(cleaned["query"])
        return services.change_list(obj, name=cleaned["name"], filters=filters, actor=actor)
