#!/bin/bash
# The data plane is killed with -9: the node's own traffic on that interface does not notice.
. "$(dirname "$0")/lab_test.bash"
command -v ping >/dev/null || skip 'needs ping (deploy/packages.sh)'
test_lab
lab_backend node $lab_node 8088=node-service
lab_until 5 lab_answers client http://$lab_node:8088/ || fail "the node's own service did not start"
test_millrace

# Three cycles: back at once, back while our frames are still dropped, back after they were passed
# to the kernel for a while (silence of more than 3 s).
away_s=(0 1 4)
seconds=14
lab_in client ping -q -i 0.01 -c $((seconds * 100)) -W 2 $lab_node >"$lab_dir/ping" &
pings=$!
lab_in client "$load_tool" --target $lab_node:8088 --row 'node / node-service' --connections 4 \
  --rate 200 --seconds $seconds >"$lab_dir/kept" 2>"$lab_dir/kept.err" &
kept=$!
lab_in client "$load_tool" --target $lab_node:8088 --row 'node / node-service' --connections 2 \
  --rate 50 --close-each --seconds $seconds >"$lab_dir/opened" 2>>"$lab_dir/kept.err" &
opened=$!

lab_signal controlplane KILL
slowest_ms=0
export LAB_GET_SECONDS=0.2
for away in "${away_s[@]}"; do
  sleep 1
  lab_signal dataplane KILL || fail 'the data plane had ended by itself'
  lab_wait_gone "$lab_dir/dataplane.pid" 5
  sleep "$away"
  began=$(milliseconds)
  lab_start_dataplane
  lab_until 5 lab_gets shop.example /checkout checkout-1 ||
    fail "no right answer within 5 s after the restart (away ${away} s, control plane down)"
  took=$(($(milliseconds) - began))
  [ "$took" -le "$slowest_ms" ] || slowest_ms=$took
done
unset LAB_GET_SECONDS
wait $pings
wait $kept $opened
cat "$lab_dir/kept.err" >&2

read -r sent _ _ received _ < <(grep transmitted "$lab_dir/ping")
load_line=$(cat "$lab_dir/kept")
failed=$(load_figure failed) broken=$(load_figure broken) requests=$(load_figure requests)
load_line=$(cat "$lab_dir/opened")
failed=$((failed + $(load_figure failed)))
requests=$((requests + $(load_figure requests)))
printf 'pings_lost=%s pings=%s tcp_requests=%s tcp_failed=%s tcp_broken=%s kills=%s slowest_restart_ms=%s\n' \
  $((sent - received)) "$sent" "$requests" "$failed" "$broken" ${#away_s[@]} "$slowest_ms"
[ "$sent" = $((seconds * 100)) ] && [ "$received" = "$sent" ] && [ "$requests" -gt 1000 ] &&
  [ "$failed" = 0 ] && [ "$broken" = 0 ] || fail "the node's own traffic was hurt"
[ "$slowest_ms" -le 1000 ] || fail 'a restart took more than 1 s to answer'

# And it is whole again: with the control plane back, the table still changes.
lab_start_controlplane "$manifests"
sed -i 's/host: home.example/host: house.example/' "$manifests/home.yaml"
lab_until 5 lab_gets house.example /wiki wiki-1 || fail 'no new table after the control plane is back'
