from django.urls import path

from orders.web import orders, patients, search

urlpatterns = [
    path("search/", search.search, name="search"),
    path("patients/", patients.patient_list, name="patient_list"),
    path("patients/register/", patients.patient_create, name="patient_create"),
    path("patients/<uuid:uuid>/", patients.patient_detail, name="patient_detail"),
    path("patients/<uuid:uuid>/correct/", patients.patient_edit, name="patient_edit"),
    path("patients/<uuid:uuid>/merge/", patients.patient_merge, name="patient_merge"),
    path("patients/<uuid:uuid>/order/", orders.order_create, name="order_create"),
    path("patients/<uuid:uuid>/alerts/", patients.alert_add, name="alert_add"),
    path("patients/<uuid:uuid>/alerts/<uuid:alert>/end/", patients.alert_end, name="alert_end"),
    path("patients/<uuid:uuid>/identifiers/", patients.identifier_add, name="identifier_add"),
    path("patients/<uuid:uuid>/documents/", patients.document_add, name="document_add"),
    path("documents/<uuid:uuid>/", patients.document_content, name="document_content"),
    path("merges/<uuid:uuid>/undo/", patients.merge_undo, name="merge_undo"),
    path("orders/", orders.order_list, name="order_list"),
    path("orders/exams/", orders.exam_search, name="exam_search"),
    path("orders/<uuid:uuid>/", orders.order_detail, name="order_detail"),
    path("orders/<uuid:uuid>/cancel/", orders.order_cancel, name="order_cancel"),
    path("procedures/<uuid:uuid>/<slug:verb>/", orders.procedure_action, name="procedure_action"),
]
