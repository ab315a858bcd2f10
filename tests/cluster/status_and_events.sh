#!/bin/bash
# Status and Events are written by the one that holds the Lease, each once; C13: another takes over after kill -9.
set -u
. "$(dirname "$0")/cluster_lab.bash"
cluster_lab
status_of() { kube -n "$1" get ingress "$2" -o jsonpath='{.status.loadBalancer.ingress[*].ip}'; }
has_status() { [ "$(status_of "$1" "$2")" = "$3" ]; }
holder() { kube -n millrace get lease millrace-controlplane -o jsonpath='{.spec.holderIdentity}' 2>/dev/null; }
event_count() { kube -n "$1" get events.v1.events.k8s.io -o json | python3 -c "import json, sys; print(sum(e['regarding']['name'] == '$2' and e['reason'] == '$3' for e in json.load(sys.stdin)['items']))"; }
has_event() { [ "$(event_count "$@")" -ge 1 ]; }

cluster_controlplane controlplane --status-address 192.0.2.7
lab_until 20 has_status shop shop 192.0.2.7 || fail "status is '$(status_of shop shop)'"
first=$(holder)
[ -n "$first" ] || fail 'nobody holds the Lease'

# A second Ingress for the same host and path is shadowed, one's Service is missing, one's has no endpoints.
kube -n home create ingress thief --class=millrace --rule='shop.example/catalog*=landing:80' >/dev/null
kube -n home create ingress broken --class=millrace --rule='broken.example/*=nowhere:80' >/dev/null
for row in 'home thief Shadowed' 'home broken BackendMissing' 'shop shop EndpointsMissing'; do
  # shellcheck disable=SC2086
  set -- $row
  lab_until 15 has_event "$@"
  [ "$(event_count "$@")" = 1 ] || fail "Ingress $1/$2 has $(event_count "$@") Events $3 instead of one"
done
has_status home thief '' || fail 'a shadowed Ingress has a status'

# Somebody else overwrites the status: it is written again. An Ingress that is given to another class loses it.
kube -n shop patch ingress shop --subresource=status --type=merge -p '{"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.1"}]}}}' >/dev/null
lab_until 10 has_status shop shop 192.0.2.7 || fail 'an overwritten status stays'
kube -n home create ingress leaving --class=millrace --rule='leaving.example/*=landing:80' >/dev/null
lab_until 10 has_status home leaving 192.0.2.7 || fail 'no status for a new Ingress'
kube -n home patch ingress leaving --type=merge -p '{"spec":{"ingressClassName":"another"}}' >/dev/null
lab_until 10 has_status home leaving '' || fail 'the status of an Ingress of another class stays'

# A second control plane, for another data plane that is not there: it waits, and takes over when the first is killed.
mkdir -p "$lab_dir/second" # its history is its own
socket=$lab_dir/second/none.sock cluster_controlplane second --status-address 192.0.2.7
sleep 3
[ "$(holder)" = "$first" ] || fail 'the Lease changed hands beside a living holder'
lab_signal controlplane KILL
kube -n home create ingress orphan --class=millrace --rule='orphan.example/*=landing:80' >/dev/null
lab_gets shop.example /catalog catalog-1,catalog-2 || fail 'the data plane depends on the leader'
lab_until 30 has_status home orphan 192.0.2.7 || fail 'nobody takes over'
second=$(holder)
[ "$second" != "$first" ] || fail 'the killed one still holds the Lease'
[ "$(event_count home thief Shadowed)" = 1 ] || fail 'the new leader says again what was said'

# An orderly end gives the Lease back at once.
lab_stop second
[ -z "$(holder)" ] || fail "the Lease is still held by $(holder)"
printf 'status, three Events once each, take-over after kill -9, release at an orderly end\n'
