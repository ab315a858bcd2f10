# What every test against real peers begins with: the lab of the end-to-end tests with a bad path
# between its client and everything else. To be sourced.
#
#   [client] -- near [wire: impair] far -- ==== lan: a bridge ==== [node: Millrace] [backends]
#
# The client and the backends speak the kernel's TCP. The path's cables carry frames as a network
# card would: whole checksums, one segment each.

. "$(dirname "${BASH_SOURCE[0]}")/../e2e/lab_test.bash"
lab_boxes+=(wire)
impair_tool=$lab_build/tests/peers/impair
# landing-2's nginx behind Millrace, and the same nginx by itself.
path_host=home.example
path_direct=10.20.0.12:8084

path_plain() { # BOX INTERFACE: no offloads
  lab_in "$1" ethtool -K "$2" tx off sg off gso off tso off gro off >/dev/null
}

# path_lab [PROGRAM...]: test_lab, and the cable that the path is put into. The programs are what
# the test cannot do without.
path_lab() {
  local program
  for program in ethtool "$@"; do
    command -v "$program" >/dev/null || skip "needs $program (deploy/packages.sh)"
  done
  test_lab
  [ -x "$impair_tool" ] || fail "not built: $impair_tool"
  lab_ip lan link set to-client nomaster
  lab_ip lan link set to-client down
  lab_ip lan link set to-client netns "millrace-$lab_name-wire" name near
  lab_ip lan link add to-wire type veth peer name far netns "millrace-$lab_name-wire"
  lab_ip lan link set to-wire master bridge up
  lab_ip wire link set near up
  lab_ip wire link set far up
  path_plain client eth0
  path_plain lan to-wire
  path_plain wire near
  path_plain wire far
  # What one transfer has learned about the path must not help or hinder the next.
  local box
  for box in client backend2; do
    lab_in "$box" sh -c 'echo 1 >/proc/sys/net/ipv4/tcp_no_metrics_save'
  done
}

# backend2 sends with cubic, whatever the machine prefers: said by its route, because a namespace may
# not choose every algorithm for itself. False when the kernel has no cubic.
path_cubic() {
  grep -qw cubic /proc/sys/net/ipv4/tcp_available_congestion_control &&
    lab_ip backend2 route change 10.20.0.0/24 dev eth0 src 10.20.0.12 congctl cubic 2>/dev/null
}

# path_start SETTINGS OF impair...
path_start() {
  : >"$lab_dir/impair.log"
  # Before everybody else: frames that leave late are a delay that nobody asked for.
  lab_start impair wire nice -n -19 "$impair_tool" --a near --b far "$@"
  lab_until 5 grep -q ready "$lab_dir/impair.log" ||
    fail "the impairment stage did not start: $(cat "$lab_dir/impair.log")"
}

# Ends it; its figures stay in $lab_dir/impair.log. A frame that got lost otherwise than by the seed
# makes the run worthless.
path_stop() {
  lab_stop impair
  ! grep -E ' (no_room|not_taken|missed|too_long)=[1-9]' "$lab_dir/impair.log" >&2 ||
    path_strays=$((path_strays + 1))
}
path_strays=0

# path_figure DIRECTION NAME: of the stage that was stopped last.
path_figure() {
  sed -n "s/^$1 .*\\b$2=\\([0-9]*\\).*/\\1/p" "$lab_dir/impair.log"
}

path_file() { # NAME MIB: bytes that repeat nowhere
  head -c $(($2 << 20)) /dev/urandom >"$lab_dir/files/$1"
  chmod 755 "$lab_dir/files"
  chmod 644 "$lab_dir/files/$1"
}

path_url() { # millrace|linux: where it answers
  case $1 in
    millrace) printf 'http://%s\n' "$lab_vip" ;;
    linux) printf 'http://%s\n' "$path_direct" ;;
  esac
}
