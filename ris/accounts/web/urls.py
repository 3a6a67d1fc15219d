from django.urls import path

from ris.accounts.web import audit, oidc_views, profile, views

urlpatterns = [
    path("sign-in/", views.sign_in, name="sign_in"),
    path("sign-in/oidc/callback/", oidc_views.callback, name="oidc_callback"),
    path("sign-in/oidc/<uuid:uuid>/", oidc_views.start, name="oidc_start"),
    path("sign-out/", views.sign_out, name="sign_out"),
    path("session/", views.session_state, name="session_state"),
    path("session/lock/", views.lock, name="lock"),
    path("session/unlock/", views.unlock, name="unlock"),
    path("session/reauthenticate/", views.reauthenticate, name="reauthenticate"),
    path("profile/", profile.profile, name="profile"),
    path("profile/password/", profile.password, name="profile_password"),
    path("profile/totp/", profile.enrol_totp, name="totp"),
    path("profile/totp/qr.png", profile.totp_picture, name="totp_picture"),
    path("profile/totp/remove/", profile.remove_totp, name="totp_remove"),
    path("profile/credentials/<uuid:uuid>/revoke/", profile.revoke_credential, name="revoke_credential"),
    path("audit/", audit.audit_search, name="audit"),
    path("audit/export/", audit.audit_export, name="audit_export"),
    path("audit/<uuid:uuid>/", audit.audit_event, name="audit_event"),
    path("break-glass/", profile.break_glass, name="break_glass"),
    path("break-glass/<uuid:uuid>/end/", profile.end_break_glass, name="end_break_glass"),
]
