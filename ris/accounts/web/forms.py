from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.password_validation import password_validators_help_texts
from django.utils.translation import gettext_lazy as _

OTP = {"inputmode": "numeric", "autocomplete": "one-time-code", "maxlength": "16"}


class SignInForm(forms.Form):
    """Name, password, and the code of who uses an authenticator."""

    username = forms.CharField(
        label=_("User name"), max_length=150, required=False, widget=forms.TextInput(attrs={"autocomplete": "username"})
    )
    password = forms.CharField(
        label=_("Password"),
        max_length=1000,
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    otp_token = forms.CharField(
        label=_("6-digit code from your authenticator"),
        max_length=16,
        required=False,
        widget=forms.TextInput(attrs=OTP),
    )


class PasswordForm(forms.Form):
    old_password = forms.CharField(
        label=_("Old password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    new_password = forms.CharField(
        label=_("New password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    repeated = forms.CharField(
        label=_("New password, again"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["new_password"].help_text = " ".join(str(text) for text in password_validators_help_texts())

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("new_password") != data.get("repeated"):
            self.add_error("repeated", _("The two are not the same."))
        return data


class ProfileForm(forms.Form):
    language = forms.ChoiceField(
        label=_("Language"), required=False, choices=[("", _("As the facility has it")), *settings.LANGUAGES]
    )
    email = forms.EmailField(label=_("E-mail"), required=False)


class OtpForm(forms.Form):
    otp_token = forms.CharField(
        label=_("6-digit code from your authenticator"), max_length=16, widget=forms.TextInput(attrs=OTP)
    )


class ProofForm(forms.Form):
    """Password or code, to prove again who sits here."""

    password = forms.CharField(
        label=_("Password"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    otp_token = forms.CharField(
        label=_("6-digit code from your authenticator"),
        max_length=16,
        required=False,
        widget=forms.TextInput(attrs=OTP),
    )


class BreakGlassForm(forms.Form):
    reason = forms.CharField(
        label=_("Why you need to see this now"),
        min_length=10,
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("It is kept, and quality leads and administrators are told at once."),
    )
    patient = forms.UUIDField(required=False, widget=forms.HiddenInput)
    next = forms.CharField(required=False, widget=forms.HiddenInput)
