#!/bin/bash
# 200 changes a second of endpoints and routes through a real API server: no request fails or strays, checked by tags.
# CHURN_SECONDS (10, a minute with MILLRACE_LONG), CHURN_RATE (200), CHURN_BULK (0): so many more Ingresses are there.
set -u
. "$(dirname "$0")/cluster_lab.bash"
test_lab
cluster_clean
cluster_account
kube create namespace live --dry-run=client -o yaml | kube apply -f - >/dev/null || fail 'namespace'
tests/cluster/churn.py "$kubeconfig" 1 0 --bulk "${CHURN_BULK:-0}" || fail 'the objects cannot be created'
lab_start_dataplane
began=$(milliseconds)
cluster_controlplane controlplane --shrink-confirmations 0
lab_until 60 lab_gets moved-0.example / catalog-1 || fail 'no routes'
first_ms=$(($(milliseconds) - began))
rows=()
for i in 0 1 2 3 4 5 6 7 8 9; do
  rows+=(--row "moved-$i.example / catalog-1,catalog-2" --row "routed-$i.example / wiki-1,landing-2")
done
load_start --connections 16 --rate "${CHURN_REQUESTS:-1000}" "${rows[@]}" --row 'nobody.example / 404'
seconds=${CHURN_SECONDS:-${MILLRACE_LONG:+60}}
line=$(tests/cluster/churn.py "$kubeconfig" "${CHURN_RATE:-200}" "${seconds:-10}") || fail "churn: $line"
sleep 1
load_stop
# Where everything stands in the end, whatever came between.
for i in 0 5 9; do
  lab_gets "moved-$i.example" / catalog-1 && lab_gets "routed-$i.example" / wiki-1 || fail "the last change of $i is not served"
done
scrape() { curl -s --unix-socket "$lab_dir/controlplane.sock" http://localhost/metrics; }
# From seeing a change to the data plane having it, in ms: between the ends of the bucket where the share is reached, as
# Prometheus' histogram_quantile has it.
apply_quantile() { # SHARE
  scrape | awk -v share="$1" '/^millrace_apply_duration_seconds_bucket/ { match($1, /le="[^"]*"/); le[++n] = substr($1, RSTART + 4, RLENGTH - 5); count[n] = $2 }
    END { for (i = 1; i < n; ++i) if (count[i] >= share * count[n]) break
      if (i == n) { print le[n - 1] * 1000; exit }
      printf "%.2f\n", 1000 * (le[i - 1] + (le[i] - le[i - 1]) * (share * count[n] - count[i - 1]) / (count[i] - count[i - 1])) }'
}
versions=$(scrape | awk '/^millrace_versions_total/ { print $2 }')
measured=$(scrape | awk '/^millrace_apply_duration_seconds_count/ { print $2 }')
lines=$(grep -c 'new table, version' "$lab_dir/controlplane.log")
resident_kib=$(awk '/^VmRSS/ { print $2 }' "/proc/$(lab_pid controlplane)/status")
printf 'bulk=%s first_table_ms=%s %s versions=%s measured=%s log_lines=%s apply_p50_ms=%s apply_p99_ms=%s controlplane_kib=%s %s\n' "${CHURN_BULK:-0}" \
  "$first_ms" "$line" "$versions" "$measured" "$lines" "$(apply_quantile 0.5)" "$(apply_quantile 0.99)" "$resident_kib" "$load_line"
[[ $line == *failed=0* ]] || fail 'the API server refused changes'
# Every version is measured, those that another one overtook too; the log has a line a second about them.
[ "$versions" -gt $((${seconds:-10} * 5)) ] && [ "$measured" = "$versions" ] || fail "$measured of $versions versions were measured"
[ "$lines" -le $((${seconds:-10} + 15)) ] || fail "$lines lines in the log for ${seconds:-10} s"
[ "$(load_figure failed)" = 0 ] && [ "$(load_figure wrong_backend)" = 0 ] && [ "$(load_figure requests)" -gt 1000 ] ||
  fail 'requests failed or strayed'
