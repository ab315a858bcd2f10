#!/bin/bash
# Real clients and a real server: all forms of bodies, large transfers, slow attackers, a long WebSocket.
#
# REAL_MIB: of a large transfer each way (200). REAL_SECONDS: of the WebSocket (20). REAL_SLOW: connections of each
# slow attack (500). The whole: REAL_MIB=5120 REAL_SECONDS=600 REAL_SLOW=2000.
. "$(dirname "$0")/lab_test.bash"
mib=${REAL_MIB:-200}
seconds=${REAL_SECONDS:-20}
slow=${REAL_SLOW:-500}
for program in node wget ab slowhttptest sha256sum; do
  command -v $program >/dev/null || skip "needs $program (Debian: nodejs, wget, apache2-utils, slowhttptest)"
done
/usr/bin/python3 -c 'import websockets' 2>/dev/null || skip 'needs python3-websockets (deploy/packages.sh)'
lab_timeouts='drain_seconds: 2'
test_lab
{
  lab_service real bodies 10.20.0.11 9097
  lab_service real chat 10.20.0.11 9090
  # Every host: node's fetch and slowhttptest name the address.
  cat <<YAML
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: real, namespace: real}
spec:
  ingressClassName: millrace
  rules:
    - http:
        paths:
          - {path: /, pathType: Prefix, backend: {service: {name: bodies, port: {number: 80}}}}
          - {path: /chat, pathType: Prefix, backend: {service: {name: chat, port: {number: 80}}}}
YAML
} >"$manifests/real.yaml"
lab_start bodies backend1 node "$lab_top/tests/support/body_server.js" 10.20.0.11 9097
lab_start chat backend1 "$lab_top/tests/support/websocket_echo.py" 10.20.0.11 9090
test_millrace
url=http://$lab_vip
answers() { lab_in client curl -sf --max-time 2 -H 'Host: real.example' "$url/hash" >/dev/null; }
lab_until 10 answers || fail 'the server does not answer'
resident() { awk '/^VmRSS/ { print $2 }' "/proc/$(lab_pid dataplane)/status"; }

# ---- bodies ------------------------------------------------------------------------------------

head -c 1234567 /dev/urandom >"$lab_dir/body"
sum=$(sha256sum <"$lab_dir/body")
sum=${sum%% *}
right=0
sent() { # WHAT CURL_ARGUMENT...
  local what=$1 said
  shift
  said=$(lab_in client curl -sS --max-time 20 -H 'Host: real.example' "$@" "$url/hash") || fail "curl $what: $said"
  [[ $said == *"$sum"* ]] || fail "curl $what: $said"
  ((++right))
}
sent 'with a length' --data-binary "@$lab_dir/body"
sent 'without asking first' -H 'Expect:' --data-binary "@$lab_dir/body"
sent 'asking first' -H 'Expect: 100-continue' --expect100-timeout 10 --data-binary "@$lab_dir/body"
sent 'by PUT' -T "$lab_dir/body"
sent 'in chunks' -H 'Transfer-Encoding: chunked' --data-binary "@$lab_dir/body"
sent 'HTTP/1.0' --http1.0 --data-binary "@$lab_dir/body"
sent 'slowly' --limit-rate 1M --data-binary "@$lab_dir/body"
sent 'from a pipe' -X POST -T - <"$lab_dir/body"
form=$(lab_in client curl -sS --max-time 20 -H 'Host: real.example' -F "file=@$lab_dir/body" -F a=b "$url/hash")
[[ $form == *'"octets":12'* ]] || fail "curl with a form: $form"
lab_in client curl -sSI --max-time 5 -H 'Host: real.example' "$url/hash" | head -n 1 | grep -q ' 200 ' || fail 'curl HEAD'
lab_in client curl -sS --max-time 20 -H 'Host: real.example' "$url/bytes?1000000" "$url/bytes?1000000,chunked" \
  "$url/bytes?0" | wc -c | grep -qx 2000000 || fail 'curl: three on a connection'
lab_in client wget -q -T 20 -O - --header 'Host: real.example' --post-file "$lab_dir/body" "$url/hash" | grep -q "$sum" ||
  fail 'wget --post-file'
lab_in client wget -q -T 20 -O - --header 'Host: real.example' "$url/bytes?3000000,chunked" | wc -c | grep -qx 3000000 ||
  fail 'wget'
python=$(lab_in client "$lab_top/tests/support/python_bodies.py" $lab_vip 80 real.example 2>&1) || fail "python: $python"
fetch=$(lab_in client node "$lab_top/tests/support/fetch_bodies.js" $lab_vip 80 real.example 2>&1) || fail "node: $fetch"
printf 'curl=%s %s %s\n' "$right" "$python" "$fetch"

# ---- apache bench ------------------------------------------------------------------------------

for kept in '' -k; do
  lab_in client ab -q $kept -n 20000 -c 50 -s 20 -H 'Host: home.example' "$url/wiki" >"$lab_dir/ab" 2>&1 ||
    fail "ab $kept: $(tail -n 3 "$lab_dir/ab")"
  grep -q '^Failed requests: *0$' "$lab_dir/ab" && ! grep -q 'Non-2xx' "$lab_dir/ab" ||
    fail "ab $kept: $(grep -E '^(Failed|Non-2xx|Complete)' "$lab_dir/ab")"
  printf 'ab%s requests_per_second=%s\n' "$kept" "$(awk '/^Requests per second/ { print $4 }' "$lab_dir/ab")"
done

# ---- large transfers ---------------------------------------------------------------------------

octets=$((mib * 1048576))
before=$(resident)
expected=$(node -e "
  const crypto = require('crypto');
  const piece = Buffer.concat(Array(1024).fill(crypto.createHash('sha512').update('millrace').digest()));
  const hash = crypto.createHash('sha256');
  for (let left = $octets; left > 0; left -= piece.length) hash.update(piece.subarray(0, Math.min(left, piece.length)));
  console.log(hash.digest('hex'));")
began=$(milliseconds)
got=$(lab_in client curl -sS --max-time 1200 -H 'Host: real.example' "$url/bytes?$octets" | sha256sum)
down_ms=$(($(milliseconds) - began))
[ "${got%% *}" = "$expected" ] || fail "$mib MiB down: another hash"
began=$(milliseconds)
said=$(head -c "$octets" /dev/zero | lab_in client curl -sS --max-time 1200 -H 'Host: real.example' -X POST -T - "$url/hash")
up_ms=$(($(milliseconds) - began))
[[ $said == *"\"octets\":$octets"* && $said == *"$(head -c "$octets" /dev/zero | sha256sum | cut -d ' ' -f 1)"* ]] ||
  fail "$mib MiB up: $said"
printf 'down_mib_per_second=%s up_mib_per_second=%s resident_kib_before=%s after=%s\n' \
  $((mib * 1000 / down_ms)) $((mib * 1000 / up_ms)) "$before" "$(resident)"

# ---- slow attackers ----------------------------------------------------------------------------

p99() { # WHAT [SECONDS]
  p99_of_others "$lab_vip:80" "${2:-6}" ||
    fail "requests of others failed during $1: $(cat "$lab_dir/measured" "$lab_dir/measured.err")"
}
held=0
many_stand() { held=$(lab_count gauge_tcp_connections) && [ "$held" -ge $((slow * 8 / 10)) ]; }
slow_problem=
p99 warm-up >/dev/null || exit 1
quiet=$(p99 'nothing') || exit 1
for attack in "${slow_attacks[@]}"; do
  slow_attack "$attack" "$lab_vip:80" "$slow"
  lab_until 6 many_stand || fail "slowhttptest $attack: only $held connections stood"
  during=$(p99 "slowhttptest $attack") || exit 1
  # The first seconds are the rush, and are judged; what comes after them is told.
  later=
  while kill -0 "$attacker" 2>/dev/null; do
    piece=$(p99 "slowhttptest $attack" 2) || exit 1
    later+=${later:+,}$piece
  done
  wait "$attacker"
  printf 'slowhttptest %s: connections=%s p99_us=%s quiet=%s then=%s shed=%s\n' "${attack%% *}" "$held" "$during" "$quiet" \
    "$later" "$(lab_count tcp_stalled_shed)"
  [ "$during" -le $((quiet * 2)) ] || slow_problem+=" ${attack%% *}:$during"
done

# ---- a long WebSocket --------------------------------------------------------------------------

mkfifo "$lab_dir/talk.in" "$lab_dir/talk.out"
lab_in client "$lab_top/tests/support/websocket_talk.py" $lab_vip 80 real.example 3 \
  <"$lab_dir/talk.in" >"$lab_dir/talk.out" 2>"$lab_dir/talk.err" &
exec {talk_in}>"$lab_dir/talk.in" {talk_out}<"$lab_dir/talk.out"
answer_is() {
  local answer
  read -r -t 60 answer <&"$talk_out"
  [ "$answer" = "$1" ] || fail "the clients said '$answer' instead of '$1': $(tail -n 3 "$lab_dir/talk.err")"
}
answer_is 'open 3'
end=$(($(milliseconds) + seconds * 1000))
rounds=0
while [ "$(milliseconds)" -lt $end ]; do
  printf 'talk\n' >&"$talk_in"
  answer_is 'talk 3'
  ((++rounds))
  sleep 7
done
printf 'close\n' >&"$talk_in"
answer_is 'close 3'
exec {talk_in}>&- {talk_out}<&-
printf 'websocket_seconds=%s rounds=%s\n' "$seconds" "$rounds"

[ -z "$slow_problem" ] || fail "the p99 of others is beyond twice $quiet us:$slow_problem"
