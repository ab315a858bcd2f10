#!/bin/bash
# Instructions per proxied request of the data plane, driver to driver, counted by callgrind: exact,
# the same on every machine of one kind, and not disturbed by what else runs. The kernel's share is
# not in it (perf/run has that). Every octet on the wire is compared with what was
# recorded (perf/replay/exchanges).
#
#   perf/replay.sh                       builds, runs all scenarios, prints the table
#   perf/replay.sh --scenario NAME       only this one; may be repeated. --list names them
#   perf/replay.sh --split               each scenario by room and by stage of Worker::turn as well
#   perf/replay.sh --details             the costliest functions and lines as well
#   perf/replay.sh --requests N          instead of each scenario's number
#   perf/replay.sh --times N             also without callgrind, N times: median time-stamp ticks
#                                        spent in the worker, and its memory in the JSON
#   perf/replay.sh --fast-paths on|off   forces the worker's fast paths
#   perf/replay.sh --program FILE        a `replay` that is built already, of any source tree
#   perf/replay.sh --json FILE           everything as JSON
#   perf/replay.sh --keep FOLDER         callgrind's files stay there, for callgrind_annotate
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
program='' list='' arguments=()
give_up() { printf 'replay: %s\n' "$*" >&2; exit 1; }
refuse() { printf 'replay: %s\n' "$*" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in
    --split | --details) arguments+=("$1") ;;
    --scenario | --requests | --times | --fast-paths | --json | --keep)
      [ $# -gt 1 ] || refuse "$1 needs a value"
      arguments+=("$1" "$2"); shift ;;
    --program) [ $# -gt 1 ] || refuse '--program needs a file'; program=$2; shift ;;
    --list) list=1 ;;
    --help) sed -n '2,19s/^# \{0,1\}//p' "$0"; exit ;;
    *) sed -n '2,19s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done

if [ -z "$program" ]; then
  cmake -S "$top" --preset release >/dev/null || give_up 'configuring failed'
  ninja -C "$top/build/release" replay make_table >&2 || give_up 'building failed'
  program=$top/build/release/perf/replay/replay
elif [ ! -f "$program" ] || [ ! -x "$program" ]; then
  refuse "--program $program: no such program"
fi
[ -n "$list" ] && exec "$program" --list
exec "$top/perf/replay/count.py" --program "$program" "${arguments[@]}"
