"""The listener that one writes with the ``hl7`` library: asyncio, parse, one committed row per message, acknowledge.
Its table is a copy of ours, with every column, index and constraint, and it fills what ours fills.

python tests/bench/plain_hl7.py PORT     RIS_OWNER_DATABASE_URL names the database
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from typing import Any

import hl7
import psycopg
from hl7.mllp import start_hl7_server

TABLE = "create table if not exists public.plain_hl7 (like alpha.interop_inboundmessage including all)"
INSERT = """
insert into public.plain_hl7 (uuid, sending_application, sending_facility, control_id, message_type, raw, encoding,
    address, received_at, protocol, status, acknowledgement_code, error, accession_number)
values (%s, %s, %s, %s, %s, %s, %s, %s, statement_timestamp(), 'hl7', 'received', 'CA', '', '')
on conflict do nothing
"""


def connected() -> psycopg.Connection[Any]:
    """With its statement prepared at the first use, and a commit for every statement."""
    connection = psycopg.connect(os.environ["RIS_OWNER_DATABASE_URL"], autocommit=True, prepare_threshold=0)
    connection.execute(TABLE)
    return connection


def row_of(message: hl7.Message, address: str) -> tuple[Any, ...]:
    kind = f"{message['MSH.F9.R1.C1']}^{message['MSH.F9.R1.C2']}"
    names = (str(message["MSH.F3"]), str(message["MSH.F4"]), str(message["MSH.F10"]), kind)
    return (uuid.uuid4(), *names, str(message).encode(), "utf-8", address)


async def main(port: int) -> None:
    connection = connected()

    async def converse(reader: hl7.mllp.HL7StreamReader, writer: hl7.mllp.HL7StreamWriter) -> None:
        address = str(writer.get_extra_info("peername")[0])
        try:
            while not writer.is_closing():
                message = await reader.readmessage()
                connection.execute(INSERT, row_of(message, address))
                writer.writemessage(message.create_ack("CA"))
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    server = await start_hl7_server(converse, "127.0.0.1", port, encoding="utf-8")
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
