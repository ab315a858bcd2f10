#!/usr/bin/env python3
"""Lane R: see perf/replay.sh, which calls this.

The JSON: format, lane, note; compiler, c_library, vectors, valgrind, architecture, flags, commit,
machine, fast_paths; octets_per_idle_connection (null without --times); scenarios, each with
  scenario, note, unit, units       what it is; instructions and the like are those of one unit
                                    (request, connection, 1460_octets, turn)
  instructions, by_room, by_stage   name -> instructions; each of the two adds up to the whole
  turns, frames_received, frames_sent, bare_segments
  requests, connections, idle_connections, routes, upstream_connections, wire_hash
and with --times: ticks, ticks_least, ticks_most (time-stamp counter, in the worker's turns), memory.
"""
import argparse
import json
import os
import sys

import lane

NOTE = ("driver to driver with TCP, HTTP and routing; rows called logged with a record for the access "
        "log, whose lines another thread makes")
# What `replay` takes.
REQUESTS_MAX, TIMES_MAX = 100_000_000, 1_001
NGINX = "nginx 1.22 in user space alone, for keepalive_1: 25,400"


def table(heading, figures, limit=None):
    total = sum(figures.values()) or 1
    print(f"  {heading}")
    for name, count in list(figures.items())[:limit]:
        print(f"  {count:10.1f} {100 * count / total:5.1f} %  {name}")


def parse(rows):
    parser = argparse.ArgumentParser(prog="perf/replay.sh", add_help=False)
    parser.add_argument("--program", required=True)
    parser.add_argument("--scenario", action="append", choices=[row["name"] for row in rows])
    parser.add_argument("--requests", type=int)
    parser.add_argument("--details", action="store_true")
    parser.add_argument("--split", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--fast-paths", choices=("on", "off"))
    parser.add_argument("--keep")
    parser.add_argument("--times", type=int)
    given = parser.parse_args()
    for name, most in (("requests", REQUESTS_MAX), ("times", TIMES_MAX)):
        value = getattr(given, name)
        if value is not None and not 1 <= value <= most:
            parser.error(f"--{name} {value}: must be 1 to {most}")
    if given.json and (os.path.isdir(given.json) or not os.access(os.path.dirname(os.path.abspath(given.json)), os.W_OK)):
        parser.error(f"--json {given.json}: no file can be written there")
    if given.keep and not os.path.isdir(given.keep):
        parser.error(f"--keep {given.keep}: there is no such folder")
    return given


def measure(found, rows, arguments):
    print(f"{'scenario':22} {'instructions':>12} {'a':11} {'turns':>8} {'frames':>8} {'bare':>7}"
          + (f" {'ticks':>8}" if arguments.times else ""))
    results = []
    for row in rows:
        figures = found.count(row, arguments.requests)
        if arguments.times:
            timed = found.timed(row, arguments.times)
            figures.update({name: timed[name]
                            for name in ("ticks", "ticks_least", "ticks_most", "memory")})
        results.append(figures)
        frames = figures["frames_received"] + figures["frames_sent"]
        print(f"{figures['scenario']:22} {figures['instructions']:12.1f} {figures['unit']:11} "
              f"{figures['turns']:8.3f} {frames:8.3f} {figures['bare_segments']:7.3f}"
              + (f" {figures['ticks']:8.0f}" if arguments.times else ""), flush=True)
    return results


def octets_per_idle_connection(results):
    """What one more idle connection costs the worker's tables: the slope between the rows that have
    most and fewest of them, each of a worker made for so many. (What the process takes for it is lane
    M's to say: here its clients live in it as well.)"""
    rows = sorted((row for row in results if row["idle_connections"] and "memory" in row),
                  key=lambda row: row["idle_connections"])
    if len(rows) < 2:
        return None
    def octets(row):
        return row["memory"]["table_octets"]
    return round((octets(rows[-1]) - octets(rows[0])) /
                 (rows[-1]["idle_connections"] - rows[0]["idle_connections"]), 1)


def main():
    program = sys.argv[sys.argv.index("--program") + 1]
    rows = lane.Lane(program).scenarios()
    arguments = parse(rows)
    if arguments.scenario:
        rows = [row for row in rows if row["name"] in arguments.scenario]
    found = lane.Lane(program, arguments.fast_paths, arguments.keep)
    try:
        facts = found.facts()
        print(f"machine: {facts['machine']}\nbuild:   {facts['compiler']}, {facts['flags']}, "
              f"{facts['c_library']}\ncommit:  {facts['commit']}\n")
        results = measure(found, rows, arguments)
    finally:
        found.close()
    for figures in results:
        if arguments.split or arguments.details:
            print(f"\n{figures['scenario']}: {figures['note']}")
            table("by room, where the source stands", figures["by_room"])
            table("by stage of Worker::turn, what it calls included", figures["by_stage"])
        if arguments.details:
            table("by function, without what it calls", figures["by_function"], 40)
            table("by line", figures["by_line"], 60)
    per_idle = octets_per_idle_connection(results)
    if per_idle is not None:
        print(f"\noctets of the worker's tables for one more idle connection: {per_idle}")
    print(f"\n{NOTE}\n{NGINX}")
    if arguments.json:
        for figures in results:
            del figures["by_function"], figures["by_line"]
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"format": 1, "lane": "R", "note": NOTE, **facts,
                       "octets_per_idle_connection": per_idle, "scenarios": results}, file,
                      indent=1)
            file.write("\n")


if __name__ == "__main__":
    try:
        main()
    except lane.LaneError as problem:
        sys.exit(f"replay: {problem}")
    except BrokenPipeError:
        sys.exit(1)  # whoever read this has seen enough
