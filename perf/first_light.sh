#!/bin/bash
# CPU time per proxied request: Millrace and nginx as the proxy, at the same fixed rate, over the
# same veths, in front of the same backend, alternating (ABBA) in one run.
#
#   perf/first_light.sh               8 blocks of 4 windows of 8 s: 7 minutes
#   perf/first_light.sh --quick       2 blocks of windows of 3 s: 1 minute
#     --rate N          requests a second (20000)     --connections N  of the client (64)
#     --blocks N        of A B B A                    --window S       seconds measured each time
#     --build DIR       programs built already (otherwise the release preset is built)
#     --steal PERCENT   a window with more time stolen by the host is void (0.5)
#     --others PERCENT  a window in which anybody else used more of the two cores is void (5)
#     --patience S      how long to wait for a quiet machine before a window (60)
#     --json FILE       everything that is printed, for machines
#
# Placement. Core 0: the proxy, and the NAPI thread of the proxy's end of its veth. Core 1: the load,
# the backend, the bridge between the boxes and the NAPI thread of the bridge's end. Without threads
# a veth delivers on the sender's core, in the sender's system call, and every figure would be wrong.
#
# Counted for the proxy: the whole run time of all its threads (polling included, sleep not) and of
# that NAPI thread, from the cgroups' cpu.stat, which is exact. Softirqs run in these threads' time or
# on core 1's account. As a check beside it: everything that core 0 did (wall clock less idle), which
# has every interrupt in it, and what else ran there.
set -u
perf=$(cd "$(dirname "$0")" && pwd)
. "$perf/../deploy/demo/lab.sh"

rate=20000 connections=64 blocks=8 window=8 steal=0.5 others=5 patience=60 build='' json=''
while [ $# -gt 0 ]; do
  case $1 in
    --quick) blocks=2 window=3 ;;
    --rate) rate=${2:?}; shift ;;
    --connections) connections=${2:?}; shift ;;
    --blocks) blocks=${2:?}; shift ;;
    --window) window=${2:?}; shift ;;
    --others) others=${2:?}; shift ;;
    --patience) patience=${2:?}; shift ;;
    --steal) steal=${2:?}; shift ;;
    --build) build=$(cd "${2:?}" && pwd) || exit 2; shift ;;
    --json) json=${2:?}; shift ;;
    *) sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done

proxy_cpu=0 other_cpu=1
warm_seconds=2
host=wiki.apps.example path=/ answer=wiki-1 backend=10.20.0.11:8083
group='' home_group='' foreign_napi='' load_process=''

give_up() { lab_say "first_light: $*"; exit 1; }

# ---- what the machine must have ------------------------------------------------------------------

check_machine() {
  local why tool program
  why=$(lab_unable)
  [ -z "$why" ] || give_up "$why"
  for tool in ethtool taskset python3; do
    command -v $tool >/dev/null || give_up "needs $tool (deploy/packages.sh)"
  done
  [ "$(nproc --all)" -ge 2 ] || give_up 'needs two cores: one for the proxy, one for the rest'
  if [ -z "$build" ]; then
    cmake -S "$lab_top" --preset release >/dev/null &&
      ninja -C "$lab_top/build/release" millrace-dataplane millrace-controlplane http_load >&2 ||
      give_up 'building failed'
    build=$lab_top/build/release
  fi
  lab_build=$build
  for program in dataplane/millrace-dataplane controlplane/millrace-controlplane \
    tests/support/http_load; do
    [ -x "$lab_build/$program" ] || give_up "not built: $lab_build/$program"
  done
}

make_groups() {
  local root
  root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
  [ -n "$root" ] || give_up 'no cgroup v2 is mounted: nothing to read CPU times from'
  group=$root/millrace-first-light-$$
  mkdir "$group" "$group/proxy" "$group/napi" "$group/rest" ||
    give_up "cannot make cgroups below $root"
  # All that is not the proxy: this script and what it starts.
  home_group=$root$(sed -n 's/^0:://p' /proc/self/cgroup)
  echo $$ >"$group/rest/cgroup.procs" || give_up "cannot use cgroups below $root"
}

remove_groups() {
  local left
  [ -n "$group" ] || return 0
  echo $$ >"$home_group/cgroup.procs" 2>/dev/null || echo $$ >"${group%/*}/cgroup.procs"
  for left in "$group/proxy" "$group/napi" "$group/rest" "$group"; do
    lab_until 3 rmdir "$left" 2>/dev/null || lab_say "first_light: could not remove $left"
  done
}

finish() {
  [ -n "$load_process" ] && kill "$load_process" 2>/dev/null
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
# burden nginx. Where namespaces may not choose cubic, it is Reno.
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

# One line: the flags of all ends, or the ends that differ.
offloads() {
  local box interface flags
  while read -r box interface; do
    flags=$(lab_in "$box" ethtool -k "$interface" </dev/null | awk -F': ' '
      $1 == "rx-checksumming" { printf "rx=%s ", $2 } $1 == "tx-checksumming" { printf "tx=%s ", $2 }
      $1 == "tcp-segmentation-offload" { printf "tso=%s ", $2 }
      $1 == "generic-segmentation-offload" { sub(/ .*/, "", $2); printf "gso=%s ", $2 }
      $1 == "generic-receive-offload" { sub(/ .*/, "", $2); printf "gro=%s", $2 }')
    printf '%s\n' "$flags"
  done <<<"$veth_ends" | sort | uniq -c | awk '{ n = $1; $1 = ""; printf "%s ends:%s; ", n, $0 }'
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

# Threads may be new after an XDP program came or went, so this is done before every window.
place_threads() {
  local near far
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
    echo "$near" >"$group/napi/cgroup.procs" && echo "$far" >"$group/rest/cgroup.procs" || give_up 'a NAPI thread could not be placed'
}

# ---- the two arms ------------------------------------------------------------------------------

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
stop_millrace() { lab_stop controlplane; lab_stop dataplane; }

start_nginx() {
  local dir=$lab_dir/peer
  mkdir -p "$dir"
  chmod 777 "$dir"
  sed -e "s|@DIR@|$dir|g; s|@LISTEN@|$lab_node:80|; s|@BACKEND@|$backend|; s|@HOST@|$host|" \
    "$perf/peers/nginx.conf.in" >"$dir/nginx.conf"
  start_proxy peer nginx -p "$dir" -e "$dir/error.log" -c "$dir/nginx.conf"
}
stop_nginx() { lab_stop peer; }

target_of() { if [ "$1" = millrace ]; then printf '%s' $lab_vip; else printf '%s' $lab_node; fi; }

answers() { # ARM
  [ "$(lab_in client curl -s --max-time 2 -H "Host: $host" "http://$(target_of "$1")$path" |
    awk '{ print $1; exit }')" = "$answer" ]
}

# ---- one window --------------------------------------------------------------------------------

field() { sed -n "s/.*\\b$1=\\([0-9.]*\\).*/\\1/p" <<<"$2"; } # NAME LINE

idle_and_steal() { # of the two cores, a line each
  awk -v near=cpu$proxy_cpu -v far=cpu$other_cpu '
    $1 == near { n = $5 + $6 " " $9 } $1 == far { f = $5 + $6 " " $9 } END { print n; print f }' \
    /proc/stat
}

# Until nobody else works: half a second in which each core was idle for nine tenths.
wait_for_quiet() {
  local end=$((SECONDS + patience)) before after
  while :; do
    before=$(idle_and_steal)
    sleep 0.5
    after=$(idle_and_steal)
    paste -d' ' <(printf '%s\n' "$before") <(printf '%s\n' "$after") |
      awk -v ticks="$(getconf CLK_TCK)" '$3 - $1 < 0.45 * ticks { busy = 1 } END { exit busy }' &&
      return
    if [ $SECONDS -ge $end ]; then
      [ "$patience" = 0 ] || lab_say "first_light: the machine is busy, going on all the same"
      return
    fi
  done
}

# now_us requests proxy: usage user system, napi and rest: usage, core 0 and core 1: idle steal (in
# ticks of 10 ms)
sample() {
  local line
  printf 'report\n' >&"$load_in"
  read -r -t 10 line <&"$load_out" || give_up 'the load tool ended'
  printf '%s %s %s %s %s\n' "${EPOCHREALTIME/[.,]/}" "$(field requests "$line")" \
    "$(awk '{ v[$1] = $2 } END { print v["usage_usec"], v["user_usec"], v["system_usec"] }' \
      "$group/proxy/cpu.stat")" \
    "$(awk '$1 == "usage_usec" { print $2 }' "$group/napi/cpu.stat" "$group/rest/cpu.stat" |
      xargs)" "$(idle_and_steal | xargs)"
}

measure() { # ARM BLOCK: a row of figures into $rows
  local arm=$1 before after line sampled
  mkfifo "$lab_dir/load.in" "$lab_dir/load.out"
  lab_in client "$lab_build/tests/support/http_load" --target "$(target_of "$arm"):80" --control \
    --connections "$connections" --rate "$rate" --warmup $warm_seconds --row "$host $path $answer" \
    <"$lab_dir/load.in" >"$lab_dir/load.out" 2>"$lab_dir/load.err" &
  load_process=$!
  exec {load_in}>"$lab_dir/load.in" {load_out}<"$lab_dir/load.out"
  sleep $warm_seconds
  before=$(sample) || exit 1
  sleep "$window"
  after=$(sample) || exit 1
  printf 'stop\n' >&"$load_in"
  read -r -t 30 line <&"$load_out" || give_up 'the load tool ended without figures'
  wait "$load_process"
  load_process=''
  exec {load_in}>&- {load_out}<&-
  rm -f "$lab_dir/load.in" "$lab_dir/load.out"
  sampled=$(tr ' ' '\t' <<<"$before $after")
  printf '%s\t%s\t%s\t%s\n' "$2" "$arm" "$sampled" "$line" >>"$rows"
  "$perf/first_light_rows.py" --last "$rows" "$rate" "$steal" "$others" | tee -a "$lab_dir/verdicts"
  head -n 2 "$lab_dir/load.err" >&2
}

window_of() { # ARM BLOCK
  wait_for_quiet
  "start_$1"
  lab_until 10 answers "$1" || { lab_explain "$1 does not answer"; cat "$lab_dir"/peer.log \
    "$lab_dir"/peer/error.log 2>/dev/null >&2; exit 1; }
  place_threads
  local flags
  flags=$(offloads)
  [ "$flags" = "${flags_of[$1]:-$flags}" ] || lab_say "first_light: offloads changed: $flags"
  flags_of[$1]=$flags
  measure "$1" "$2"
  "stop_$1"
}

# ---- the run -------------------------------------------------------------------------------------

check_machine
trap finish EXIT
trap 'exit 130' INT TERM HUP
# Everything that is not the proxy inherits this.
taskset -pc $other_cpu $$ >/dev/null || give_up "core $other_cpu cannot be used"
foreign_napi=$(napi_threads mr-up0; napi_threads to-node)
foreign_napi=${foreign_napi//$'\n'/ }
make_groups
lab_open "first-light-$$" || exit 1
lab_network || give_up 'the network could not be made'
set_offloads
set_kernel_tcp
lab_backends || exit 1
rows=$lab_dir/rows
declare -A flags_of

printf 'machine:   %s, %s cores, %s\n' \
  "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc --all)" "$(uname -sr)"
printf 'programs:  millrace %s, %s\n' \
  "$(git -C "$lab_top" describe --always --dirty 2>/dev/null || echo unknown)" \
  "$(nginx -v 2>&1 | sed 's/^nginx version: //')"
printf 'load:      %s requests a second, %s connections, GET %s%s, windows of %s s\n' \
  "$rate" "$connections" "$host" "$path" "$window"
printf 'kernel:    TCP %s, tcp_slow_start_after_idle 0; mitigations active: %s\n' $congestion \
  "$(grep -lE '^Mitigation' /sys/devices/system/cpu/vulnerabilities/* 2>/dev/null |
    xargs -rn1 basename | xargs)"
printf 'cpu:       run time of the proxy and of the NAPI thread of its veth end, per request\n'
printf 'core0:     all that core %s did, by anybody, per request (not idle; ticks of 10 ms)\n\n' \
  $proxy_cpu
"$perf/first_light_rows.py" --heading
# A block with a void window does not count and is measured again, up to as many times as there are
# blocks.
counted=0
for ((block = 1; counted < blocks && block <= 2 * blocks; ++block)); do
  for arm in millrace nginx nginx millrace; do window_of $arm "$block"; done
  [ "$(tail -n 4 "$lab_dir/verdicts" | grep -c 'ok$')" != 4 ] || counted=$((counted + 1))
done
printf '\nveth ends, millrace: %s\nveth ends, nginx:    %s\n' "${flags_of[millrace]}" \
  "${flags_of[nginx]}"
"$perf/first_light_rows.py" --summary "$rows" "$rate" "$steal" "$others" ${json:+"$json"}
