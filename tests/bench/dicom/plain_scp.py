"""A plain pynetdicom SCP over our service, as its documentation shows one: what an MPPS costs without our transport.

plain_scp.py PORT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

PERFORMED_STEP = "1.2.840.10008.3.1.2.3.3"


def main() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ris.settings")
    django.setup()
    from django.db import close_old_connections
    from pynetdicom import AE, evt

    from interop.dicom.mpps import created
    from ris.core.actor import Actor
    from ris.tenants.context import use_facility
    from worklist.services import start_performed_step

    def on_n_create(event: Any) -> tuple[int, Any]:
        close_old_connections()
        attributes = event.attribute_list
        uid = str(event.request.AffectedSOPInstanceUID)
        with use_facility("alpha"):
            actor = Actor("mpps", ae_title="LOAD", address="127.0.0.1")
            start_performed_step(sop_instance_uid=uid, attributes=created(attributes, "LOAD"), actor=actor)
        return 0x0000, attributes

    ae = AE(ae_title="ALPHA")
    ae.add_supported_context(PERFORMED_STEP)
    ae.start_server(("127.0.0.1", int(sys.argv[1])), evt_handlers=[(evt.EVT_N_CREATE, on_n_create)])


if __name__ == "__main__":
    main()
