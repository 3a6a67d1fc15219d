"""``/api/v1/report-searches/``: searches that are kept, and what is found, asked by POST as words may name people."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from orders.models import Modality, Sex
from reporting import permissions as perms
from reporting.models import Report, ReportStatus, SavedSearch
from reporting.selectors import search as selectors
from reporting.selectors.search import FOUND_AT_MOST, ReportSearch
from reporting.services import search as services
from ris.accounts.api.base import FacilityViewSet, ListMixin, RetrieveMixin

ROWS = 100


class SearchQuerySerializer(serializers.Serializer):
    """What is asked; words as people type them: all of them, "a phrase", one OR another, -without."""

    words = serializers.CharField(max_length=300, required=False, allow_blank=True, trim_whitespace=True)
    modality = serializers.ListField(child=serializers.ChoiceField(choices=Modality.choices), required=False)
    body_region = serializers.CharField(max_length=40, required=False, allow_blank=True)
    exam = serializers.CharField(max_length=16, required=False, allow_blank=True, help_text="Code of the catalogue.")
    since = serializers.DateField(required=False, help_text="Signed on that day or later.")
    until = serializers.DateField(required=False, help_text="Signed on that day or earlier.")
    signer = serializers.UUIDField(required=False)
    sex = serializers.ChoiceField(choices=Sex.choices, required=False)
    age_from = serializers.IntegerField(min_value=0, max_value=130, required=False, help_text="Years at the signature.")
    age_to = serializers.IntegerField(min_value=0, max_value=130, required=False)

    def asked(self) -> ReportSearch:
        data = {name: value for name, value in self.validated_data.items() if name in SearchQuerySerializer().fields}
        if "signer" in data:
            data["signer"] = str(data["signer"])
        return ReportSearch(**{**data, "modality": tuple(data.get("modality", ()))})


class SearchAskSerializer(SearchQuerySerializer):
    offset = serializers.IntegerField(min_value=0, max_value=FOUND_AT_MOST, default=0)


class FoundReportSerializer(serializers.ModelSerializer):
    status = serializers.ChoiceField(choices=ReportStatus.choices)
    accession_number = serializers.CharField()
    signed_at = serializers.DateTimeField(source="text.signed_at")
    patient = serializers.UUIDField(source="audit_patient")

    class Meta:
        model = Report
        fields = ("uuid", "status", "accession_number", "patient", "signed_at")


class FoundSerializer(serializers.Serializer):
    count = serializers.IntegerField(help_text=f"At most {FOUND_AT_MOST}, the newest.")
    results = FoundReportSerializer(many=True, help_text=f"{ROWS} from ``offset`` on.")


class SavedSearchSerializer(serializers.ModelSerializer):
    owner = serializers.UUIDField(source="owner.uuid", read_only=True)
    query = serializers.JSONField(read_only=True)

    class Meta:
        model = SavedSearch
        fields = ("uuid", "name", "owner", "query", "is_shared", "opened_at")
        read_only_fields = ("uuid", "is_shared", "opened_at")


class SavedSearchWriteSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=60)
    query = SearchQuerySerializer()


class ShareSearchSerializer(serializers.Serializer):
    is_shared = serializers.BooleanField()


class SavedSearchViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Searches of reports that are kept, one's own and those shared; each is asked with the caller's own rights."""

    queryset = SavedSearch.objects.none()
    serializer_class = SavedSearchSerializer
    serializer_classes = {
        "create": SavedSearchWriteSerializer,
        "find": SearchAskSerializer,
        "share": ShareSearchSerializer,
    }
    permission_codes = {
        "list": perms.VIEW_REPORT,
        "retrieve": perms.VIEW_REPORT,
        "create": perms.VIEW_REPORT,
        "destroy": perms.VIEW_REPORT,
        "find": perms.VIEW_REPORT,
        "found": perms.VIEW_REPORT,
        "share": perms.SHARE_SEARCH,
    }

    def get_queryset(self) -> QuerySet[SavedSearch]:
        return selectors.saved_searches(actor=self.actor)

    @extend_schema(request=SavedSearchWriteSerializer, responses={201: SavedSearchSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Keep a search under a name; the same name again replaces one's own."""
        data = self.validated()
        query = SearchQuerySerializer(data=request.data.get("query", {}))
        query.is_valid(raise_exception=True)
        row = services.save_search(name=data["name"], search=query.asked(), actor=self.actor)
        return self.answer(row, status.HTTP_201_CREATED)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        services.remove_search(self.get_object(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=SearchAskSerializer, responses=FoundSerializer)
    @action(detail=False, methods=["post"])
    def find(self, request: Request) -> Response:
        """Reports that say this, the newest first."""
        asked = SearchAskSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return self._found(asked.asked(), asked.validated_data["offset"])

    @extend_schema(request=None, responses=FoundSerializer)
    @action(detail=True, methods=["get"])
    def found(self, request: Request, uuid: str | None = None) -> Response:
        """The first reports that a kept search finds now."""
        row = self.get_object()
        return self._found(ReportSearch.from_query(row.query), 0)

    @extend_schema(request=ShareSearchSerializer, responses=SavedSearchSerializer)
    @action(detail=True, methods=["post"])
    def share(self, request: Request, uuid: str | None = None) -> Response:
        """Let others ask it too, or not any more."""
        row = services.share_search(self.get_object(), is_shared=self.validated()["is_shared"], actor=self.actor)
        return self.answer(row)

    def _found(self, search: ReportSearch, offset: int) -> Response:
        keys = selectors.search_reports(search, actor=self.actor)
        reports = selectors.shown_reports(keys[offset : offset + ROWS])
        self.audit_read(reports, search=True)
        return Response(FoundSerializer({"count": len(keys), "results": reports}).data)
