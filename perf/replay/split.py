"""Splits counted instructions by room (where the source stands) and by stage of Worker::turn."""
import collections
import functools
import os
import re
import subprocess

ROOMS = ("dataplane/nic", "dataplane/packet", "dataplane/net", "dataplane/tcp", "dataplane/http",
         "dataplane/route", "dataplane/upstream", "dataplane/proxy", "dataplane", "shm", "base")
TURN = "millrace::Worker::turn"  # and what it consists of: turn_unflushed, whose lines count themselves
INNER_TURN = "turn_unflushed"
MEASURED = "measured_turn"


@functools.cache
def in_tree(file, top):
    """A source's path below top, None for one that is not ours. An object out of a compiler cache may have
    been compiled in another checkout and name its files by that: the end of the path decides then."""
    parts = os.path.normpath(file).split("/")
    for first in range(1 if file.startswith("/") else 0, len(parts)):
        path = "/".join(parts[first:])
        if path and (len(parts) - first > 1 or "/".join(parts[:first]) == top) and \
                os.path.isfile(os.path.join(top, path)):
            return path
    return None


def room_of(file, function, top):
    """An instruction counts for the file whose source it came from, also where the compiler has put
    it into another file's function. What comes from no file of the tree counts for the room of the
    function that it was inlined into, or stands by name (the C library's memcpy)."""
    path = in_tree(file, top)
    if path and path.startswith("perf/"):
        return "the port in memory"
    if path:
        folder = os.path.dirname(path)
        while folder and folder not in ROOMS:
            folder = os.path.dirname(folder)
        return folder or "?"
    match = re.search(r"millrace::(\w+)::", function)
    if match and f"dataplane/{match.group(1)}" in ROOMS:
        return f"dataplane/{match.group(1)}"
    if match and match.group(1) in ROOMS:
        return match.group(1)
    if "millrace::" in function:
        return "base" if "TimerWheel" in function else "dataplane"
    match = re.search(r"mem(cpy|move|set|cmp|chr)", function)
    if match:
        name = {"move": "cpy"}.get(match.group(1), match.group(1))
        return f"mem{name} (C library)"
    return "other: " + function


def by_room(counted, top):
    rooms = collections.Counter()
    for cost in counted.costs:
        rooms[room_of(cost.file, cost.function, top)] += cost.count
    return rooms


def inlined_at(program, addresses):
    """For each address the functions that stand there, innermost first, as (function, file:line)."""
    if not addresses:
        return {}
    said = subprocess.run(["addr2line", "-a", "-f", "-i", "-C", "-e", program],
                          input="".join(f"{address:#x}\n" for address in addresses),
                          capture_output=True, text=True, check=True).stdout
    chains, chain = {}, None
    lines = iter(said.splitlines())
    for line in lines:
        if re.fullmatch(r"0x[0-9a-f]+", line):
            chain = chains.setdefault(int(line, 16), [])
        else:
            chain.append((line, next(lines, "?:0")))
    return chains


@functools.cache
def lines_of(file, top):
    path = in_tree(file, top)
    if path is None:
        return []
    with open(os.path.join(top, path), encoding="utf-8") as source:
        return source.read().splitlines()


def stage_named(place, top):
    """The call that stands on a line of Worker::turn: "net_.advance"."""
    file, _, number = place.split(" ")[0].rpartition(":")
    lines = lines_of(file, top)
    text = lines[int(number) - 1] if number.isdigit() and 0 < int(number) <= len(lines) else ""
    match = re.search(r"(\w+(?:\(\))?(?:(?:\.|->)\w+(?:\(\))?)*)\(", text)
    return match.group(1) if match and "Worker::turn" not in text else "turn itself"


def by_stage(counted, program, top):
    """What each call in Worker::turn cost, wherever the compiler put its code: instructions of the
    turn's own function go to the line of the turn that they were inlined from, calls that it makes
    to the line that they are made from."""
    turns = [cost for cost in counted.costs + counted.calls
             if TURN in cost.function or MEASURED in cost.function]
    outer = [cost for cost in counted.calls if MEASURED in cost.function]
    chains = inlined_at(program, sorted({cost.address for cost in turns}))
    calls = {id(cost) for cost in counted.calls}
    stages = collections.Counter()
    for cost in turns:
        frame = next((place for function, place in chains.get(cost.address, ())
                      if function.startswith(TURN)), None)
        stage = stage_named(frame, top) if frame is not None else None
        if stage == INNER_TURN:
            if id(cost) in calls:
                continue
            stage = "turn itself"
        if stage is not None:
            stages[stage] += cost.count
        elif cost not in outer:
            stages["the call of the turn"] += cost.count
    rest = counted.total() - sum(stages.values())
    if rest:
        stages["not in a stage"] = rest
    return stages


def by_function(counted):
    functions = collections.Counter()
    for cost in counted.costs:
        functions[cost.function] += cost.count
    return functions


def by_line(counted, top):
    places = collections.Counter()
    for cost in counted.costs:
        file = in_tree(cost.file, top) or cost.file
        places[f"{file}:{cost.line}"] += cost.count
    return places
