from django.contrib import admin

from peerreview import permissions as perms
from peerreview.models import ReviewCase, ReviewRound
from ris.accounts.admin_base import FacilityModelAdmin


@admin.register(ReviewRound)
class ReviewRoundAdmin(FacilityModelAdmin):
    """Rounds are planned and launched on their own page; here they are read."""

    view_code = perms.MANAGE_ROUND
    list_display = ["name", "modality", "signed_from", "signed_until", "percent", "status"]
    list_filter = ["status", "modality"]
    search_fields = ["name"]


@admin.register(ReviewCase)
class ReviewCaseAdmin(FacilityModelAdmin):
    view_code = perms.MANAGE_ROUND
    list_display = ["round", "reviewer", "status", "score", "arbitrated_score", "scored_at"]
    list_filter = ["status", "round"]
    list_select_related = ["round", "reviewer"]
