#!/bin/bash
# The lab of perf/run: every proxy that is measured in a box of its own with a veth of its own to the
# load, cgroups and placed NAPI threads. perf/harness/lab.py starts it and speaks to it: one command a
# line on standard input, one line back ("ok ..." or "error ..."). When standard input ends, for
# whatever reason, everything is removed.
#
#     load: millrace-load over AF_XDP, client 10.20.1.x and backend 10.20.0.11 in one process
#       l-millrace     l-nginx     l-haproxy     l-router     l-mirror        (no bridge between)
#           |             |            |             |            |
#       p-millrace     p-nginx     p-haproxy     p-router     p-mirror
#       [ node ]       [ nginx ]   [ haproxy ]   [ router ]   [ mirror ]      (each 10.20.0.1)
#
#   start ARM     begins, answers, its NAPI threads are placed; "ok ADDRESS:PORT GATEWAY"
#   stop ARM
#   stats         counters of the data plane
#   offloads      the flags of all veth ends
#
# Arms: millrace (AF_XDP), nginx, haproxy, envoy and traefik (the kernel's stack) are proxies; router is
# the kernel that forwards between client and backend, mirror a bare reflector over AF_XDP. All that are
# started stand side by side, each asleep while another one's turn is measured.
#
# Placement. Core 0: the proxies, and the NAPI thread of the proxy's end of its veth. Core 1: the load
# and the NAPI thread of its end. Without threads a veth delivers on the sender's core, in the sender's
# system call, and every figure would be wrong.
set -u
perf=$(cd "$(dirname "$0")" && pwd)
. "$perf/../deploy/demo/lab.sh"
lab_build=${1:?folder of the built programs}
lab_boxes=(load node nginx haproxy envoy traefik router mirror)
arms=(millrace nginx haproxy envoy traefik router mirror)
caller=$PPID

proxy_cpu=0 load_cpu=1
host=tenant000000.example backend=10.20.0.11:8080
client_network=10.20.1 # .1 to .63; .64 asks whether an arm answers
# Programs inherit how we are scheduled, kernel threads do not: `chrt -r 1 perf/run` measures CPU time
# between other people's work. Its tails are worthless: the kernel stops real-time work for 50 ms a second.
policy=--other priority=0
case $(chrt -p $$ | awk '{ print $NF; exit }') in
  SCHED_RR) policy=--rr ;;
  SCHED_FIFO) policy=--fifo ;;
esac
[ $policy = --other ] || priority=$(chrt -p $$ | awk 'END { print $NF }')
group='' home_group='' foreign_napi='' congestion=''
exec 3>&1 1>&2

say() { printf '%s\n' "$*" >&3; }
give_up() { say "error $*"; exit 1; }

box_of() { # ARM. "node" is where the demo's lab removes a killed data plane's XDP program.
  [ "$1" = millrace ] && echo node || echo "$1"
}

make_groups() {
  local root arm
  root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
  [ -n "$root" ] || give_up 'no cgroup v2 is mounted: nothing to read CPU times from'
  group=$root/millrace-perf-$$
  mkdir "$group" "$group/rest" "$group/load" "$group/load-napi" || give_up "cannot make cgroups below $root"
  for arm in "${arms[@]}"; do
    mkdir "$group/$arm" "$group/$arm-napi" || give_up "cannot make cgroups below $root"
  done
  # All that is neither proxy nor load: this script, its caller and what they start.
  home_group=$root$(sed -n 's/^0:://p' /proc/self/cgroup)
  echo $$ >"$group/rest/cgroup.procs" && echo "$caller" >"$group/rest/cgroup.procs" ||
    give_up "cannot use cgroups below $root"
}

remove_groups() {
  local left pid
  [ -n "$group" ] || return 0
  for pid in $$ "$caller"; do
    echo "$pid" >"$home_group/cgroup.procs" 2>/dev/null ||
      echo "$pid" >"${group%/*}/cgroup.procs" 2>/dev/null
  done
  for left in "$group"/*/ "$group"; do
    lab_until 3 rmdir "$left" 2>/dev/null || lab_say "perf: could not remove $left"
  done
}

finish() {
  # A second signal must not leave half of it behind.
  trap '' TERM HUP
  lab_close
  remove_groups
}

# ---- the network -----------------------------------------------------------------------------

network() {
  local box arm
  for box in "${lab_boxes[@]}"; do
    ip netns add "millrace-$lab_name-$box" || return 1
    lab_in "$box" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
                         echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6' 2>/dev/null
    lab_ip "$box" link set lo up
  done
  for arm in "${arms[@]}"; do
    box=$(box_of "$arm")
    lab_ip load link add "l-$arm" type veth peer name "p-$arm" netns "millrace-$lab_name-$box" &&
      lab_ip load link set "l-$arm" up && lab_ip "$box" link set "p-$arm" up &&
      lab_ip "$box" addr add $lab_node/16 dev "p-$arm" || return 1
  done
  # It sends back through the interface that a datagram came from, without telling the sender so.
  lab_in router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward
    for name in all p-router; do
      echo 0 >/proc/sys/net/ipv4/conf/$name/send_redirects
      echo 0 >/proc/sys/net/ipv4/conf/$name/rp_filter
    done'
  lab_bpf_file_system
}

# BOX INTERFACE of every veth end.
veth_ends() {
  local arm
  for arm in "${arms[@]}"; do printf 'load l-%s\n%s p-%s\n' "$arm" "$(box_of "$arm")" "$arm"; done
}

# NAPI on a veth without XDP exists only with GRO on here and TSO off at the sender.
set_offloads() { # on or off: segmentation
  local box interface
  while read -r box interface; do
    lab_in "$box" ethtool -K "$interface" tso "$1" gso "$1" gro on >/dev/null 2>&1 </dev/null ||
      give_up "$box $interface: the offloads could not be set"
  done < <(veth_ends)
}

# The kernel's TCP as Debian has it, whatever this machine's own default is: BBR's pacing would
# burden the peers. Where namespaces may not choose cubic, it is Reno.
set_kernel_tcp() {
  local box
  congestion=cubic
  lab_in nginx sh -c 'echo cubic >/proc/sys/net/ipv4/tcp_congestion_control' 2>/dev/null ||
    congestion=reno
  for box in nginx haproxy envoy traefik; do
    # shellcheck disable=SC2016
    lab_in "$box" sh -c 'set -e
      echo "$1" >/proc/sys/net/ipv4/tcp_congestion_control
      echo 0 >/proc/sys/net/ipv4/tcp_slow_start_after_idle
      echo 4096 >/proc/sys/net/core/somaxconn' sh $congestion || give_up "$box: TCP settings refused"
  done
}

# BOX/INTERFACE:FLAG=VALUE,... of every end.
offloads() {
  local box interface flags
  while read -r box interface; do
    flags=$(lab_in "$box" ethtool -k "$interface" </dev/null | awk -F': ' '
      { sub(/ .*/, "", $2) }
      $1 == "rx-checksumming" { printf "rx=%s,", $2 } $1 == "tx-checksumming" { printf "tx=%s,", $2 }
      $1 == "tcp-segmentation-offload" { printf "tso=%s,", $2 }
      $1 == "generic-segmentation-offload" { printf "gso=%s,", $2 }
      $1 == "generic-receive-offload" { printf "gro=%s", $2 }')
    printf '%s/%s:%s ' "$box" "$interface" "$flags"
  done < <(veth_ends)
}

napi_threads() { # INTERFACE: the process ids of its NAPI threads, other people's excluded
  local comm
  for comm in /proc/[0-9]*/comm; do
    case $(cat "$comm" 2>/dev/null) in
      "napi/$1-"*)
        comm=${comm#/proc/}
        case " $foreign_napi " in *" ${comm%/comm} "*) ;; *) printf '%s\n' "${comm%/comm}" ;; esac ;;
    esac
  done
}

place_thread() { # BOX INTERFACE CPU CGROUP
  local thread
  # A sysfs of its own, which `ip netns exec` mounts.
  ip netns exec "millrace-$lab_name-$1" sh -c "echo 1 >/sys/class/net/$2/threaded" ||
    give_up "$2: the kernel has no threaded NAPI"
  thread=$(napi_threads "$2")
  [ "$(wc -w <<<"$thread")" = 1 ] || give_up "NAPI threads of $2: '$thread'; there must be one"
  taskset -pc "$3" "$thread" >/dev/null && chrt $policy -p $priority "$thread" &&
    echo "$thread" >"$group/$4/cgroup.procs" || give_up "the NAPI thread of $2 could not be placed"
}

# Threads may be new after an XDP program came or went, so this is done at every start.
place_threads() { # ARM
  place_thread "$(box_of "$1")" "p-$1" $proxy_cpu "$1-napi"
  place_thread load "l-$1" $load_cpu load-napi
}

# ---- the arms ----------------------------------------------------------------------------------

start_proxy() { # ARM COMMAND...: on the proxy's core, in its cgroup from the first instruction
  local arm=$1
  shift
  # shellcheck disable=SC2016
  lab_start "$arm" "$(box_of "$arm")" sh -c 'echo $$ >"$1" && shift && exec "$@"' sh \
    "$group/$arm/cgroup.procs" taskset -c $proxy_cpu "$@"
}

# As a data plane whose control plane is not there: the table comes from its last-good file.
start_millrace() {
  local state=$lab_dir/state
  mkdir -p "$state"
  [ -f "$state/last-good.snapshot" ] || "$lab_build/perf/table/make_table" --routes 10 --backend $backend \
    --out "$state/last-good.snapshot" >/dev/null || give_up 'no table could be made'
  cat >"$lab_dir/dataplane.yaml" <<CONFIGURATION
ports:
  - name: uplink
    interface: p-millrace
    on_silence: drop
    addresses:
      - {address: $lab_vip/16, kind: owned}
listeners:
  - {address: $lab_vip, port: 80}
socket: $lab_dir/dataplane.sock
state_directory: $state
timeouts: {drain_seconds: 0}
# What the peers add as well, and no more.
forwarding: {request_id: false, loop_detection: false}
worker: {cpu: $proxy_cpu}
CONFIGURATION
  start_proxy millrace "$lab_build/dataplane/millrace-dataplane" --config "$lab_dir/dataplane.yaml"
}

peer_config() { # ARM [FILE]: filled in
  local file=${2:-$1.conf}
  mkdir -p "$lab_dir/$1"
  chmod 777 "$lab_dir/$1"
  sed -e "s|@DIR@|$lab_dir/$1|g; s|@LISTEN@|$lab_node:80|; s|@BACKEND@|$backend|; s|@HOST@|$host|" \
    -e "s|@LISTEN_ADDRESS@|$lab_node|; s|@LISTEN_PORT@|80|" \
    -e "s|@BACKEND_ADDRESS@|${backend%:*}|; s|@BACKEND_PORT@|${backend#*:}|" \
    "$perf/peers/$file.in" >"$lab_dir/$1/$file"
}

start_nginx() {
  peer_config nginx
  start_proxy nginx nginx -p "$lab_dir/nginx" -e "$lab_dir/nginx/error.log" -c "$lab_dir/nginx/nginx.conf"
}

start_haproxy() {
  peer_config haproxy
  start_proxy haproxy haproxy -db -f "$lab_dir/haproxy/haproxy.conf"
}

start_router() { :; }

# What the load's own addresses are is what it takes in: frames to client and backend.
start_mirror() {
  start_proxy mirror "$lab_build/perf/load/millrace-load" --port xdp:p-mirror --reflect \
    --reflect-address $lab_vip --client-address $client_network.1/16 --client-address-count 64 \
    --backend-address ${backend%:*} --when-idle sleep
}

target_of() { # ARM: where the client connects to, and its next hop
  case $1 in
    millrace) echo "$lab_vip:80 $lab_vip" ;;
    router) echo "$backend $lab_node" ;;
    mirror) echo "$backend $lab_vip" ;;
    *) echo "$lab_node:80 $lab_node" ;;
  esac
}

known_arm() {
  local arm
  for arm in "${arms[@]}"; do [ "$arm" = "$1" ] && return 0; done
  give_up "no arm is named $1"
}

fetched_peer() { # NAME: its program, which Debian does not have
  local line
  line=$("$perf/peers/get" --found "$1")
  case $line in *': not measured here: '*) give_up "$line" ;; esac
  line=${line#"$1: "}
  peer_program=${line% *}
}

start_envoy() {
  fetched_peer envoy
  peer_config envoy envoy.yaml
  # One worker. Without hot restart, for which it would share memory with other Envoys of the machine.
  start_proxy envoy "$peer_program" --concurrency 1 --disable-hot-restart --log-level error \
    --config-path "$lab_dir/envoy/envoy.yaml"
}

start_traefik() {
  fetched_peer traefik
  peer_config traefik traefik.yaml
  peer_config traefik traefik_routes.yaml
  start_proxy traefik env GOMAXPROCS=1 "$peer_program" "--configfile=$lab_dir/traefik/traefik.yaml"
}

start_arm() {
  known_arm "$1"
  "start_$1"
  place_threads "$1"
  lab_until 10 answers "$1" || {
    lab_explain "$1 does not answer"
    cat "$lab_dir/$1.log" "$lab_dir/$1/error.log" 2>/dev/null
    give_up "$1 does not answer"
  }
  place_threads "$1"
  say "ok $(target_of "$1")"
}

stop_arm() {
  known_arm "$1"
  [ ! -f "$lab_dir/$1.pid" ] || lab_stop "$1"
  say ok
}

answers() { # ARM
  local target gateway
  read -r target gateway < <(target_of "$1")
  lab_in load "$lab_build/perf/load/millrace-load" --port "xdp:l-$1" --client --backend \
    --client-address $client_network.64/16 --target "$target" --gateway "$gateway" \
    --backend-address ${backend%:*} --backend-port ${backend#*:} --host-pattern $host \
    --when-idle sleep --timeout 0.5 --warmup 0 --duration 0.05 >/dev/null 2>&1 </dev/null
}

stats() { # NAME=VALUE ... of the data plane
  "$lab_build/dataplane/millrace-dataplane" --stats "$lab_dir/stats" 2>/dev/null |
    awk 'NF >= 2 && $2 ~ /^[0-9]+$/ && $2 != 0 { printf "%s=%s ", $1, $2 }'
}

# ---- the run -----------------------------------------------------------------------------------

why=$(lab_unable)
[ -z "$why" ] || give_up "$why"
trap finish EXIT
# Ctrl-C reaches the caller as well, which then closes standard input.
trap '' INT
trap 'exit 130' TERM HUP
taskset -pc $load_cpu $$ >/dev/null || give_up "core $load_cpu cannot be used"
for arm in "${arms[@]}"; do foreign_napi+=" $(napi_threads "p-$arm"; napi_threads "l-$arm")"; done
foreign_napi=${foreign_napi//$'\n'/ }
make_groups
lab_open "perf-$$" || give_up 'the lab could not be opened'
network || give_up 'the network could not be made'
set_offloads off
set_kernel_tcp
say "ok group=$group box=millrace-$lab_name-load backend=$backend host=$host clients=$client_network" \
  "congestion=$congestion"
while read -r command argument; do
  case $command in
    start) start_arm "$argument" ;;
    stop) stop_arm "$argument" ;;
    stats) say "ok $(stats)" ;;
    offloads) say "ok $(offloads)" ;;
    *) give_up "no command is named $command" ;;
  esac
done
