"""Who the exam is about. Names are components (PS3.5 6.2.1.2), identifiers are (value, issuer, type)."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Concat, Reverse, Right, Upper
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _
from guardian.models import UserObjectPermissionBase
from simple_history.models import HistoricalRecords

from orders.querysets import PatientQuerySet
from ris.core.lifecycle import PublicModel, Recorded


class Sex(models.TextChoices):
    """DICOM (0010,0040) knows M, F, O; HL7 table 0001 and FHIR add unknown."""

    MALE = "M", _("Male")
    FEMALE = "F", _("Female")
    OTHER = "O", _("Other")
    UNKNOWN = "U", _("Unknown")


#: What stands between the words of names; read alike by PostgreSQL and Python.
NAME_SEPARATORS = r"[\s'’ʼ`´.,;:/()\"&+_–-]+"
#: The words of all name components as lexemes, upper case without accents, whatever their order.
NAME_WORDS = Func(
    Func(
        Func(
            Upper(
                Func(
                    Concat(
                        "family_name", Value(" "), "given_name", Value(" "), "middle_name", Value(" "),
                        "ideographic_name", Value(" "), "phonetic_name",
                    ),
                    function="f_unaccent",
                )
            ),
            Value(NAME_SEPARATORS),
            function="REGEXP_SPLIT_TO_ARRAY",
        ),
        Value(""),
        function="ARRAY_REMOVE",
    ),
    function="ARRAY_TO_TSVECTOR",
    output_field=SearchVectorField(),
)  # fmt: skip


@SearchVectorField.register_lookup
class Query(models.Lookup):
    """``name_words__query="'WANJ':* & 'ACHIENG'"``: as it is, without a dictionary's ideas of the words."""

    lookup_name = "query"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        left, left_values = self.process_lhs(compiler, connection)
        return f"{left} @@ %s::tsquery", [*left_values, str(self.rhs)]


PHONE_TAIL_DIGITS = 7
PHONE_TAIL = Right(
    Func(F("phone"), Value(r"\D"), Value(""), Value("g"), function="REGEXP_REPLACE", output_field=models.TextField()),
    PHONE_TAIL_DIGITS,
)
#: A day more than the database's own: facilities east of it are ahead. Once true it stays true.
TOMORROW = Func(template="(CURRENT_DATE + 1)", output_field=models.DateField())
ALERT_LOOKS = {
    "allergy": ("red", "flask"),
    "isolation": ("amber", "alert-triangle"),
    "mr_unsafe": ("red", "hand-stop"),
    "pregnancy": ("amber", "alert-triangle"),
    "other": ("blue", "info-circle"),
}


class Patient(Recorded):
    """A person. ``merged_into`` points at the survivor of a merge; the losing row stays, read-only."""

    family_name = models.CharField(_("family name"), max_length=64)
    given_name = models.CharField(_("given name"), max_length=64, blank=True)
    middle_name = models.CharField(_("middle name"), max_length=64, blank=True)
    prefix = models.CharField(_("title"), max_length=32, blank=True)
    suffix = models.CharField(_("suffix"), max_length=32, blank=True)
    ideographic_name = models.CharField(_("name, ideographic"), max_length=64, blank=True)
    phonetic_name = models.CharField(_("name, phonetic"), max_length=64, blank=True)
    birth_date = models.DateField(_("date of birth"), null=True, blank=True)
    birth_date_is_estimated = models.BooleanField(_("date of birth is estimated"), default=False)
    sex = models.CharField(_("sex"), max_length=1, choices=Sex.choices, default=Sex.UNKNOWN)
    phone = models.CharField(_("phone"), max_length=40, blank=True)
    email = models.EmailField(_("e-mail"), blank=True)
    address = models.TextField(_("address"), blank=True)
    language = models.CharField(_("language"), max_length=8, blank=True)
    next_of_kin = models.CharField(_("next of kin"), max_length=200, blank=True)
    weight_kg = models.DecimalField(_("weight (kg)"), max_digits=6, decimal_places=2, null=True, blank=True)
    height_m = models.DecimalField(_("height (m)"), max_digits=4, decimal_places=2, null=True, blank=True)
    is_restricted = models.BooleanField(_("restricted"), default=False)
    identity_is_unverified = models.BooleanField(_("identity not confirmed"), default=False)
    is_deceased = models.BooleanField(_("deceased"), default=False)
    merged_into = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="merged_patients", editable=False
    )
    merged_at = models.DateTimeField(null=True, blank=True, editable=False)

    name_words = models.GeneratedField(expression=NAME_WORDS, output_field=SearchVectorField(), db_persist=True)
    phone_tail = models.GeneratedField(
        expression=PHONE_TAIL, output_field=models.CharField(max_length=PHONE_TAIL_DIGITS), db_persist=True
    )

    history = HistoricalRecords(excluded_fields=["name_words", "phone_tail"])
    objects = PatientQuerySet.as_manager()

    class Meta:
        verbose_name = _("patient")
        ordering = ["family_name", "given_name", "pk"]
        permissions = [("view_restricted_patient", "Can see this restricted patient")]
        constraints = [
            models.CheckConstraint(
                condition=Q(merged_into__isnull=True, merged_at__isnull=True)
                | Q(merged_into__isnull=False, merged_at__isnull=False),
                name="merged_patient_has_survivor_and_time",
            ),
            models.CheckConstraint(condition=~Q(merged_into=F("id")), name="patient_is_not_merged_into_itself"),
            models.CheckConstraint(condition=~Q(family_name=""), name="patient_has_a_family_name"),
            models.CheckConstraint(
                condition=Q(birth_date__isnull=True) | Q(birth_date__gte=date(1850, 1, 1)),
                name="birth_date_is_possible",
            ),
            models.CheckConstraint(
                condition=Q(birth_date__isnull=True) | Q(birth_date__lte=TOMORROW),
                name="birth_date_is_not_in_the_future",
            ),
        ]
        indexes = [
            GinIndex(fields=["name_words"], fastupdate=False, name="patient_name_words"),
            models.Index(fields=["birth_date"], name="patient_birth_date"),
            models.Index(
                OpClass(Reverse("phone_tail"), "text_pattern_ops"),
                condition=~Q(phone_tail=""),
                name="patient_phone_tail",
            ),
        ]

    def __str__(self) -> str:
        return self.display_name

    def save(self, *args: Any, **kwargs: Any) -> None:
        from orders.models.identity import NamePart

        super().save(*args, **kwargs)
        NamePart.learn(self)

    @property
    def display_name(self) -> str:
        """``FAMILY, Given Middle``."""
        given = " ".join(part for part in (self.given_name, self.middle_name) if part)
        return f"{self.family_name.upper()}, {given}" if given else self.family_name.upper()

    picker_prefetch = ("identifiers",)

    @property
    def picker_text(self) -> str:
        """Name, birth date, number: what tells two people of one name apart in a list to choose from."""
        born = date_format(self.birth_date, "SHORT_DATE_FORMAT") if self.birth_date else "–"
        return f"{self.display_name} · {born} · {self.primary_identifier or '–'}"

    @property
    def dicom_name(self) -> str:
        """PN: alphabetic group, then ideographic and phonetic when there are any."""
        parts = [self.family_name, self.given_name, self.middle_name, self.prefix, self.suffix]
        groups = ["^".join(parts).rstrip("^"), self.ideographic_name, self.phonetic_name]
        return "=".join(groups).rstrip("=")

    @property
    def age(self) -> int | None:
        """Whole years today."""
        return self.age_on(timezone.localdate())

    def age_on(self, day: date) -> int | None:
        if self.birth_date is None:
            return None
        return day.year - self.birth_date.year - ((day.month, day.day) < (self.birth_date.month, self.birth_date.day))

    @property
    def primary_identifier(self) -> PatientIdentifier | None:
        """The facility's own number: usual MR first, then what else is usual, then any; uses a prefetch."""
        ranked = sorted(
            self.identifiers.all(),
            key=lambda row: (row.use != IdentifierUse.USUAL, row.type != IdentifierType.MEDICAL_RECORD, row.pk),
        )
        return ranked[0] if ranked else None

    @property
    def alerts(self) -> list[tuple[str, str, str]]:
        """What the banner warns of: (tone, icon, words); uses a prefetch."""
        shown = []
        if self.identity_is_unverified:
            shown.append(("amber", "user-question", str(_("Identity not confirmed"))))
        if self.is_restricted:
            shown.append(("indigo", "lock", str(_("Restricted"))))
        if self.is_deceased:
            shown.append(("slate", "info-circle", str(_("Deceased"))))
        for row in self.alert_rows.all():
            if row.is_active:
                shown.append((*ALERT_LOOKS[row.kind], f"{row.get_kind_display()}: {row.text}"))
        return shown

    @property
    def audit_patient(self):
        return self.uuid


class IdentifierType(models.TextChoices):
    """HL7 table 0203"""

    MEDICAL_RECORD = "MR", _("Medical record number")
    NATIONAL = "NI", _("National identifier")
    PASSPORT = "PPN", _("Passport")
    INSURANCE = "NIIP", _("Insurance number")
    PATIENT_INTERNAL = "PI", _("Internal number")
    TEMPORARY = "PT", _("Temporary number")
    EXTERNAL = "PE", _("External number")


class IdentifierUse(models.TextChoices):
    """FHIR identifier-use"""

    USUAL = "usual", _("Usual")
    SECONDARY = "secondary", _("Secondary")
    TEMPORARY = "temp", _("Temporary")
    OLD = "old", _("Old")


class PatientIdentifier(PublicModel):
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="identifiers")
    value = models.CharField(_("identifier"), max_length=64)
    issuer = models.CharField(_("issuer"), max_length=64)
    type = models.CharField(_("type"), max_length=8, choices=IdentifierType.choices, default="MR")
    use = models.CharField(_("use"), max_length=10, choices=IdentifierUse.choices, default="usual")

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("patient identifier")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["value", "issuer", "type"], name="identifier_once_per_issuer"),
            models.CheckConstraint(condition=~Q(value=""), name="identifier_has_a_value"),
            models.CheckConstraint(condition=~Q(issuer=""), name="identifier_has_an_issuer"),
        ]
        indexes = [models.Index(Upper("value"), name="identifier_in_any_case")]

    def __str__(self) -> str:
        return f"{self.value} ({self.issuer})"

    @property
    def audit_patient(self):
        return self.patient.uuid


class PatientAlert(PublicModel):
    """What must be seen before anything is done: allergy, isolation, MR-unsafe implant, pregnancy, other."""

    class Kind(models.TextChoices):
        ALLERGY = "allergy", _("Allergy")
        ISOLATION = "isolation", _("Isolation")
        MR_UNSAFE = "mr_unsafe", _("MR unsafe")
        PREGNANCY = "pregnancy", _("Pregnancy")
        OTHER = "other", _("Other")

    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="alert_rows")
    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    text = models.CharField(_("text"), max_length=200)
    is_active = models.BooleanField(_("active"), default=True)
    noted_at = models.DateTimeField(default=timezone.now)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("alert")
        ordering = ["-is_active", "kind", "pk"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.text}"

    @property
    def audit_patient(self):
        return self.patient.uuid


class PatientMerge(PublicModel):
    """One merge of two identities: every moved row is written down, so that unmerge can restore it."""

    survivor = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="merges_survived")
    loser = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="merges_lost")
    moved = models.JSONField(default=dict, help_text="{model: [ids]} that pointed at the loser.")
    before = models.JSONField(default=dict, help_text="What the merge changed in those rows and in the survivor.")
    reason = models.CharField(max_length=200)
    source = models.CharField(max_length=20)
    merged_at = models.DateTimeField(default=timezone.now)
    undone_at = models.DateTimeField(null=True, blank=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("merge")
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=~Q(survivor=F("loser")), name="merge_of_two_patients"),
            models.UniqueConstraint(
                fields=["loser"], condition=Q(undone_at__isnull=True), name="one_live_merge_per_loser"
            ),
        ]

    def __str__(self) -> str:
        return f"merge of {self.merged_at:%Y-%m-%d %H:%M}"

    @property
    def audit_patient(self):
        return self.survivor.uuid


class Visit(PublicModel):
    """A stay or a call of the patient (PV1); identified by (visit number, issuer)."""

    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="visits")
    visit_number = models.CharField(_("visit number"), max_length=64)
    issuer = models.CharField(_("issuer"), max_length=64, blank=True)
    patient_class = models.CharField(_("patient class"), max_length=1, default="O")
    location = models.CharField(_("location"), max_length=100, blank=True)
    admitted_at = models.DateTimeField(null=True, blank=True)
    discharged_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(_("taken back"), null=True, blank=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("visit")
        constraints = [
            models.UniqueConstraint(fields=["visit_number", "issuer"], name="visit_number_once_per_issuer"),
        ]

    def __str__(self) -> str:
        return self.visit_number


class PatientUserObjectPermission(UserObjectPermissionBase):
    """django-guardian's direct foreign keys: a grant on one (restricted) patient."""

    content_object = models.ForeignKey(Patient, on_delete=models.CASCADE)
