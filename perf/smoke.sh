#!/bin/bash
# The whole harness in its smallest form: everything starts, answers rightly and ends, the result is
# complete, the report is a page, the goals have rows. It says nothing about speed.
#   smoke.sh BUILD-FOLDER
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
[ $# = 1 ] && [ -d "$1" ] || { echo 'smoke: wants the folder of the built programs' >&2; exit 2; }
build=$1
boxes() { ip netns list | awk '/^millrace-perf-/ { print $1 }' | sort; }
boxes_before=$(boxes)
. "$top/deploy/demo/lab.sh"
why=$(lab_unable)
for tool in haproxy ethtool chrt; do command -v $tool >/dev/null || why="needs $tool"; done
[ "$(nproc)" -ge 2 ] || why='needs two cores'
[ -z "$why" ] || { echo "skipped: $why"; exit 77; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "FAILED: $*"; exit 1; }

"$top/perf/run" --smoke --build "$build" --others 100 --steal 100 --json "$folder/o.json" \
  --html "$folder/o.html" >"$folder/said" 2>"$folder/progress" || {
  tail -n 20 "$folder/progress"
  fail 'perf/run'
}
python3 - "$folder/o.json" <<'PYTHON' || fail 'the result is not complete'
import json, sys
result = json.load(open(sys.argv[1], encoding="utf-8"))
arms, bad = {}, []
for name in ("cpu", "busy", "one_connection", "connections", "bulk", "capacity", "at_70"):
    campaign = result["campaigns"].get(name)
    if not campaign or not campaign["windows"]:
        bad.append(f"{name}: no window")
        continue
    for window in campaign["windows"]:
        arms[window["arm"]] = arms.get(window["arm"], 0) + window["requests"]
        if window["errors"]:
            bad.append(f"{name} {window['arm']}: {window['errors']}")
bad += [f"{arm}: nothing was answered" for arm in ("millrace", "nginx", "haproxy", "router", "mirror")
        if not arms.get(arm)]
if not result["self_tests"]["offloads"]["holds"]:
    bad.append("offloads differ")
print("\n".join(bad) or f"answered rightly: {arms}")
sys.exit(bool(bad))
PYTHON
grep -q '</html>' "$folder/o.html" || fail 'no report'
"$top/perf/goals" "$folder/o.json" >"$folder/goals"
[ $? -le 1 ] || fail 'perf/goals'
for goal in 1 2 3 4 5 6 7 8 9; do grep -q "^$goal " "$folder/goals" || fail "goal $goal has no row"; done
"$top/perf/compare" "$folder/o.json" "$folder/o.json" >/dev/null || fail 'perf/compare'
left=$(comm -13 <(echo "$boxes_before") <(boxes))
[ -z "$left" ] || fail "boxes left behind: $left"
echo "rows of goals: $(grep -c '^[1-9] ' "$folder/goals")"
