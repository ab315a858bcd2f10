#!/bin/bash
# The data plane is stopped for 2 s (SIGSTOP): established connections survive, nothing is lost.
. "$(dirname "$0")/lab_test.bash"
test_lab
test_millrace

load_start --connections 32 --rate 1000 --timeout 15 --row 'shop.example /checkout checkout-1' \
  --row 'home.example /wiki wiki-1' --row 'cat.apps.example / whoami-pod'
pauses=0
for _ in 1 2; do
  sleep 1
  lab_signal dataplane STOP || fail 'the data plane had ended by itself'
  sleep 2
  lab_signal dataplane CONT
  pauses=$((pauses + 1))
done
sleep 2
load_stop

printf 'pauses=%s %s\n' "$pauses" "$load_line"
# Every connection that was opened is still the first one.
[ "$(load_figure requests)" -gt 5000 ] && [ "$(load_figure failed)" = 0 ] &&
  [ "$(load_figure wrong_backend)" = 0 ] && [ "$(load_figure broken)" = 0 ] ||
  fail 'requests failed or connections broke'
