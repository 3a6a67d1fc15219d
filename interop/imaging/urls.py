"""Pictures. No patient's name or number is in an address: an image is named by its SOP Instance UID."""

from __future__ import annotations

from django.urls import path

from interop.imaging import blinded, teaching, teaching_export, views

urlpatterns = [
    path("teaching/images/<uuid:image>/<int:frame>.jpg", teaching.teaching_image, name="teaching_image"),
    path("teaching/<uuid:case>/images.zip", teaching_export.teaching_export, name="teaching_export"),
    path(
        "peer-review/cases/<uuid:case>/pictures/<int:series>/<int:number>.png",
        blinded.case_picture,
        name="review_case_picture",
    ),
    path("peer-learning/pictures/<uuid:image>/<int:frame>.jpg", blinded.learning_picture, name="learning_picture"),
    path("images/studies/<uuid:study>/", views.study_images, name="study_images"),
    path("images/rejections/<uuid:rejection>/restore/", views.rejection_restore, name="rejection_restore"),
    path("images/<str:uid>/frames/<int:frame>.png", views.instance_image, name="instance_image"),
]
