#!/usr/bin/env python3
"""Opens connections and holds them without a word: hold_connections.py ADDRESS:PORT COUNT SOURCE...

COUNT connections (54,000 at most) from each SOURCE address, held by as many processes as the limit of
open files asks for. Each process has OPENING_MAX connections on their way at a time, from ports that
are told: the kernel looks for a free one by trial, which takes most of the time once most are taken.
Prints "held N" when all are open, and holds them until stdin ends. Exit status 1 with a line on
stderr when one could not be opened.
"""
import errno
import os
import resource
import select
import socket
import sys

PORT_FIRST = 10000
OPENING_MAX = 64
OTHER_FILES = 64


def opening(target, local):
    """A connection on its way from the local address and port to the target."""
    connection = socket.socket()
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    connection.bind(local)
    error = connection.connect_ex(target)
    if error not in (0, errno.EINPROGRESS):
        raise OSError(error, os.strerror(error))
    return connection


def opened(target, source, ports):
    ports, count = iter(ports), len(ports)
    on_their_way, held = {}, []
    poll = select.epoll()
    while len(held) < count:
        while len(on_their_way) < OPENING_MAX and len(held) + len(on_their_way) < count:
            connection = opening(target, (source, next(ports)))
            on_their_way[connection.fileno()] = connection
            poll.register(connection, select.EPOLLOUT)
        for descriptor, _ in poll.poll():
            connection = on_their_way.pop(descriptor)
            poll.unregister(descriptor)
            error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error != 0:
                raise OSError(error, os.strerror(error))
            held.append(connection)
    return held


def hold(target, share):
    """In a process of its own; returns a pipe that tells how many it holds."""
    reader, writer = os.pipe()
    if os.fork() != 0:
        os.close(writer)
        return reader
    try:
        held = opened(target, *share)
        os.write(writer, str(len(held)).encode())
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
    shares = [(source, range(PORT_FIRST + done, PORT_FIRST + min(done + each, count)))
              for source in sources for done in range(0, count, each)]
    pipes = [hold((host, int(port)), share) for share in shares]
    held = sum(int(os.read(pipe, 16) or b"0") for pipe in pipes)
    if held != count * len(sources):
        return 1
    print("held", held, flush=True)
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
