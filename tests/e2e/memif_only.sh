#!/bin/bash
# A data plane with nothing but a memif, as nobody: no XDP program, the last good table from disk.
. "$(dirname "$0")/lab_test.bash"
test_lab
memif_cable
# The client's kernel routes between the memif and the backends.
lab_in client sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
lab_in client ethtool -K eth0 gro off >/dev/null
lab_ip client route add 10.244.0.0/16 via $lab_node
for box in backend1 backend2 node; do lab_ip $box route add 10.20.7.0/24 via 10.20.0.50; done
{
  printf 'ports:\n'
  memif_port
  cat <<CONFIGURATION
routes:
  - {destination: 0.0.0.0/0, port: fast, via: 10.20.7.50}
listeners:
  - {address: $memif_vip, port: 80}
socket: $lab_dir/dataplane.sock
state_directory: $lab_dir/state
timeouts: {drain_seconds: 0}
worker: {idle: spin}
user: 65534
CONFIGURATION
} >"$lab_dir/dataplane.yaml"
mkdir -p "$lab_dir/state"
chown 65534:65534 "$lab_dir" "$lab_dir/state"
memif_start # before its server: it tries until that is there
lab_vip=$memif_vip
test_millrace
[ -z "$(lab_ip node link show | grep xdp)" ] || fail 'there is an XDP program'

# The control plane goes, and the data plane starts again from what it kept.
lab_stop controlplane
lab_stop dataplane
[ ! -e "$lab_dir/fast" ] || fail 'an orderly stop left its socket'
lab_start_dataplane
lab_until 8 lab_gets wiki.apps.example / wiki-1 || fail 'no answer from the last good table'
grep -q 'starting with the last good table' "$lab_dir/dataplane.log" || fail 'no last good table'

# The far end comes again also when the data plane has no rights any more.
[ "$(stat -c %u "/proc/$(lab_pid dataplane)")" = 65534 ] || fail 'the data plane is not nobody'
lab_signal memif_wire KILL
lab_wait_gone "$lab_dir/memif_wire.pid" 5
memif_start
lab_until 5 lab_gets wiki.apps.example / wiki-1 || fail 'no answer after the far end came again'

rows=0 wrong=0
while read -r host path expected; do
  case $host in '' | '#'*) continue ;; esac
  rows=$((rows + 1))
  lab_gets "$host" "$path" "$expected" && continue
  wrong=$((wrong + 1))
  lab_say "$host$path: expected $expected, was $(lab_get "$host" "$path")"
done <"$lab_top/deploy/demo/requests"

# A file that needs many full frames both ways.
head -c 3000000 /dev/urandom >"$lab_dir/files/big"
lab_in client curl -s --max-time 10 -H 'Host: home.example' -o "$lab_dir/big" "http://$lab_vip/files/big"
cmp -s "$lab_dir/big" "$lab_dir/files/big" || fail 'a file of 3 MB did not come whole'
load_start --rows "$lab_top/deploy/demo/requests" --connections 8 --requests 4000
load_wait
"$lab_build/dataplane/millrace-dataplane" --stats "$lab_dir/stats" >"$lab_dir/stats.txt"
drops=$(awk '$1 ~ /^port_.*dropped/ { sum += $2 } END { print sum }' "$lab_dir/stats.txt")
printf 'rows=%s wrong=%s port_drops=%s %s\n' "$rows" "$wrong" "$drops" "$load_line"
[ "$wrong" = 0 ] && [ "$(load_figure requests)" = 4000 ] && [ "$(load_figure failed)" = 0 ] &&
  [ "$(load_figure wrong_backend)" = 0 ] || fail 'not every answer was right'
