#!/bin/bash
# A version that breaks a route is taken back by the data plane itself, told as an Event, and held until released.
set -u
. "$(dirname "$0")/cluster_lab.bash"
test_lab
cluster_clean
cluster_account
kube apply -f "$manifests" >"$lab_dir/apply.log" 2>&1 || { cat "$lab_dir/apply.log"; fail 'the demo is refused'; }
{ lab_dataplane_config; printf 'publish_guard: {mode: act}\n'; } >"$lab_dir/dataplane.yaml"
lab_start_dataplane
cluster_controlplane controlplane
lab_until 10 lab_answered_or_dead wiki.apps.example / wiki-1
millrace() { "$lab_build/cli/millrace" --run "$lab_dir" "$@"; }
acts() { lab_count guard_acts; }

# A service that nobody listens behind: every connection is refused, and the cluster calls its endpoint ready.
lab_service home nowhere 10.20.0.11 9 | kube apply -f - >/dev/null || fail 'service'
kube -n home create ingress guarded --class=millrace --rule='guarded.example/*=wiki:80' >/dev/null || fail 'ingress'
lab_until 5 lab_gets guarded.example / wiki-1 || fail 'the route is not served'
load_start --connections 16 --rate 400 --row 'guarded.example / wiki-1,502,503' --row 'home.example /wiki wiki-1'
sleep 4 # a past

route_to() { kube -n home patch ingress guarded --type=json -p "[{\"op\":\"replace\",\"path\":\"/spec/rules/0/http/paths/0/backend/service/name\",\"value\":\"$1\"}]" >/dev/null; }
began=$(milliseconds)
route_to nowhere || fail 'patch'
is_back() { [ "$(acts)" = 1 ] && lab_gets guarded.example / wiki-1; }
lab_until 20 is_back || fail "not taken back: acts=$(acts), answer $(lab_get guarded.example /)"
took=$(($(milliseconds) - began))
lab_until 5 grep -q 'went back from version' "$lab_dir/controlplane.log" || fail 'the control plane has not noticed'
millrace status >"$lab_dir/status" || fail 'status'
grep -q 'went back from version' "$lab_dir/status" || fail "status does not say it: $(cat "$lab_dir/status")"

# Held: endpoints and other objects follow nothing that would bring the bad route back.
kube -n home label ingress guarded touched=yes >/dev/null
sleep 2
lab_gets guarded.example / wiki-1 || fail 'the bad route came back with another change'
# ... nor does a control plane that starts anew, or a data plane.
lab_signal controlplane KILL
cluster_controlplane controlplane
sleep 3
lab_gets guarded.example / wiki-1 || fail 'a restarted control plane brought the bad route back'
has_event() { kube -n home get events.v1.events.k8s.io -o json | grep -q 'was taken back'; }
lab_until 40 has_event || fail 'no Event'

# Mended and released.
load_expect guarded.example / landing-2,wiki-1,502,503
route_to landing
millrace release >/dev/null || fail 'release'
lab_until 5 lab_gets guarded.example / landing-2 || fail 'not released'

# A backend's own outage, soon after a change that is well: nothing is taken back.
sleep 3
lab_stop nginx-backend2
sleep 4
[ "$(acts)" = 1 ] || fail "an outage of a backend was blamed on a version: acts=$(acts)"
load_stop
printf 'back_after_ms=%s %s\n' "$took" "$load_line"
[ "$(load_figure wrong_backend)" = 0 ] || fail "wrong answers: $load_line"
