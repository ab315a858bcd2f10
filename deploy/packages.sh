#!/bin/bash
# The one list of Debian 12 packages that Millrace is built, run and tested with, and why.
#
#   deploy/packages.sh                    prints the list
#   deploy/packages.sh --check            names what is missing; exit 1 if anything is
#   deploy/packages.sh --install [--yes]  installs what is missing, asks first unless --yes
#   ... --for build,run                   only these uses (build, run, test, vm)
set -u

packages='
build  g++                the first of the two compilers
build  cmake              the build is described with it
build  ninja-build        and run by it
build  ccache             a second build compiles only what changed
build  pkg-config         finds libbpf, libxdp and DPDK
build  clang-14           compiles the XDP program, and is the second compiler
build  llvm-14            llvm-strip for the XDP program; readable sanitizer reports
build  bpftool            makes the C skeleton of the XDP program
build  libbpf-dev         loads the XDP program and pins its link
build  libxdp-dev         AF_XDP sockets
build  libdpdk-dev        DPDK ports; brings the drivers that DPDK loads by itself
build  libelf-dev         what libbpf stands on
build  zlib1g-dev         what libbpf stands on
build  libprotobuf-dev    Kubernetes objects and the model
build  protobuf-compiler  makes the classes for them
build  libyaml-cpp-dev    manifests and the configuration
build  libspdlog-dev      the log of both processes
build  libfmt-dev         what spdlog stands on
build  libcli11-dev       command lines
build  libxxhash-dev      content hashes of snapshots
build  libcurl4-openssl-dev  the client of the Kubernetes API
build  libssl-dev         what certificates and keys of TLS Secrets are
build  libc-ares-dev      DNS questions of the control plane, for Services of type ExternalName
build  libmicrohttpd-dev  the small HTTP server of the control plane: metrics, health, its JSON API
build  nlohmann-json3-dev the log of the control plane as JSON
build  prometheus-cpp-dev metrics in the format that Prometheus reads
build  libgtest-dev       unit tests (the build configures them)
build  libgmock-dev       unit tests
run    iproute2           network namespaces and veth pairs of the demo
run    nginx              the backends of the demo (only the program; its service stays off)
run    curl               the client of the demo
test   haproxy            a peer that Millrace is measured against (only the program)
test   clang-format-14    the format check
test   libclang-rt-14-dev sanitizers and libFuzzer for clang
test   python3            the house rules, the test plan, what is measured
test   python3-websockets WebSocket clients and servers on both sides of the proxy
test   ethtool            offload settings of veth pairs
test   iputils-ping       the node must answer pings whatever happens to Millrace
test   netcat-openbsd     a plain TCP service beside Millrace
test   tcpdump            captures when a test fails
test   valgrind           instructions per request
test   binutils           addr2line: which stage of a turn an instruction belongs to
test   wrk                a second load generator to check ours against
test   nmap               a scan that guesses at sequence numbers and systems
test   hping3             floods of segments from made-up addresses
vm     qemu-system-x86    boots a stock kernel
vm     busybox-static     the userland in that machine
vm     cpio               packs it
'

uses=build,run,test,vm
action=list
yes=
while [ $# -gt 0 ]; do
  case $1 in
    --check) action=check ;;
    --install) action=install ;;
    --yes) yes=1 ;;
    --for) uses=${2:?--for needs a list of uses}; shift ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done

wanted=()
while read -r use name _; do
  [ -n "$use" ] && [[ ",$uses," == *",$use,"* ]] && wanted+=("$name")
done <<<"$packages"

if [ "$action" = list ]; then
  printf '%s' "$packages" | sed '/^$/d'
  exit 0
fi

missing=()
for name in "${wanted[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Abbrev}' "$name" 2>/dev/null)
  [ "${status:0:2}" = ii ] || missing+=("$name")
done

if [ ${#missing[@]} = 0 ]; then
  printf 'packages: all %s are installed\n' "${#wanted[@]}"
  exit 0
fi
printf 'packages: missing: %s\n' "${missing[*]}"
[ "$action" = check ] && exit 1

if [ "$(id -u)" != 0 ]; then
  printf 'packages: installing needs root: apt-get install %s\n' "${missing[*]}" >&2
  exit 1
fi
if [ -z "$yes" ]; then
  if [ ! -t 0 ]; then
    printf 'packages: nobody to ask whether to install them; say --yes\n' >&2
    exit 1
  fi
  read -r -p "Install these ${#missing[@]} packages with apt-get? [y/N] " answer
  case $answer in y | Y | yes) ;; *) printf 'packages: nothing installed\n' >&2; exit 1 ;; esac
fi

# nginx's package would start a web server on port 80 of this machine. The package manager asks
# policy-rc.d before it starts a service; an answer of 101 means no. An existing one is left alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ] && [[ " ${missing[*]} " == *" nginx "* ]]; then
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod 755 $policy
  trap 'rm -f $policy' EXIT
  no_service=1
fi

export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -y --no-install-recommends "${missing[@]}"; }
# The list of packages may be old or empty: fetch it only when the first try needs it.
install || { apt-get update && install; } || {
  printf 'packages: apt-get could not install all of: %s\n' "${missing[*]}" >&2
  exit 1
}
if [ -n "${no_service:-}" ] && command -v systemctl >/dev/null; then
  systemctl disable --quiet nginx 2>/dev/null
fi
exit 0
