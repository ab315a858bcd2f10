#!/bin/bash
# C11: each of the manifests of deploy/manifests/ingress gives what its control plane asks for and nothing else:
# the API server's audit log holds no refusal, and each right was used. Two installations stand beside one another.
set -u
. "$(dirname "$0")/cluster_lab.bash"
status_of() { kube -n "$1" get ingress "$2" -o jsonpath='{.status.loadBalancer.ingress[*].ip}'; }
has_status() { [ "$(status_of "$1" "$2")" = "$3" ]; }
has_event() { kube -n "$1" get events.v1.events.k8s.io -o jsonpath='{.items[*].regarding.name}' | grep -qw "$2"; }
is_led_by_someone() { [ -n "$(kube -n millrace get lease "$1" -o jsonpath='{.spec.holderIdentity}' 2>/dev/null)" ]; }

# rights_used ACCOUNT FILE...: what the account was allowed and what it has used, by the API server's audit log.
rights_used() {
  python3 - "$audit_log" "$audit_begin" "$@" <<'PYTHON'
import json, sys, time
log, begin, account, *files = sys.argv[1:]
time.sleep(1)  # the log is written behind the answer
given = set()
for file in files:
    for line in open(file):
        line = line.strip()
        words = line.partition("[")[2].rpartition("]")[0].replace('"', "").split(", ")
        if line.startswith("- apiGroups:"): group = words[0]
        elif line.startswith("resources:"): resources = words
        elif line.startswith("verbs:"): given |= {(group, one, verb) for one in resources for verb in words}
used, refused = set(), set()
lines = open(log)
lines.seek(int(begin))
for line in lines:
    event = json.loads(line)
    if event["user"]["username"] != "system:serviceaccount:millrace:" + account: continue
    where = event.get("objectRef")
    if where is None: continue
    what = (where.get("apiGroup", ""), where["resource"] + ("/" + where["subresource"] if "subresource" in where else ""), event["verb"])
    used.add(what)
    if event.get("responseStatus", {}).get("code", 0) == 403: refused.add((where.get("namespace", ""),) + what)
for name, rights in ("refused", refused), ("given and not used", given - used), ("used and not given", used - given):
    for right in sorted(rights): print(account, name, *right)
sys.exit(bool(refused or given != used or not given))
PYTHON
}

rights_dir=$lab_top/deploy/manifests/ingress
audit_begin=$(stat -c %s "$audit_log")
cluster_lab
whole=$account
cluster_account rbac-of-a-namespace.yaml millrace-controlplane-shop
of_shop=$account

# start_both PHASE: one for the whole cluster, with everything that needs rights of its own, one for a namespace.
start_both() {
  account=$whole cluster_controlplane "whole-$1" --status-from-nodes --policy "$lab_dir/policy.yaml" --tls-secrets
  mkdir -p "$lab_dir/shop-$1"
  account=$of_shop socket=$lab_dir/shop-$1/none.sock cluster_controlplane "shop-$1" --watch-namespace shop \
    --lease-name millrace-controlplane-shop --status-address 192.0.2.8 --ingress-class only-shop --controller-name example.test/only-shop
}
for file in rbac-of-nodes rbac-of-namespace-labels secrets-of-a-namespace; do
  kube apply -f "$rights_dir/$file.yaml" >/dev/null || fail "$file.yaml is refused"
done
cat >"$lab_dir/policy.yaml" <<'POLICY'
mode: enforce
owners:
- {name: marked, hosts: ["marked.example"], namespaceSelector: {matchLabels: {tier: marked}}}
POLICY
kube label namespace home tier=marked --overwrite >/dev/null
kube create -f - >/dev/null <<'NODE' || fail 'no Node'
{apiVersion: v1, kind: Node, metadata: {name: one}}
NODE
kube patch node one --subresource=status --type=merge \
  -p '{"status":{"conditions":[{"type":"Ready","status":"True"}],"addresses":[{"type":"InternalIP","address":"192.0.2.7"}]}}' >/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=x \
  -addext subjectAltName=DNS:shop.example -keyout "$lab_dir/key" -out "$lab_dir/crt" 2>/dev/null
kube -n shop create secret tls shop-tls --cert "$lab_dir/crt" --key "$lab_dir/key" >/dev/null || fail 'no Secret'
kube -n shop patch ingress shop --type=merge -p '{"spec":{"tls":[{"hosts":["shop.example"],"secretName":"shop-tls"}]}}' >/dev/null
kube -n home create ingress marked --class=millrace --rule='marked.example/*=landing:80' >/dev/null
kube -n shop create ingress thief --class=millrace --rule='marked.example/*=catalog:80' >/dev/null
kube -n shop create ingress own --class=only-shop --rule='own.example/*=nowhere:80' >/dev/null

start_both first
lab_until 20 has_status home marked 192.0.2.7 || fail 'no status by nodes'
lab_until 20 has_status shop own 192.0.2.8 || fail 'no status by the control plane of a namespace'
for row in 'shop thief' 'shop own'; do
  # shellcheck disable=SC2086
  lab_until 20 has_event $row || fail "no Event of Ingress $row"
done
cluster_check_demo || fail 'rows of the demo are wrong'
lab_gets marked.example / landing-1,landing-2 || lab_gets marked.example / landing-2 || fail 'the owner by labels is not served'
[ "$(status_of shop thief)" = '' ] || fail 'a host that is refused has a status'
for lease in millrace-controlplane millrace-controlplane-shop; do
  lab_until 10 is_led_by_someone $lease || fail "nobody holds $lease"
done
sleep 12 # both renew their Leases
lab_stop whole-first
lab_stop shop-first

# A server that cannot list at the head of a watch: now lists are asked for.
restart_apiserver --feature-gates=WatchList=false || fail 'the API server does not start anew'
start_both second
lab_until 20 is_led_by_someone millrace-controlplane-shop || fail 'nobody leads behind the restart'
lab_until 20 is_led_by_someone millrace-controlplane || fail 'nobody leads behind the restart'
cluster_check_demo || fail 'rows of the demo are wrong behind lists'
lab_stop whole-second
lab_stop shop-second

grep -hE ' (error|warning) (watching|cannot write)' "$lab_dir"/{whole,shop}-*.log | grep -v 'Failed to connect\|Could not' && fail 'the rights do not suffice'
rights_used millrace-controlplane "$rights_dir"/{rbac,rbac-of-nodes,rbac-of-namespace-labels,secrets-of-a-namespace}.yaml || fail 'rights'
rights_used millrace-controlplane-shop "$rights_dir/rbac-of-a-namespace.yaml" || fail 'rights of a namespace'
restart_apiserver || fail 'the API server does not start anew'
printf 'two control planes beside one another, each right used, none missing\n'
