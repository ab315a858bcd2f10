#!/usr/bin/python3
"""WebSocket clients that know what they must hear: websocket_talk.py ADDRESS PORT HOST COUNT.

Opens COUNT connections at once, sends texts and octets of many lengths on each and compares what comes
back. Prints "open N" and then obeys lines on stdin: "talk" sends and compares once more, "close" says
goodbye on every connection and waits for the other side's; after each it prints how many did it right.
"closed" waits, ten seconds at most, until the other side has ended all of them.
"""
import asyncio
import os
import sys

import websockets

LENGTHS = (0, 1, 125, 126, 1460, 65_535, 65_536, 300_000)
MESSAGE_OCTETS_MAX = 4 << 20
ENDING_SECONDS_MAX = 10


async def opened(address, port, host):
    return await websockets.connect(f"ws://{host}/chat", host=address, port=port, ping_interval=None,
                                    max_size=MESSAGE_OCTETS_MAX, compression=None, open_timeout=20)


async def talked(connection):
    for length in LENGTHS:
        octets = os.urandom(length)
        await connection.send(octets)
        if await connection.recv() != octets:
            return False
    await connection.send("text \N{GREEK SMALL LETTER OMEGA}")
    return await connection.recv() == "text \N{GREEK SMALL LETTER OMEGA}"


async def closed(connection):
    await connection.close()
    return connection.close_code == 1000


async def was_closed(connection):
    try:
        await asyncio.wait_for(connection.wait_closed(), ENDING_SECONDS_MAX)
    except asyncio.TimeoutError:
        return False
    return True


async def of_all(connections, action):
    done = await asyncio.gather(*map(action, connections), return_exceptions=True)
    for error in {repr(found) for found in done if isinstance(found, BaseException)}:
        print(error, file=sys.stderr, flush=True)
    return sum(found is True for found in done)


async def main():
    address, port, host, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    connections = await asyncio.gather(*(opened(address, port, host) for _ in range(count)))
    print("open", len(connections), flush=True)
    actions = {"talk": talked, "close": closed, "closed": was_closed}
    loop = asyncio.get_running_loop()
    while command := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        print(command, await of_all(connections, actions[command]), flush=True)


asyncio.run(main())
