#!/bin/bash
# The lab of perf/run: the demo's network (deploy/demo/lab.sh) with a proxy in it, cgroups and placed NAPI
# threads. perf/harness/lab.py starts it and speaks to it: one command a line on standard input, one line
# back ("ok ..." or "error ..."). When standard input ends, for whatever reason, everything is removed.
#
#   start ARM     millrace, nginx, haproxy, envoy or traefik: begins, answers, its NAPI threads are placed
#   stop ARM
#   offloads      the flags of all veth ends on the way
#
# Placement. Core 0: the proxy, and the NAPI thread of the proxy's end of its veth. Core 1: the load,
# the backend, the bridge between the boxes and the NAPI thread of the bridge's end. Without threads
# a veth delivers on the sender's core, in the sender's system call, and every figure would be wrong.
set -u
perf=$(cd "$(dirname "$0")" && pwd)
. "$perf/../deploy/demo/lab.sh"
lab_build=${1:?folder of the built programs}
caller=$PPID

proxy_cpu=0 other_cpu=1
host=wiki.apps.example answer=wiki-1 backend=10.20.0.11:8083
group='' home_group='' foreign_napi=''
exec 3>&1 1>&2

say() { printf '%s\n' "$*" >&3; }
give_up() { say "error $*"; exit 1; }

make_groups() {
  local root
  root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
  [ -n "$root" ] || give_up 'no cgroup v2 is mounted: nothing to read CPU times from'
  group=$root/millrace-perf-$$
  mkdir "$group" "$group/proxy" "$group/napi" "$group/rest" ||
    give_up "cannot make cgroups below $root"
  # All that is not the proxy: this script, its caller and what they start.
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
  for left in "$group/proxy" "$group/napi" "$group/rest" "$group"; do
    lab_until 3 rmdir "$left" 2>/dev/null || lab_say "perf: could not remove $left"
  done
}

finish() {
  lab_close
  remove_groups
}

# ---- the veths -------------------------------------------------------------------------------

# BOX INTERFACE of every veth end on the way, the proxy's first.
veth_ends='node mr-up0
lan to-node
client eth0
lan to-client
backend1 eth0
lan to-backend1'

# NAPI on a veth without XDP exists only with GRO on here and TSO off at the sender.
set_offloads() {
  local box interface
  while read -r box interface; do
    lab_in "$box" ethtool -K "$interface" tso off gso off gro on >/dev/null 2>&1 </dev/null ||
      give_up "$box $interface: the offloads could not be set"
  done <<<"$veth_ends"
}

# The kernel's TCP as Debian has it, whatever this machine's own default is: BBR's pacing would
# burden the peers. Where namespaces may not choose cubic, it is Reno.
set_kernel_tcp() {
  local box
  congestion=cubic
  lab_in client sh -c 'echo cubic >/proc/sys/net/ipv4/tcp_congestion_control' 2>/dev/null ||
    congestion=reno
  for box in client node backend1; do
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
  done <<<"$veth_ends"
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

# Threads may be new after an XDP program came or went, so this is done at every start.
place_threads() {
  local near far end
  for end in 'node mr-up0' 'lan to-node'; do
    # shellcheck disable=SC2086
    set -- $end
    # A sysfs of its own, which `ip netns exec` mounts.
    ip netns exec "millrace-$lab_name-$1" sh -c "echo 1 >/sys/class/net/$2/threaded" ||
      give_up "$2: the kernel has no threaded NAPI"
  done
  near=$(napi_threads mr-up0)
  far=$(napi_threads to-node)
  [ "$(wc -w <<<"$near")" = 1 ] && [ "$(wc -w <<<"$far")" = 1 ] ||
    give_up "NAPI threads of mr-up0: '$near', of to-node: '$far'; there must be one each"
  taskset -pc $proxy_cpu "$near" >/dev/null && taskset -pc $other_cpu "$far" >/dev/null &&
    echo "$near" >"$group/napi/cgroup.procs" && echo "$far" >"$group/rest/cgroup.procs" ||
    give_up 'a NAPI thread could not be placed'
}

# ---- the arms ----------------------------------------------------------------------------------

start_proxy() { # LABEL COMMAND...: on the proxy's core, in its cgroup from the first instruction
  local label=$1
  shift
  # shellcheck disable=SC2016
  lab_start "$label" node sh -c 'echo $$ >"$1" && shift && exec "$@"' sh \
    "$group/proxy/cgroup.procs" taskset -c $proxy_cpu "$@"
}

start_millrace() {
  mkdir -p "$lab_dir/state"
  { lab_dataplane_config; printf 'worker: {cpu: %s}\n' $proxy_cpu; } >"$lab_dir/dataplane.yaml"
  start_proxy dataplane "$lab_build/dataplane/millrace-dataplane" --config "$lab_dir/dataplane.yaml"
  lab_start_controlplane "$lab_top/deploy/demo/manifests"
}

peer_config() { # NAME [ENDING]: filled in
  mkdir -p "$lab_dir/peer"
  chmod 777 "$lab_dir/peer"
  sed -e "s|@DIR@|$lab_dir/peer|g; s|@LISTEN@|$lab_node:80|; s|@BACKEND@|$backend|; s|@HOST@|$host|" \
    -e "s|@LISTEN_ADDRESS@|$lab_node|; s|@LISTEN_PORT@|80|" \
    -e "s|@BACKEND_ADDRESS@|${backend%:*}|; s|@BACKEND_PORT@|${backend#*:}|" \
    "$perf/peers/$1.${2:-conf}.in" >"$lab_dir/peer/$1.${2:-conf}"
}

start_nginx() {
  peer_config nginx
  start_proxy peer nginx -p "$lab_dir/peer" -e "$lab_dir/peer/error.log" -c "$lab_dir/peer/nginx.conf"
}

start_haproxy() {
  peer_config haproxy
  start_proxy peer haproxy -db -f "$lab_dir/peer/haproxy.conf"
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
  peer_config envoy yaml
  # One worker. Without hot restart, for which it would share memory with other Envoys of the machine.
  start_proxy peer "$peer_program" --concurrency 1 --disable-hot-restart --log-level error \
    --config-path "$lab_dir/peer/envoy.yaml"
}

start_traefik() {
  fetched_peer traefik
  peer_config traefik yaml
  peer_config traefik_routes yaml
  start_proxy peer env GOMAXPROCS=1 "$peer_program" "--configfile=$lab_dir/peer/traefik.yaml"
}

start_arm() {
  case $1 in millrace | nginx | haproxy | envoy | traefik) ;; *) give_up "no arm is named $1" ;; esac
  "start_$1"
  local target=$lab_node
  [ "$1" != millrace ] || target=$lab_vip
  lab_until 10 answers "$target" || {
    lab_explain "$1 does not answer"
    cat "$lab_dir"/peer.log "$lab_dir"/peer/error.log 2>/dev/null
    give_up "$1 does not answer"
  }
  place_threads
  say "ok $target:80"
}

stop_arm() {
  if [ "$1" = millrace ]; then
    lab_stop controlplane
    lab_stop dataplane
  else
    lab_stop peer
  fi
  say ok
}

answers() { # ADDRESS
  [ "$(lab_in client curl -s --max-time 2 -H "Host: $host" "http://$1/" |
    awk '{ print $1; exit }')" = "$answer" ]
}

# ---- the run -----------------------------------------------------------------------------------

why=$(lab_unable)
[ -z "$why" ] || give_up "$why"
trap finish EXIT
# Ctrl-C reaches the caller as well, which then closes standard input.
trap '' INT
trap 'exit 130' TERM HUP
taskset -pc $other_cpu $$ >/dev/null || give_up "core $other_cpu cannot be used"
foreign_napi=$(napi_threads mr-up0; napi_threads to-node)
foreign_napi=${foreign_napi//$'\n'/ }
make_groups
lab_open "perf-$$" || give_up 'the lab could not be opened'
lab_network || give_up 'the network could not be made'
set_offloads
set_kernel_tcp
lab_backends || give_up 'the backends did not start'
say "ok group=$group box=millrace-$lab_name-client backend=$backend host=$host answer=$answer" \
  "congestion=$congestion"
while read -r command argument; do
  case $command in
    start) start_arm "$argument" ;;
    stop) stop_arm "$argument" ;;
    offloads) say "ok $(offloads)" ;;
    *) give_up "no command is named $command" ;;
  esac
done
