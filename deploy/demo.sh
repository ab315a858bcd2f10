#!/bin/bash
# Millrace on one machine, from nothing: installs what is missing from Debian's packages (asks
# first, or --yes), builds, makes a small network of namespaces, starts real nginx servers behind
# Millrace, asks them through it with curl and prints who answered.
#
#   deploy/demo.sh          stays up until Ctrl-C and says what to try
#   deploy/demo.sh --once   ends by itself; exit 0 only if every row is right
#   --yes                   installs packages without asking
#   --no-build              takes the programs as they are (MILLRACE_BUILD, default build/release)
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/deploy/demo/lab.sh"

once='' yes='' build=1
for argument; do
  case $argument in
    --once) once=1 ;;
    --yes) yes=--yes ;;
    --no-build) build= ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done

steps=5
step() { printf '[%s/%s] %s\n' "$1" "$steps" "$2"; }
give_up() { printf 'demo: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || { printf 'demo: needs root, for network namespaces and XDP\n' >&2; exit 2; }

step 1 'packages'
"$top/deploy/packages.sh" --install $yes --for build,run || give_up 'cannot go on without them'

step 2 "build (into ${lab_build#"$top/"}; the first time takes some minutes)"
if [ -n "$build" ]; then
  { [ -f "$lab_build/build.ninja" ] || cmake -S "$top" --preset release -B "$lab_build" >/dev/null; } &&
    ninja -C "$lab_build" millrace-dataplane millrace-controlplane || give_up 'the build failed'
fi

step 3 'network and nginx backends'
why=$(lab_unable)
[ -z "$why" ] || { printf 'demo: %s\n' "$why" >&2; exit 2; }
trap lab_close EXIT
trap 'exit 130' INT TERM HUP
lab_open demo || exit 2
lab_network || give_up 'the network could not be made'
lab_backends || exit 1

manifests=$top/deploy/demo/manifests
step 4 "millrace-dataplane and millrace-controlplane, on ${manifests#"$top/"}/"
lab_start_millrace "$manifests" wiki.apps.example / wiki-1 || exit 1

step 5 'requests, each through Millrace'
printf '\n  %-38s %-24s %-14s\n' 'request' 'expected' 'answer'
rows=0 wrong=0
while read -r host path expected; do
  case $host in '' | '#'*) continue ;; esac
  answer=$(lab_get "$host" "$path")
  rows=$((rows + 1))
  verdict=ok
  [[ ",$expected," == *",$answer,"* ]] || { verdict=WRONG; wrong=$((wrong + 1)); }
  printf '  %-38s %-24s %-14s %s\n' "http://$host$path" "${expected//,/ or }" "$answer" "$verdict"
done <"$top/deploy/demo/requests"
printf '\n%s of %s rows ok\n' $((rows - wrong)) "$rows"
[ "$wrong" = 0 ] || lab_explain 'not every answer was right'

if [ -n "$once" ]; then
  [ "$wrong" = 0 ]
  exit
fi

cat <<TEXT

It stays up until you press Ctrl-C. In another terminal, as root:

  a request by hand
    nsenter --net=/run/netns/millrace-demo-client curl -i -H 'Host: shop.example' http://$lab_vip/catalog

  a route change, live: in ${manifests#"$top/"}/shop.yaml change the service of /catalog from
  \`catalog\` to \`checkout\` (its port to {name: web}), save, and ask again.

  what the two processes say
    tail -f $lab_dir/dataplane.log $lab_dir/controlplane.log

  what they count
    ${lab_build#"$top/"}/dataplane/millrace-dataplane --stats $lab_dir/stats

  kill one and ask again: kill -9 $(lab_pid controlplane)   (control plane)
TEXT

while lab_running dataplane; do sleep 0.5; done
lab_explain 'the data plane ended'
exit 1
