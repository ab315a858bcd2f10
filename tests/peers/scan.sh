#!/bin/bash
# nmap guesses at the system: sequence numbers it cannot predict, no crash, no request lost meanwhile.
set -u
. "$(dirname "$0")/path.bash"
command -v nmap >/dev/null || skip 'needs nmap (deploy/packages.sh)'
test_lab
test_millrace
load_start --connections 8 --rate 100 --timeout 15 --row 'home.example /wiki wiki-1'

# An open port, a closed one, and its probes for the system; -v says how it judges the numbers.
lab_in client nmap -O -v -n -Pn --max-retries 2 -p 80,81 "$lab_vip" >"$lab_dir/nmap.out" 2>&1 ||
  fail "nmap: $(tail -n 3 "$lab_dir/nmap.out")"
for flags in -sX -sN -sF -sA -sM -sW; do
  lab_in client nmap -n -Pn $flags -p 80,81 "$lab_vip" >>"$lab_dir/nmap-flags.out" 2>&1
done
load_stop

said() { sed -n "s/^$1: //p" "$lab_dir/nmap.out" | head -n 1; }
difficulty=$(said 'TCP Sequence Prediction')
identification=$(said 'IP ID Sequence Generation')
guess=$(said 'OS details')
[ -n "$guess" ] || guess=$(grep -m 1 -o 'No exact OS matches\|Too many fingerprints match' "$lab_dir/nmap.out")
printf 'sequence="%s" identification="%s" guess="%s" requests=%s failed=%s\n' "$difficulty" \
  "$identification" "$guess" "$(load_figure requests)" "$(load_figure failed)"
lab_running dataplane || fail 'the data plane has ended'
# What nmap says of numbers that come from a generator worth the name.
[[ $difficulty = *'Good luck!'* ]] || fail 'nmap holds our sequence numbers for predictable (T8)'
[[ $identification = 'All zeros' ]] || fail 'identifications tell something (T45)'
[ "$(load_figure requests)" -gt 100 ] && [ "$(load_figure failed)" = 0 ] ||
  fail 'requests failed during the scan'
