#!/bin/bash
# Measures Millrace and Linux (cubic) side by side over one bad path: goodput, and p99 of 100 KiB.
#
#   tests/peers/run goodput [PROFILE...]
#
# Both sides in turn (ABBA) with the same seeds. PEERS_ROUNDS: how many ABBA (default 2).
# PEERS_RATE: of the path in Mbit/s, each way (default 500). The goals: at least 0.9 of the goodput,
# at most 1.2 times the p99.
set -u
. "$(dirname "$0")/path.bash"
rounds=${PEERS_ROUNDS:-2}
rate=${PEERS_RATE:-500}

# profile NAME: the path, and how much is fetched over it.
profile() {
  path=(--delay 20 --rate "$rate" --queue 4000)
  case $1 in
    clean) mib=50 ;;
    loss1) mib=10 path+=(--loss 1) ;;
    loss5) mib=3 path+=(--loss 5) ;;
    reorder3) mib=20 path+=(--reorder 3,4) ;;
    *) printf 'goodput: no such profile: %s; there are clean loss1 loss5 reorder3\n' "$1" >&2
       exit 2 ;;
  esac
}
profiles=("$@")
[ $# -gt 0 ] || profiles=(clean loss1 loss5 reorder3)
for name in "${profiles[@]}"; do profile "$name"; done

path_lab python3
for name in "${profiles[@]}"; do
  profile "$name"
  path_file "bulk-$name" $mib
done
# Its first word is what the load tool looks for.
{ printf 'hundred '; head -c $((100 * 1024 - 8)) /dev/zero | tr '\0' x; } >"$lab_dir/files/hundred"
chmod 644 "$lab_dir/files/hundred"
path_start --seed 1
path_cubic || skip 'this kernel has no cubic'
test_millrace
path_stop

# Each prints one number, or nothing when it failed.
bulk() { # SIDE: Mbit/s
  lab_in client curl -sS --fail --max-time 300 -H "Host: $path_host" -o /dev/null \
    -w '%{size_download} %{time_total}\n' "$(path_url "$1")/files/bulk-$name" |
    awk -v octets=$((mib << 20)) '$1 == octets { printf "%.3f\n", $1 * 8 / $2 / 1e6 }'
}
p99() { # SIDE ARGUMENTS...: ms
  local url line
  url=$(path_url "$1")
  url=${url#http://}
  shift
  line=$(lab_in client "$load_tool" --target "${url%:*}:$([[ $url = *:* ]] && echo "${url#*:}" || echo 80)" \
    --connections 32 --requests 960 --timeout 60 --row "$path_host /files/hundred hundred" "$@") ||
    return 1
  load_line=$line
  awk -v us="$(load_figure p99_us)" 'BEGIN { if (us > 0) printf "%.2f\n", us / 1000 }'
}
bulk_of() { bulk "$1"; }
p99_new_of() { p99 "$1" --close-each; }
p99_kept_of() { p99 "$1"; }

stats() { "$lab_build/dataplane/millrace-dataplane" --stats "$lab_dir/stats"; }
# What Millrace's repairs have counted since stats-before.
repairs() {
  # Housekeeping copies the counters twice a second.
  sleep 1
  stats | awk -v before="$lab_dir/stats-before" '
    BEGIN { while ((getline line <before) > 0) { split(line, field, " "); was[field[1]] = field[2] } }
    /^tcp_(segments_retransmitted|fast_|recoveries|retransmit_|loss_|duplicates|black|syn_retr)/ &&
      $2 > was[$1] { text = text " " substr($1, 5) "=" $2 - was[$1] }
    $1 == "tcp_segments_sent" { text = " sent=" $2 - was[$1] text }
    END { print "         " text }'
}

# compare MEASURE GOAL: ABBA, and a line; behind it how Millrace has repaired.
compare() {
  local measure=$1 round side value
  : >"$lab_dir/values"
  stats >"$lab_dir/stats-before"
  for ((round = 1; round <= rounds; round++)); do
    for side in millrace linux linux millrace; do
      path_start --seed $((round * 100 + ${#name})) "${path[@]}"
      value=$("${measure}_of" $side)
      path_stop
      printf '%s %s %s\n' $round $side "${value:-failed}" >>"$lab_dir/values"
    done
  done
  "$(dirname "$0")/summary" "$name" "$measure" "$2" "$lab_dir/values"
  repairs
}

for name in "${profiles[@]}"; do
  profile "$name"
  compare bulk 'least 0.9'
  compare p99_new 'most 1.2'
  compare p99_kept 'most 1.2'
done
printf 'strays=%s rate_mbit=%s rounds=%s commit=%s\n' $path_strays "$rate" "$rounds" \
  "$(git -C "$lab_top" rev-parse --short HEAD 2>/dev/null)"
