"""REST: scales, priors, recall, co-signature, several signatures at once, and what stops a signature."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from orders.models import RequestedProcedure
from reporting import permissions as perms
from reporting import selectors, services
from reporting.api import serializers as shapes
from reporting.assessments import SCHEMES, Scheme
from reporting.models import Assessment, CheckLevel, CheckSetting, Report
from reporting.selectors.reports import changes_for
from reporting.services.assessing import assess, scheme_of
from reporting.services.checks import CHECKS, levels_set
from ris.accounts.api.base import FacilityViewSet
from ris.accounts.services.sign_in import require_recent_authentication
from ris.core.errors import NotKnown

EMPTY = shapes.NothingSerializer


class AssessmentSerializer(serializers.ModelSerializer):
    """A scale applied to a finding; ``inputs`` and ``category`` are codes of that version of the scale."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    version = serializers.CharField(source="scheme_version", read_only=True)

    class Meta:
        model = Assessment
        fields = ("id", "scheme", "version", "label", "inputs", "category", "title", "management", "score")
        read_only_fields = fields


class AssessmentInputSerializer(serializers.Serializer):
    """``inputs``: the scale's questions (see ``assessment-scales``) with codes, numbers, or true and false."""

    scheme = serializers.ChoiceField(choices=sorted(SCHEMES))
    inputs = serializers.DictField(child=serializers.JSONField())
    label = serializers.CharField(required=False, allow_blank=True, max_length=80)
    into_text = serializers.BooleanField(required=False, default=True)


class CalculationSerializer(serializers.Serializer):
    inputs = serializers.DictField(child=serializers.JSONField())


class PriorSerializer(serializers.Serializer):
    """An earlier exam of the same person, most alike first; ``citation`` is how the comparison names it."""

    id = serializers.UUIDField(source="procedure.uuid")
    accession_number = serializers.CharField(source="procedure.accession_number")
    description = serializers.CharField(source="procedure.description_with_side")
    modality = serializers.CharField(source="procedure.modality")
    performed_at = serializers.DateTimeField(source="at", allow_null=True)
    likeness = serializers.IntegerField()
    relevance = serializers.CharField(source="words")
    citation = serializers.CharField()
    report = serializers.UUIDField(source="version.report.uuid", allow_null=True, default=None)
    sections = shapes.SectionsField(source="version.sections", default=dict)


class CiteSerializer(serializers.Serializer):
    prior = serializers.UUIDField()
    revision = serializers.IntegerField(required=False, min_value=0)


class BatchSignatureSerializer(shapes.ProofSerializer):
    reports = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=50)


class SignatureOutcomeSerializer(serializers.Serializer):
    """``refusal`` says why it was not signed."""

    report = serializers.UUIDField(source="report.uuid")
    is_signed = serializers.SerializerMethodField()
    refusal = serializers.CharField()

    def get_is_signed(self, outcome: Any) -> bool:
        return not outcome.refusal


class LevelSerializer(serializers.Serializer):
    code = serializers.ChoiceField(choices=sorted(CHECKS))
    level = serializers.ChoiceField(choices=CheckLevel.choices)


class SigningViewSet(FacilityViewSet):
    """What belongs to writing and signing a report, beside its text."""

    queryset = Report.objects.none()
    serializer_class = shapes.ReportSerializer
    serializer_classes = {
        "assess": AssessmentInputSerializer,
        "remove_assessment": EMPTY,
        "cite": CiteSerializer,
        "not_critical": EMPTY,
        "recall": shapes.ReasonSerializer,
        "send_now": EMPTY,
        "co_sign": shapes.ProofSerializer,
        "changes_seen": EMPTY,
        "sign_batch": BatchSignatureSerializer,
    }
    permission_codes = {
        "assessments": perms.VIEW_REPORT,
        "assess": perms.WRITE_REPORT,
        "remove_assessment": perms.WRITE_REPORT,
        "priors": perms.WRITE_REPORT,
        "cite": perms.WRITE_REPORT,
        "not_critical": perms.WRITE_REPORT,
        "recall": perms.SIGN_REPORT,
        "send_now": perms.SIGN_REPORT,
        "co_sign": perms.SIGN_REPORT,
        "changes": perms.SIGN_PRELIMINARY,
        "changes_seen": perms.SIGN_PRELIMINARY,
        "sign_batch": perms.SIGN_REPORT,
    }

    def get_queryset(self) -> QuerySet[Report]:
        return selectors.reports(actor=self.actor)

    def _shown(self, report: Report) -> Response:
        return self.answer(self.get_queryset().get(pk=report.pk))

    def _prove(self, data: dict[str, Any]) -> dict[str, Any]:
        require_recent_authentication(
            self.request, password=data.pop("password", ""), otp_token=data.pop("otp_token", "")
        )
        return data

    @extend_schema(responses=AssessmentSerializer(many=True))
    @action(detail=True, pagination_class=None)
    def assessments(self, request: Request, uuid: str | None = None) -> Response:
        """Scales applied in this report as it stands; those of a signature are in its version."""
        report = self.get_object()
        self.audit_read(report, page="assessments")
        return Response(AssessmentSerializer(report.assessments.standing(), many=True).data)

    @extend_schema(request=AssessmentInputSerializer, responses={201: AssessmentSerializer})
    @assessments.mapping.post
    def assess(self, request: Request, uuid: str | None = None) -> Response:
        """Apply a scale; 400 names the answers that are missing or wrong."""
        row = services.add_assessment(self.get_object(), **self.validated(), actor=self.actor)
        return Response(AssessmentSerializer(row).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=EMPTY, responses=AssessmentSerializer)
    @action(detail=True, methods=["post"], url_path=r"assessments/(?P<assessment>[0-9a-f-]{36})/remove")
    def remove_assessment(self, request: Request, uuid: str | None = None, assessment: str = "") -> Response:
        """Withdraw one; its own sentence leaves the impression too."""
        report = self.get_object()
        try:
            wanted = str(UUID(assessment))
        except ValueError:
            raise NotKnown("There is no such assessment.") from None
        return Response(
            AssessmentSerializer(services.remove_assessment(report, assessment=wanted, actor=self.actor)).data
        )

    @extend_schema(responses=PriorSerializer(many=True))
    @action(detail=True, pagination_class=None)
    def priors(self, request: Request, uuid: str | None = None) -> Response:
        """Earlier exams of this person, of all records merged into theirs, with what was signed of them."""
        report = self.get_object()
        self.audit_read(report, page="priors")
        procedures = sorted(report.procedures.all(), key=lambda row: row.pk)
        return Response(PriorSerializer(selectors.priors_of(procedures, actor=self.actor), many=True).data)

    @extend_schema(request=CiteSerializer, responses=shapes.ReportSerializer)
    @action(detail=True, methods=["post"], url_path="cite-prior")
    def cite(self, request: Request, uuid: str | None = None) -> Response:
        """Name an earlier exam in the comparison."""
        report, data = self.get_object(), self.validated()
        prior = RequestedProcedure.objects.visible_to(self.actor).filter(uuid=data["prior"]).first()
        if prior is None:
            raise NotKnown("There is no such exam in this facility.")
        return self._shown(services.cite_prior(report, prior=prior, revision=data.get("revision"), actor=self.actor))

    @extend_schema(request=EMPTY, responses=shapes.ReportSerializer)
    @action(detail=True, methods=["post"], url_path="not-critical")
    def not_critical(self, request: Request, uuid: str | None = None) -> Response:
        """Answer that the words of the impression, as they are now, need no alert."""
        return self._shown(services.answer_not_critical(self.get_object(), actor=self.actor))

    @extend_schema(request=shapes.ReasonSerializer, responses=shapes.ReportSerializer)
    @action(detail=True, methods=["post"])
    def recall(self, request: Request, uuid: str | None = None) -> Response:
        """Take one's own signature back before delivery; 409 when it has left."""
        return self._shown(services.recall_report(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=EMPTY, responses=shapes.ReportSerializer)
    @action(detail=True, methods=["post"], url_path="send-now")
    def send_now(self, request: Request, uuid: str | None = None) -> Response:
        """Do not wait for the end of the recall window."""
        return self._shown(services.release_now(self.get_object(), actor=self.actor))

    @extend_schema(request=shapes.ProofSerializer, responses=shapes.ReportSerializer)
    @action(detail=True, methods=["post"], url_path="co-sign")
    def co_sign(self, request: Request, uuid: str | None = None) -> Response:
        """Stand by the newest signed words beside who signed them."""
        report = self.get_object()
        self._prove(self.validated())
        return self._shown(services.co_sign(report, actor=self.actor))

    @extend_schema(responses=shapes.ReportSerializer(many=True))
    @action(detail=False, pagination_class=None)
    def changes(self, request: Request) -> Response:
        """Own preliminary reports that another has signed, not looked at since."""
        rows = list(changes_for(self.actor)[:50])
        self.audit_read([row.first_procedure for row in rows], page="changes")
        return Response(self.get_serializer(rows, many=True).data)

    @extend_schema(request=EMPTY, responses=shapes.ReportSerializer)
    @action(detail=True, methods=["post"], url_path="changes-seen")
    def changes_seen(self, request: Request, uuid: str | None = None) -> Response:
        return self._shown(services.mark_changes_seen(self.get_object(), actor=self.actor))

    @extend_schema(request=BatchSignatureSerializer, responses=SignatureOutcomeSerializer(many=True))
    @action(detail=False, methods=["post"], url_path="sign-batch", pagination_class=None)
    def sign_batch(self, request: Request) -> Response:
        """Sign one's own clean drafts and preliminaries with one proof; each has its outcome."""
        data = self._prove(self.validated())
        chosen = list(self.get_queryset().filter(uuid__in=data["reports"]).order_by("pk"))
        if len(chosen) != len(set(data["reports"])):
            raise NotKnown("One of these reports is not known in this facility.")
        return Response(SignatureOutcomeSerializer(services.sign_batch(chosen, actor=self.actor), many=True).data)


def _scale(scheme: Scheme) -> dict[str, Any]:
    return {
        "key": scheme.key,
        "name": scheme.name,
        "version": scheme.version,
        "subject": str(scheme.subject),
        "fields": [
            {
                "key": field.key,
                "label": str(field.label),
                "kind": field.kind,
                "unit": field.unit,
                "is_required": field.is_required,
                "choices": [{"code": choice.code, "label": str(choice.label)} for choice in field.choices],
            }
            for field in scheme.fields
        ],
    }


class ScaleChoiceSerializer(serializers.Serializer):
    code = serializers.CharField()
    label = serializers.CharField()


class ScaleFieldSerializer(serializers.Serializer):
    key = serializers.CharField()
    label = serializers.CharField()
    kind = serializers.CharField()
    unit = serializers.CharField(allow_blank=True)
    is_required = serializers.BooleanField()
    choices = ScaleChoiceSerializer(many=True)


class ScaleSerializer(serializers.Serializer):
    key = serializers.CharField()
    name = serializers.CharField()
    version = serializers.CharField()
    subject = serializers.CharField()
    fields = ScaleFieldSerializer(many=True)


class ScaleViewSet(FacilityViewSet):
    """Published scales: their questions with codes, and what follows from answers."""

    pagination_class = None
    filter_backends = ()
    queryset = Assessment.objects.none()
    lookup_field = "key"
    serializer_class = CalculationSerializer
    permission_codes = {"list": perms.VIEW_TEMPLATE, "calculate": perms.WRITE_REPORT}

    @extend_schema(responses=ScaleSerializer(many=True))
    def list(self, request: Request) -> Response:
        return Response([_scale(scheme) for scheme in SCHEMES.values()])

    @extend_schema(
        parameters=[OpenApiParameter("key", str, OpenApiParameter.PATH, description="The scale.")],
        request=CalculationSerializer,
        responses=OpenApiResponse(OpenApiTypes.OBJECT),
    )
    @action(detail=True, methods=["post"])
    def calculate(self, request: Request, key: str = "") -> Response:
        """Category and advice; nothing is kept. 400 names the answers that are missing or wrong."""
        if key not in SCHEMES:
            raise NotKnown("There is no such scale.")
        answers, result = assess(scheme_of(key), self.validated()["inputs"])
        return Response(
            {
                "version": SCHEMES[key].version,
                "inputs": answers,
                "category": result.category,
                "title": str(result.title),
                "management": str(result.management),
                "score": result.score,
            }
        )


class CheckLevelSerializer(serializers.Serializer):
    code = serializers.CharField()
    title = serializers.CharField()
    level = serializers.CharField(help_text="Its weight in this facility.")
    by_itself = serializers.CharField(help_text="Its weight where nobody has chosen one.")
    may_be = serializers.ListField(child=serializers.CharField())


class SigningCheckViewSet(FacilityViewSet):
    """What stops a signature in this facility."""

    pagination_class = None
    filter_backends = ()
    queryset = CheckSetting.objects.none()
    serializer_class = LevelSerializer
    permission_codes = {"list": perms.MANAGE_CHECKS, "create": perms.MANAGE_CHECKS}

    def _rows(self) -> list[dict[str, Any]]:
        levels = levels_set()
        return [
            {
                "code": code,
                "title": str(kind.title),
                "level": levels.get(code, kind.level),
                "by_itself": kind.level,
                "may_be": list(kind.may_be),
            }
            for code, kind in CHECKS.items()
        ]

    @extend_schema(responses=CheckLevelSerializer(many=True))
    def list(self, request: Request) -> Response:
        return Response(self._rows())

    @extend_schema(request=LevelSerializer, responses={200: CheckLevelSerializer(many=True)})
    def create(self, request: Request) -> Response:
        """Set the weight of one check."""
        data = self.validated()
        services.set_check_level(data["code"], level=data["level"], actor=self.actor)
        return Response(self._rows())
