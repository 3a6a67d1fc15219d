"""The FHIR server: one engine under ``/fhir/r4`` (4.0.1) and ``/fhir/r5`` (5.0.0).

``call``      what is asked and what is answered, free of HTTP
``registry``  the resource types, each a module of ``resources``: mapping, search parameters, versions, writes
``engine``    the interactions; ``search`` and ``history`` do the long ones
``wire``      JSON, XML and which of them; ``xml`` the codec
``errors``    every refusal as an OperationOutcome
``views``     the door
"""
