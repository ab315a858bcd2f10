#!/bin/bash
# hping3 floods from strangers, one kind after the other: no request fails, memory stays flat.
#
#   tests/peers/run floods [KIND...]
#
# PEERS_FLOOD_SECONDS: how long each lasts (default 4). Strangers' addresses lie behind a box that
# swallows what is sent to them, so that answers leave and never arrive.
set -u
. "$(dirname "$0")/path.bash"
seconds=${PEERS_FLOOD_SECONDS:-4}
# Connections in SYN-RECEIVED that a worker keeps (tcp::Limits::half_open) and what the load has.
connections_max=$((4096 + 200))

flood_words() { # KIND: hping3's arguments
  case $1 in
    syn) echo "-S -p 80 --rand-source" ;;
    syn_text) echo "-S -p 80 --rand-source -d 120" ;;
    syn_neighbor) echo "-S -p 80 -a 10.20.0.77" ;;
    syn_closed) echo "-S -p 81 --rand-source" ;;
    ack) echo "-A -p 80 --rand-source" ;;
    ack_text) echo "-A -P -p 80 --rand-source -d 120" ;;
    reset) echo "-R -p 80 --rand-source" ;;
    reset_client) echo "-R -p 80 -a 10.20.0.50" ;;
    syn_client) echo "-S -p 80 -a 10.20.0.50 -s 32768" ;;
    fin) echo "-F -p 80 --rand-source" ;;
    xmas) echo "-F -U -P -p 80 --rand-source" ;;
    null) echo "-p 80 --rand-source" ;;
    land) echo "-S -p 80 -s 80 -k -a $lab_vip" ;;
    fragments) echo "-S -p 80 --rand-source -f -d 64" ;;
    fragments_tiny) echo "-S -p 80 --rand-source -m 8 -d 40" ;;
    udp) echo "--udp -p 80 --rand-source" ;;
    echo) echo "--icmp --rand-source -d 56" ;;
    *) printf 'floods: no such kind: %s\n' "$1" >&2; exit 2 ;;
  esac
}
kinds=("$@")
[ $# -gt 0 ] || kinds=(syn syn_text syn_neighbor syn_closed ack ack_text reset reset_client
  syn_client fin xmas null land fragments fragments_tiny udp echo)
for kind in "${kinds[@]}"; do flood_words "$kind" >/dev/null || exit 2; done

command -v hping3 >/dev/null || skip 'needs hping3 (deploy/packages.sh)'
lab_boxes+=(stranger)
test_lab
lab_join stranger eth0 10.20.0.66/24
lab_in stranger sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward'
mkdir -p "$lab_dir/state"
lab_dataplane_config |
  sed '/^routes:/a\  - {destination: 0.0.0.0/0, port: uplink, via: 10.20.0.66}' \
    >"$lab_dir/dataplane.yaml"
test_millrace

memory_kib() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$(lab_pid dataplane)/status"; }
# More of the counter NAME than in FILE.
grown() { # FILE NAME
  local before
  before=$(awk -v name="$2" '$1 == name { print $2 }' "$1")
  printf '%s\n' $(($(lab_count "$2") - before))
}

load_start --connections 32 --rate 200 --timeout 20 --row 'shop.example /checkout checkout-1' \
  --row 'home.example /wiki wiki-1'
fresh_start() { # a second load, every request on a connection of its own
  lab_in client "$load_tool" --target "$lab_vip:80" --connections 4 --rate 20 --timeout 20 \
    --seconds "$1" --close-each --row 'home.example /wiki wiki-1' >"$lab_dir/fresh" 2>>"$lab_dir/fresh.err" &
  fresh_process=$!
}
sleep 2
memory_before=$(memory_kib)

fresh_failed=0
fresh_requests=0
too_many=
flood() { # KIND
  local kind=$1 peak=0 memory=0 now sent words
  words=$(flood_words "$kind")
  "$lab_build/dataplane/millrace-dataplane" --stats "$lab_dir/stats" >"$lab_dir/stats-before"
  fresh_start "$seconds"
  # shellcheck disable=SC2086
  lab_in stranger timeout -s INT "$seconds" hping3 --flood -q $words "$lab_vip" \
    >"$lab_dir/hping" 2>&1 &
  local generator=$!
  while kill -0 $generator 2>/dev/null; do
    now=$(lab_count gauge_tcp_connections)
    [ "${now:-0}" -le "$peak" ] || peak=$now
    now=$(memory_kib)
    [ "${now:-0}" -le "$memory" ] || memory=$now
    sleep 0.3
  done
  wait $generator
  wait $fresh_process || { fresh_failed=$((fresh_failed + 1)); cat "$lab_dir/fresh" "$lab_dir/fresh.err" >&2; }
  read -r load_line <"$lab_dir/fresh"
  fresh_requests=$((fresh_requests + $(load_figure requests)))
  sent=$(sed -n 's/^\([0-9]*\) packets t.*/\1/p' "$lab_dir/hping")
  # Housekeeping copies the counters; those of the port and the program once a second.
  sleep 1.5
  printf '%-14s sent=%s seen=%s answered=%s lost=%s held_back=%s cookies=%s resets=%s connections_max=%s growth_kib=%s fresh_p99_us=%s\n' \
    "$kind" "${sent:-0}" "$(grown "$lab_dir/stats-before" tcp_segments_received)" \
    "$(grown "$lab_dir/stats-before" tcp_segments_sent)" \
    "$(grown "$lab_dir/stats-before" port_receive_dropped_frames)" \
    "$(grown "$lab_dir/stats-before" xdp_mr-up0_dropped_backlog)" \
    "$(grown "$lab_dir/stats-before" tcp_syn_cookies_sent)" \
    "$(grown "$lab_dir/stats-before" tcp_resets_sent)" "$peak" $((memory - memory_before)) \
    "$(load_figure p99_us)"
  lab_running dataplane || fail "$kind: the data plane has ended"
  [ "${sent:-0}" -gt 1000 ] || fail "$kind: hping3 has sent nothing: $(tail -n 2 "$lab_dir/hping")"
  [ "$peak" -le $connections_max ] || too_many+=" $kind"
  [ $((memory - memory_before)) -lt 1024 ] || fail "$kind: memory grew by 1 MiB or more"
}
for kind in "${kinds[@]}"; do flood "$kind"; done
load_stop
printf 'requests=%s failed=%s broken=%s fresh_requests=%s fresh_failed=%s\n' \
  "$(load_figure requests)" "$(load_figure failed)" "$(load_figure broken)" "$fresh_requests" \
  "$fresh_failed"
[ -z "$too_many" ] || fail "more connections than handshakes may be under way:$too_many"
[ "$(load_figure requests)" -gt $((100 * seconds)) ] && [ "$(load_figure failed)" = 0 ] &&
  [ "$(load_figure broken)" = 0 ] || fail 'requests failed or connections broke'
[ "$fresh_requests" -gt $((5 * seconds)) ] && [ "$fresh_failed" = 0 ] ||
  fail 'requests on new connections failed'
