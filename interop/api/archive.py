"""REST: earlier studies in other archives."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from interop import permissions as perms
from interop.api.outgoing import OutgoingSerializer
from interop.dicom.archives import ArchiveAnswer, fetch_study, look_in_archives
from orders.models import Patient
from orders.selectors import patients
from ris.accounts.api.base import FacilityViewSet
from ris.core.errors import NotKnown


class ArchiveQuestionSerializer(serializers.Serializer):
    patient = serializers.UUIDField()
    modalities = serializers.ListField(child=serializers.CharField(max_length=16), required=False, default=list)


class ArchiveFetchSerializer(serializers.Serializer):
    patient = serializers.UUIDField()
    archive = serializers.CharField(max_length=16, help_text="AE title of a peer that is marked as an archive.")
    study_instance_uid = serializers.CharField(max_length=64)


class ArchivedStudySerializer(serializers.Serializer):
    study_instance_uid = serializers.CharField()
    study_date = serializers.DateField(allow_null=True)
    description = serializers.CharField()
    accession_number = serializers.CharField()
    modalities = serializers.CharField()
    series = serializers.IntegerField(allow_null=True)
    instances = serializers.IntegerField(allow_null=True)
    stored = serializers.IntegerField(help_text="Instances of it that are here.")
    patient_differs = serializers.BooleanField(source="differs", help_text="The archive names another patient.")
    differences = serializers.ListField(
        child=serializers.CharField(), help_text="Which of identifier, name, birth_date, sex do not agree."
    )


class ArchiveAnswerSerializer(serializers.Serializer):
    archive = serializers.CharField(source="peer.ae_title")
    error = serializers.CharField(help_text="Why its answer is missing or not whole.")
    studies = ArchivedStudySerializer(many=True)


class ArchiveViewSet(FacilityViewSet):
    """DICOM peers that are marked as archives: what they have of a patient, and bringing it here."""

    permission_codes = {"search": perms.QUERY_ARCHIVE, "fetch": perms.QUERY_ARCHIVE}
    serializer_class = ArchiveQuestionSerializer
    serializer_classes = {"search": ArchiveQuestionSerializer, "fetch": ArchiveFetchSerializer}
    queryset = Patient.objects.none()

    @extend_schema(request=ArchiveQuestionSerializer, responses=ArchiveAnswerSerializer(many=True))
    @action(detail=False, methods=["post"], pagination_class=None)
    def search(self, request: Request) -> Response:
        """Ask all archives by the patient's numbers."""
        data = self.validated()
        answers: list[ArchiveAnswer] = look_in_archives(
            self._patient(data), modalities=data["modalities"], actor=self.actor
        )
        return Response(ArchiveAnswerSerializer(answers, many=True).data)

    @extend_schema(request=ArchiveFetchSerializer, responses={202: OutgoingSerializer})
    @action(detail=False, methods=["post"])
    def fetch(self, request: Request) -> Response:
        """Bring a study here; the answer is the work that does it."""
        data = self.validated()
        row = fetch_study(
            self._patient(data),
            ae_title=data["archive"],
            study_instance_uid=data["study_instance_uid"],
            actor=self.actor,
        )
        return Response(OutgoingSerializer(row).data, status=202)

    def _patient(self, data: dict[str, Any]) -> Patient:
        found = patients(actor=self.actor).filter(uuid=data["patient"]).first()
        if found is None:
            raise NotKnown("There is no such patient that you may see.")
        return found
