# A small network on one machine, for the demo and for the end-to-end tests. To be sourced by bash.
#
#     client        backend1       backend2
#   10.20.0.50     10.20.0.11     10.20.0.12          pod 10.244.0.10
#       |              |              |                    |
#   ==== lan: a bridge ==================                  |
#                    |                                     |
#                 uplink                              10.244.0.1
#     [ node: 10.20.0.1 the kernel's, its TCP port 8080 lent to Millrace; ]
#     [       10.20.0.100 Millrace's                                      ]
#     [       kernel port: mr-k0 10.20.9.1 -- mr-k1 10.20.9.2 Millrace's  ]
#
# Each box is a network namespace named millrace-<lab>-<box>; the addresses are the same in every
# lab, which is no clash, because nothing of it is visible outside of the namespaces.
#
# Everything that a lab owns can be found again after kill -9: its folder holds who opened it and
# every process it started, each with its start time, so that a reused process id is never hit.

lab_root=${MILLRACE_LAB_ROOT:-/var/tmp/millrace-lab}
lab_boxes=(lan client node backend1 backend2 pod)
lab_vip=10.20.0.100
lab_node=10.20.0.1
lab_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
lab_build=${MILLRACE_BUILD:-$lab_top/build/release}
lab_name=
lab_dir=

lab_say() { printf '%s\n' "$*" >&2; }

# ---- processes -------------------------------------------------------------------------------

# When the process began, in clock ticks since boot (field 22 of its stat; the name before may
# hold blanks, so count after it). Empty when there is no such process or nothing of it runs any
# more: a killed process is a zombie while its other threads still hold its sockets.
lab_start_time() {
  local pid=$1 stat
  read -r stat 2>/dev/null <"/proc/$pid/stat" || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086
  set -- $stat
  [ "$1" = Z ] && [ "${18}" -le 1 ] && return 1
  printf '%s\n' "${20}"
}

# lab_alive FILE: true if the process that FILE names ("pid start") still runs.
lab_alive() {
  local pid start
  read -r pid start 2>/dev/null <"$1" || return 1
  [ -n "$start" ] && [ "$(lab_start_time "$pid")" = "$start" ]
}

lab_in() { # BOX COMMAND...
  local box=$1
  shift
  # Not `ip netns exec`: that hides the BPF file system and the cgroups of the machine.
  nsenter --net="/run/netns/millrace-$lab_name-$box" -- "$@"
}

# lab_start LABEL BOX COMMAND...: starts it in the background; output goes to LABEL.log.
lab_start() {
  local label=$1 box=$2
  shift 2
  # A session of its own: Ctrl-C is for the script, which then stops everything in order.
  setsid nsenter --net="/run/netns/millrace-$lab_name-$box" -- "$@" \
    </dev/null >>"$lab_dir/$label.log" 2>&1 {lab_lock}>&- &
  local pid=$!
  disown "$pid"
  printf '%s %s\n' "$pid" "$(lab_start_time "$pid")" >"$lab_dir/$label.pid"
}

lab_pid() { # LABEL
  local pid start
  read -r pid start <"$lab_dir/$1.pid" && printf '%s\n' "$pid"
}

lab_running() { lab_alive "$lab_dir/$1.pid"; }

lab_signal() { # LABEL SIGNAL
  lab_running "$1" && kill "-$2" "$(lab_pid "$1")" 2>/dev/null
}

# Waits until a process of ours is gone; false after SECONDS.
lab_wait_gone() { # PIDFILE SECONDS
  local waited=0
  while lab_alive "$1"; do
    [ "$waited" -ge "$((${2} * 50))" ] && return 1
    sleep 0.02
    waited=$((waited + 1))
  done
}

lab_stop_file() { # PIDFILE
  local pid start
  lab_alive "$1" || return 0
  read -r pid start <"$1"
  kill -CONT "$pid" 2>/dev/null
  kill -TERM "$pid" 2>/dev/null
  lab_wait_gone "$1" 3 && return 0
  kill -KILL "$pid" 2>/dev/null
  lab_wait_gone "$1" 3
}

lab_stop() { lab_stop_file "$lab_dir/$1.pid"; } # LABEL

# lab_until SECONDS COMMAND...: repeats the command until it succeeds; false when time is up.
lab_until() {
  local end=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
  shift
  until "$@"; do
    [ "${EPOCHREALTIME/[.,]/}" -ge "$end" ] && return 1
    sleep 0.05
  done
}

# ---- a lab's life ----------------------------------------------------------------------------

# Why a lab cannot be made here, as one line; empty when it can.
lab_unable() {
  local tool
  [ "$(id -u)" = 0 ] || { printf 'needs root, for network namespaces and XDP\n'; return; }
  for tool in ip nsenter setsid nginx curl flock; do
    command -v "$tool" >/dev/null || { printf 'needs %s (deploy/packages.sh)\n' "$tool"; return; }
  done
  if ! ip netns add millrace-try-$$ 2>/dev/null; then
    printf 'this machine does not let us make network namespaces\n'
    return
  fi
  ip netns del millrace-try-$$
}

# Ends what an opened lab left: processes, namespaces (their interfaces go with them), folder.
lab_remove() { # NAME
  local dir=$lab_root/$1 file box
  # The data plane first and in order, so that its XDP program leaves by its own hand.
  for file in "$dir"/dataplane*.pid "$dir"/*.pid; do
    [ -f "$file" ] && lab_stop_file "$file"
  done
  # A killed data plane leaves its XDP link pinned, by design; a lab takes it along.
  if [ -f "$dir/dataplane.yaml" ] && [ -x "$lab_build/dataplane/millrace-dataplane" ]; then
    nsenter --net="/run/netns/millrace-$1-node" "$lab_build/dataplane/millrace-dataplane" \
      --detach --config "$dir/dataplane.yaml" >/dev/null 2>&1
  fi
  # Whoever removes it may be another kind of lab, with other boxes.
  while read -r box; do
    [ -e "/run/netns/millrace-$1-$box" ] && ip netns del "millrace-$1-$box"
  done < <(cat "$dir/boxes" 2>/dev/null || printf '%s\n' "${lab_boxes[@]}")
  rm -rf "${dir:?}"
}

# Labs whose owner is gone: a script that was killed.
lab_sweep() {
  local dir
  for dir in "$lab_root"/*/; do
    [ -d "$dir" ] || continue
    lab_alive "$dir/owner" && continue
    lab_say "removing what a killed run left: $(basename "$dir")"
    lab_remove "$(basename "$dir")"
  done
}

# lab_open NAME: false, with a line, when that lab is open already.
lab_open() {
  mkdir -p "$lab_root"
  # One at a time makes or sweeps labs; two at once could see each other half made.
  exec {lab_lock}>"$lab_root/.lock"
  flock "$lab_lock"
  lab_sweep
  if [ -d "$lab_root/$1" ]; then
    lab_say "the lab '$1' is in use by process $(cut -d' ' -f1 "$lab_root/$1/owner")"
    flock -u "$lab_lock"
    return 1
  fi
  lab_name=$1
  lab_dir=$lab_root/$1
  mkdir -p "$lab_dir"
  printf '%s\n' "${lab_boxes[@]}" >"$lab_dir/boxes"
  printf '%s %s\n' "$$" "$(lab_start_time $$)" >"$lab_dir/owner"
  flock -u "$lab_lock"
  chmod 755 "$lab_root" "$lab_dir"
}

lab_close() {
  [ -n "$lab_name" ] || return 0
  local name=$lab_name
  lab_name=
  lab_remove "$name"
}

# ---- the network -----------------------------------------------------------------------------

lab_ip() { # BOX ARGUMENTS OF ip...
  local box=$1
  shift
  ip -n "millrace-$lab_name-$box" "$@"
}

lab_join() { # BOX INTERFACE ADDRESS: a cable from the box to the bridge
  local ns=millrace-$lab_name-$1
  lab_ip lan link add "to-$1" type veth peer name "$2" netns "$ns"
  lab_ip lan link set "to-$1" master bridge up
  lab_ip "$1" addr add "$3" dev "$2"
  lab_ip "$1" link set "$2" up
}

lab_network() {
  local box
  for box in "${lab_boxes[@]}"; do
    ip netns add "millrace-$lab_name-$box"
    lab_in "$box" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
                         echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6' 2>/dev/null
    lab_ip "$box" link set lo up
  done
  lab_ip lan link add bridge type bridge
  lab_ip lan link set bridge up
  # A switch knows no firewall: without this the kernel shows it every frame that crosses the bridge.
  lab_in lan sh -c 'for family in ip ip6 arp; do
    [ ! -w /proc/sys/net/bridge/bridge-nf-call-${family}tables ] ||
      echo 0 >/proc/sys/net/bridge/bridge-nf-call-${family}tables
  done'
  lab_join client eth0 10.20.0.50/24
  lab_join backend1 eth0 10.20.0.11/24
  lab_join backend2 eth0 10.20.0.12/24
  lab_join node mr-up0 $lab_node/24
  lab_ip node link add mr-k0 type veth peer name mr-k1
  lab_ip node addr add 10.20.9.1/30 dev mr-k0
  lab_ip node link set mr-k0 up
  lab_ip node link set mr-k1 up
  lab_ip node link add to-pod type veth peer name eth0 netns "millrace-$lab_name-pod"
  lab_ip node addr add 10.244.0.1/24 dev to-pod
  lab_ip node link set to-pod up
  lab_ip pod addr add 10.244.0.10/24 dev eth0
  lab_ip pod link set eth0 up
  lab_ip pod route add default via 10.244.0.1
  lab_in node sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
  lab_bpf_file_system
}

# Where systemd has not mounted it (containers, small machines), the XDP link could not be pinned.
lab_bpf_file_system() {
  [ "$(stat -f -c %T /sys/fs/bpf 2>/dev/null)" = bpf_fs ] && return 0
  mount -t bpf bpf /sys/fs/bpf 2>/dev/null ||
    lab_say 'no BPF file system: the XDP program will not outlive a killed data plane'
}

# ---- backends --------------------------------------------------------------------------------

# lab_backend BOX ADDRESS PORT=TAG...: one nginx in the box, a server for each port. Its answers
# begin with its tag. Files below $lab_dir/files are at /files/, PUT to /upload/ stores there.
lab_backend() {
  local box=$1 address=$2 dir=$lab_dir/nginx-$1 pair
  shift 2
  mkdir -p "$dir" "$lab_dir/files" "$lab_dir/upload"
  chmod 777 "$dir" "$lab_dir/upload"
  {
    cat <<CONFIGURATION
daemon off;
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log;
events { worker_connections 4096; }
http {
  access_log off;
  default_type text/plain;
  client_max_body_size 0;
  client_body_temp_path $lab_dir/upload/.$box;
  proxy_temp_path $dir/proxy;
  fastcgi_temp_path $dir/fastcgi;
  uwsgi_temp_path $dir/uwsgi;
  scgi_temp_path $dir/scgi;
CONFIGURATION
    for pair in "$@"; do
      cat <<CONFIGURATION
  server {
    listen $address:${pair%%=*} backlog=4096;
    add_header X-Backend ${pair#*=} always;
    location / { return 200 "${pair#*=} answers \$request_method \$host\$request_uri\n"; }
    location /files/ { alias $lab_dir/files/; }
    location /upload/ { alias $lab_dir/upload/; dav_methods PUT; }
  }
CONFIGURATION
    done
    printf '}\n'
  } >"$dir/nginx.conf"
  lab_start "nginx-$box" "$box" nginx -p "$dir" -e "$dir/error.log" -c "$dir/nginx.conf"
}

lab_answers() { # BOX URL [CURL ARGUMENTS...]: true if somebody answers 200
  local box=$1 url=$2
  shift 2
  lab_in "$box" curl -sf -o /dev/null --max-time 2 "$@" "$url" 2>/dev/null
}

# The servers behind deploy/demo/manifests.
lab_backends() {
  lab_backend backend1 10.20.0.11 8081=catalog-1 8082=checkout-1 8083=wiki-1
  lab_backend backend2 10.20.0.12 8081=catalog-2 8082=checkout-2 8084=landing-2
  lab_backend pod 10.244.0.10 8080=whoami-pod
  lab_until 10 lab_answers client http://10.20.0.11:8081/ &&
    lab_until 10 lab_answers client http://10.20.0.12:8081/ &&
    lab_until 10 lab_answers node http://10.244.0.10:8080/ && return 0
  lab_say "an nginx did not start; its last lines:"
  tail -n 3 "$lab_dir"/nginx-*.log "$lab_dir"/nginx-*/error.log >&2
  return 1
}

# ---- Millrace --------------------------------------------------------------------------------

# A stop of the lab waits for nobody, unless a test wants it otherwise.
lab_timeouts='drain_seconds: 0'
lab_dataplane_config() { # prints it
  cat <<CONFIGURATION
ports:
  - name: uplink
    interface: mr-up0
    on_silence: drop
    addresses:
      - {address: $lab_vip/24, kind: owned}
      - {address: $lab_node/24, kind: borrowed, tcp_ports: [8080]}
  - name: kernel
    interface: mr-k1
    addresses:
      - {address: 10.20.9.2/30, kind: owned}
routes:
  - {destination: 10.244.0.0/16, port: kernel, via: 10.20.9.1}
listeners:
  - {address: $lab_vip, port: 80}
  - {address: $lab_node, port: 8080}
socket: $lab_dir/dataplane.sock
state_directory: $lab_dir/state
timeouts: {$lab_timeouts}
CONFIGURATION
}

lab_start_dataplane() {
  mkdir -p "$lab_dir/state"
  [ -f "$lab_dir/dataplane.yaml" ] || lab_dataplane_config >"$lab_dir/dataplane.yaml"
  lab_start dataplane node "$lab_build/dataplane/millrace-dataplane" \
    --config "$lab_dir/dataplane.yaml"
}

lab_start_controlplane() { # MANIFESTS [OPTIONS...]
  lab_start controlplane node "$lab_build/controlplane/millrace-controlplane" \
    --manifests "$1" --socket "$lab_dir/dataplane.sock" "${@:2}"
}

# lab_get HOST PATH: prints the answer as the rows name it: the first word of the body of a 200,
# the status in digits otherwise, `none` when there was no answer.
lab_get() {
  local body
  body=$(lab_in client curl -s --max-time "${LAB_GET_SECONDS:-5}" -w '\n%{http_code}' \
    -H "Host: $1" "http://$lab_vip$2" 2>/dev/null)
  case ${body##*$'\n'} in
    200) printf '%s\n' "${body%%[[:space:]]*}" ;;
    000 | '') printf 'none\n' ;;
    *) printf '%s\n' "${body##*$'\n'}" ;;
  esac
}

lab_gets() { # HOST PATH ANSWER[,ANSWER...]: true if the answer is one of them
  [[ ",$3," == *",$(lab_get "$1" "$2"),"* ]]
}

# Says why, with the last lines of both processes' logs.
lab_explain() {
  local label
  lab_say "$*"
  for label in dataplane controlplane; do
    [ -f "$lab_dir/$label.log" ] || continue
    lab_say "--- last lines of $label:"
    tail -n 12 "$lab_dir/$label.log" >&2
  done
}

lab_answered_or_dead() { lab_gets "$@" || ! lab_running dataplane || ! lab_running controlplane; }

# Both processes over the manifests, and the first row's answer is there.
lab_start_millrace() { # MANIFESTS HOST PATH ANSWER
  lab_start_dataplane
  lab_start_controlplane "$1"
  lab_until 10 lab_answered_or_dead "$2" "$3" "$4"
  lab_gets "$2" "$3" "$4" && return 0
  lab_explain "no right answer: $2$3 should be answered by $4, is $(lab_get "$2" "$3")"
  return 1
}
