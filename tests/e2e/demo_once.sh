#!/bin/bash
# The newcomer's command, deploy/demo.sh --once: every row ok, exit 0.
. "$(dirname "$0")/lab_test.bash"
why=$(lab_unable)
[ -z "$why" ] || skip "$why"
[ ! -f "$lab_root/demo/owner" ] || ! lab_alive "$lab_root/demo/owner" ||
  skip 'a demo is up on this machine, and there is room for one'
MILLRACE_BUILD=$lab_build "$lab_top/deploy/demo.sh" --once --yes --no-build
