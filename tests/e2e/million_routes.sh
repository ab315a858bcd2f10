#!/bin/bash
# A million routes from a last-good file, without a control plane: the data plane starts with them.
. "$(dirname "$0")/lab_test.bash"
memory_needed_kb=2000000
[ "$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)" -gt "$memory_needed_kb" ] ||
  skip "needs $memory_needed_kb kB of memory"
test_lab
mkdir -p "$lab_dir/state"
"$lab_build/perf/table/make_table" --routes 1000000 --backend 10.20.0.11:8081 --backend-count 3 \
  --out "$lab_dir/state/last-good.snapshot" >"$lab_dir/made" || fail 'make_table'
lab_start_dataplane
lab_until 30 lab_gets tenant000000.example /api/v1/x catalog-1 ||
  fail "the data plane does not answer from the table: $(lab_get tenant000000.example /api/v1/x)"

# Host h sends /api/v1 to backend h modulo 3, everything else to the next one.
backends=(catalog-1 checkout-1 wiki-1)
rows=0 wrong=0
for ((host = 7; host < 500000; host += 24691)); do
  for path in /api/v1/x / /api/v10; do
    case $path in /api/v1/*) expected=${backends[host % 3]} ;; *) expected=${backends[(host + 1) % 3]} ;; esac
    rows=$((rows + 1))
    name=$(printf 'tenant%06u.example' "$host")
    lab_gets "$name" "$path" "$expected" && continue
    wrong=$((wrong + 1))
    lab_say "$name$path: expected $expected, was $(lab_get "$name" "$path")"
  done
done
lab_gets tenant500000.example / 404 || fail 'a host beyond the table is answered'
[ "$wrong" = 0 ] || fail "$wrong of $rows"
printf '%s rows of a million routes ok, data plane %s MB resident\n' "$rows" \
  "$(($(awk '/^VmRSS:/ { print $2 }' "/proc/$(lab_pid dataplane)/status") / 1024))"
