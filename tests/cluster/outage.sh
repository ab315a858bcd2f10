#!/bin/bash
# C1, C2: the API server is away: routes stay, also when the control plane starts anew, or both programs do.
set -u
. "$(dirname "$0")/cluster_lab.bash"
cluster_lab
cluster_controlplane controlplane
lab_until 10 lab_answered_or_dead wiki.apps.example / wiki-1
cluster_check_demo || fail 'rows of the demo are wrong'
load_start --connections 16 --rate 1000 --row 'home.example /wiki wiki-1'

kill -9 "$apiserver_pid"
sleep 3
cluster_check_demo || fail 'routes changed while the API server is away'
# The control plane starts during the outage: it has seen nothing, so it publishes nothing.
lab_signal controlplane KILL
cluster_controlplane controlplane
sleep 3
cluster_check_demo || fail 'a control plane that has seen nothing changed the routes'
load_stop
[ "$(load_figure failed)" = 0 ] && [ "$(load_figure wrong_backend)" = 0 ] && [ "$(load_figure requests)" -gt 3000 ] ||
  fail "requests failed: $load_line"
# C2: both were killed, nothing to read but the copy on disk.
lab_signal dataplane KILL
lab_signal controlplane KILL
lab_wait_gone "$lab_dir/dataplane.pid" 5
lab_start_dataplane
began=$(milliseconds)
lab_until 5 lab_gets home.example /wiki wiki-1 || fail 'no routes from the copy on disk'
took=$(($(milliseconds) - began))
cluster_controlplane controlplane

start_apiserver
save_server
wait_until_ready 60 || fail 'the API server does not come back'
kube -n home create ingress late --class=millrace --rule='late.example/*=landing:80' >/dev/null || fail create
lab_until 40 lab_gets late.example / landing-2 || fail 'the cluster is not followed after the outage'
cluster_check_demo || fail 'rows of the demo are wrong after the outage'
printf 'first_answer_after_both_were_killed_ms=%s %s\n' "$took" "$load_line"
