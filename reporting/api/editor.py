"""REST of what a report is written with: templates (plain and MRRT), macros, forms, the exams of a report."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from orders.models import CatalogueProcedure, RequestedProcedure
from reporting import permissions as perms
from reporting import services
from reporting.api import serializers as shapes
from reporting.models import Macro, Report, ReportTemplate
from reporting.services.forms import decoded, form_of_report
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.accounts.models import Site
from ris.core.api import PlainRenderer
from ris.core.errors import InvalidData, NotKnown

#: The rights of what ``EditorActions`` adds to reports
EDITOR_CODES = {
    "add_procedure": perms.WRITE_REPORT,
    "remove_procedure": perms.WRITE_REPORT,
    "template": perms.WRITE_REPORT,
    "form": perms.WRITE_REPORT,
    "fill_form": perms.WRITE_REPORT,
}


class HtmlParser(BaseParser):
    """A document as it came; its characters are read by the service."""

    media_type = "text/html"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> bytes:
        return stream.read()


class HtmlRenderer(PlainRenderer):
    media_type = "text/html"
    format = "html"


class TemplateSerializer(serializers.ModelSerializer):
    """``is_form``: made of an MRRT document, which ``document/`` gives back. ``stripped``: what an import took out."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    sections = shapes.SectionsField()
    catalogue = serializers.SlugRelatedField(slug_field="code", many=True, read_only=True)
    site = serializers.CharField(source="site.code", read_only=True, allow_null=True, default=None)
    is_own = serializers.SerializerMethodField()
    is_form = serializers.BooleanField(read_only=True)
    stripped = serializers.SerializerMethodField()

    class Meta:
        model = ReportTemplate
        fields = (
            "id", "name", "description", "language", "modality", "body_region", "catalogue", "sex", "age_from",
            "age_to", "site", "sections", "is_own", "is_form", "is_default", "is_active", "stripped", "created_at",
            "updated_at",
        )  # fmt: skip

    def get_is_own(self, template: ReportTemplate) -> bool:
        return template.owner_id is not None

    def get_stripped(self, template: ReportTemplate) -> list[str]:
        return getattr(template, "stripped", [])


class TemplateInputSerializer(serializers.ModelSerializer):
    """``catalogue``: codes of exams that the template is made for. ``is_own``: only for who makes it."""

    sections = shapes.SectionsField()
    catalogue = serializers.ListField(child=serializers.CharField(max_length=16), required=False)
    site = serializers.SlugRelatedField(slug_field="code", queryset=Site.objects.all(), required=False, allow_null=True)
    is_own = serializers.BooleanField(required=False, default=False)

    class Meta:
        model = ReportTemplate
        fields = (
            "name", "description", "language", "modality", "body_region", "catalogue", "sex", "age_from", "age_to",
            "site", "sections", "is_own", "is_default", "is_active",
        )  # fmt: skip
        validators: list[Any] = []


class TemplateFilter(filters.FilterSet):
    class Meta:
        model = ReportTemplate
        fields = ("language", "modality", "is_active", "is_default")


class ReportTemplateViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """Text and forms that reports begin with: the shared ones and one's own. They are switched off, never deleted."""

    queryset = ReportTemplate.objects.none()
    http_method_names = ["get", "post", "patch", "head", "options"]
    serializer_class = TemplateSerializer
    serializer_classes = {"create": TemplateInputSerializer, "partial_update": TemplateInputSerializer}
    filterset_class = TemplateFilter
    permission_codes = {
        "list": perms.VIEW_TEMPLATE,
        "retrieve": perms.VIEW_TEMPLATE,
        "document": perms.VIEW_TEMPLATE,
        "create": perms.WRITE_REPORT,
        "partial_update": perms.WRITE_REPORT,
        "import_document": perms.WRITE_REPORT,
    }

    def get_queryset(self) -> QuerySet[ReportTemplate]:
        rows = ReportTemplate.objects.visible_to(self.actor)
        return rows.select_related("site").prefetch_related("catalogue").order_by("-pk")

    def _values(self, data: dict[str, Any]) -> dict[str, Any]:
        if "catalogue" in data:
            wanted = set(data["catalogue"])
            data["catalogue"] = list(CatalogueProcedure.objects.filter(code__in=wanted))
            if len(data["catalogue"]) != len(wanted):
                raise InvalidData("An exam is not known.", errors={"catalogue": ["There is no such code."]})
        if "is_own" in data:
            data["owner"] = self.actor.user if data.pop("is_own") else None
        return data

    def service_create(self, data: dict[str, Any]) -> ReportTemplate:
        return services.save_template(**self._values(data), actor=self.actor)

    def service_change(self, template: ReportTemplate, data: dict[str, Any]) -> ReportTemplate:
        if "is_own" not in self.request.data:
            data.pop("is_own", None)
        return services.save_template(template, **self._values(data), actor=self.actor)

    @extend_schema(request=TemplateInputSerializer, responses={201: TemplateSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(request=TemplateInputSerializer, responses=TemplateSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().partial_update(request, *args, **kwargs)

    @extend_schema(
        request={"text/html": OpenApiTypes.STR},
        parameters=[
            OpenApiParameter("own", bool, description="Only for who imports it."),
            OpenApiParameter("replace", OpenApiTypes.UUID, description="The template whose newer edition this is."),
        ],
        responses={
            201: TemplateSerializer,
        },
    )
    @action(detail=False, methods=["post"], url_path="import", parser_classes=[HtmlParser])
    def import_document(self, request: Request) -> Response:
        """Take in an MRRT document (HTML5, UTF-8). Scripts, styles, handlers and references are stripped and named."""
        query = request.query_params
        source = decoded(request.data if isinstance(request.data, bytes) else b"")
        earlier = None
        if query.get("replace"):
            earlier = self.get_queryset().filter(uuid=_uuid(query["replace"])).first()
            if earlier is None:
                raise NotKnown("There is no such template.")
        result = services.import_template(
            source, template=earlier, is_own=query.get("own") in ("1", "true"), actor=self.actor
        )
        template = result.template
        template.stripped = result.stripped
        base = request.path.removesuffix("import/")
        location = request.build_absolute_uri(f"{base}{template.uuid}/")
        return self.answer(template, status.HTTP_201_CREATED, Location=location)

    @extend_schema(responses={(200, "text/html"): OpenApiTypes.STR})
    @action(detail=True, renderer_classes=[HtmlRenderer, JSONRenderer])
    def document(self, request: Request, uuid: str | None = None) -> HttpResponse:
        """The template as an MRRT document."""
        template = self.get_object()
        self.audit_read(template)
        response = HttpResponse(services.export_template(template), content_type="text/html; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="{template.uuid}.html"'
        return response


class MacroSerializer(serializers.ModelSerializer):
    """``code`` typed after a dot becomes ``text``."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    is_shared = serializers.SerializerMethodField()

    class Meta:
        model = Macro
        fields = ("id", "code", "text", "language", "is_shared", "is_active", "created_at", "updated_at")

    def get_is_shared(self, macro: Macro) -> bool:
        return macro.owner_id is None


class MacroInputSerializer(serializers.Serializer):
    code = serializers.CharField(max_length=24)
    text = serializers.CharField(max_length=5000, trim_whitespace=False)
    language = serializers.CharField(max_length=8, default="en")
    is_shared = serializers.BooleanField(default=False)
    is_active = serializers.BooleanField(default=True)


class MacroViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """Short codes: one's own, and those of everybody."""

    queryset = Macro.objects.none()
    http_method_names = ["get", "post", "patch", "head", "options"]
    serializer_class = MacroSerializer
    serializer_classes = {"create": MacroInputSerializer, "partial_update": MacroInputSerializer}
    permission_codes = dict.fromkeys(("list", "retrieve", "create", "partial_update"), perms.WRITE_REPORT)

    def get_queryset(self) -> QuerySet[Macro]:
        return Macro.objects.visible_to(self.actor).order_by("-pk")

    def service_create(self, data: dict[str, Any]) -> Macro:
        return services.save_macro(words=data.pop("text"), **data, actor=self.actor)

    def service_change(self, macro: Macro, data: dict[str, Any]) -> Macro:
        now = {
            "code": macro.code,
            "text": macro.text,
            "language": macro.language,
            "is_shared": macro.owner_id is None,
            "is_active": macro.is_active,
        }
        values = {**now, **{name: value for name, value in data.items() if name in self.request.data}}
        return services.save_macro(macro, words=values.pop("text"), **values, actor=self.actor)

    @extend_schema(request=MacroInputSerializer, responses={201: MacroSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(request=MacroInputSerializer, responses=MacroSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().partial_update(request, *args, **kwargs)


class ExamOfReportSerializer(serializers.Serializer):
    procedure = serializers.UUIDField()


class ChosenTemplateSerializer(serializers.Serializer):
    """``procedure``: of several exams, the one whose findings begin again."""

    template = serializers.UUIDField()
    procedure = serializers.UUIDField(required=False)


class AnswersSerializer(serializers.Serializer):
    """``answers``: {field id: text, or a list where several may be chosen}."""

    answers = serializers.DictField(child=serializers.JSONField())
    revision = serializers.IntegerField(required=False, min_value=0)
    procedure = serializers.UUIDField(required=False)


class EditorActions:
    """What the editor does beside text; mixed into the reports' resource, which has the rights (``EDITOR_CODES``)."""

    actor: Any

    def _exam(self, uuid: UUID) -> RequestedProcedure:
        found = RequestedProcedure.objects.visible_to(self.actor).filter(uuid=uuid).first()
        if found is None:
            raise InvalidData("A procedure is not known.", errors={"procedure": ["There is no such procedure here."]})
        return found

    @extend_schema(request=ExamOfReportSerializer, responses=shapes.ReportSerializer)
    @action(detail=True, methods=["post"], url_path="add-procedure")
    def add_procedure(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Take another exam of the patient into the report, before its first signature."""
        report = self.get_object()
        procedure = self._exam(_body(ExamOfReportSerializer, request)["procedure"])
        return self._shown(services.add_procedure(report, procedure=procedure, actor=self.actor))

    @extend_schema(request=ExamOfReportSerializer, responses=shapes.ReportSerializer)
    @action(detail=True, methods=["post"], url_path="remove-procedure")
    def remove_procedure(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Give an exam back to the reading list; its findings become a draft of its own."""
        report = self.get_object()
        procedure = self._exam(_body(ExamOfReportSerializer, request)["procedure"])
        return self._shown(services.remove_procedure(report, procedure=procedure, actor=self.actor))

    @extend_schema(request=ChosenTemplateSerializer, responses=shapes.ReportSerializer)
    @action(detail=True, methods=["post"])
    def template(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Begin again with another template."""
        report = self.get_object()
        data = _body(ChosenTemplateSerializer, request)
        template = ReportTemplate.objects.visible_to(self.actor).filter(uuid=data["template"], is_active=True).first()
        if template is None:
            raise InvalidData("The template is not known.", errors={"template": ["There is no such template."]})
        procedure = self._exam(data["procedure"]) if "procedure" in data else None
        return self._shown(services.apply_template(report, template=template, procedure=procedure, actor=self.actor))

    @extend_schema(
        responses=OpenApiResponse(
            OpenApiTypes.OBJECT, description="`{title, fields: [...], answers: {...}, coded: [...]}`"
        )
    )
    @action(detail=True, methods=["get"], pagination_class=None, filterset_class=None)
    def form(self: Any, request: Request, uuid: str | None = None) -> Response:
        """The form that the report is written with, its answers and their codes."""
        report = self.get_object()
        self.audit_read(report, page="form")
        return Response(_form_as_data(report))

    @extend_schema(request=AnswersSerializer, responses=shapes.ReportSerializer)
    @form.mapping.post
    def fill_form(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Fill it in: answers are kept as data, their words go into the sections."""
        report = self.get_object()
        data = _body(AnswersSerializer, request)
        procedure = self._exam(data["procedure"]) if "procedure" in data else None
        report = services.fill_form(
            report, answers=data["answers"], revision=data.get("revision"), procedure=procedure, actor=self.actor
        )
        return self._shown(report)


def _body(shape: type[serializers.Serializer], request: Request) -> dict[str, Any]:
    serializer = shape(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def _form_as_data(report: Report) -> dict[str, Any]:
    known = form_of_report(report)
    if known is None:
        raise NotKnown("This report is not written with a form.")
    form, filled = known
    fields = [
        {
            "id": row.id,
            "kind": row.kind,
            "label": row.label,
            "units": row.units,
            "options": [{"value": option.value, "label": option.label} for option in row.options],
            "completion": row.completion,
        }
        for row in form.fields.values()
    ]
    answers, coded = (filled.answers, filled.coded) if filled is not None else (form.defaults(), [])
    return {"title": form.title, "fields": fields, "answers": answers, "coded": coded}


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None
