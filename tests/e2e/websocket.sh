#!/bin/bash
# WebSocket through the proxy: real clients and a real server, long pauses, a table that changes,
# idle tunnels that end; server-sent events arrive one by one.
. "$(dirname "$0")/lab_test.bash"
/usr/bin/python3 -c 'import websockets' 2>/dev/null || skip 'needs python3-websockets (deploy/packages.sh)'
tunnels=100
test_lab
# Everything but a tunnel ends after a second of silence.
lab_timeouts='drain_seconds: 0, client_idle_seconds: 1, body_stall_seconds: 1, first_octet_seconds: 1'
lab_timeouts+=', tunnel_idle_seconds: 5, tunnel_half_closed_seconds: 1'

chat_manifest() {
  lab_service chat chat 10.20.0.11 9090
  lab_service chat events 10.20.0.11 9091
  lab_ingress chat chat chat.example /chat chat /events events
}
chat_manifest >"$manifests/chat.yaml"
test_millrace
lab_start websocket_echo backend1 "$lab_top/tests/support/websocket_echo.py" 10.20.0.11 9090
answers() { [[ $(lab_in client curl -s --max-time 2 -H 'Host: chat.example' "http://$lab_vip/events?1") == 'data: 0'* ]]; }
lab_until 10 answers || fail 'the server does not answer'

# ---- server-sent events: each when it was sent --------------------------------------------------

# The first of twenty is there long before the last was sent.
began=$(milliseconds)
first=$(lab_in client curl -sN --max-time 10 -H 'Host: chat.example' "http://$lab_vip/events?20" |
  { read -r line; printf '%s %s\n' "$line" $(($(milliseconds) - began)); cat >"$lab_dir/events"; })
all=$(($(milliseconds) - began))
[ "${first% *}" = 'data: 0' ] && [ "${first##* }" -lt 1000 ] && [ "$all" -gt 1800 ] ||
  fail "the first event: $first ms, all of them: $all ms"
[ "$(grep -c '^data: ' "$lab_dir/events")" = 19 ] || fail "events are missing: $(cat "$lab_dir/events")"

# ---- tunnels -----------------------------------------------------------------------------------

mkfifo "$lab_dir/talk.in" "$lab_dir/talk.out"
lab_in client "$lab_top/tests/support/websocket_talk.py" $lab_vip 80 chat.example $tunnels \
  <"$lab_dir/talk.in" >"$lab_dir/talk.out" 2>"$lab_dir/talk.err" &
exec {talk_in}>"$lab_dir/talk.in" {talk_out}<"$lab_dir/talk.out"
answer_is() { # WANTED
  local answer
  read -r -t 60 answer <&"$talk_out"
  [ "$answer" = "$1" ] || fail "the clients said '$answer' instead of '$1': $(tail -n 3 "$lab_dir/talk.err")"
}
asked() { # COMMAND
  printf '%s\n' "$1" >&"$talk_in"
  answer_is "$1 $tunnels"
}
counter() { "$lab_build/cli/millrace" --run "$lab_dir" counters | sed -n "s/^$1 //p"; }

answer_is "open $tunnels"
asked talk
# The route goes: what stands goes on, and new ones are not made.
rm "$manifests/chat.yaml"
gone() { ! answers; }
lab_until 5 gone || fail 'the route is still there'
sleep 3 # longer than every timeout but a tunnel's
asked talk
sleep 3
asked talk
chat_manifest >"$manifests/chat.yaml"
asked close
[ "$(counter proxy_tunnels)" = $tunnels ] && [ "$(counter proxy_tunnels_idle)" = 0 ] ||
  fail "tunnels: $(counter proxy_tunnels), idle: $(counter proxy_tunnels_idle)"
exec {talk_in}>&- {talk_out}<&-

# ---- and those that nobody uses end -------------------------------------------------------------

lab_until 5 answers || fail 'the route did not come back'
printf 'talk\nclosed\n' | lab_in client "$lab_top/tests/support/websocket_talk.py" $lab_vip 80 chat.example 10 \
  >"$lab_dir/idle" 2>&1
[ "$(tail -n 1 "$lab_dir/idle")" = 'closed 10' ] || fail "idle tunnels: $(cat "$lab_dir/idle")"
all_counted() { [ "$(counter proxy_tunnels_idle)" = 10 ]; }
lab_until 2 all_counted || fail "counted: $(counter proxy_tunnels_idle)"
printf 'tunnels=%s first_event_ms=%s all_events_ms=%s resets=%s\n' \
  "$(counter proxy_tunnels)" "${first##* }" "$all" "$(counter proxy_tunnels_reset)"
