#!/bin/bash
# An operator lists connections under load: the rows are what is open, readers that die or stall harm nobody.
. "$(dirname "$0")/lab_test.bash"
command -v python3 >/dev/null || skip 'needs python3 (deploy/packages.sh)'
operator=$lab_build/cli/millrace
[ -x "$operator" ] || fail "not built: $operator"
held_each=25000
sources=(10.20.0.51 10.20.0.52 10.20.0.53 10.20.0.54)
available_kib=$(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo)
[ "$available_kib" -gt $((1536 * 1024)) ] || skip 'needs 1.5 GiB of free memory'
test_lab
{
  lab_dataplane_config
  printf 'limits: {connections: 131072, packet_memory_mib: 128}\n'
} >"$lab_dir/dataplane.yaml"
test_millrace

listing() { "$operator" --run "$lab_dir" connections "$@"; }

# from_json EXPRESSION: of the listing on stdin, as rows and summary.
from_json() {
  python3 -c "import json, sys
listing = json.load(sys.stdin)
rows, summary = listing['connections'], listing['summary']
print($1)"
}
expect() { # WHAT IS WANTED
  [ "$2" = "$3" ] || fail "$1: $2 instead of $3"
}

# ---- under load: what the kernel of the client says is open, and nothing else ------------------

load_start --connections 200 --rate 2000 --rows "$lab_top/deploy/demo/requests"
sleep 2
kernel_ports() {
  lab_in client ss -Htn state established dst $lab_vip dport = :80 |
    awk '{ sub(/.*:/, "", $3); print $3 }' | sort -n | tr '\n' ' '
}
listing -o json --state established --local $lab_vip:80 --remote 10.20.0.50 >"$lab_dir/rows" ||
  fail 'the listing failed'
from_kernel=$(kernel_ports)
expect 'ports of the clients' \
  "$(from_json "' '.join(map(str, sorted(row['remote_port'] for row in rows))) + ' '" <"$lab_dir/rows")" \
  "$from_kernel"
expect 'connections of clients' "$(from_json 'len(rows)' <"$lab_dir/rows")" 200
expect 'what the peers are' \
  "$(from_json "sorted({(row['peer'], row['sack'], row['timestamps']) for row in rows})" <"$lab_dir/rows")" \
  "[('client', True, True)]"
expect 'round trips that were measured' \
  "$(from_json "all(0 < row['rtt_us'] < 1000000 and row['rto_ms'] >= 200 for row in rows)" <"$lab_dir/rows")" True

# Endpoints have rows too, and the summary is the rows.
listing -o json >"$lab_dir/rows" || fail 'the listing failed'
expect 'endpoints of the demo' \
  "$(from_json "{row['remote_address'] for row in rows if row['peer'] == 'endpoint'} >= {'10.20.0.11', '10.20.0.12'}" <"$lab_dir/rows")" True
expect 'the summary' \
  "$(from_json "summary['complete'] and summary['matched'] == summary['listed'] == len(rows) == sum(summary['by_state'].values())" <"$lab_dir/rows")" True

# ---- filters and order -------------------------------------------------------------------------

expect 'rows of nobody' "$(listing -o json --remote 10.99.0.0/16 | from_json 'len(rows)')" 0
expect 'rows of a limit' "$(listing -o json --limit 7 | from_json 'len(rows)')" 7
expect 'rows of a table' "$(listing --local :80 --remote 10.20.0.50 | grep -c '^ESTABLISHED  client  ')" 200
expect 'order by round trip' "$(listing -o json --sort rtt --limit 50 |
  from_json "[row['rtt_us'] or 0 for row in rows] == sorted((row['rtt_us'] or 0 for row in rows), reverse=True)")" True
for wrong in '--state LISTENING' '--local 10.0.0' '--sort age' '--limit -1' '-o yaml'; do
  # shellcheck disable=SC2086
  listing $wrong >/dev/null 2>"$lab_dir/wrong"
  expect "exit status of $wrong" $? 2
  expect "lines about $wrong" "$(wc -l <"$lab_dir/wrong")" 1
done
"$operator" --run "$lab_dir/nowhere" connections >/dev/null 2>&1
expect 'exit status where nobody is' $? 2
setpriv --reuid 65534 --clear-groups "$operator" --run "$lab_dir" connections >/dev/null 2>&1
expect "exit status of somebody who may not" $? 2
"$operator" --run "$lab_dir" counters --nonzero | grep -q '^gauge_tcp_connections [1-9]' ||
  fail 'the counters are not there'

# ---- readers that die, stall and ask in a loop, under load --------------------------------------

for _ in 1 2 3 4 5; do
  "$operator" --run "$lab_dir" connections >"$lab_dir/killed" &
  reader=$!
  kill -9 $reader 2>/dev/null
  wait $reader 2>/dev/null
done
listings=0
end=$(($(milliseconds) + 3000))
while [ "$(milliseconds)" -lt $end ]; do
  listing >/dev/null || fail "listing $listings in a row failed"
  listings=$((listings + 1))
done
load_stop
[ "$(load_figure requests)" -gt 5000 ] && [ "$(load_figure failed)" = 0 ] &&
  [ "$(load_figure wrong_backend)" = 0 ] && [ "$(load_figure broken)" = 0 ] ||
  fail "traffic was hurt: $load_line"
printf 'listings=%s %s\n' "$listings" "$load_line"

# ---- many: time, and what a listing takes of the data plane -------------------------------------

for source in "${sources[@]}"; do lab_ip client addr add "$source/24" dev eth0; done
total=$((held_each * ${#sources[@]}))
mkfifo "$lab_dir/hold"
began=$(milliseconds)
lab_in client "$lab_top/tests/support/hold_connections.py" $lab_vip:80 $held_each "${sources[@]}" \
  <"$lab_dir/hold" >"$lab_dir/held" 2>"$lab_dir/held.err" &
exec {hold}>"$lab_dir/hold"
all_held() { [ "$(cat "$lab_dir/held")" = "held $total" ] || [ -s "$lab_dir/held.err" ]; }
lab_until 50 all_held || fail "only so many are open: $(listing | tail -n 1)"
printf 'opened in %s ms\n' $(($(milliseconds) - began))
[ ! -s "$lab_dir/held.err" ] || fail "$(cat "$lab_dir/held.err")"

cpu_ticks() {
  local stat
  read -r stat <"/proc/$(lab_pid dataplane)/stat"
  # shellcheck disable=SC2086
  set -- ${stat##*) }
  printf '%s\n' $((${12} + ${13}))
}
memory_kib() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$(lab_pid dataplane)/status"; }
listing --limit 0 >/dev/null
before_ticks=$(cpu_ticks) before_kib=$(memory_kib) slowest_ms=0
for _ in 1 2 3 4 5; do
  began=$(milliseconds)
  listing --state established --local :80 --sort rtt --limit 10 >"$lab_dir/rows" || fail 'the listing failed'
  took=$(($(milliseconds) - began))
  [ $took -le $slowest_ms ] || slowest_ms=$took
  expect 'connections that are held' "$(sed -n 's/^\([0-9]*\) of .*/\1/p' "$lab_dir/rows")" $total
done
cpu_ms=$((($(cpu_ticks) - before_ticks) * 1000 / $(getconf CLK_TCK) / 5))
growth_kib=$(($(memory_kib) - before_kib))

# One that takes nothing is in nobody's way, two beside it come at once, and it is closed after 5 s.
mkfifo "$lab_dir/never_read"
exec {never_read}<>"$lab_dir/never_read"
"$operator" --run "$lab_dir" connections >&$never_read 2>"$lab_dir/stalled.err" &
stalled=$!
sleep 0.3
listing --limit 0 >"$lab_dir/first" &
first=$!
listing --limit 0 >"$lab_dir/second" || fail 'a reader beside one that stalls failed'
wait $first || fail 'another reader beside one that stalls failed'
for rows in first second; do
  [ "$(sed -n '$s/^\([0-9]*\) of .*/\1/p' "$lab_dir/$rows")" -ge $total ] ||
    fail "a reader beside one that stalls got less: $(tail -n 1 "$lab_dir/$rows")"
done
was_closed() { grep -q 'a reader of connections did not move' "$lab_dir/dataplane.log"; }
lab_until 8 was_closed || fail 'the reader that stalls was not closed'
kill -9 $stalled
wait $stalled 2>/dev/null
listing --limit 0 | tail -n 1 >"$lab_dir/after" || fail 'no listing after a reader was killed'

# All are closed at once, from the machine's own cores: more than the ring holds, so a client that comes in between may
# have to send again.
exec {hold}>&-
began=$(milliseconds)
LAB_GET_SECONDS=20 lab_gets shop.example /checkout checkout-1 || fail 'no right answer while all are closed'
answer_ms=$(($(milliseconds) - began))
all_closed() { closed_rest=$(lab_count gauge_tcp_connections) && [ "$closed_rest" -lt 100 ]; }
lab_until 30 all_closed || fail "still open: $closed_rest"
closed_ms=$(($(milliseconds) - began))

printf 'connections=%s listing_ms_max=%s dataplane_cpu_ms=%s growth_kib=%s closed_ms=%s answer_ms=%s\n' \
  $total $slowest_ms $cpu_ms $growth_kib $closed_ms $answer_ms
[ $slowest_ms -lt 5000 ] || fail 'a listing took more than 5 s'
[ $growth_kib -lt 1024 ] || fail 'the data plane grew by being looked at'
lab_gets shop.example /checkout checkout-1 || fail 'no right answer afterwards'
