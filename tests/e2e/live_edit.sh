#!/bin/bash
# Routes, endpoints and whole files change again and again under load: no request fails or strays.
. "$(dirname "$0")/lab_test.bash"
test_lab

# Four services that never change, and one (moving) whose endpoint does.
service() { lab_service live "$@"; }                      # NAME ADDRESS PORT
ingress() { lab_ingress live "$1" "$1.live.example" / "$2"; } # NAME SERVICE
tags=(catalog-1 catalog-2 landing-2 whoami-pod)
addresses=(10.20.0.11 10.20.0.12 10.20.0.12 10.244.0.10)
ports=(8081 8081 8084 8080)
for i in 0 1 2 3; do service "s$i" "${addresses[i]}" "${ports[i]}"; done >"$manifests/live-services.yaml"
service moving "${addresses[0]}" "${ports[0]}" >"$manifests/live-moving.yaml"
ingress routed s0 >"$manifests/live-routed.yaml"
ingress moved moving >"$manifests/live-moved.yaml"
ingress present s3 >"$manifests/live-present.yaml"
test_millrace
lab_until 5 lab_gets present.live.example / whoami-pod || fail 'the first table is not there'

load_start --connections 32 --rate 3000 --row 'routed.live.example / catalog-1' \
  --row 'moved.live.example / catalog-1' --row 'present.live.example / whoami-pod' \
  --row 'shop.example /checkout checkout-1' --row 'other.example / 404'

# change HOST NEW COMMAND...: old and new answers are right until the new one has been seen.
declare -A now=([routed]=catalog-1 [moved]=catalog-1 [present]=whoami-pod)
edits=0 slowest_ms=0
change() {
  local host=$1 new=$2 began took
  shift 2
  load_expect "$host.live.example" / "${now[$host]},$new"
  began=$(milliseconds)
  "$@"
  lab_until 5 lab_gets "$host.live.example" / "$new" ||
    fail "edit $edits: $host.live.example is not answered by $new after 5 s"
  took=$(($(milliseconds) - began))
  [ "$took" -le "$slowest_ms" ] || slowest_ms=$took
  load_expect "$host.live.example" / "$new"
  now[$host]=$new
  edits=$((edits + 1))
}
# Two ways in which files are written: beside it and renamed, or over the old one.
renamed() { "${@:2}" >"$lab_dir/edit" && mv "$lab_dir/edit" "$manifests/$1"; }
in_place() { "${@:2}" >"$manifests/$1"; }

seconds=${MILLRACE_LONG:+300}
end=$(($(milliseconds) + 1000 * ${seconds:-20}))
while [ "$(milliseconds)" -lt "$end" ]; do
  i=$(((edits / 4 + 1) % 4))
  how=renamed
  [ $((edits / 4 % 2)) = 0 ] || how=in_place
  change routed "${tags[i]}" $how live-routed.yaml ingress routed "s$i"
  change moved "${tags[i]}" $how live-moving.yaml service moving "${addresses[i]}" "${ports[i]}"
  change present 404 rm "$manifests/live-present.yaml"
  change present "${tags[i]}" $how live-present.yaml ingress present "s$i"
done
load_stop

printf 'edits=%s slowest_edit_ms=%s %s\n' "$edits" "$slowest_ms" "$load_line"
[ "$edits" -ge 20 ] && [ "$(load_figure requests)" -gt 1000 ] && [ "$(load_figure failed)" = 0 ] &&
  [ "$(load_figure wrong_backend)" = 0 ] || fail 'requests failed, strayed, or too few edits'
