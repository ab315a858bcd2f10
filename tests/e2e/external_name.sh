#!/bin/bash
# A Service of type ExternalName: its name moves to another machine under load, and outlives its DNS.
. "$(dirname "$0")/lab_test.bash"
command -v python3 >/dev/null || skip 'needs python3 (deploy/packages.sh)'
test_lab

# A name and, behind it, a backend of the demo. Millrace asks a DNS server of the node's own.
names=$lab_dir/names
dns=127.0.0.1:5353
name_is() { printf 'box.home.example 1 %s\n' "$*" >"$names.new" && mv "$names.new" "$names"; } # ADDRESS...
start_dns() { lab_start dns node python3 "$e2e/dns_server.py" "${dns%:*}" "${dns#*:}" "$names"; }
{
  printf -- '---\napiVersion: v1\nkind: Service\nmetadata: {name: box, namespace: home}\n'
  printf 'spec: {type: ExternalName, externalName: box.home.example, ports: [{port: 8081}]}\n'
  lab_ingress home box box.example / box | sed 's/number: 80}/number: 8081}/'
} >"$manifests/box.yaml"
name_is 10.20.0.11
start_dns
test_millrace
lab_until 5 lab_gets box.example / 503 || fail 'without the option it should not be served'
grep -q 'box:8081: the Service is of type ExternalName, which is not served' "$lab_dir/controlplane.log" ||
  fail 'the log does not say why it is not served'

restart() {
  lab_stop controlplane
  lab_start_controlplane "$manifests" "$@"
}
restart --external-names --dns-server "$dns"
lab_until 5 lab_gets box.example / catalog-1 || fail "box.example is not answered by catalog-1, is $(lab_get box.example /)"

# The name moves: nothing is lost, and the version says what it was made for.
load_start --connections 16 --rate 1000 --row 'box.example / catalog-1' --row 'home.example /wiki wiki-1'
load_expect box.example / catalog-1,catalog-2
moved=$(milliseconds)
name_is 10.20.0.12
lab_until 10 lab_gets box.example / catalog-2 || fail 'the name has moved, and requests have not'
moved=$(($(milliseconds) - moved))
"$lab_build/cli/millrace" --run "$lab_dir" history >"$lab_dir/history.txt" || fail 'no history is told'
grep -q 'EndpointSlice home/box/external-name' "$lab_dir/history.txt" || fail "the history does not name the slice: $(cat "$lab_dir/history.txt")"

# DNS says that there is no such name, then nothing at all: the last address stays, and it is said.
: >"$names"
lab_until 10 grep -q 'Service home/box: externalName "box.home.example": there is no such name; the last' \
  "$lab_dir/controlplane.log" || fail 'nobody says that the name is gone'
lab_stop dns
sleep 3
lab_gets box.example / catalog-2 || fail 'the last address was not kept'
load_stop
[ "$(load_figure requests)" -gt 1000 ] && [ "$(load_figure failed)" = 0 ] &&
  [ "$(load_figure wrong_backend)" = 0 ] || fail "requests failed or strayed: $load_line"

# A start with DNS waits for it: no request meets a table without the address.
name_is 10.20.0.12
start_dns
load_start --connections 4 --rate 500 --row 'box.example / catalog-2'
restart --external-names --dns-server "$dns"
sleep 3
load_stop
[ "$(load_figure failed)" = 0 ] && [ "$(load_figure wrong_backend)" = 0 ] || fail "a restart cost requests: $load_line"

# What leads into the node itself is refused.
name_is 127.0.0.1
lab_until 10 lab_gets box.example / 503 || fail 'a loopback address is served'
printf 'moved_ms=%s %s\n' "$moved" "$load_line"
