"""The listener that one writes with the ``hl7`` library: asyncio, parse, one committed row per message, acknowledge.

python tests/bench/plain_hl7.py PORT     DATABASE_URL names the database
"""

from __future__ import annotations

import asyncio
import os
import sys

import hl7
import psycopg
from hl7.mllp import start_hl7_server

TABLE = "create table if not exists public.plain_hl7 (id bigserial primary key, control_id text unique, patient text,"
TABLE += " placer text, code text, modality text, raw bytea, received_at timestamptz default now())"
INSERT = """
insert into public.plain_hl7 (control_id, patient, placer, code, modality, raw) values (%s, %s, %s, %s, %s, %s)
"""


async def main(port: int) -> None:
    connection = psycopg.connect(os.environ["RIS_OWNER_DATABASE_URL"], autocommit=True, prepare_threshold=0)
    connection.execute(TABLE)

    async def converse(reader: hl7.mllp.HL7StreamReader, writer: hl7.mllp.HL7StreamWriter) -> None:
        try:
            while not writer.is_closing():
                message = await reader.readmessage()
                order = message.segment("OBR")
                row = (
                    str(message["MSH.F10"]), str(message["PID.F3.R1.C1"]), str(message.segment("ORC")(2)),
                    str(message["OBR.F4.R1.C1"]), str(order(24)), str(message).encode(),
                )  # fmt: skip
                connection.execute(INSERT, row)
                writer.writemessage(message.create_ack("CA"))
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    server = await start_hl7_server(converse, "127.0.0.1", port, encoding="utf-8")
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
