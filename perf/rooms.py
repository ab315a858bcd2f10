#!/usr/bin/env python3
"""Reads a callgrind file and says in which room the instructions were executed.

    rooms.py FILE REQUESTS TOP [--lines N] [--functions N]

An instruction counts for the file whose source it came from, also where the compiler has put it
into another file's function; TOP is the source tree. What comes from no file of the tree counts for
the room of the function that it was inlined into, or is listed by name (the C library's memcpy).
"""
import argparse
import collections
import os
import re

ROOMS = ("dataplane/nic", "dataplane/packet", "dataplane/net", "dataplane/tcp", "dataplane/http",
         "dataplane/route", "dataplane/upstream", "dataplane/proxy", "dataplane", "shm", "base",
         "perf")


def read(path):
    """Yields (file, function, line, count) of every self cost."""
    names = {"file": {}, "fn": {}}

    def name(kind, text):
        match = re.match(r"\((\d+)\)(?: (.*))?$", text)
        if not match:
            return text
        number, value = match.groups()
        if value is not None:
            names[kind][number] = value
        return names[kind].get(number, "?")

    file = function = "?"
    line_number = 0
    skip = False  # the line after calls= is the callee's cost
    with open(path, encoding="utf-8") as lines:
        for text in lines:
            text = text.rstrip("\n")
            if text.startswith(("fl=", "fi=", "fe=")):
                file = name("file", text[3:])
            elif text.startswith("fn="):
                function = name("fn", text[3:])
            elif text.startswith(("cfi=", "cfl=")):
                name("file", text[4:])
            elif text.startswith("cfn="):
                name("fn", text[4:])
            elif text.startswith("ob=") or text.startswith("cob="):
                pass
            elif text.startswith("calls="):
                skip = True
            elif text and text[0] in "0123456789+-*":
                place, _, count = text.partition(" ")
                if place[0] == "+":
                    line_number += int(place[1:])
                elif place[0] == "-":
                    line_number -= int(place[1:])
                elif place != "*":
                    line_number = int(place)
                if skip:
                    skip = False
                elif count:
                    yield file, function, line_number, int(count.split()[0])


def room_of(file, function, top):
    if file.startswith(top + "/"):
        folder = os.path.relpath(os.path.dirname(file), top)
        while folder and folder not in ROOMS:
            folder = os.path.dirname(folder)
        return folder or "?"
    # Inlined from the C++ library or the compiler's intrinsics: whoever used it.
    match = re.match(r"millrace::(\w+)::", function)
    if match and f"dataplane/{match.group(1)}" in ROOMS:
        return f"dataplane/{match.group(1)}"
    if match and match.group(1) in ROOMS:
        return match.group(1)
    if function.startswith("millrace::"):
        return "base" if "TimerWheel" in function else "dataplane"
    match = re.search(r"mem(cpy|move|set|cmp|chr)", function)
    if match:
        name = {"move": "cpy"}.get(match.group(1), match.group(1))
        return f"mem{name} (C library)"
    return "other: " + function


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("requests", type=int)
    parser.add_argument("top")
    parser.add_argument("--lines", type=int, default=0)
    parser.add_argument("--functions", type=int, default=0)
    arguments = parser.parse_args()
    top = arguments.top.rstrip("/")
    rooms, functions, places = (collections.Counter() for _ in range(3))
    for file, function, line, count in read(arguments.file):
        rooms[room_of(file, function, top)] += count
        functions[function] += count
        places[f"{os.path.relpath(file, top) if file.startswith(top) else file}:{line}"] += count
    total = sum(rooms.values())

    def table(heading, counter, limit=None):
        print(f"  {heading}")
        for what, count in counter.most_common(limit):
            if count / arguments.requests >= 0.5:
                print(f"  {count / arguments.requests:8.1f} {100 * count / total:5.1f} %  {what}")

    print(f"instructions_per_request={total / arguments.requests:.1f}")
    table("by room, where the source stands", rooms)
    if arguments.functions:
        table("by function, without what it calls", functions, arguments.functions)
    if arguments.lines:
        table("by line", places, arguments.lines)


main()
