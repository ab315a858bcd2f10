#!/bin/bash
# A stop under load: every request that was taken is answered, nobody new is let in, and it has an end.
. "$(dirname "$0")/lab_test.bash"
command -v python3 >/dev/null || skip 'needs python3 (deploy/packages.sh)'
clients=100
lab_timeouts='drain_seconds: 6'
test_lab
mkdir "$lab_dir/served"
head -c 4000000 /dev/urandom >"$lab_dir/served/large"
{
  lab_service files files 10.20.0.11 9095
  lab_ingress files files files.example / files
} >"$manifests/files.yaml"
test_millrace
lab_start files backend1 python3 -m http.server 9095 --bind 10.20.0.11 --directory "$lab_dir/served"
serves() { [ "$(lab_in client curl -s -o /dev/null -w '%{http_code}' -H 'Host: files.example' "http://$lab_vip/")" = 200 ]; }
lab_until 10 serves || fail 'the file server does not answer'

# Clients that never rest, and one that fetches slowly what it has asked for.
mkfifo "$lab_dir/asking"
lab_in client "$lab_top/tests/support/keep_asking.py" $lab_vip:80 home.example /wiki/x $clients \
  >"$lab_dir/asking" 2>"$lab_dir/asking.err" &
asker=$!
exec {asking}<"$lab_dir/asking"
read -r -t 30 line <&$asking && [ "$line" = asking ] || fail "the clients do not ask: $(cat "$lab_dir/asking.err")"
lab_in client curl -sS -o "$lab_dir/fetched" --limit-rate 800k -H 'Host: files.example' -w '%{http_code}\n' \
  "http://$lab_vip/large" >"$lab_dir/slow" 2>&1 &
slow=$!
sleep 0.2

kill -0 $slow 2>/dev/null || fail "nothing is being fetched when the stop comes: $(cat "$lab_dir/slow")"
began=$(milliseconds)
lab_signal dataplane TERM
read -r -t 30 line <&$asking || fail 'the clients did not come to an end'
wait $asker
asked_ms=$(($(milliseconds) - began))
refused=$(lab_in client curl -s -o /dev/null -w '%{http_code}' --max-time 2 -H 'Host: home.example' "http://$lab_vip/wiki/x")
[ "$refused" = 000 ] || fail "a new connection was let in: $refused"
wait $slow
[ "$(cat "$lab_dir/slow")" = 200 ] && cmp "$lab_dir/fetched" "$lab_dir/served/large" ||
  fail "what was being fetched: $(cat "$lab_dir/slow")"
lab_wait_gone "$lab_dir/dataplane.pid" 8 || fail 'the data plane does not end'
whole_ms=$(($(milliseconds) - began))
grep -q 'everything that was open has ended' "$lab_dir/dataplane.log" || fail "it did not say that all has ended"

figure() { printf '%s\n' "$line" | tr ' ' '\n' | sed -n "s/^$1=//p"; }
[ "$(figure closed)" = $clients ] && [ "$(figure broken)" = 0 ] ||
  fail "clients that asked: $line; $(sort "$lab_dir/asking.err" | uniq -c | head -n 3)"

# One that rests holds nobody up for longer than the limit, and a second signal ends it at once.
with_a_rester() {
  rm -f "$lab_dir/dataplane.pid"
  lab_start_dataplane
  lab_until 10 lab_gets home.example /wiki/x wiki-1 || fail 'it does not serve again'
  lab_in client sh -c 'exec sleep 20 | nc '$lab_vip' 80' >/dev/null 2>&1 &
  rester=$!
  sleep 0.5
}
with_a_rester
began=$(milliseconds)
lab_signal dataplane TERM
sleep 0.3
lab_running dataplane || fail 'it did not wait for a client at rest'
lab_wait_gone "$lab_dir/dataplane.pid" 8 || fail 'the data plane does not end'
rest_ms=$(($(milliseconds) - began))
kill $rester 2>/dev/null
[ $rest_ms -ge 2500 ] && [ $rest_ms -lt 7000 ] || fail "with a client at rest it took $rest_ms ms"
with_a_rester
lab_signal dataplane TERM
sleep 0.3
lab_running dataplane || fail 'it did not wait for a client at rest'
lab_signal dataplane TERM
lab_wait_gone "$lab_dir/dataplane.pid" 1 || fail 'a second signal does not end it at once'
kill $rester 2>/dev/null
printf '%s asked_ms=%s whole_ms=%s rest_ms=%s\n' "$line" $asked_ms $whole_ms $rest_ms
