#!/bin/bash
# Every scenario with the worker's fast paths and without: what leaves the proxy must be the same,
# octet by octet and frame by frame (replay's wire_hash is over all of it).
#   fast_paths_same.sh REPLAY EXCHANGES
set -u
replay=${1:?} exchanges=${2:?}
requests=256

# run SCENARIO on|off: prints the hash.
run() {
  "$replay" --scenario "$1" --exchanges "$exchanges" --requests "$requests" --fast-paths "$2" \
    2>"$said" | grep -o '"wire_hash": "[0-9a-f]*"'
}
said=$(mktemp)
trap 'rm -f "$said"' EXIT
failed=0
while IFS=$'\t' read -r scenario _ _ routes _; do
  [ "$routes" -le 20000 ] || continue # the table makes no difference here, and takes its time
  with=$(run "$scenario" on)
  if grep -q 'no such switch' "$said"; then
    echo 'skipped: this worker has no switch for fast paths'
    exit 77
  fi
  without=$(run "$scenario" off)
  if [ -z "$with" ] || [ "$with" != "$without" ]; then
    echo "FAILED $scenario: with fast paths ${with:-nothing}, without ${without:-nothing}"
    cat "$said"
    failed=1
  fi
done < <("$replay" --list)
exit $failed
