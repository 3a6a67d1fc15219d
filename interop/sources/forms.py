"""Forms of sources: the settings that a plug-in asks for, the hours, and the rules of the mapping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.forms import BaseFormSet, formset_factory
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from interop.models import Source
from interop.sources.mapping import MOST_RULES
from interop.sources.plugin import Field, SourcePlugin
from interop.sources.secrets import secrets_of
from ris.core.errors import DomainError

MAP_SIGN = "="
SPARE_ROWS = 3


class NewSourceForm(forms.Form):
    kind = forms.ChoiceField(label=gettext_lazy("Kind"), widget=forms.RadioSelect)

    def __init__(self, *args: Any, known: Mapping[str, SourcePlugin], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"].choices = [(code, plugin.label) for code, plugin in sorted(known.items())]


class ImportForm(forms.Form):
    file = forms.FileField(label=gettext_lazy("File"), required=False, help_text=gettext_lazy("JSON, at most 1 MB"))
    text = forms.CharField(
        label=gettext_lazy("Or the text itself"), required=False, max_length=1_000_000,
        widget=forms.Textarea(attrs={"rows": 10, "class": "mono", "spellcheck": "false"}),
    )  # fmt: skip
    replaces = forms.BooleanField(
        label=gettext_lazy("Replace sources of the same name"), required=False,
    )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        uploaded = data.get("file")
        if uploaded is not None and uploaded.size > 1_000_000:
            self.add_error("file", _("At most 1 MB."))
        elif uploaded is None and not (data.get("text") or "").strip():
            self.add_error("file", _("Choose a file, or paste its text."))
        return data


class SourceForm(forms.Form):
    """Name, hours and the plug-in's own settings, as ``config_<name>`` and ``secret_<name>``."""

    name = forms.SlugField(label=gettext_lazy("Name"), max_length=48)
    is_active = forms.BooleanField(label=gettext_lazy("Active"), required=False)
    interval_seconds = forms.IntegerField(label=gettext_lazy("Asks every (seconds)"), min_value=15, max_value=86400)
    opens_at = forms.TimeField(
        label=gettext_lazy("From"), widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    )
    closes_at = forms.TimeField(
        label=gettext_lazy("Until"), widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"),
        help_text=gettext_lazy("Earlier than the beginning: the next morning. The same: all day."),
    )  # fmt: skip
    time_zone = forms.CharField(
        label=gettext_lazy("Time zone there"), max_length=64, required=False,
        help_text=gettext_lazy("For example America/Edmonton. Empty: the facility's."),
    )  # fmt: skip
    time_limit_seconds = forms.IntegerField(
        label=gettext_lazy("A run takes at most (seconds)"), min_value=5, max_value=3600
    )
    alert_after = forms.IntegerField(label=gettext_lazy("Alert after failures"), min_value=1, max_value=1000)
    reserves_room = forms.BooleanField(
        label=gettext_lazy("Reserve the room"), required=False,
        help_text=gettext_lazy("Entries with a station become appointments, not only worklist items."),
    )  # fmt: skip

    def __init__(self, *args: Any, plugin: SourcePlugin, source: Source | None = None, **kwargs: Any) -> None:
        kwargs["initial"] = _initial(source)
        super().__init__(*args, **kwargs)
        self.plugin = plugin
        stored = secrets_of(source) if source is not None and source.pk else {}
        config = source.config if source is not None else {}
        self.setting_names, self.secret_names = [], []
        for row in plugin.fields:
            name = f"{'secret' if row.kind == 'secret' else 'config'}_{row.name}"
            self.fields[name] = _field_for(row, stored.get(row.name, ""))
            (self.secret_names if row.kind == "secret" else self.setting_names).append(name)
            self.initial[name] = _shown(row, config.get(row.name, row.default))

    def settings(self) -> list[forms.BoundField]:
        return [self[name] for name in self.setting_names]

    def credentials(self) -> list[forms.BoundField]:
        return [self[name] for name in self.secret_names]

    def values(self) -> dict[str, Any]:
        """As the service wants them."""
        data = self.cleaned_data
        config = {
            row.name: _read(row, data[f"config_{row.name}"]) for row in self.plugin.fields if row.kind != "secret"
        }
        secrets = {row.name: data[f"secret_{row.name}"] for row in self.plugin.fields if row.kind == "secret"}
        plain = {name: value for name, value in data.items() if not name.startswith(("config_", "secret_"))}
        return {**plain, "config": config, "secrets": secrets}

    def refuse(self, refusal: DomainError) -> None:
        """What the service says of single fields stands beside them, what it says of a rule in its row."""
        if not refusal.errors:
            self.add_error(None, " ".join(filter(None, (refusal.detail, refusal.todo))))
        for name, words in refusal.errors.items():
            text = " ".join(map(str, words)) if isinstance(words, (list, tuple)) else str(words)
            kind, _dot, rest = name.partition(".")
            field = {"config": f"config_{rest}", "secrets": f"secret_{rest}"}.get(kind, name)
            if kind == "mapping":
                self.add_error(None, _("Rule %(number)s: %(words)s") % {"number": rest, "words": text})
            else:
                self.add_error(field if field in self.fields else None, text)


def _initial(source: Source | None) -> dict[str, Any]:
    row = source or Source()
    names = (
        "name", "is_active", "interval_seconds", "opens_at", "closes_at", "time_zone", "time_limit_seconds",
        "alert_after", "reserves_room",
    )  # fmt: skip
    return {name: getattr(row, name) for name in names}


def _field_for(row: Field, stored: str) -> forms.Field:
    common: dict[str, Any] = {"label": row.label, "required": False, "help_text": row.help}
    if row.kind == "secret":
        if stored:
            common["help_text"] = gettext_lazy("One is kept. Leave this empty to keep it.")
        widget = forms.PasswordInput(attrs={"autocomplete": "new-password"})
        return forms.CharField(max_length=300, widget=widget, **common)
    common["required"] = row.is_required
    if row.kind == "number":
        return forms.IntegerField(min_value=row.low, max_value=row.high, **common)
    if row.kind == "flag":
        return forms.BooleanField(**{**common, "required": False})
    if row.kind == "choice":
        return forms.ChoiceField(choices=row.choices, **common)
    if row.kind in ("list", "map"):
        line = _("One per line.") if row.kind == "list" else _("One pair per line, like 3T = MR.")
        common["help_text"] = f"{row.help} {line}".strip()
        widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false"})
        return forms.CharField(max_length=20_000, widget=widget, **common)
    return forms.CharField(max_length=300, **common)


def _shown(row: Field, value: Any) -> Any:
    if row.kind == "list":
        return "\n".join(value or ())
    if row.kind == "map":
        return "\n".join(f"{name} {MAP_SIGN} {item}" for name, item in (value or {}).items())
    return value


def _read(row: Field, value: Any) -> Any:
    if row.kind == "list":
        return [line.strip() for line in (value or "").splitlines() if line.strip()]
    if row.kind == "map":
        return pairs_of((value or "").splitlines())
    return value


def pairs_of(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition(MAP_SIGN) for line in lines if MAP_SIGN in line)
    return {name.strip(): item.strip() for name, _sign, item in pairs if name.strip()}


# --- the mapping, a row for each rule


class RuleForm(forms.Form):
    target = forms.CharField(label=gettext_lazy("Becomes"), max_length=40, required=False)
    origin = forms.CharField(label=gettext_lazy("Field, or template with {field}"), max_length=300, required=False)
    pattern = forms.CharField(label=gettext_lazy("Part (expression)"), max_length=300, required=False)
    group = forms.IntegerField(label=gettext_lazy("Group"), min_value=0, max_value=99, required=False)
    keeps_unmatched = forms.BooleanField(label=gettext_lazy("Keep others"), required=False)
    values = forms.CharField(label=gettext_lazy("Other words (1=M; 2=F)"), max_length=2000, required=False)
    default = forms.CharField(label=gettext_lazy("Otherwise"), max_length=300, required=False)
    format = forms.CharField(label=gettext_lazy("Written as"), max_length=60, required=False)
    note = forms.CharField(max_length=300, required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            if name not in ("keeps_unmatched", "note"):
                field.widget.attrs |= {
                    "class": "form-control form-control-sm", "aria-label": str(field.label), "autocomplete": "off",
                    "spellcheck": "false",
                }  # fmt: skip
        self.fields["target"].widget.attrs["list"] = "targets"
        self.fields["origin"].widget.attrs["list"] = "origins"

    def rule(self) -> dict[str, Any]:
        data = {name: value for name, value in self.cleaned_data.items() if value not in (None, "", False)}
        data.pop("ORDER", None)
        origin = data.pop("origin", "")
        if origin:
            data["template" if "{" in origin else "source"] = origin
        if "values" in data:
            data["values"] = pairs_of(data["values"].split(";"))
        return data


RuleFormSet = formset_factory(RuleForm, extra=SPARE_ROWS, can_order=True, max_num=MOST_RULES, absolute_max=MOST_RULES)


def rules_formset(data: Any, rules: list[dict[str, Any]]) -> BaseFormSet:
    formset = RuleFormSet(data, prefix="rule", initial=[_as_row(rule) for rule in rules])
    for form in formset.forms:
        form.fields["ORDER"].widget.attrs |= {"class": "form-control form-control-sm", "aria-label": _("Position")}
    return formset


def _as_row(rule: Mapping[str, Any]) -> dict[str, Any]:
    row = {name: value for name, value in rule.items() if name not in ("source", "template", "values")}
    row["origin"] = rule.get("template") or rule.get("source", "")
    row["values"] = "; ".join(f"{name}={value}" for name, value in (rule.get("values") or {}).items())
    return row


def rules_of(formset: BaseFormSet) -> list[dict[str, Any]]:
    """The rows that name a target, in the order of their numbers; new ones last."""
    filled = [form for form in formset.forms if form.cleaned_data.get("target")]
    last = len(formset.forms) + 1
    ordered = sorted(filled, key=lambda form: form.cleaned_data.get("ORDER") or last)
    return [form.rule() for form in ordered]
