#!/bin/bash
# An operator goes back to an older version, freezes, kills the control plane; requests follow each step.
. "$(dirname "$0")/lab_test.bash"
test_lab
command -v curl >/dev/null || skip 'needs curl (deploy/packages.sh)'
millrace=$lab_build/cli/millrace
[ -x "$millrace" ] || fail "not built: $millrace"

ask() { "$millrace" --run "$lab_dir" "$@"; }
# api PATH KEYS...: one value of the JSON API's answer, asked as curl asks it.
api() {
  local path=$1
  shift
  curl -sS --max-time 5 --unix-socket "$lab_dir/controlplane.sock" "http://localhost$path" |
    python3 -c 'import json, sys
value = json.load(sys.stdin)
for key in sys.argv[1:]:
    value = value[int(key) if key.isdigit() else key]
print(json.dumps(value))' "$@"
}
published() { api /v1/status published version; }
is() { # WHAT IS WANTED
  [ "$2" = "$3" ] || fail "$1: $2, not $3"
}

route() { lab_ingress ops routed routed.ops.example / "$1" >"$lab_dir/edit" && mv "$lab_dir/edit" "$manifests/ops-routed.yaml"; }
other() { lab_ingress ops other other.ops.example / "$1" >"$lab_dir/edit" && mv "$lab_dir/edit" "$manifests/ops-other.yaml"; }
{ lab_service ops old 10.20.0.11 8081; lab_service ops new 10.20.0.12 8084; } >"$manifests/ops-services.yaml"
route old
test_millrace
lab_until 5 lab_gets routed.ops.example / catalog-1 || fail 'the first table is not there'
first=$(published)
load_start --connections 16 --rate 1000 --rows "$lab_top/deploy/demo/requests" \
  --row 'routed.ops.example / catalog-1,catalog-2,landing-2'

# A change is a version, with its object as the cause.
route new
lab_until 5 lab_gets routed.ops.example / landing-2 || fail 'the change is not served'
second=$(published)
[ "$second" -gt "$first" ] || fail "version $second after $first"
is 'the cause' "$(api "/v1/version?number=$second" version causes 0 name)" '"routed"'
ask diff "$first" "$second" >"$lab_dir/diff"
is 'the exit status of diff with differences' $? 1
grep -q '^~ routed.ops.example Prefix /  ops/old:80 .* -> ops/new:80 ' "$lab_dir/diff" ||
  fail "diff says: $(cat "$lab_dir/diff")"

# Back: the old route answers, what comes meanwhile waits.
ask rollback "$first" || fail 'rollback'
lab_until 5 lab_gets routed.ops.example / catalog-1 || fail 'the rollback is not served'
other new
lab_until 5 eval '[ "$(api /v1/status waiting objects)" != 0 ]' || fail 'the change is not queued'
lab_gets other.ops.example / 404 || fail 'a queued change is served'
ask diff live queued | grep -q '^+ other.ops.example ' || fail 'the queue is not shown'

# The pin outlives kill -9, and the restart is no version.
pinned=$(published)
for _ in 1 2 3; do
  lab_signal controlplane KILL
  lab_start_controlplane "$manifests"
  lab_until 5 ask status >/dev/null
done
is 'the version after three kills' "$(published)" "$pinned"
is 'the pin after three kills' "$(api /v1/status hold pinned_version)" "$first"
lab_gets routed.ops.example / catalog-1 || fail 'the pinned route after the kills'

# Endpoints go on: the pinned route's service moves.
{ lab_service ops old 10.20.0.12 8081; lab_service ops new 10.20.0.12 8084; } >"$lab_dir/edit"
mv "$lab_dir/edit" "$manifests/ops-services.yaml"
lab_until 5 lab_gets routed.ops.example / catalog-2 || fail 'the pinned route does not follow its endpoints'

ask release || fail 'release'
lab_until 5 lab_gets routed.ops.example / landing-2 || fail 'the release is not served'
lab_until 5 lab_gets other.ops.example / landing-2 || fail 'what was queued is not served'

# Frozen: the edit waits; then it does not.
ask freeze || fail 'freeze'
route old
lab_until 5 eval '[ "$(api /v1/status waiting routes_changed)" = 1 ]' || fail 'the frozen change is not queued'
lab_gets routed.ops.example / landing-2 || fail 'a frozen table changed'
ask unfreeze || fail 'unfreeze'
lab_until 5 lab_gets routed.ops.example / catalog-2 || fail 'the unfrozen change is not served'
load_stop

# What explain says is what the data plane answers.
explained=0
while read -r host path expected; do
  case $host in '' | '#'*) continue ;; esac
  ask explain "http://$host$path" -o json >"$lab_dir/explained"
  code=$?
  case $expected in
    404 | 503) is "explain $host$path" "$code $(python3 -c 'import json, sys; print(json.load(sys.stdin)["status"])' <"$lab_dir/explained")" "1 $expected" ;;
    *) is "the exit status of explain $host$path" $code 0 ;;
  esac
  explained=$((explained + 1))
done <"$lab_top/deploy/demo/requests"
[ "$explained" -ge 10 ] || fail "only $explained rows were explained"

# A pipeline's two questions.
ask validate "$manifests" >/dev/null || fail 'validate of what is served'
ask diff --against-cluster "$manifests" >/dev/null || fail 'what is served differs from itself'
lab_ingress ops more more.ops.example / new >"$lab_dir/more.yaml"
ask diff --against-cluster "$lab_dir/more.yaml" >"$lab_dir/diff"
is 'the exit status of a plan with differences' $? 1
grep -q '^+ more.ops.example ' "$lab_dir/diff" || fail "the plan says: $(cat "$lab_dir/diff")"
lab_gets more.ops.example / 404 || fail 'a plan was published'

# Metrics: both programs in one scrape.
curl -sS --unix-socket "$lab_dir/controlplane.sock" http://localhost/metrics >"$lab_dir/metrics"
for pattern in 'millrace_table_version [1-9]' 'millrace_dataplane_up_to_date 1' \
  'millrace_dataplane_tcp_connections{worker="0"} ' 'millrace_service_requests_total{service="ops/new:80",code="2xx"} [1-9]' \
  'millrace_apply_duration_seconds_count [1-9]'; do
  grep -q "^$pattern" "$lab_dir/metrics" || fail "not among the metrics: $pattern"
done

printf 'versions=%s explained=%s %s\n' "$(api /v1/status history versions)" "$explained" "$load_line"
[ "$(load_figure requests)" -gt 1000 ] && [ "$(load_figure failed)" = 0 ] &&
  [ "$(load_figure wrong_backend)" = 0 ] || fail 'requests failed or strayed'
