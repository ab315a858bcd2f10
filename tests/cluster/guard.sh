#!/bin/bash
# The data plane's guard: a version that breaks a route is taken back, told as an Event, and held until released, through
# restarts of both programs; a version that does well is acquitted; a backend's own outage and an operator's rollback take
# nothing back.
set -u
. "$(dirname "$0")/cluster_lab.bash"
test_lab
cluster_clean
cluster_account
kube apply -f "$manifests" >"$lab_dir/apply.log" 2>&1 || { cat "$lab_dir/apply.log"; fail 'the demo is refused'; }
# 200 requests: two seconds of each row below, long enough for something to happen while a route is on trial.
{ lab_dataplane_config; printf 'publish_guard: {mode: act, requests: 200}\n'; } >"$lab_dir/dataplane.yaml"
lab_start_dataplane
cluster_controlplane controlplane
lab_until 10 lab_answered_or_dead wiki.apps.example / wiki-1
millrace() { "$lab_build/cli/millrace" --run "$lab_dir" "$@"; }
acts() { lab_count guard_acts; }
is_at_least() { [ "$(lab_count "$1")" -ge "$2" ]; }
on_trial() { [ "$(lab_count gauge_guard_watched)" = 1 ]; }
table_version() { millrace status -o json | jq '.published.version'; }

# A service that nobody listens behind: every connection is refused, and the cluster calls its endpoint ready.
lab_service home nowhere 10.20.0.11 9 | kube apply -f - >/dev/null || fail 'service'
kube -n home create ingress guarded --class=millrace --rule='guarded.example/*=wiki:80' >/dev/null || fail 'ingress'
lab_until 5 lab_gets guarded.example / wiki-1 || fail 'the route is not served'
# landing, which an outage will take, has clients of its own, who see it too.
load_start --connections 16 --rate 400 --row 'guarded.example / wiki-1' --row 'home.example /wiki wiki-1' \
  --row 'shop.example /checkout checkout-1' --row 'home.example / landing-2,502,503,504'
route_to() { kube -n home patch ingress guarded --type=json -p "[{\"op\":\"replace\",\"path\":\"/spec/rules/0/http/paths/0/backend/service/name\",\"value\":\"$1\"}]" >/dev/null; }
sleep 4 # a past

# 1. A version that does well is watched, acquitted, and stays.
load_expect guarded.example / landing-2,wiki-1
route_to landing || fail 'patch'
lab_until 5 on_trial || fail "a changed route is not watched: $(lab_count gauge_guard_watched)"
[ "$(lab_count guard_acquittals)" = 0 ] || fail 'acquitted before it was judged'
lab_until 20 is_at_least guard_acquittals 1 || fail "not acquitted: $(lab_count guard_acquittals)"
[ "$(lab_count gauge_guard_watched)" = 0 ] || fail 'watched still'
[ "$(acts)" = 0 ] && [ "$(lab_count guard_warnings)" = 0 ] || fail "a version that does well was blamed: acts=$(acts)"
lab_gets guarded.example / landing-2 || fail 'the good version is not there'
route_to wiki
lab_until 5 lab_gets guarded.example / wiki-1 || fail 'not back at wiki'
lab_until 20 is_at_least guard_acquittals 2 || fail 'the way back was not acquitted'

# 2. A version that does harm is taken back.
load_expect guarded.example / wiki-1,502,503
good=$(table_version)
began=$(milliseconds)
route_to nowhere || fail 'patch'
is_back() { [ "$(acts)" = 1 ] && lab_gets guarded.example / wiki-1; }
lab_until 20 is_back || fail "not taken back: acts=$(acts), answer $(lab_get guarded.example /)"
took=$(($(milliseconds) - began))
lab_until 5 grep -q 'went back from version' "$lab_dir/controlplane.log" || fail 'the control plane has not noticed'
millrace status >"$lab_dir/status" || fail 'status'
grep -q 'went back from version' "$lab_dir/status" || fail "status does not say it: $(cat "$lab_dir/status")"
bad=$(millrace status -o json | jq '.hold.guard_bad_version')
[ "$bad" -gt "$good" ] || fail "status names no bad version: $bad"
pinned_by_guard() { [ "$(millrace status -o json | jq '.hold.guard_bad_version')" = "$bad" ]; }

# Held: nothing follows that would bring the bad route back, be it another change,
kube -n home label ingress guarded touched=yes >/dev/null
sleep 1
lab_gets guarded.example / wiki-1 || fail 'the bad route came back with another change'
# a control plane that starts anew,
lab_signal controlplane KILL
cluster_controlplane controlplane
lab_until 10 pinned_by_guard || fail "not pinned after a restart of the control plane: $(millrace status)"
sleep 1
lab_gets guarded.example / wiki-1 || fail 'a restarted control plane brought the bad route back'
# a data plane that does, which begins with its last good file and is then connected to,
lab_signal dataplane KILL
lab_wait_gone "$lab_dir/dataplane.pid" 10 || fail 'the data plane does not die'
lab_start_dataplane
is_up_to_date() { [ "$(millrace status -o json | jq '.data_plane.up_to_date')" = true ]; }
lab_until 10 is_up_to_date || fail "the data plane is not up to date: $(millrace status)"
lab_gets guarded.example / wiki-1 || fail 'a restarted data plane brought the bad route back'
pinned_by_guard || fail "a restart of the data plane ended the pin: $(millrace status)"
# or both at once, with a change in between.
lab_signal controlplane KILL
lab_signal dataplane KILL
lab_wait_gone "$lab_dir/dataplane.pid" 10 || fail 'the data plane does not die'
kube -n home label ingress guarded touched=again --overwrite >/dev/null
cluster_controlplane controlplane
lab_start_dataplane
lab_until 10 is_up_to_date || fail "not up to date after a restart of both: $(millrace status)"
sleep 1
lab_gets guarded.example / wiki-1 || fail 'a restart of both brought the bad route back'
pinned_by_guard || fail "a restart of both ended the pin: $(millrace status)"
has_event() { kube -n home get events.v1.events.k8s.io -o json | grep -q 'was taken back'; }
lab_until 40 has_event || fail 'no Event'

# 3. An operator who insists on the bad version gets it, and keeps it: it is watched and said, no more.
sleep 4 # a past, for the data plane that has just begun
millrace rollback "$bad" >/dev/null || fail "no rollback to version $bad"
lab_until 20 is_at_least guard_warnings 1 || fail 'nothing is said of an operator'\''s bad choice'
sleep 1
[ "$(acts)" = 0 ] || fail "an operator's rollback was taken back: acts=$(acts)"
case $(lab_get guarded.example /) in
  502 | 503) ;;
  *) fail "the operator's version is not there: $(lab_get guarded.example /)" ;;
esac
millrace status | grep -q "pinned to version $bad" || fail "not pinned to $bad: $(millrace status)"

# 4. Mended and released: landing, whose backend dies while the route to it is on trial.
load_expect guarded.example / landing-2,502,503,504,wiki-1
route_to wiki
millrace release >/dev/null || fail 'release'
lab_until 5 lab_gets guarded.example / wiki-1 || fail 'not released'
sleep 4
acquittals=$(lab_count guard_acquittals)
route_to landing
lab_until 5 on_trial || fail 'the route is not watched'
lab_stop nginx-backend2
on_trial || fail 'judged before the backend died: the machine is too slow for this part'
lab_until 20 is_at_least guard_acquittals $((acquittals + 1)) || fail "no end of the trial: $(lab_count guard_acquittals)"
case $(lab_get guarded.example /) in
  502 | 503 | 504) ;;
  *) fail "no outage: $(lab_get guarded.example /)" ;;
esac
[ "$(acts)" = 0 ] && is_at_least guard_warnings 1 && [ "$(lab_count guard_warnings)" = 1 ] ||
  fail "an outage of a backend was blamed on a version: acts=$(acts) warnings=$(lab_count guard_warnings)"
load_stop
printf 'back_after_ms=%s %s\n' "$took" "$load_line"
[ "$(load_figure wrong_backend)" = 0 ] || fail "wrong answers: $load_line"
