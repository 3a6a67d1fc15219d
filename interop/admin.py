"""The interfaces in the administration; each protocol brings its own."""

import interop.admin_commitment
import interop.admin_dicom
import interop.admin_fhir
import interop.admin_hl7
import interop.admin_hl7_in
import interop.admin_outgoing
import interop.admin_sources
import interop.admin_webhooks  # noqa: F401
