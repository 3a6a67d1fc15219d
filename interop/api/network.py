"""REST of two looks at the imaging network: what a scanner would see of the worklist now, and whether all is ready."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from interop.dicom.preview import Told, ask, caller_for, newcomer, peer_called, question, why_not
from interop.dicom.readiness import BROKEN, FINE, WARNING, check_readiness
from interop.models import DicomPeer
from interop.permissions import MANAGE_INTERFACES, VIEW_INTERFACES
from ris.accounts.api.base import FacilityViewSet
from worklist.models.rooms import ae_title_validator
from worklist.permissions import VIEW_STEP

#: What a keeper of the network is told who may see no patient.
WITHOUT_PATIENT = frozenset(
    {
        "AccessionNumber", "Modality", "RequestedProcedureID", "ScheduledProcedureStepDescription",
        "ScheduledProcedureStepID", "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime",
        "ScheduledProcedureStepStatus", "ScheduledStationAETitle",
    }
)  # fmt: skip


class PreviewQuestionSerializer(serializers.Serializer):
    ae_title = serializers.CharField(max_length=16, validators=[ae_title_validator], help_text="Of the scanner.")
    any_station = serializers.BooleanField(default=False, help_text="It asks for every station, not its own title.")
    modality = serializers.RegexField(r"^[A-Za-z0-9]*$", max_length=4, required=False, allow_blank=True, default="")
    any_day = serializers.BooleanField(default=False, help_text="It names no date.")
    day = serializers.DateField(required=False, help_text="Today without.")
    missing = serializers.CharField(
        max_length=16, required=False, allow_blank=True, default="", help_text="Why is this accession number not there?"
    )


class PreviewItemSerializer(serializers.Serializer):
    status = serializers.CharField(help_text="FF00, or FF01 where it asked for a key that is not supported.")
    keys = serializers.DictField(child=serializers.CharField(), help_text="Keyword to value, as the scanner gets it.")


class PreviewReasonSerializer(serializers.Serializer):
    scheduled_procedure_step_id = serializers.CharField(help_text="Empty: there is no such exam that you may see.")
    reasons = serializers.ListField(child=serializers.CharField(), help_text="None: it is in the answer.")


class PreviewAnswerSerializer(serializers.Serializer):
    is_known = serializers.BooleanField(help_text="A peer has this title; else it is what a new one would see.")
    status = serializers.CharField(help_text="0000, or the status of a refusal.")
    comment = serializers.CharField()
    items = PreviewItemSerializer(many=True)
    hidden = serializers.IntegerField(help_text="Answers about patients whom you may not see.")
    missing = PreviewReasonSerializer(many=True)


class FindingSerializer(serializers.Serializer):
    subject = serializers.CharField()
    level = serializers.ChoiceField(choices=[FINE, WARNING, BROKEN])
    words = serializers.CharField()
    todo = serializers.CharField()


class WorklistPreviewViewSet(FacilityViewSet):
    """What a scanner would see of the worklist now, by the very code that answers it."""

    permission_codes = {"create": VIEW_INTERFACES}
    also_allowed = (VIEW_STEP,)
    serializer_class = PreviewQuestionSerializer
    queryset = DicomPeer.objects.none()

    @extend_schema(
        summary="Worklist preview", request=PreviewQuestionSerializer, responses={200: PreviewAnswerSerializer}
    )
    def create(self, request: Request) -> Response:
        """Ask as the scanner asks. Without the right to see steps the answers say nothing of patients."""
        data = self.validated()
        title, day = data["ae_title"], data.get("day") or timezone.localdate()
        peer = peer_called(title)
        caller = caller_for(peer or newcomer(title), title)
        keys = question(
            station="" if data["any_station"] else title,
            modality=data["modality"].upper(),
            date="" if data["any_day"] else f"{day:%Y%m%d}",
        )
        answer = ask(keys, caller=caller, actor=self.actor)
        wanted = data["missing"].strip()
        missing = why_not(wanted, keys, caller=caller, actor=self.actor) if wanted else []
        told = {
            "is_known": peer is not None,
            "status": answer.status_text,
            "comment": answer.comment,
            "items": [{"status": f"{item.status:04X}", "keys": self._keys(item)} for item in answer.items],
            "hidden": answer.hidden,
            "missing": [
                {
                    "scheduled_procedure_step_id": row.step.scheduled_procedure_step_id if row.step else "",
                    "reasons": row.words,
                }
                for row in missing
            ],
        }
        return Response(PreviewAnswerSerializer(told).data)

    def _keys(self, item: Told) -> dict[str, Any]:
        if self.actor.may(VIEW_STEP):
            return item.keys
        return {name: value for name, value in item.keys.items() if name in WITHOUT_PATIENT}


class ReadinessViewSet(FacilityViewSet):
    """Is the imaging network ready? Listeners and peers are called; each finding says what to do."""

    permission_codes = {"check": MANAGE_INTERFACES}
    serializer_class = FindingSerializer
    queryset = DicomPeer.objects.none()

    @extend_schema(summary="DICOM readiness check", request=None, responses={200: FindingSerializer(many=True)})
    @action(detail=False, methods=["post"], pagination_class=None)
    def check(self, request: Request) -> Response:
        """Look at everything now."""
        return Response(FindingSerializer(check_readiness(actor=self.actor), many=True).data)
