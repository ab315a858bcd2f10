#!/bin/bash
# Installs what is missing, builds, and runs every test through ctest, in suites that each have a
# time budget: packages and build 30 minutes, unit and simulation 10, end to end 5.5, cluster 7, fuzzing 1.5,
# performance 2, the rest 2. Over budget is a failure. The API server that the cluster's tests run against is built
# once a machine, which no budget counts. What cannot run here is skipped by name, with its reason.
#
#   tests/run.sh               everything
#   tests/run.sh --long        longer runs as well, the second compiler, ThreadSanitizer; no budgets
#   tests/run.sh --suite NAME  only this suite (unit_and_simulation, end_to_end, cluster, fuzzing, performance, rest), label
#                              (unit, sim, net, e2e, cluster, tidy, fuzz, vm, perf) or test; may be repeated
#   tests/run.sh --no-install  packages are taken as they are
#
# Three builds, each of only what is run from it: release (the programs, and every test of whole
# programs), asan (unit tests and simulation) and fuzz. All end in one ctest run; its summary is the
# last thing printed. What each test said is in build/tests/NAME.out.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
out=$top/build/tests
long='' install=1 suites=()
while [ $# -gt 0 ]; do
  case $1 in
    --long) long=--long ;;
    --suite) suites+=(--suite "${2:?--suite needs a name}"); shift ;;
    --no-install) install= ;;
    *) sed -n '2,17s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done
cd "$top" || exit 1
rm -rf "$out"
mkdir -p "$out"
# A checkout in another folder compiles to the same: ccache may take what an earlier one made.
export CCACHE_BASEDIR=$top CCACHE_NOHASHDIR=1
began=$EPOCHREALTIME

say() { printf '\n== %s\n' "$*"; }
give_up() { printf 'tests/run.sh: %s\n' "$*" >&2; exit 1; }

say 'packages'
if [ -n "$install" ] && [ "$(id -u)" = 0 ]; then
  deploy/packages.sh --install --yes || give_up 'packages are missing'
else
  deploy/packages.sh --check || printf 'going on without them\n'
fi

wants() { # LABEL: does the chosen part have tests with this label?
  local suite
  [ ${#suites[@]} = 0 ] && return 0
  for suite in "${suites[@]}"; do
    case $suite in
      --suite) ;;
      unit_and_simulation) [[ $1 = unit || $1 = sim ]] && return 0 ;;
      end_to_end) [ "$1" = e2e ] && return 0 ;;
      fuzzing) [ "$1" = fuzz ] && return 0 ;;
      performance) [ "$1" = perf ] && return 0 ;;
      cluster) [ "$1" = cluster ] && return 0 ;;
      rest) [[ $1 = net || $1 = tidy || $1 = vm ]] && return 0 ;;
      unit | sim | net | e2e | tidy | fuzz | vm | perf) [ "$1" = "$suite" ] && return 0 ;;
      *) return 0 ;; # a test by its name: it may have any label
    esac
  done
  return 1
}

plan=()
build() { # PRESET LABEL...
  local preset=$1 label labels=()
  shift
  for label; do wants "$label" && labels+=("$label"); done
  [ ${#labels[@]} -gt 0 ] || return 0
  say "build: $preset, for ${labels[*]}"
  cmake --preset "$preset" >"$out/configure-$preset.log" 2>&1 || {
    tail -n 20 "$out/configure-$preset.log"
    give_up "configuring $preset failed"
  }
  ninja -C "build/$preset" "${labels[@]/#/suite_}" || give_up "building $preset failed"
  plan+=("$top/build/$preset=$(IFS=,; printf '%s' "${labels[*]}")")
}

build release net e2e cluster tidy vm perf
build asan unit sim
build fuzz fuzz
if [ -n "$long" ] && [ ${#suites[@]} = 0 ]; then
  for preset in clang tsan; do
    say "build: $preset, all of it"
    cmake --preset $preset >"$out/configure-$preset.log" 2>&1 && ninja -C build/$preset ||
      give_up "building $preset failed"
  done
fi
ln -sfn build/release/compile_commands.json compile_commands.json
printf '%s %s build\n' "${began/,/.}" "${EPOCHREALTIME/,/.}" >"$out/packages_and_build.times"
if wants cluster; then
  say 'the API server of tests/cluster'
  tests/cluster/binaries --which || printf 'going on without it\n'
fi

say 'tests'
tests/runner/plan.py "$out" $long "${suites[@]}" "${plan[@]}" || give_up 'no plan, no tests'
[ -z "$long" ] || export MILLRACE_LONG=1
ctest --test-dir "$out" --parallel 2 --output-on-failure --timeout 1500 |
  tests/runner/show "$out"
exit "${PIPESTATUS[0]}"
