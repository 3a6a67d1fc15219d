"""``/api/v1/downtime-packs/``, ``downtime-forms/`` and ``downtime-periods/``: the pages' services, for programs."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django_filters import rest_framework as django_filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from orders import downtime_lists as lists
from orders import permissions as perms
from orders import selectors, services
from orders.api.serializers import PatientCreateSerializer, uuid_of
from orders.api.support import of_this_facility
from orders.models import (
    DowntimeForm,
    DowntimePack,
    DowntimePeriod,
    FormStatus,
    Laterality,
    PatientClass,
    PeriodStatus,
    Priority,
    RequestedProcedure,
    Sex,
)
from orders.models.downtime import LANGUAGES
from orders.services import PaperEntry, Used
from orders.services.downtime_files import print_downtime_pack
from ris.accounts.api.base import CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.accounts.models import Practitioner, Site
from ris.core.concepts import DISCONTINUATION_REASONS

PAPER = OpenApiExample(
    "A sheet for somebody new",
    value={
        "new_patient": {"family_name": "Odhiambo", "given_name": "Peter", "birth_date": "1980-05-04", "sex": "M"},
        "code": "CTHEAD",
        "indication": "Fall from a ladder",
        "arrived_at": "2026-11-21T10:05:00+03:00",
        "started_at": "2026-11-21T10:20:00+03:00",
        "ended_at": "2026-11-21T10:34:00+03:00",
        "station_ae_title": "CT1",
        "technologist": "Grace Akinyi",
        "consumables": [{"label": "Iohexol 350", "quantity": "80", "unit": "mL", "lot": "L-77"}],
    },
    request_only=True,
)


# --- shapes


class CountsSerializer(serializers.Serializer):
    """How many forms are where."""

    printed = serializers.IntegerField(help_text="In the drawer.")
    issued = serializers.IntegerField(help_text="Given out: they must come back.")
    entered = serializers.IntegerField()
    void = serializers.IntegerField()


def _counts_of(row: Any) -> dict[str, int]:
    return {status.value: getattr(row, f"{status.value}_count", 0) for status in FormStatus}


class DowntimePackSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    code = serializers.CharField(read_only=True, help_text="As printed: P0007.")
    site = serializers.SlugRelatedField(slug_field="code", read_only=True, allow_null=True)
    counts = serializers.SerializerMethodField()

    class Meta:
        model = DowntimePack
        fields = (
            "id", "code", "site", "room", "language", "is_nightly", "form_count", "counts", "print_count", "printed_at",
            "created_at", "version",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(CountsSerializer)
    def get_counts(self, row: DowntimePack) -> dict[str, int]:
        return _counts_of(row)


class PackInputSerializer(serializers.Serializer):
    count = serializers.IntegerField(min_value=1, max_value=200, required=False, help_text="The plan's when missing.")
    site = serializers.SlugField(required=False, allow_null=True, default=None, help_text="Code of the site.")
    room = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    language = serializers.ChoiceField(choices=LANGUAGES, required=False, allow_blank=True, default="")


class RangeSerializer(serializers.Serializer):
    first = serializers.IntegerField(min_value=1)
    last = serializers.IntegerField(min_value=1)


class VoidRangeSerializer(RangeSerializer):
    reason = serializers.CharField(max_length=200)


class DowntimeFormSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    label = serializers.CharField(read_only=True, help_text="As printed in its corner: P0007-12.")
    pack = uuid_of("pack.uuid")
    period = uuid_of("period.uuid", allow_null=True, default=None)
    procedure = serializers.SerializerMethodField()

    class Meta:
        model = DowntimeForm
        fields = (
            "id", "label", "pack", "number", "accession_number", "study_instance_uid", "status", "period", "procedure",
            "void_reason", "outcome", "arrived_at", "started_at", "ended_at", "station_ae_title", "technologist",
            "entered_at", "entered_through", "version",
        )  # fmt: skip
        read_only_fields = fields

    def get_procedure(self, row: DowntimeForm) -> str | None:
        """The exam that was made of it."""
        return str(row.procedure.uuid) if row.procedure is not None else None


class UsedSerializer(serializers.Serializer):
    label = serializers.CharField(max_length=100)
    quantity = serializers.CharField(max_length=12)
    unit = serializers.CharField(max_length=16, required=False, default="mL")
    lot = serializers.CharField(max_length=40, required=False, allow_blank=True, default="")


class UnknownPatientSerializer(serializers.Serializer):
    sex = serializers.ChoiceField(choices=Sex.choices, default=Sex.UNKNOWN)
    estimated_age = serializers.IntegerField(min_value=0, max_value=130, required=False, allow_null=True, default=None)


class EntrySerializer(serializers.Serializer):
    """What stands on the sheet. One of patient, new_patient, emergency, or the procedure it was used for."""

    patient = serializers.UUIDField(required=False, allow_null=True, default=None)
    new_patient = PatientCreateSerializer(required=False, allow_null=True, default=None)
    emergency = UnknownPatientSerializer(required=False, allow_null=True, default=None)
    procedure = serializers.UUIDField(
        required=False, allow_null=True, default=None, help_text="An exam that was ordered before; no other is made."
    )
    code = serializers.CharField(max_length=16, required=False, allow_blank=True, default="")
    laterality = serializers.ChoiceField(choices=Laterality.choices, required=False, allow_blank=True, default="")
    indication = serializers.CharField(max_length=10240, required=False, allow_blank=True, default="")
    priority = serializers.ChoiceField(choices=Priority.choices, default=Priority.ROUTINE)
    patient_class = serializers.ChoiceField(choices=PatientClass.choices, default=PatientClass.OUTPATIENT)
    requester = serializers.UUIDField(required=False, allow_null=True, default=None)
    arrived_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(required=False, allow_null=True, default=None)
    ended_at = serializers.DateTimeField(required=False, allow_null=True, default=None)
    station_ae_title = serializers.CharField(max_length=16, required=False, allow_blank=True, default="")
    technologist = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    consumables = UsedSerializer(many=True, required=False, default=list)
    note = serializers.CharField(max_length=4000, required=False, allow_blank=True, default="")
    stop_code = serializers.ChoiceField(
        choices=[(code, row.meaning) for code, row in DISCONTINUATION_REASONS.items()],
        required=False,
        allow_blank=True,
        default="",
        help_text="Stopped: why (CID 9300, 9301).",
    )


class TimesSerializer(serializers.Serializer):
    arrived_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(required=False, allow_null=True, default=None)
    ended_at = serializers.DateTimeField(required=False, allow_null=True, default=None)
    reason = serializers.CharField(max_length=100)


class DowntimeReasonSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=200)


class NumberSerializer(serializers.Serializer):
    number = serializers.CharField(max_length=80, help_text="Accession number, Study Instance UID or label.")


class DowntimePeriodSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    site = serializers.SlugRelatedField(slug_field="code", read_only=True, allow_null=True)
    counts = serializers.SerializerMethodField()

    class Meta:
        model = DowntimePeriod
        fields = (
            "id", "status", "reason", "site", "started_at", "ended_at", "closed_at", "counts", "blank_count", "version"
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(CountsSerializer)
    def get_counts(self, row: DowntimePeriod) -> dict[str, int]:
        return _counts_of(row)


class DeclareSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=200)
    started_at = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="Now when missing.")
    site = serializers.SlugField(required=False, allow_null=True, default=None)
    packs = serializers.ListField(child=serializers.UUIDField(), required=False, default=list)


class EndSerializer(serializers.Serializer):
    ended_at = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="Now when missing.")


class IssueSerializer(serializers.Serializer):
    pack = serializers.UUIDField()


class WaitingSerializer(serializers.Serializer):
    """Images or a performed step without their exam; nobody is named here."""

    what = serializers.CharField()
    at = serializers.DateTimeField()
    accession_number = serializers.CharField(allow_blank=True)
    detail = serializers.CharField()
    form = serializers.CharField(allow_blank=True, help_text="The form whose number it came under.")
    url = serializers.CharField()


class ClosingCountsSerializer(serializers.Serializer):
    issued = serializers.IntegerField()
    entered = serializers.IntegerField()
    void = serializers.IntegerField()
    blank = serializers.IntegerField()


class ClosingListSerializer(serializers.Serializer):
    is_empty = serializers.BooleanField()
    counts = ClosingCountsSerializer()
    open_forms = DowntimeFormSerializer(many=True)
    waiting = WaitingSerializer(many=True)


# --- filters


class PackFilter(django_filters.FilterSet):
    site = django_filters.CharFilter(field_name="site__code")
    is_nightly = django_filters.BooleanFilter()


class FormFilter(django_filters.FilterSet):
    pack = django_filters.UUIDFilter(field_name="pack__uuid")
    period = django_filters.UUIDFilter(field_name="period__uuid")
    status = django_filters.ChoiceFilter(choices=FormStatus.choices)


class PeriodFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(choices=PeriodStatus.choices)


def _site(code: str | None) -> Site | None:
    return of_this_facility(Site.objects.filter(is_active=True), "site", code=code) if code else None


# --- resources


class DowntimePackViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Packs of numbered forms. Made once, printed as often as need be."""

    queryset = DowntimePack.objects.none()
    serializer_class = DowntimePackSerializer
    serializer_classes = {"create": PackInputSerializer, "void": VoidRangeSerializer, "blank": RangeSerializer}
    filterset_class = PackFilter
    ordering_fields = ("id", "created_at")
    permission_codes = {
        "list": perms.VIEW_DOWNTIME,
        "retrieve": perms.VIEW_DOWNTIME,
        "create": perms.PRINT_DOWNTIME,
        "print": perms.PRINT_DOWNTIME,
        "void": perms.ENTER_DOWNTIME,
        "blank": perms.ENTER_DOWNTIME,
    }

    def get_queryset(self) -> QuerySet[DowntimePack]:
        return lists.packs(actor=self.actor)

    def _fresh(self, pack: DowntimePack) -> DowntimePack:
        return lists.packs(actor=self.actor).get(pk=pack.pk)

    def service_create(self, data: dict[str, Any]) -> DowntimePack:
        data["site"] = _site(data["site"])
        return self._fresh(services.make_downtime_pack(**data, actor=self.actor))

    @extend_schema(request=PackInputSerializer, responses={201: DowntimePackSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(request=None, responses={(200, "application/pdf"): OpenApiTypes.BINARY})
    @action(detail=True, methods=["post"])
    def print(self, request: Request, uuid: str | None = None) -> HttpResponse:
        """The pack as a PDF: what to do, the rooms' lists of today and tomorrow, report sheets, the forms."""
        pdf = print_downtime_pack(self.get_object(), actor=self.actor)
        return HttpResponse(pdf, content_type="application/pdf")

    @extend_schema(request=VoidRangeSerializer, responses=DowntimePackSerializer)
    @action(detail=True, methods=["post"])
    def void(self, request: Request, uuid: str | None = None) -> Response:
        """Make every form of a range void that nobody has entered."""
        pack = self.get_object()
        services.void_downtime_forms(pack, **self.validated(), actor=self.actor)
        return self.answer(self._fresh(pack))

    @extend_schema(request=RangeSerializer, responses=DowntimePackSerializer)
    @action(detail=True, methods=["post"])
    def blank(self, request: Request, uuid: str | None = None) -> Response:
        """Put every form of a range that is out back into the drawer."""
        pack = self.get_object()
        services.return_blank_forms(pack, **self.validated(), actor=self.actor)
        return self.answer(self._fresh(pack))


class DowntimeFormViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Sheets with reserved numbers; ``enter`` makes the exam of what was written."""

    queryset = DowntimeForm.objects.none()
    serializer_class = DowntimeFormSerializer
    serializer_classes = {
        "enter": EntrySerializer,
        "correct": TimesSerializer,
        "void": DowntimeReasonSerializer,
        "find": NumberSerializer,
    }
    filterset_class = FormFilter
    ordering_fields = ("id", "number")
    permission_codes = {
        "list": perms.VIEW_DOWNTIME,
        "retrieve": perms.VIEW_DOWNTIME,
        "find": perms.VIEW_DOWNTIME,
        "enter": perms.ENTER_DOWNTIME,
        "correct": perms.ENTER_DOWNTIME,
        "void": perms.ENTER_DOWNTIME,
        "restore": perms.ENTER_DOWNTIME,
        "blank": perms.ENTER_DOWNTIME,
    }

    def get_queryset(self) -> QuerySet[DowntimeForm]:
        return lists.forms(actor=self.actor)

    @extend_schema(request=NumberSerializer, responses=DowntimeFormSerializer, filters=False)
    @action(detail=False, methods=["post"], pagination_class=None)
    def find(self, request: Request) -> Response:
        """The form of a scanned or typed number."""
        number = self.validated()["number"]
        found = lists.form_of_number(number, actor=self.actor)
        form = found or of_this_facility(DowntimeForm.objects.none(), "number", accession_number=number)
        self.audit_read(form)
        return self.answer(form)

    @extend_schema(request=EntrySerializer, responses=DowntimeFormSerializer, examples=[PAPER])
    @action(detail=True, methods=["post"])
    def enter(self, request: Request, uuid: str | None = None) -> Response:
        """Replay the sheet with its real times. The same again changes nothing; other words are refused (409)."""
        form, data = self.get_object(), self.validated()
        who: dict[str, Any] = {name: data.pop(name) for name in ("patient", "new_patient", "emergency", "procedure")}
        if who["patient"]:
            who["patient"] = of_this_facility(selectors.patients(actor=self.actor), "patient", uuid=who["patient"])
        if who["procedure"]:
            rows: QuerySet[RequestedProcedure] = selectors.procedures(actor=self.actor)
            who["procedure"] = of_this_facility(rows, "procedure", uuid=who["procedure"])
        if data["requester"]:
            active = Practitioner.objects.filter(is_active=True)
            data["requester"] = of_this_facility(active, "requester", uuid=data["requester"])
        data["consumables"] = tuple(Used(**row) for row in data["consumables"])
        entered = services.enter_downtime_form(form, entry=PaperEntry(**data), **who, actor=self.actor)
        return self.answer(entered)

    @extend_schema(request=TimesSerializer, responses=DowntimeFormSerializer)
    @action(detail=True, methods=["post"])
    def correct(self, request: Request, uuid: str | None = None) -> Response:
        """Times that were typed wrongly: of the sheet, of its exam, of the step made from it."""
        return self.answer(services.correct_downtime_times(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=DowntimeReasonSerializer, responses=DowntimeFormSerializer)
    @action(detail=True, methods=["post"])
    def void(self, request: Request, uuid: str | None = None) -> Response:
        """Spoilt, lost, or written for nobody."""
        return self.answer(services.void_downtime_form(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=None, responses=DowntimeFormSerializer)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, uuid: str | None = None) -> Response:
        """A void form that turned up."""
        return self.answer(services.restore_downtime_form(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=DowntimeFormSerializer)
    @action(detail=True, methods=["post"])
    def blank(self, request: Request, uuid: str | None = None) -> Response:
        """Nobody wrote on it: back into the drawer."""
        return self.answer(services.return_blank_form(self.get_object(), actor=self.actor))


class DowntimePeriodViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """When it was down. Closed only when its closing list is empty."""

    queryset = DowntimePeriod.objects.none()
    serializer_class = DowntimePeriodSerializer
    serializer_classes = {"create": DeclareSerializer, "end": EndSerializer, "issue": IssueSerializer}
    filterset_class = PeriodFilter
    ordering_fields = ("id", "started_at")
    permission_codes = {
        "list": perms.VIEW_DOWNTIME,
        "retrieve": perms.VIEW_DOWNTIME,
        "closing_list": perms.VIEW_DOWNTIME,
        "create": perms.DECLARE_DOWNTIME,
        "end": perms.DECLARE_DOWNTIME,
        "resume": perms.DECLARE_DOWNTIME,
        "close": perms.DECLARE_DOWNTIME,
        "issue": perms.ENTER_DOWNTIME,
    }

    def get_queryset(self) -> QuerySet[DowntimePeriod]:
        return lists.periods(actor=self.actor)

    def _fresh(self, period: DowntimePeriod) -> DowntimePeriod:
        return lists.periods(actor=self.actor).get(pk=period.pk)

    def service_create(self, data: dict[str, Any]) -> DowntimePeriod:
        rows = lists.packs(actor=self.actor)
        data["packs"] = [of_this_facility(rows, "packs", uuid=uuid) for uuid in data["packs"]]
        data["site"] = _site(data["site"])
        return self._fresh(services.declare_downtime(**data, actor=self.actor))

    @extend_schema(request=DeclareSerializer, responses={201: DowntimePeriodSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(request=EndSerializer, responses=DowntimePeriodSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, uuid: str | None = None) -> Response:
        """It works again."""
        return self.answer(self._fresh(services.end_downtime(self.get_object(), **self.validated(), actor=self.actor)))

    @extend_schema(request=None, responses=DowntimePeriodSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, uuid: str | None = None) -> Response:
        """Ended too early."""
        return self.answer(self._fresh(services.resume_downtime(self.get_object(), actor=self.actor)))

    @extend_schema(request=None, responses=DowntimePeriodSerializer)
    @action(detail=True, methods=["post"])
    def close(self, request: Request, uuid: str | None = None) -> Response:
        """409 while a form is out or something of that time has no exam."""
        return self.answer(self._fresh(services.close_downtime(self.get_object(), actor=self.actor)))

    @extend_schema(request=IssueSerializer, responses=DowntimePeriodSerializer)
    @action(detail=True, methods=["post"])
    def issue(self, request: Request, uuid: str | None = None) -> Response:
        """A pack was taken out: its forms must come back."""
        period = self.get_object()
        pack = of_this_facility(lists.packs(actor=self.actor), "pack", uuid=self.validated()["pack"])
        return self.answer(self._fresh(services.issue_downtime_pack(period, pack=pack, actor=self.actor)))

    @extend_schema(responses=ClosingListSerializer)
    @action(detail=True, methods=["get"], url_path="closing-list")
    def closing_list(self, request: Request, uuid: str | None = None) -> Response:
        """What is still open."""
        period = self.get_object()
        self.audit_read(period)
        return Response(ClosingListSerializer(lists.closing_list(period)).data)
