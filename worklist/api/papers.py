"""``/api/v1/`` + ``time-outs consumables exposures rejects adverse-events image-counts completions products
questionnaires scan``: what the technologist writes down of an exam.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from orders.models import RequestedProcedure
from ris.accounts.api.base import (
    ChangeMixin,
    CreateMixin,
    FacilityAPIView,
    FacilityViewSet,
    ListMixin,
    RetrieveMixin,
)
from ris.accounts.models import User
from ris.core.errors import InvalidData
from worklist import permissions as perms
from worklist import services
from worklist.api import papers_shapes as shapes
from worklist.api.schedule import procedure_named, station_named
from worklist.models import (
    AdverseEvent,
    ConsumableUse,
    ExamCompletion,
    Exposure,
    ImageCount,
    Product,
    Questionnaire,
    RejectedExposure,
    TimeOut,
)
from worklist.selectors.scanning import read_scan


class PaperFilter(filters.FilterSet):
    procedure = filters.UUIDFilter(field_name="procedure__uuid")
    accession_number = filters.CharFilter(field_name="procedure__accession_number")


class StandingPaperFilter(PaperFilter):
    is_withdrawn = filters.BooleanFilter(field_name="withdrawn_at", lookup_expr="isnull", exclude=True)


def _one(model: type[models.Model], name: str, uuid: Any) -> Any:
    if not uuid:
        return None
    row = model._default_manager.filter(uuid=uuid).first()
    if row is None:
        raise InvalidData(f"There is no such {name}.", errors={name: ["Not known."]})
    return row


class OfExamViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Rows of the exams that the caller may see."""

    filterset_class = PaperFilter
    permission_codes = {"list": perms.VIEW_STEP, "retrieve": perms.VIEW_STEP}
    #: Rows that the answer names by their id
    related: tuple[str, ...] = ()

    def get_queryset(self) -> QuerySet[Any]:
        visible = RequestedProcedure.objects.visible_to(self.actor).values("pk")
        rows = self.queryset.model._default_manager.filter(procedure__in=visible)
        return rows.select_related("procedure__order__patient", *self.related).order_by("-pk")


class PaperViewSet(CreateMixin, ChangeMixin, OfExamViewSet):
    """Written, corrected, crossed out."""

    filterset_class = StandingPaperFilter
    permission_codes = {
        "list": perms.VIEW_STEP,
        "retrieve": perms.VIEW_STEP,
        "create": perms.PERFORM_STEP,
        "partial_update": perms.PERFORM_STEP,
        "withdraw": perms.PERFORM_STEP,
    }

    def values(self, data: dict[str, Any]) -> dict[str, Any]:
        """The body with rows in place of their ids."""
        found = dict(data)
        for name, model in (("product", Product), ("given_by", User), ("made_by", User), ("consumable", ConsumableUse)):
            if name in found:
                found[name] = _one(model, name, found[name])
        if "station" in found:
            found["station"] = station_named(found["station"])
        return found

    def do_create(self, service: Any, data: dict[str, Any]) -> Any:
        procedure = procedure_named(data.pop("procedure"), self)
        return service(procedure, **self.values(data), actor=self.actor)

    def do_change(self, service: Any, row: Any, data: dict[str, Any]) -> Any:
        data.pop("procedure", None)
        return service(row, **self.values(data), actor=self.actor)


class TimeOutViewSet(OfExamViewSet):
    """The last looks before exams: who, when, by what."""

    queryset = TimeOut.objects.none()
    serializer_class = shapes.TimeOutReadSerializer
    related = ("done_by",)


class ImageCountViewSet(OfExamViewSet):
    """What technologists counted; the newest of an exam is held against what the scanner says."""

    queryset = ImageCount.objects.none()
    serializer_class = shapes.ImageCountSerializer


class CompletionViewSet(OfExamViewSet):
    """Exams completed by technologists, with what was missing and why it was completed all the same."""

    queryset = ExamCompletion.objects.none()
    serializer_class = shapes.CompletionSerializer


class ConsumableViewSet(PaperViewSet):
    """Contrast, medicines and supplies used, with product, lot, expiry, amount, route and who gave them."""

    queryset = ConsumableUse.objects.none()
    serializer_class = shapes.ConsumableUseSerializer
    related = ("product", "given_by", "corrects")
    serializer_classes = {
        "create": shapes.ConsumableCreateSerializer,
        "partial_update": shapes.ConsumableChangeSerializer,
    }

    def service_create(self, data: dict[str, Any]) -> ConsumableUse:
        return self.do_create(services.record_consumable, data)

    def service_change(self, row: ConsumableUse, data: dict[str, Any]) -> ConsumableUse:
        return self.do_change(services.correct_consumable, row, data)

    @extend_schema(request=shapes.ConsumableCreateSerializer, responses={201: shapes.ConsumableUseSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Write down what was used; a product fills in what is not said. Its charge is drafted."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=shapes.ConsumableChangeSerializer, responses=shapes.ConsumableUseSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Correct it: the old row is crossed out, and the answer is the new one."""
        return super().partial_update(request, *args, **kwargs)

    @extend_schema(request=None, responses=shapes.ConsumableUseSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, uuid: str | None = None) -> Response:
        """It was not used: crossed out, and not charged."""
        return self.answer(services.withdraw_consumable(self.get_object(), actor=self.actor))


class ExposureViewSet(PaperViewSet):
    """Exposures that a person read from the machine, where no MPPS and no dose report tell."""

    queryset = Exposure.objects.none()
    serializer_class = shapes.ExposureSerializer
    related = ("station",)
    serializer_classes = {"create": shapes.ExposureCreateSerializer, "partial_update": shapes.ExposureChangeSerializer}

    def service_create(self, data: dict[str, Any]) -> Exposure:
        return self.do_create(services.record_exposure, data)

    def service_change(self, row: Exposure, data: dict[str, Any]) -> Exposure:
        return self.do_change(services.change_exposure, row, data)

    @extend_schema(request=shapes.ExposureCreateSerializer, responses={201: shapes.ExposureSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Write down an exposure: kV, mAs, Gy·cm², seconds."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=shapes.ExposureChangeSerializer, responses=shapes.ExposureSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Correct it; its history keeps what it said."""
        return super().partial_update(request, *args, **kwargs)

    @extend_schema(request=None, responses=shapes.ExposureSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, uuid: str | None = None) -> Response:
        """Cross it out."""
        return self.answer(services.withdraw_exposure(self.get_object(), actor=self.actor))


class RejectViewSet(OfExamViewSet):
    """Images thrown away, by the reasons of CID 7011."""

    queryset = RejectedExposure.objects.none()
    serializer_class = shapes.RejectReadSerializer
    related = ("station", "made_by")
    filterset_class = StandingPaperFilter
    permission_codes = {**OfExamViewSet.permission_codes, "withdraw": perms.PERFORM_STEP}

    @extend_schema(request=None, responses=shapes.RejectReadSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, uuid: str | None = None) -> Response:
        """Cross it out; it is not counted any more."""
        return self.answer(services.withdraw_reject(self.get_object(), actor=self.actor))


class AdverseEventViewSet(PaperViewSet):
    """Reactions and injuries of patients during or after an exam."""

    queryset = AdverseEvent.objects.none()
    serializer_class = shapes.AdverseEventSerializer
    related = ("consumable",)
    serializer_classes = {
        "create": shapes.AdverseEventCreateSerializer,
        "partial_update": shapes.AdverseEventChangeSerializer,
    }

    def service_create(self, data: dict[str, Any]) -> AdverseEvent:
        return self.do_create(services.record_adverse_event, data)

    def service_change(self, row: AdverseEvent, data: dict[str, Any]) -> AdverseEvent:
        return self.do_change(services.change_adverse_event, row, data)

    @extend_schema(request=shapes.AdverseEventCreateSerializer, responses={201: shapes.AdverseEventSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Write down what happened to the patient; radiologists hear of what is worse than mild."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=shapes.AdverseEventChangeSerializer, responses=shapes.AdverseEventSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """How it went on, also after the report is signed."""
        return super().partial_update(request, *args, **kwargs)

    @extend_schema(request=None, responses=shapes.AdverseEventSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, uuid: str | None = None) -> Response:
        """It did not happen: crossed out."""
        return self.answer(services.withdraw_adverse_event(self.get_object(), actor=self.actor))


class ProductViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """What lies in the rooms: contrast media, medicines, supplies, found by the bars of their packs."""

    queryset = Product.objects.none()
    serializer_class = shapes.ProductSerializer
    permission_codes = {
        "list": perms.VIEW_ROOM,
        "retrieve": perms.VIEW_ROOM,
        "create": perms.MANAGE_PRODUCTS,
        "partial_update": perms.MANAGE_PRODUCTS,
    }

    def get_queryset(self) -> QuerySet[Product]:
        return Product.objects.order_by("-pk")

    def service_create(self, data: dict[str, Any]) -> Product:
        return services.save_product(None, **data, actor=self.actor)

    def service_change(self, product: Product, data: dict[str, Any]) -> Product:
        return services.save_product(product, **data, actor=self.actor)


class QuestionnaireViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Safety questionnaires in their editions. Only one edition of a name is asked."""

    queryset = Questionnaire.objects.none()
    serializer_class = shapes.QuestionnaireSerializer
    permission_codes = {
        "list": perms.VIEW_ROOM,
        "retrieve": perms.VIEW_ROOM,
        "open_edition": perms.MANAGE_ROOMS,
        "publish": perms.MANAGE_ROOMS,
    }

    def get_queryset(self) -> QuerySet[Questionnaire]:
        return Questionnaire.objects.prefetch_related("questions").order_by("-pk")

    @extend_schema(request=None, responses={201: shapes.QuestionnaireSerializer})
    @action(detail=True, methods=["post"], url_path="open-edition")
    def open_edition(self, request: Request, uuid: str | None = None) -> Response:
        """The next edition with the same questions, to be changed before it is published."""
        return self.answer(services.open_edition(self.get_object(), actor=self.actor), 201)

    @extend_schema(request=None, responses=shapes.QuestionnaireSerializer)
    @action(detail=True, methods=["post"])
    def publish(self, request: Request, uuid: str | None = None) -> Response:
        """From now on this edition is asked, and no other of its name."""
        return self.answer(services.publish_edition(self.get_object(), actor=self.actor))


class ScanView(FacilityAPIView):
    """Which exam, or which product, a barcode means."""

    permission_codes = {"post": perms.VIEW_STEP}

    @extend_schema(request=shapes.ScanSerializer, responses=shapes.ScanAnswerSerializer, operation_id="scan_create")
    def post(self, request: Request) -> Response:
        """Accession number, step, ticket, wristband or pack. 404 says in words what the code is not."""
        body = shapes.ScanSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        scan = read_scan(body.validated_data["code"], actor=self.actor)
        self.audit_read(scan.exams)
        return Response(shapes.ScanAnswerSerializer(scan).data)
