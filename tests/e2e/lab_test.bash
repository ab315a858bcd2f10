# What every end-to-end test begins with. To be sourced; `test_lab` then opens a lab of its own.

set -u
e2e=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$e2e/../../deploy/demo/lab.sh"
test_name=$(basename "$0" .sh)
load_tool=$lab_build/tests/support/http_load

skip() { printf 'skipped: %s\n' "$*"; exit 77; }

# Ends the test; what it printed before stands.
fail() {
  [ -z "$lab_dir" ] || lab_explain "$test_name: $*"
  [ -n "$lab_dir" ] || lab_say "$test_name: $*"
  exit 1
}

test_end() {
  local code=$?
  if [ "$code" = 1 ] && [ -n "${MILLRACE_E2E_KEEP:-}" ] && [ -n "$lab_name" ]; then
    mkdir -p "$MILLRACE_E2E_KEEP" && cp -r "$lab_dir" "$MILLRACE_E2E_KEEP/"
  fi
  lab_close
}

# A lab with the demo's backends and a copy of its manifests in $manifests; nothing of ours runs.
test_lab() {
  local why program
  why=$(lab_unable)
  [ -z "$why" ] || skip "$why"
  for program in dataplane/millrace-dataplane controlplane/millrace-controlplane \
    tests/support/http_load; do
    [ -x "$lab_build/$program" ] || fail "not built: $lab_build/$program"
  done
  trap test_end EXIT
  trap 'exit 130' INT TERM HUP
  lab_open "e2e-$test_name-$$" || exit 1
  lab_network || fail 'the network could not be made'
  lab_backends || exit 1
  manifests=$lab_dir/manifests
  cp -r "$lab_top/deploy/demo/manifests" "$manifests"
}

# Both processes, and the routes are there.
test_millrace() { lab_start_millrace "$manifests" wiki.apps.example / wiki-1 || exit 1; }

# lab_service NAMESPACE NAME ADDRESS PORT: a Service and its one endpoint, as manifests.
lab_service() {
  cat <<YAML
---
apiVersion: v1
kind: Service
metadata: {name: $2, namespace: $1}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: $2-1, namespace: $1, labels: {kubernetes.io/service-name: $2}}
addressType: IPv4
ports: [{name: http, port: $4, protocol: TCP}]
endpoints: [{addresses: [$3]}]
YAML
}
# lab_ingress NAMESPACE NAME HOST [PATH SERVICE]...: its Ingress.
lab_ingress() {
  cat <<YAML
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: $2, namespace: $1}
spec:
  ingressClassName: millrace
  rules:
    - host: $3
      http:
        paths:
YAML
  shift 3
  printf '          - {path: %s, pathType: Prefix, backend: {service: {name: %s, port: {number: 80}}}}\n' "$@"
}

# ---- a memif -----------------------------------------------------------------------------------
#
#   [client: mr-w0 10.20.7.50 -- mr-w1] == memif_wire == memif == [Millrace: 10.20.7.100]

memif_vip=10.20.7.100
memif_tool=$lab_build/tests/support/memif_wire

# The port, as an entry of the configuration's ports.
memif_port() {
  cat <<CONFIGURATION
  - name: fast
    driver: dpdk
    dpdk: {kind: memif, socket: $lab_dir/fast, role: server, mac: "02:00:00:00:07:64"}
    addresses:
      - {address: $memif_vip/24, kind: owned}
CONFIGURATION
}

# The cable's end in the client's kernel. Frames as a network card would see them: whole checksums,
# one segment each.
memif_cable() {
  command -v ethtool >/dev/null || skip 'needs ethtool (deploy/packages.sh)'
  [ -x "$memif_tool" ] || fail "not built: $memif_tool"
  lab_ip client link add mr-w0 type veth peer name mr-w1
  lab_ip client addr add 10.20.7.50/24 dev mr-w0
  lab_ip client link set mr-w0 up
  lab_ip client link set mr-w1 up
  lab_in client ethtool -K mr-w0 tx off gso off tso off gro off >/dev/null
}

memif_start() { lab_start memif_wire client "$memif_tool" --socket "$lab_dir/fast" --interface mr-w1; }

# ---- load --------------------------------------------------------------------------------------

# load_start ARGUMENTS OF http_load...: in the client's box; commands and answers by two pipes, the
# figures at the end into $lab_dir/load. One at a time.
load_start() {
  mkfifo "$lab_dir/load.in" "$lab_dir/load.out"
  lab_in client "$load_tool" --target "$lab_vip:80" --control "$@" \
    <"$lab_dir/load.in" >"$lab_dir/load.out" 2>"$lab_dir/load.err" &
  load_process=$!
  exec {load_in}>"$lab_dir/load.in" {load_out}<"$lab_dir/load.out"
}

# load_expect HOST PATH ANSWERS: from now on; returns when the tool knows.
load_expect() {
  local answer
  printf 'expect %s %s %s\n' "$1" "$2" "$3" >&"$load_in"
  read -r -t 10 answer <&"$load_out" && [ "$answer" = ok ] || fail "the load tool ended: $answer"
}

# Stops asking, waits for what is under way; the line of figures is in $load_line.
load_stop() {
  printf 'stop\n' >&"$load_in"
  load_wait
}

load_wait() {
  read -r -t 60 load_line <&"$load_out" || load_line=
  wait "$load_process"
  exec {load_in}>&- {load_out}<&-
  rm -f "$lab_dir/load.in" "$lab_dir/load.out"
  cat "$lab_dir/load.err" >&2
}

# load_figure NAME: of $load_line; -1 when it is not there, so that no comparison holds by accident.
load_figure() {
  local field
  for field in $load_line; do
    [ "${field%%=*}" = "$1" ] && { printf '%s\n' "${field#*=}"; return; }
  done
  printf '%s\n' -1
}

# A counter or gauge of the data plane's stats page.
lab_count() {
  "$lab_build/dataplane/millrace-dataplane" --stats "$lab_dir/stats" |
    awk -v name="$1" '$1 == name { print $2 }'
}

milliseconds() { printf '%s\n' $((${EPOCHREALTIME/[.,]/} / 1000)); }

# ---- slow clients ------------------------------------------------------------------------------

# slowhttptest's three, with URL where the address belongs. -X: it asks for much and takes 32 octets every five seconds.
slow_attacks=('-H -i 5 -u URL/hash' '-B -i 5 -s 8192 -u URL/hash' '-X -w 512 -y 1024 -n 5 -z 32 -u URL/bytes?1000000')

# slow_attack ATTACK ADDRESS CONNECTIONS: begins it, all connections within the first second; its process is $attacker.
slow_attack() {
  # shellcheck disable=SC2086  # options
  lab_in client slowhttptest ${1/URL/http://$2} -c "$3" -r "$3" -l 15 -p 3 -v 0 >"$lab_dir/slow" 2>&1 &
  attacker=$!
}

# p99_of_others ADDRESS SECONDS: of 1,000 requests a second of 32 clients to the demo's wiki, in us. Not true when one failed.
p99_of_others() {
  lab_in client "$load_tool" --target "$1" --connections 32 --rate 1000 --timeout 20 --seconds "$2" \
    --row 'home.example /wiki wiki-1' >"$lab_dir/measured" 2>"$lab_dir/measured.err" || return
  read -r load_line <"$lab_dir/measured"
  printf '%.0f\n' "$(load_figure p99_us)"
}
