#!/bin/bash
# 1 GiB down to a slow client and 1 GiB up: same bytes, flat memory, no frame held afterwards.
. "$(dirname "$0")/lab_test.bash"
test_lab
mib=1024
down_mib_s=40
free_kib=$(df --output=avail "$lab_dir" | tail -n 1)
[ "$free_kib" -gt $((mib * 1024 * 3)) ] || skip "needs $((mib * 3)) MiB free in $lab_dir"

# Bytes that repeat nowhere, so that a block in the wrong place shows.
head -c $((mib << 20)) /dev/urandom >"$lab_dir/files/large"
chmod 755 "$lab_dir/files"
head -c $((64 << 20)) "$lab_dir/files/large" >"$lab_dir/files/warm"
chmod 644 "$lab_dir"/files/*
# home.example's other paths lead to landing-2, whose nginx serves files and takes uploads.
test_millrace
url=http://$lab_vip
host='Host: home.example'

memory_kib() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$(lab_pid dataplane)/status"; }

transfer() { # LABEL CURL ARGUMENTS...: samples the data plane's memory while it lasts
  local label=$1 client now
  shift
  lab_in client curl -sS --fail --max-time 120 -H "$host" "$@" 2>"$lab_dir/$label.err" &
  client=$!
  while kill -0 $client 2>/dev/null; do
    now=$(memory_kib)
    [ "${now:-0}" -le "$peak" ] || peak=$now
    sleep 0.1
  done
  wait $client || fail "$label: $(cat "$lab_dir/$label.err")"
}

# Memory that is needed once is needed once: both directions have been used before the count.
peak=0
transfer warm-down -o /dev/null "$url/files/warm"
transfer warm-up -H 'Expect:' -T "$lab_dir/files/warm" -o /dev/null "$url/upload/warm"
before=$(memory_kib)
peak=$before

began=$(milliseconds)
transfer down --limit-rate ${down_mib_s}M -o "$lab_dir/down" "$url/files/large"
down_ms=$(($(milliseconds) - began))
equal=yes
cmp "$lab_dir/files/large" "$lab_dir/down" || equal=no
rm "$lab_dir/down"
began=$(milliseconds)
transfer up -T "$lab_dir/files/large" -o /dev/null "$url/upload/large"
up_ms=$(($(milliseconds) - began))
cmp "$lab_dir/files/large" "$lab_dir/upload/large" || equal=no

# Every slot of the transmit arena is free again, once the last acknowledgments are in.
held() { printf '%s\n' $(($(gauge gauge_arena_slots) - $(gauge gauge_arena_slots_free))); }
gauge() {
  "$lab_build/dataplane/millrace-dataplane" --stats "$lab_dir/stats" |
    awk -v name="$1" '$1 == name { print $2 }'
}
none_held() { [ "$(held)" = 0 ]; }
[ "$(gauge gauge_arena_slots)" -gt 0 ] || fail 'the stats page does not say how many slots there are'
lab_until 5 none_held
held=$(held)

growth=$((peak - before))
printf 'equal_bytes=%s down_mib_s=%s up_mib_s=%s memory_kib=%s growth_kib=%s frames_held=%s\n' \
  "$equal" $((mib * 1000 / down_ms)) $((mib * 1000 / up_ms)) "$before" "$growth" "$held"
[ "$held" = 0 ] || fail 'frames are held although nothing is under way'
[ $equal = yes ] || fail 'the bytes that arrived are not the bytes that were sent'
[ "$before" -gt 1000 ] && [ "$growth" -lt 1024 ] || fail 'memory grew by 1 MiB or more'
# The client was the slow side.
[ "$down_ms" -ge $((mib * 1000 / down_mib_s * 3 / 4)) ] || fail 'the slow client was not slow'
