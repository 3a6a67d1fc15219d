"""Every address of the house. A domain app brings ``web/urls.py`` (``urlpatterns``) and ``api/urls.py``
(``register(router)``); interop brings ``interop/urls.py``."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerSplitView
from rest_framework.routers import DefaultRouter

from ris.accounts.api.document import DocumentView
from ris.core.web.prefixes import prefixed

#: Pages, from the top of the graph down; the first that knows an address answers.
PAGES = (
    "interop.urls",
    "peerreview.web.urls",
    "reporting.web.urls",
    "dose.web.urls",
    "worklist.web.urls",
    "orders.web.urls",
    "orders.web.billing_urls",
    "ris.audit.web.urls",
    "ris.notifications.web.urls",
    "ris.accounts.web.urls",
    "ris.core.web.urls",
)
#: What brings REST resources: a function ``register(router)``, and ``urlpatterns`` where it has views beside them.
RESOURCES = (
    "ris.accounts.api.urls",
    "ris.audit.api.urls",
    "ris.events.api.urls",
    "ris.notifications.api.urls",
    "orders.api.urls",
    "worklist.api.urls",
    "reporting.api.urls",
    "dose.api.urls",
    "peerreview.api.urls",
    "interop.api.urls",
)


def _there_is(module: str) -> bool:
    """Whether an app brings this module. A module that exists and fails to load is an error, not an absence."""
    parts = module.split(".")
    return all(find_spec(".".join(parts[: depth + 1])) is not None for depth in range(len(parts)))


def _rest() -> list[URLPattern | URLResolver]:
    router = DefaultRouter()
    router.include_root_view = router.include_format_suffixes = False
    others: list[URLPattern | URLResolver] = []
    for name in RESOURCES:
        if _there_is(name):
            module = import_module(name)
            if hasattr(module, "register"):
                module.register(router)
            others += getattr(module, "urlpatterns", [])
    return [*others, *router.urls]


handler400 = "ris.core.web.views.bad_request"
handler403 = "ris.core.web.views.forbidden"
handler404 = "ris.core.web.views.not_found"
handler500 = "ris.core.web.views.server_error"

#: The documentation pages draw with styles of their own making.
_docs = csp_update({"style-src": [SELF, UNSAFE_INLINE], "worker-src": [SELF, "blob:"], "script-src": [SELF, "blob:"]})

urlpatterns: list[URLPattern | URLResolver] = [
    prefixed(path("admin/", admin.site.urls)),
    path("api/schema/", DocumentView.as_view(), name="schema"),
    path("api/docs/", _docs(SpectacularSwaggerSplitView.as_view(url_name="schema")), name="swagger-ui"),
    path("api/redoc/", _docs(SpectacularRedocView.as_view(url_name="schema")), name="redoc"),
    prefixed(path("api/v1/", include((_rest(), "api")))),
    *(prefixed(path("", include(name))) for name in PAGES if _there_is(name)),
]
