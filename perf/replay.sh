#!/bin/bash
# Instructions per proxied request of the data plane, driver to driver, counted by callgrind: exact,
# the same on every machine of one kind, and not disturbed by what else runs. The kernel's share is
# not in it (perf/first_light.sh has that). nginx 1.22 executes 25,400 in user space alone for the
# same exchange.
#
#   perf/replay.sh                       builds, runs all cases, prints the table
#   perf/replay.sh --requests N          default 10000
#   perf/replay.sh --details             the costliest functions and lines as well
#   perf/replay.sh --program FILE        a `replay` that is built already, of this source tree
#   perf/replay.sh --json FILE           the totals as JSON
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
program='' requests=10000 details=() json=
while [ $# -gt 0 ]; do
  case $1 in
    --requests) requests=${2:?--requests needs a number}; shift ;;
    --details) details=(--functions 40 --lines 60) ;;
    --program) program=${2:?--program needs a file}; shift ;;
    --json) json=${2:?--json needs a file}; shift ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done
give_up() { printf 'replay: %s\n' "$*" >&2; exit 1; }

command -v valgrind >/dev/null || give_up 'needs valgrind (deploy/packages.sh)'
source_top=$top
if [ -z "$program" ]; then
  cmake -S "$top" --preset release >/dev/null || give_up 'configuring failed'
  ninja -C "$top/build/release" replay >&2 || give_up 'building failed'
  program=$top/build/release/perf/replay
else
  # The tree that it was built from, to tell its files from others.
  cache=$(dirname "$program")/../CMakeCache.txt
  [ -f "$cache" ] && source_top=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$cache")
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

printf 'machine: %s, %s\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
  "$("${CXX:-g++}" --version | head -n 1)"
printf 'commit:  %s\n\n' "$(git -C "$source_top" describe --always --dirty 2>/dev/null || echo unknown)"
printf '%-34s %12s %7s %9s %6s\n' case instructions turns frames bare

totals=()
# count LABEL ARGUMENTS OF replay...: one row.
count() {
  local label=$1 file=$work/callgrind.$1 per line
  shift
  valgrind --tool=callgrind --toggle-collect='millrace::Worker::turn*' \
    --callgrind-out-file="$file" "$program" --requests "$requests" "$@" \
    >"$work/out" 2>"$work/err" || { cat "$work/out" "$work/err" >&2; give_up "$label failed"; }
  line=$(grep '^requests=' "$work/out") || give_up "$label printed no figures"
  "$top/perf/rooms.py" "$file" "$requests" "$source_top" "${details[@]}" >"$work/$label.rooms" ||
    give_up "$label: the counts could not be read"
  per=$(sed -n 's/^instructions_per_request=//p' "$work/$label.rooms")
  # shellcheck disable=SC2046
  set -- $(sed 's/[a-z_]*=//g' <<<"$line")
  printf '%-34s %12.0f %7.3f %9.3f %6.3f\n' "$label" "$per" "$5" \
    "$(awk "BEGIN { print $6 + $7 }")" "$8"
  totals+=("\"$label\": $per")
}

count 10-routes,1-connection --routes 10
count 10-routes,64-connections --routes 10 --connections 64
count 10000-routes,1-connection --routes 10000
count 10000-routes,64-connections --routes 10000 --connections 64
count idle-turn --idle
for label in 10-routes,1-connection 10-routes,64-connections; do
  printf '\n%s\n' "$label"
  sed '1d' "$work/$label.rooms"
done
printf '\nnginx 1.22 in user space alone: 25400\n'
if [ -n "$json" ]; then
  (IFS=,; printf '{"requests": %s, "instructions_per_request": {%s}}\n' "$requests" "${totals[*]}") \
    >"$json"
fi
