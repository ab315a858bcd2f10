#!/bin/bash
# A memif beside two AF_XDP ports in one worker: the same table, and either end comes and goes.
. "$(dirname "$0")/lab_test.bash"
test_lab
memif_cable
lab_dataplane_config >"$lab_dir/xdp.yaml"
{ sed -n '1,/^routes:/p' "$lab_dir/xdp.yaml" | sed '$d'; memif_port; sed -n '/^routes:/,$p' "$lab_dir/xdp.yaml"; } |
  sed "s/^listeners:/&\n  - {address: $memif_vip, port: 80}/" >"$lab_dir/dataplane.yaml"
mkdir -p "$lab_dir/state"
test_millrace
memif_start

ask_all() { # VIP: how many rows of the demo's table are answered wrongly there
  local lab_vip=$1 host path expected wrong=0
  while read -r host path expected; do
    case $host in '' | '#'*) continue ;; esac
    rows=$((rows + 1))
    lab_gets "$host" "$path" "$expected" && continue
    wrong=$((wrong + 1))
    lab_say "$lab_vip $host$path: expected $expected, was $(lab_get "$host" "$path")"
  done <"$lab_top/deploy/demo/requests"
  wrong_rows=$((wrong_rows + wrong))
}
at_memif() { lab_vip=$memif_vip lab_gets "$@"; }

rows=0 wrong_rows=0
lab_until 5 at_memif wiki.apps.example / wiki-1 || fail 'no right answer through the memif'
ask_all "$memif_vip"
ask_all "$lab_vip"

# Both ways in at once, on kept connections.
for vip in "$memif_vip" "$lab_vip"; do
  lab_in client "$load_tool" --target "$vip:80" --rows "$lab_top/deploy/demo/requests" \
    --connections 8 --requests 3000 >"$lab_dir/load.$vip" 2>>"$lab_dir/load.err" &
  loads+=($!)
done
wait "${loads[@]}"
failed=0 requests=0
for vip in "$memif_vip" "$lab_vip"; do
  load_line=$(cat "$lab_dir/load.$vip")
  failed=$((failed + $(load_figure failed) + $(load_figure wrong_backend)))
  requests=$((requests + $(load_figure requests)))
done

# The far end is killed under load, three times; the other ports do not notice.
kills=0
for _ in 1 2 3; do
  lab_in client "$load_tool" --target "$memif_vip:80" --rows "$lab_top/deploy/demo/requests" \
    --connections 8 --seconds 1 >/dev/null 2>&1 &
  load=$!
  sleep 0.3
  lab_signal memif_wire KILL && kills=$((kills + 1))
  lab_wait_gone "$lab_dir/memif_wire.pid" 5
  lab_gets wiki.apps.example / wiki-1 || fail 'the uplink does not answer while the far end is away'
  memif_start
  lab_until 5 at_memif wiki.apps.example / wiki-1 || fail 'no answer after the far end came again'
  wait $load
done

# So is the data plane; the far end, a client, finds the next one.
lab_signal dataplane KILL
lab_wait_gone "$lab_dir/dataplane.pid" 5
lab_start_dataplane
lab_until 8 at_memif wiki.apps.example / wiki-1 || fail 'no answer through the memif after a restart'
ask_all "$memif_vip"

# Nobody in the process has a right left, DPDK's threads included.
rights=$(cat "/proc/$(lab_pid dataplane)"/task/*/status | grep -c '^CapEff:.*[1-9a-f]')
threads=$(ls "/proc/$(lab_pid dataplane)/task" | wc -l)

printf 'rows=%s wrong=%s requests=%s failed=%s kills=%s threads=%s with_rights=%s\n' \
  "$rows" "$wrong_rows" "$requests" "$failed" "$kills" "$threads" "$rights"
[ "$wrong_rows" = 0 ] && [ "$failed" = 0 ] && [ "$requests" = 6000 ] && [ "$kills" = 3 ] ||
  fail 'not every answer was right'
[ "$rights" = 0 ] && [ "$threads" -ge 4 ] || fail 'a thread kept its rights'
grep -q 'port fast: the far end is gone' "$lab_dir/dataplane.log" || fail 'the log does not say that the far end went'
