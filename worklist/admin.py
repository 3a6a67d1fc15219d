"""The schedule, exams and images in the administration. Booking and every transition go through the services."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from orders.models import Laterality, Order, RequestedProcedure, Sex
from orders.selectors import patient_by_identifier, procedures
from ris.accounts.actors import actor_of
from ris.accounts.admin_base import (
    FacilityInline,
    FacilityModelAdmin,
    ReadOnlyAdmin,
    ReasonForm,
    service_action,
    visible,
)
from ris.audit.models import Action
from ris.audit.service import record
from ris.core.actor import Actor
from ris.core.errors import NotKnown
from worklist import (  # noqa: F401  others register themselves
    admin_arrivals,
    admin_console,
    admin_planning,
    admin_reconciliation,
    admin_rejections,
    services,
)
from worklist import permissions as perms
from worklist.codes import IDENTIFIED_BY, TIME_OUT_CHECKS, WORDS_OF_DISCONTINUATION
from worklist.models import (
    ExceptionItem,
    ImagingInstance,
    ImagingSeries,
    ImagingStudy,
    OpeningHours,
    PerformedProcedureStep,
    Question,
    Questionnaire,
    QuestionnaireAssignment,
    Reservation,
    ReservationKind,
    Room,
    RoomCapability,
    ScheduledProcedureStep,
    ScreeningAnswer,
    Station,
)
from worklist.services.questionnaires import is_answered
from worklist.services.rooms import refresh_station
from worklist.services.steps import BOOKABLE

#: What searches look through; names and identifiers travel by POST (see ris.accounts.admin_base).
PATIENT_SEARCH = (
    "procedure__accession_number",
    "procedure__order__patient__family_name",
    "procedure__order__patient__given_name",
    "procedure__order__patient__identifiers__value",
)


# --- rooms and stations


class StationInline(FacilityInline):
    model = Station
    view_code = perms.VIEW_ROOM
    fields = ("ae_title", "name", "modality", "is_active")
    readonly_fields = fields


class OpeningHoursInline(FacilityInline):
    model = OpeningHours
    view_code = perms.VIEW_ROOM
    add_code = change_code = perms.MANAGE_ROOMS
    can_delete = True

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj)


class RoomCapabilityInline(FacilityInline):
    model = RoomCapability
    view_code = perms.VIEW_ROOM
    add_code = change_code = perms.MANAGE_ROOMS
    autocomplete_fields = ("catalogue",)


@admin.register(Room)
class RoomAdmin(FacilityModelAdmin):
    view_code = perms.VIEW_ROOM
    add_code = change_code = perms.MANAGE_ROOMS
    list_display = ("code", "name", "site", "is_active")
    list_filter = ("is_active", "site")
    search_fields = ("code", "name")
    inlines = (StationInline, OpeningHoursInline, RoomCapabilityInline)

    def save_formset(self, request: HttpRequest, form: forms.ModelForm, formset: Any, change: bool) -> None:
        """Hours that are ticked off go; nothing else of a room does."""
        super().save_formset(request, form, formset, change)
        for row in formset.deleted_objects:
            row.delete()
            record(actor_of(request), perms.MANAGE_ROOMS, Action.DELETE, entity=form.instance)


@admin.register(Station)
class StationAdmin(FacilityModelAdmin):
    view_code = perms.VIEW_ROOM
    add_code = change_code = perms.MANAGE_ROOMS
    list_display = ("ae_title", "name", "modality", "room", "is_active")
    list_filter = ("modality", "is_active", "room")
    search_fields = ("ae_title", "name", "manufacturer", "model_name")

    def save_model(self, request: HttpRequest, obj: Station, form: forms.ModelForm, change: bool) -> None:
        """Worklist items that name the station say at once what it is called now."""
        super().save_model(request, obj, form, change)
        refresh_station(obj, actor_of(request))


# --- appointments


class AppointmentForm(forms.ModelForm):
    """Booking, and moving what is booked. The room is the station's."""

    duration_minutes = forms.IntegerField(label=_("Minutes"), min_value=1, max_value=720, required=False)

    class Meta:
        model = Reservation
        fields = ("procedure", "station", "starts_at", "technologist", "is_overbooked", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("procedure", "station"):
            if name in self.fields:
                self.fields[name].required = True
        if self.instance.pk and "duration_minutes" in self.fields:
            self.fields["duration_minutes"].initial = self.instance.duration_minutes

    def _get_validation_exclusions(self) -> set[str]:
        """The service checks: room, end and overlap are its to know."""
        return {field.name for field in self._meta.model._meta.fields}

    def validate_constraints(self) -> None:
        """The database refuses; the service explains."""


def arrive_appointment(appointment: Reservation, *, actor: Actor) -> Any:
    return services.arrive_patient(appointment.procedure, actor=actor)


def note_no_show(appointment: Reservation, *, actor: Actor) -> Any:
    return services.mark_no_show(appointment.procedure, actor=actor)


@admin.register(Reservation)
class ReservationAdmin(FacilityModelAdmin):
    view_code = perms.VIEW_SCHEDULE
    add_code = change_code = perms.BOOK_APPOINTMENT
    form = AppointmentForm
    list_display = ("starts_at", "ends_at", "room", "station", "procedure", "kind", "status", "is_overbooked")
    list_filter = ("status", "kind", "room", ("starts_at", admin.DateFieldListFilter))
    list_select_related = ("room", "station", "procedure")
    search_fields = PATIENT_SEARCH
    date_hierarchy = "starts_at"
    autocomplete_fields = ("procedure",)
    actions = (
        service_action(_("The patient has arrived"), arrive_appointment, permission=perms.ARRIVE_PATIENT),
        service_action(_("The patient did not come"), note_no_show, permission=perms.ARRIVE_PATIENT),
        service_action(_("Cancel"), services.cancel_appointment, form=ReasonForm),
        service_action(_("Let a held time go"), services.release_hold),
        service_action(_("Open blocked time"), services.unblock_room),
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fields = ["procedure", "station", "starts_at", "duration_minutes", "technologist", "is_overbooked", "reason"]
        return fields if obj is None else [*fields, "room", "ends_at", "kind", "status", "held_by"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fixed = super().get_readonly_fields(request, obj)
        return fixed if obj is None else (*fixed, "procedure", "room", "ends_at", "kind", "status", "held_by")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What is over, held or blocked is looked at; its own actions move it."""
        if obj is not None and (obj.kind != ReservationKind.APPOINTMENT or obj.status not in ("booked", "arrived")):
            return False
        return super().has_change_permission(request, obj)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "procedure":
            rows = visible(RequestedProcedure, actor_of(request)).filter(status__in=BOOKABLE)
            kwargs["queryset"] = rows
        if db_field.name == "station":
            kwargs["queryset"] = Station.objects.filter(is_active=True)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def service_create(self, data: dict[str, Any], actor: Actor) -> Reservation:
        return services.book_appointment(data["procedure"], **_wish(data), actor=actor)

    def service_change(self, appointment: Reservation, data: dict[str, Any], actor: Actor) -> Reservation:
        stored = Reservation.objects.get(pk=appointment.pk)
        return services.reschedule_appointment(stored, **_wish(data), actor=actor)


def _wish(data: dict[str, Any]) -> dict[str, Any]:
    return {
        "station": data["station"],
        "starts_at": data["starts_at"],
        "duration_minutes": data.get("duration_minutes"),
        "technologist": data.get("technologist"),
        "overbook": data.get("is_overbooked", False),
        "reason": data.get("reason", ""),
    }


# --- steps


class StopForm(forms.Form):
    code = forms.ChoiceField(label=_("Why is it stopped?"), choices=list(WORDS_OF_DISCONTINUATION.items()))


class TimeOutForm(forms.Form):
    identifiers = forms.MultipleChoiceField(
        label=_("Patient identified by (two)"), choices=list(IDENTIFIED_BY.items()), widget=forms.CheckboxSelectMultiple
    )
    checks = forms.MultipleChoiceField(
        label=_("Confirmed"), choices=list(TIME_OUT_CHECKS.items()), widget=forms.CheckboxSelectMultiple
    )


def note_time_out(step: ScheduledProcedureStep, *, identifiers: list[str], checks: list[str], actor: Actor) -> Any:
    return services.record_time_out(step.procedure, identifiers=identifiers, checks=checks, actor=actor)


def arrive_step(step: ScheduledProcedureStep, *, actor: Actor) -> Any:
    return services.arrive_patient(step.procedure, actor=actor)


def undo_arrival_of_step(step: ScheduledProcedureStep, *, actor: Actor) -> Any:
    return services.undo_arrival(step.procedure, actor=actor)


def note_no_show_of_step(step: ScheduledProcedureStep, *, actor: Actor) -> Any:
    return services.mark_no_show(step.procedure, actor=actor)


def start_step(step: ScheduledProcedureStep, *, actor: Actor) -> Any:
    return services.start_exam(step.procedure, needs_time_out=True, actor=actor)


def complete_step(step: ScheduledProcedureStep, *, actor: Actor) -> Any:
    return services.complete_exam(step.procedure, actor=actor)


def stop_step(step: ScheduledProcedureStep, *, code: str, actor: Actor) -> Any:
    return services.discontinue_exam(step.procedure, code=code, actor=actor)


@admin.register(ScheduledProcedureStep)
class ScheduledProcedureStepAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_STEP
    list_display = (
        "scheduled_procedure_step_id",
        "procedure",
        "station",
        "modality",
        "starts_at",
        "status",
        "is_blocked",
        "is_on_worklist",
    )
    list_filter = ("status", "modality", "station", "is_blocked", "is_on_worklist")
    list_select_related = ("procedure", "station")
    search_fields = ("scheduled_procedure_step_id", *PATIENT_SEARCH)
    exclude = ("item",)
    actions = (
        service_action(_("The patient has arrived"), arrive_step, permission=perms.ARRIVE_PATIENT),
        service_action(_("Undo the arrival"), undo_arrival_of_step, permission=perms.ARRIVE_PATIENT),
        service_action(_("The patient did not come"), note_no_show_of_step, permission=perms.ARRIVE_PATIENT),
        service_action(_("Time-out"), note_time_out, form=TimeOutForm, permission=perms.PERFORM_STEP),
        service_action(_("Start by hand"), start_step, permission=perms.PERFORM_STEP),
        service_action(_("Complete"), complete_step, permission=perms.PERFORM_STEP),
        service_action(_("Stop"), stop_step, form=StopForm, permission=perms.PERFORM_STEP),
        service_action(_("Take from the worklist"), services.cancel_step, form=ReasonForm),
    )


@admin.register(PerformedProcedureStep)
class PerformedProcedureStepAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_STEP
    list_display = ("performed_procedure_step_id", "station_ae_title", "modality", "started_at", "ended_at", "status")
    list_filter = ("status", "modality", "is_manual", "station")
    search_fields = (
        "performed_procedure_step_id",
        "sop_instance_uid",
        "accession_number",
        "patient_name",
        "patient_id",
    )


# --- safety questions


class QuestionInline(FacilityInline):
    model = Question
    view_code = perms.VIEW_ROOM
    add_code = change_code = perms.MANAGE_ROOMS
    fields = (
        "position",
        "key",
        "text",
        "text_sw",
        "kind",
        "unit",
        "is_required",
        "effect",
        "when_answer",
        "when_below",
        "when_above",
        "when_older_days",
    )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not (obj is not None and is_answered(obj)) and super().has_change_permission(request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not (obj is not None and is_answered(obj)) and super().has_add_permission(request, obj)


class AssignmentInline(FacilityInline):
    model = QuestionnaireAssignment
    view_code = perms.VIEW_ROOM
    add_code = change_code = perms.MANAGE_ROOMS
    autocomplete_fields = ("catalogue",)


@admin.register(Questionnaire)
class QuestionnaireAdmin(FacilityModelAdmin):
    view_code = perms.VIEW_ROOM
    add_code = change_code = perms.MANAGE_ROOMS
    list_display = ("name", "edition", "is_active", "override_by")
    list_filter = ("is_active",)
    search_fields = ("name",)
    inlines = (QuestionInline, AssignmentInline)
    actions = (
        service_action(_("Open the next edition"), services.open_edition),
        service_action(_("Publish this edition"), services.publish_edition),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """The next edition is opened and published by its actions; what was answered keeps its words."""
        fixed = super().get_readonly_fields(request, obj)
        if obj is None:
            return fixed
        answered = ("override_by", "name_sw") if is_answered(obj) else ()
        return (*fixed, "name", "edition", *answered)


@admin.register(ScreeningAnswer)
class ScreeningAnswerAdmin(admin_console.OfExamAdmin):
    list_display = (
        "procedure",
        "questionnaire",
        "effect",
        "answered_at",
        "answered_by",
        "overridden_by",
        "superseded_at",
    )
    list_filter = ("effect", "questionnaire")
    actions = (
        service_action(_("Allow the exam"), services.override_screening, form=ReasonForm),
        service_action(_("Allow the exam, as a technologist"), services.allow_screening, form=ReasonForm),
    )


# --- images


class LinkForm(forms.Form):
    accession_number = forms.CharField(label=_("Accession number"), max_length=16)
    reason = forms.CharField(label=_("How do you know?"), max_length=200)


def link_by_number(study: ImagingStudy, *, accession_number: str, reason: str, actor: Actor) -> ImagingStudy:
    """The exam of that number, as far as the actor may see it."""
    procedure = procedures(actor=actor).filter(accession_number=accession_number.strip()).first()
    if procedure is None:
        raise NotKnown(str(_("There is no exam of that accession number.")))
    return services.link_study(study, procedure=procedure, reason=reason, actor=actor)


class SeriesInline(FacilityInline):
    model = ImagingSeries
    view_code = perms.VIEW_STUDY
    fields = ("series_instance_uid", "modality", "number", "description", "body_part", "laterality", "instance_count")
    readonly_fields = fields
    show_change_link = False


@admin.register(ImagingStudy)
class ImagingStudyAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_STUDY
    list_display = (
        "study_instance_uid",
        "patient_name",
        "accession_number",
        "modalities",
        "series_count",
        "instance_count",
        "first_received_at",
        "completed_at",
    )
    list_filter = ("first_received_at",)
    search_fields = ("study_instance_uid", "accession_number", "patient_name", "patient_id")
    inlines = (SeriesInline,)
    actions = (
        service_action(_("Link to an exam"), link_by_number, form=LinkForm, permission=perms.RESOLVE_EXCEPTION),
        service_action(_("Take from its exams"), services.unlink_study, form=ReasonForm),
    )


@admin.register(ImagingInstance)
class ImagingInstanceAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_STUDY
    list_display = ("sop_instance_uid", "sop_class_uid", "number", "frames", "size", "received_from", "received_at")
    list_filter = ("received_from",)
    search_fields = ("sop_instance_uid", "series__series_instance_uid", "series__study__study_instance_uid")

    def get_queryset(self, request: HttpRequest) -> Any:
        studies = ImagingStudy.objects.visible_to(actor_of(request)).values("pk")
        return super().get_queryset(request).filter(series__study__in=studies)


class ResolveForm(forms.Form):
    resolution = forms.CharField(label=_("What was found out"), max_length=200)


class ExceptionOrderForm(forms.Form):
    code = forms.CharField(label=_("Exam"), max_length=16, help_text=_("Its code in the catalogue."))
    laterality = forms.ChoiceField(label=_("Side"), choices=[("", "–"), *Laterality.choices], required=False)
    indication = forms.CharField(label=_("Indication"), max_length=1000, required=False)
    patient_number = forms.CharField(
        label=_("Patient number"), max_length=64, required=False, help_text=_("Empty: the patient below is registered.")
    )
    family_name = forms.CharField(label=_("Family name"), max_length=64, required=False)
    given_name = forms.CharField(label=_("Given name"), max_length=64, required=False)
    birth_date = forms.DateField(label=_("Date of birth"), required=False)
    sex = forms.ChoiceField(label=_("Sex"), choices=[("", "–"), *Sex.choices], required=False)
    reason = forms.CharField(label=_("How do you know?"), max_length=200)


def order_exception(item: ExceptionItem, *, patient_number: str, actor: Actor, **data: Any) -> Order:
    """For the patient of that number, as far as the actor may see them, or for one who is registered with it."""
    told = {name: data.pop(name) for name in ("family_name", "given_name", "birth_date", "sex")}
    if not patient_number.strip():
        new = {name: value for name, value in told.items() if value}
        return services.order_from_exception(item, **data, new_patient=new, actor=actor)
    patient = patient_by_identifier(patient_number.strip(), actor=actor)
    if patient is None:
        raise NotKnown(str(_("There is no patient of that number.")))
    return services.order_from_exception(item, **data, patient=patient, actor=actor)


@admin.register(ExceptionItem)
class ExceptionItemAdmin(ReadOnlyAdmin):
    view_code = perms.RESOLVE_EXCEPTION
    list_display = (
        "kind",
        "study",
        "performed_step",
        "procedure",
        "station",
        "created_at",
        "resolved_at",
        "resolution",
    )
    list_filter = ("kind", "station", ("resolved_at", admin.EmptyFieldListFilter))
    list_select_related = ("study", "performed_step", "procedure", "station")
    search_fields = PATIENT_SEARCH
    actions = (
        service_action(_("Resolve"), services.resolve_exception, form=ResolveForm),
        service_action(
            _("Order what was done"), order_exception, form=ExceptionOrderForm, permission=perms.RESOLVE_EXCEPTION
        ),
    )
