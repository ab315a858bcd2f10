#!/usr/bin/env python3
"""Opens connections and holds them without a word: hold_connections.py ADDRESS:PORT COUNT SOURCE...

COUNT connections from each SOURCE address, held by as many processes as the limit of open files asks
for. Prints "held N" when all are open, and holds them until stdin ends. Exit status 1 with a line on
stderr when one could not be opened.
"""
import os
import resource
import socket
import sys

IP_BIND_ADDRESS_NO_PORT = 24  # so that a port may serve several sources
OTHER_FILES = 64


def opened(target, source, count):
    held = []
    for _ in range(count):
        connection = socket.socket()
        connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        connection.bind((source, 0))
        connection.connect(target)
        held.append(connection)
    return held


def hold(target, share):
    """In a process of its own; returns a pipe that tells how many it holds."""
    reader, writer = os.pipe()
    if os.fork() != 0:
        os.close(writer)
        return reader
    try:
        held = [opened(target, source, count) for source, count in share]
        os.write(writer, str(sum(map(len, held))).encode())
        sys.stdin.read()
    except OSError as error:
        print(f"hold_connections: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    count, sources = int(sys.argv[2]), sys.argv[3:]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    each = hard - OTHER_FILES
    shares = [(source, min(each, count - done))
              for source in sources for done in range(0, count, each)]
    pipes = [hold((host, int(port)), [share]) for share in shares]
    held = sum(int(os.read(pipe, 16) or b"0") for pipe in pipes)
    if held != count * len(sources):
        return 1
    print("held", held, flush=True)
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
