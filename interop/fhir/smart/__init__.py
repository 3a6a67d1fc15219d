"""SMART on FHIR: backend services with private keys (SMART App Launch 2.2); scopes are checked per resource."""
