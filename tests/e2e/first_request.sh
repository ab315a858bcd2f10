#!/bin/bash
# The demo's table on kept connections: every host and path is answered by the right backend.
. "$(dirname "$0")/lab_test.bash"
test_lab
test_millrace

rows=0 wrong=0
while read -r host path expected; do
  case $host in '' | '#'*) continue ;; esac
  rows=$((rows + 1))
  lab_gets "$host" "$path" "$expected" && continue
  wrong=$((wrong + 1))
  lab_say "$host$path: expected $expected, was $(lab_get "$host" "$path")"
done <"$lab_top/deploy/demo/requests"

load_start --rows "$lab_top/deploy/demo/requests" --connections 8 --requests 4000
load_wait

# HEAD, a body that is discarded, HTTP/1.0, and a second request on the same connection.
extra=0
one() { # WANTED CURL ARGUMENTS...
  local wanted=$1 got
  shift
  got=$(lab_in client curl -s --max-time 5 -H 'Host: home.example' "$@" 2>&1)
  [[ $got == *"$wanted"* ]] && return
  lab_say "curl $*: expected $wanted in: $got"
  extra=$((extra + 1))
}
url=http://$lab_vip/wiki/x
one 'X-Backend: wiki-1' -I "$url"
one 'wiki-1 answers POST' --data-binary "@$lab_build/tests/support/http_load" -H 'Expect:' "$url"
one 'wiki-1 answers POST' -H 'Transfer-Encoding: chunked' -d "$(seq 1 2000)" "$url"
one 'wiki-1 answers GET' --http1.0 "$url"
one 'wiki-1 answers GET' "http://$lab_node:8080/wiki/x" # the one port of the node's own address
one '0 connects' -o /dev/null -w '%{num_connects} connects\n' "$url" -o /dev/null "$url?again"

printf 'rows=%s wrong=%s other_wrong=%s %s\n' "$rows" "$wrong" "$extra" "$load_line"
[ "$wrong" = 0 ] && [ "$extra" = 0 ] && [ "$(load_figure requests)" = 4000 ] &&
  [ "$(load_figure failed)" = 0 ] && [ "$(load_figure wrong_backend)" = 0 ] ||
  fail 'not every answer was right'
