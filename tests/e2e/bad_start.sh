#!/bin/bash
# Every way to start wrongly: one line that says what is wrong, exit status 2.
. "$(dirname "$0")/lab_test.bash"
command -v bpftool >/dev/null && command -v clang-14 >/dev/null ||
  skip 'needs bpftool and clang-14 (deploy/packages.sh)'
test_lab
dataplane=$lab_build/dataplane/millrace-dataplane
controlplane=$lab_build/controlplane/millrace-controlplane
mkdir -p "$lab_dir/state"
lab_dataplane_config >"$lab_dir/good.yaml"

cases=0 wrong=0
# refused NAME PATTERN COMMAND...: ends by itself with 2 and one line that has PATTERN in it.
refused() {
  local name=$1 pattern=$2 code lines
  shift 2
  cases=$((cases + 1))
  timeout -k 1 5 nsenter --net="/run/netns/millrace-$lab_name-node" -- "$@" \
    >"$lab_dir/out" 2>"$lab_dir/err" </dev/null
  code=$?
  lines=$(wc -l <"$lab_dir/err")
  if [ $code = 2 ] && [ "$lines" = 1 ] && [ ! -s "$lab_dir/out" ] &&
    grep -q -E -- "$pattern" "$lab_dir/err"; then
    return
  fi
  wrong=$((wrong + 1))
  lab_say "$name: exit $code, $lines lines, expected /$pattern/: $(head -c 600 "$lab_dir/err")"
}
changed() { sed "$1" "$lab_dir/good.yaml" >"$lab_dir/bad.yaml"; } # SED SCRIPT

"$dataplane" --config "$lab_dir/good.yaml" --check >/dev/null ||
  fail 'the configuration without a mistake is refused'

refused 'wrong flag' '--frobnicate' "$dataplane" --frobnicate
refused 'no configuration named' '--config' "$dataplane"
refused 'no such file' 'missing\.yaml' "$dataplane" --config "$lab_dir/missing.yaml"
printf 'ports: [\n  - {name\n' >"$lab_dir/bad.yaml"
refused 'broken YAML' 'bad\.yaml:[0-9]+' "$dataplane" --config "$lab_dir/bad.yaml"
changed 's/interface: mr-up0/interfase: mr-up0/'
refused 'unknown key' 'bad\.yaml.*interfase' "$dataplane" --config "$lab_dir/bad.yaml"
changed 's/10\.20\.0\.100\/24/10.20.0.300\/24/'
refused 'bad address' 'bad\.yaml:[0-9]+.*(address|10\.20\.0\.300)' "$dataplane" --config "$lab_dir/bad.yaml"
mkdir -m 777 "$lab_dir/nobody"
changed "s#^socket: .*#socket: $lab_dir/nobody/sock#; s#^state_directory: .*#state_directory: $lab_dir/nobody#"
refused 'no privilege' 'CAP_|privilege|root' \
  setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps -all \
  "$dataplane" --config "$lab_dir/bad.yaml"
changed 's/mr-up0/mr-nowhere/'
refused 'missing interface' 'mr-nowhere' "$dataplane" --config "$lab_dir/bad.yaml"

changed 's|^      - {address: 10.20.0.100/24.*|&\n      - {address: "2001:db8::100/64", kind: owned}|'
lab_ip node link set mr-up0 mtu 1200
refused 'an MTU too small for IPv6' 'port uplink: MTU 1200 is below the 1280' "$dataplane" --config "$lab_dir/bad.yaml"
lab_ip node link set mr-up0 mtu 1500

# Somebody else's XDP program on the uplink: it is named and left alone.
cat >"$lab_dir/other.c" <<'C'
struct xdp_md;
__attribute__((section("xdp"), used)) int somebody_else(struct xdp_md *context) { return 2; }
C
clang-14 -O2 -g -target bpf -c "$lab_dir/other.c" -o "$lab_dir/other.o" || fail 'clang-14'
pin=/sys/fs/bpf/$lab_name-other
bpftool prog load "$lab_dir/other.o" "$pin" type xdp || fail 'bpftool prog load'
id=$(bpftool -j prog show pinned "$pin" | sed 's/.*"id": *\([0-9]*\).*/\1/')
lab_in node bpftool net attach xdpdrv id "$id" dev mr-up0 || fail 'bpftool net attach'
refused 'taken by another program' "mr-up0.*somebody_else" "$dataplane" --config "$lab_dir/good.yaml"
lab_ip node -d link show mr-up0 | grep -q "xdp.* id $id " || {
  lab_say "the other program is no longer on mr-up0"
  wrong=$((wrong + 1))
}
lab_in node bpftool net detach xdpdrv dev mr-up0
rm -f "$pin"

# An access log that cannot be had, before anything is attached.
with_log() { { cat "$lab_dir/good.yaml"; echo "access_log: {file: $1}"; } >"$lab_dir/bad.yaml"; }
with_log /proc/nowhere/access.log
refused 'no folder for the access log' '/proc/nowhere: cannot be made' "$dataplane" --config "$lab_dir/bad.yaml"
with_log /proc
refused 'an access log that is a folder' 'access log: /proc: ' "$dataplane" --config "$lab_dir/bad.yaml"

# DPDK: what is not there, or cannot be had.
dpdk() { # DPDK MAP, EXTRA
  printf 'ports:\n  - {name: fast, driver: dpdk, dpdk: %s, addresses: [{address: 10.9.0.1/24, kind: owned}]}\nlisteners: [{address: 10.9.0.1, port: 80}]\nsocket: %s\nstate_directory: %s\n%s\n' \
    "$1" "$lab_dir/dpdk.sock" "$lab_dir/state" "${2-}" >"$lab_dir/bad.yaml"
}
dpdk '{kind: memif, socket: /run/m/fast}'
refused 'memif without a role' 'bad\.yaml:2: port fast: dpdk needs "role"' "$dataplane" --config "$lab_dir/bad.yaml"
dpdk "{kind: memif, socket: $lab_dir/nowhere/fast, role: server}"
refused 'no folder for the memif' 'port fast: memif socket .*/nowhere/fast: No such file' "$dataplane" --config "$lab_dir/bad.yaml"
dpdk '{kind: pci, device: "0000:ff:1f.7"}'
refused 'no such card' 'port fast: 0000:ff:1f\.7: ' "$dataplane" --config "$lab_dir/bad.yaml"
dpdk '{kind: vdev, device: net_nothing0}'
refused 'no such virtual device' 'port fast: net_nothing0: cannot be made' "$dataplane" --config "$lab_dir/bad.yaml"
dpdk "{kind: memif, socket: $lab_dir/fast, role: server}" 'dpdk: {huge_pages: true, memory_mib: 60000}'
refused 'no huge pages' 'DPDK does not start with 60000 MiB of huge pages' "$dataplane" --config "$lab_dir/bad.yaml"

# A second data plane beside a running one; the first goes on.
lab_start_dataplane
lab_until 5 lab_gets any.example / 503 || fail 'the data plane does not answer 503 before the first table'
sed "s/dataplane\.sock/second.sock/" "$lab_dir/good.yaml" >"$lab_dir/bad.yaml"
refused 'taken by a running data plane' 'mr-up0|mr-k1' "$dataplane" --config "$lab_dir/bad.yaml"
lab_gets any.example / 503 || fail 'the first data plane stopped answering'

refused 'control plane: wrong flag' '--frobnicate' \
  "$controlplane" --manifests "$manifests" --socket "$lab_dir/dataplane.sock" --frobnicate
refused 'control plane: no folder' "$lab_dir/nowhere" \
  "$controlplane" --manifests "$lab_dir/nowhere" --socket "$lab_dir/dataplane.sock"

printf 'starts=%s wrong=%s\n' "$cases" "$wrong"
[ $wrong = 0 ] || fail 'a wrong start was not answered by one line and exit 2'
