#!/bin/bash
# A table of a million routes: made, written as a last-good file, loaded through the validator, and
# asked at random through a whole worker, every octet of every answer checked.
#   million_routes.sh MAKE_TABLE REPLAY EXCHANGES
set -u
make_table=${1:?} replay=${2:?} exchanges=${3:?}
memory_needed_kb=1500000

available=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
if [ "${available:-0}" -lt "$memory_needed_kb" ]; then
  echo "skipped: needs $memory_needed_kb kB of memory, there are $available"
  exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM HUP
"$make_table" --routes 1000000 --backend 10.20.0.11:8081 --backend-count 4 \
  --out "$folder/last-good.snapshot" || exit 1
"$replay" --scenario routes_1000000 --exchanges "$exchanges" --requests 20000 \
  --table "$folder/last-good.snapshot" || exit 1
# A damaged file is refused, however large.
printf 'x' | dd of="$folder/last-good.snapshot" bs=1 seek=100000000 conv=notrunc status=none
if "$replay" --scenario routes_1000000 --exchanges "$exchanges" \
  --table "$folder/last-good.snapshot" 2>"$folder/said"; then
  echo 'a damaged table was accepted'
  exit 1
fi
grep -q 'segment_id is not the hash of its bytes' "$folder/said" || { cat "$folder/said"; exit 1; }
