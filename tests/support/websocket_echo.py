#!/usr/bin/python3
"""A WebSocket server that says everything back: websocket_echo.py ADDRESS PORT.

Of the path /events?N it is a plain HTTP server that sends N server-sent events, a tenth of a second
apart. Debian's own python3, whose websockets package deploy/packages.sh installs.
"""
import asyncio
import sys

import websockets

EVENT_SECONDS = 0.1
MESSAGE_OCTETS_MAX = 4 << 20


async def echo(connection):
    try:
        async for message in connection:
            await connection.send(message)
    except websockets.ConnectionClosed:
        pass


async def send_events(reader, writer):
    line = (await reader.readline()).decode()
    while (await reader.readline()).strip():
        pass
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\r\n")
    for number in range(int(line.split("?")[1].split()[0])):
        writer.write(f"data: {number}\n\n".encode())
        await writer.drain()
        await asyncio.sleep(EVENT_SECONDS)
    writer.close()


async def main():
    address, port = sys.argv[1], int(sys.argv[2])
    await asyncio.start_server(send_events, address, port + 1)
    async with websockets.serve(echo, address, port, ping_interval=None, max_size=MESSAGE_OCTETS_MAX,
                                compression=None, backlog=1024):
        await asyncio.Future()


asyncio.run(main())
