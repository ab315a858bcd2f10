#!/bin/bash
# IPv6 clients before IPv4 backends: answers, a narrow path, a flood; the node's own IPv6 unharmed.
. "$(dirname "$0")/lab_test.bash"
command -v ping >/dev/null || skip 'needs ping (deploy/packages.sh)'
command -v python3 >/dev/null || skip 'needs python3 (deploy/packages.sh)'
[ -d /proc/sys/net/ipv6 ] || skip 'the kernel has no IPv6'

#   [far: 3::2] -- MTU 1400 -- [router: 1::fe] -- lan -- [node: 1::1 the kernel's; 1::100 Millrace's]
#
# Whatever the router is sent for 4::/64 it swallows.
lan6=2001:db8:0:1: far6=2001:db8:0:3: strangers6=2001:db8:0:4:
vip6=${lan6}:100 node6=${lan6}:1 router6=${lan6}:fe
lab_boxes+=(router far)
test_lab

ipv6_box() { # BOX INTERFACE ADDRESS
  lab_in "$1" sh -c 'echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6
                     echo 0 >/proc/sys/net/ipv6/conf/default/disable_ipv6'
  # The lab's addresses are the lab's alone, so that nobody need wait for their detection.
  lab_ip "$1" addr add "$3" dev "$2" nodad
}
lab_join router eth0 10.20.0.254/24
lab_ip router link add eth1 mtu 1400 type veth peer name eth0 netns "millrace-$lab_name-far"
lab_ip router link set eth1 up
lab_ip far link set eth0 up
ipv6_box client eth0 ${lan6}:50/64
ipv6_box node mr-up0 $node6/64
ipv6_box router eth0 $router6/64
ipv6_box router eth1 ${far6}:1/64
ipv6_box far eth0 ${far6}:2/64
lab_in router sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
lab_ip router route add blackhole ${strangers6}:/64
lab_ip far route add default via ${far6}:1

mkdir -p "$lab_dir/state"
lab_dataplane_config |
  sed -e "/address: $lab_vip\/24/a\      - {address: \"$vip6/64\", kind: owned}\n\
      - {address: \"$node6/64\", kind: borrowed, tcp_ports: [8080]}" \
    -e "/^routes:/a\  - {destination: \"::/0\", port: uplink, via: \"$router6\"}" \
    -e "/^listeners:/a\  - {address: \"$vip6\", port: 80}\n  - {address: \"$node6\", port: 8080}" \
    >"$lab_dir/dataplane.yaml"
head -c $((100 << 10)) /dev/urandom >"$lab_dir/files/response"
chmod 755 "$lab_dir/files"
chmod 644 "$lab_dir/files/response"
lab_backend node "[$node6]" 8088=node-service

# ---- the node's own -----------------------------------------------------------------------------

# node_unharmed WHEN: found anew by neighbor discovery, answers ping and TCP.
node_unharmed() {
  lab_ip client neigh flush dev eth0
  lab_in client ping -6 -q -i 0.05 -c 20 -W 2 $node6 >"$lab_dir/ping" ||
    fail "$1: the node does not answer ping: $(tail -n 2 "$lab_dir/ping")"
  grep -q ' 20 received' "$lab_dir/ping" || fail "$1: pings of the node were lost"
  lab_answers client "http://[$node6]:8088/" || fail "$1: the node's own TCP does not answer"
  # Its link-local address, which no configuration names.
  lab_in client ping -6 -q -c 3 -i 0.05 -W 2 "$node_link_local%eth0" >"$lab_dir/ping" ||
    fail "$1: the node's link-local address does not answer"
}
lab_until 10 lab_answers client "http://[$node6]:8088/" || fail "the node's own service did not start"
node_link_local=$(lab_ip node -o -6 addr show dev mr-up0 scope link | awk '{ sub("/.*", "", $4); print $4 }')
[ -n "$node_link_local" ] || fail 'the node has no link-local address'
node_unharmed 'before'

test_millrace
node_unharmed 'with Millrace'

# The data plane's own count; housekeeping copies it a few times a second.
seen() { # COUNTER
  "$lab_build/dataplane/millrace-dataplane" --stats "$lab_dir/stats" |
    awk -v name="$1" '$1 == name { print $2 }'
}

# ---- ours ---------------------------------------------------------------------------------------

get6() { # BOX HOST URL: as lab_get
  local body
  body=$(lab_in "$1" curl -6 -s --max-time 5 -w '\n%{http_code}' -H "Host: $2" "$3" 2>/dev/null)
  case ${body##*$'\n'} in
    200) printf '%s\n' "${body%%[[:space:]]*}" ;;
    *) printf '%s\n' "${body##*$'\n'}" ;;
  esac
}
gets6() { [ "$(get6 "$1" "$2" "$3")" = "$4" ]; }
lab_until 5 gets6 client home.example "http://[$vip6]/wiki/x" wiki-1 ||
  fail "no answer over IPv6: $(get6 client home.example "http://[$vip6]/wiki/x")"
gets6 client home.example "http://[$node6]:8080/wiki/x" wiki-1 ||
  fail "the lent port of the node's address: $(get6 client home.example "http://[$node6]:8080/wiki/x")"
lab_in client ping -6 -q -i 0.05 -c 20 -W 2 $vip6 >"$lab_dir/ping" &&
  grep -q ' 20 received' "$lab_dir/ping" || fail 'the owned address does not answer ping'
lab_in client "$load_tool" --target "[$vip6]:80" --rows "$lab_top/deploy/demo/requests" \
  --connections 8 --requests 4000 >"$lab_dir/kept" || fail "kept connections: $(cat "$lab_dir/kept")"
lab_in client "$load_tool" --target "[$vip6]:80" --rows "$lab_top/deploy/demo/requests" \
  --connections 4 --requests 500 --close-each >"$lab_dir/opened" ||
  fail "new connections: $(cat "$lab_dir/opened")"

# The backend is told the client's address as it is, not what names it inside.
sed -i 's/add_header X-Backend/add_header X-Client "$http_x_forwarded_for" always; &/' \
  "$lab_dir/nginx-backend1/nginx.conf"
lab_signal nginx-backend1 HUP
told() {
  lab_in client curl -6 -s --max-time 5 -o /dev/null -D - -H 'Host: home.example' "http://[$vip6]/wiki/x" |
    grep -q -i "^X-Client: ${lan6}:50"
}
lab_until 5 told || fail 'the backend is not told the address of an IPv6 client'

# ---- a path narrower than both of its ends ------------------------------------------------------

too_big() { awk '$1 == "Icmp6OutPktTooBigs" { print $2 }' <(lab_in router cat /proc/net/snmp6); }
[ "$(too_big)" = 0 ] || fail 'the router has complained before it had a reason'
lab_in far curl -6 -sS --fail --max-time 20 -H 'Host: home.example' -o "$lab_dir/response" \
  "http://[$vip6]/files/response" 2>"$lab_dir/far.err" || fail "through the router: $(cat "$lab_dir/far.err")"
cmp -s "$lab_dir/files/response" "$lab_dir/response" || fail 'through the router came other bytes'
complaints=$(too_big)
[ "$complaints" -gt 0 ] || fail 'the path was not too narrow: nothing was tested'
# It is remembered: a second response needs no complaint about each of its segments.
lab_in far curl -6 -sS --fail --max-time 20 -H 'Host: home.example' -o /dev/null \
  "http://[$vip6]/files/response" || fail 'a second response through the router'
again=$(($(too_big) - complaints))

# By the complaint, and not by guessing from what is lost (RFC 8899).
sleep 1
lowered=$(seen tcp_path_mtu_lowered) guessed=$(seen tcp_black_hole_suspected)
[ "$lowered" -gt 0 ] && [ "$guessed" = 0 ] ||
  fail "the complaints were not believed: tcp_path_mtu_lowered $lowered, tcp_black_hole_suspected $guessed"

# ---- floods -------------------------------------------------------------------------------------

memory_kib() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$(lab_pid dataplane)/status"; }
our_mac=$(lab_ip node -o link show dev mr-up0 | sed -n 's/.*link\/ether \([0-9a-f:]*\).*/\1/p')
memory_before=$(memory_kib)
peak=$memory_before
flood() { # NAME PREFIX: SYNs from anywhere in the prefix, while clients are served
  local generator clients now before
  before=$(seen tcp_segments_received)
  lab_in router python3 "$e2e/ipv6_syn_flood.py" eth0 "$our_mac" "$2" "$vip6" 80 4 >"$lab_dir/flood" &
  generator=$!
  lab_in client "$load_tool" --target "[$vip6]:80" --rate 100 --connections 8 --seconds 4 --timeout 20 \
    --row 'home.example /wiki wiki-1' >"$lab_dir/flood-kept" &
  clients=$!
  while kill -0 $generator 2>/dev/null; do
    now=$(memory_kib)
    [ "${now:-0}" -le "$peak" ] || peak=$now
    sleep 0.2
  done
  wait $generator || fail "$1: the flood did not flow"
  wait $clients || fail "$1: kept connections: $(cat "$lab_dir/flood-kept")"
  lab_in client "$load_tool" --target "[$vip6]:80" --requests 20 --connections 2 --close-each \
    --timeout 20 --row 'home.example /wiki wiki-1' >"$lab_dir/flood-fresh" ||
    fail "$1: new connections after it: $(cat "$lab_dir/flood-fresh")"
  lab_running dataplane || fail "$1: the data plane has ended"
  sleep 1
  flood_seen=$(($(seen tcp_segments_received) - before))
  [ "$flood_seen" -gt 10000 ] || fail "$1: only $flood_seen segments of $(cat "$lab_dir/flood") arrived"
}
flood 'from behind the router' ${strangers6}:
routed=$flood_seen
cookies=$(seen tcp_syn_cookies_sent)
[ "$cookies" -gt 1000 ] || fail "only $cookies cookies were sent: the flood was none"
# Here each source asks for a neighbor that does not exist (RFC 6583).
flood 'from the link' ${lan6}:
on_link=$flood_seen
growth=$((peak - memory_before))
node_unharmed 'after the floods'

# ---- killed -------------------------------------------------------------------------------------

lab_in client ping -6 -q -i 0.01 -c 400 -W 2 $node6 >"$lab_dir/ping-kill" &
pings=$!
lab_in client "$load_tool" --target "[$node6]:8088" --row 'node / node-service' --connections 4 \
  --rate 200 --seconds 4 >"$lab_dir/kill-kept" &
kept=$!
sleep 1
lab_signal dataplane KILL || fail 'the data plane had ended by itself'
lab_wait_gone "$lab_dir/dataplane.pid" 5
node_unharmed 'killed'
began=$(milliseconds)
lab_start_dataplane
lab_until 5 gets6 client home.example "http://[$vip6]/wiki/x" wiki-1 ||
  fail 'no answer over IPv6 within 5 s after the restart'
restart_ms=$(($(milliseconds) - began))
wait $pings
wait $kept || fail "the node's own connections were hurt: $(cat "$lab_dir/kill-kept")"
grep -q '400 packets transmitted, 400 received' "$lab_dir/ping-kill" ||
  fail "pings of the node were lost: $(grep transmitted "$lab_dir/ping-kill")"
load_line=$(cat "$lab_dir/kill-kept")
[ "$(load_figure broken)" = 0 ] || fail "the node's own connections were broken"
node_unharmed 'after the restart'
lab_gets home.example /wiki/x wiki-1 || fail 'IPv4 does not answer any more'

printf 'too_big=%s again=%s flood_seen=%s cookies=%s flood_on_link_seen=%s growth_kib=%s restart_ms=%s\n' \
  "$complaints" "$again" "$routed" "$cookies" "$on_link" "$growth" "$restart_ms"
[ "$again" -le 2 ] || fail 'the path MTU is not remembered'
[ "$growth" -lt 1024 ] || fail 'memory grew by 1 MiB or more'
