#!/bin/bash
# kubectl's objects are routed to real backends, under exactly the rights of deploy/manifests; changes follow.
set -u
. "$(dirname "$0")/cluster_lab.bash"
cluster_lab
cluster_controlplane controlplane
lab_until 10 lab_answered_or_dead wiki.apps.example / wiki-1
cluster_check_demo || fail 'rows of the demo are wrong'
grep -E ' (error|warning) watching' "$lab_dir/controlplane.log" && fail 'the rights do not suffice'

# A route, an endpoint and a Service by kubectl's usual verbs, each answered right soon after.
kube -n home create ingress late --class=millrace --rule='late.example/*=landing:80' >/dev/null || fail 'create'
lab_until 5 lab_gets late.example / landing-2 || fail 'the new Ingress is not served'
kube -n home patch ingress late --type=json \
  -p '[{"op":"replace","path":"/spec/rules/0/http/paths/0/backend/service/name","value":"wiki"}]' >/dev/null || fail 'patch'
lab_until 5 lab_gets late.example / wiki-1 || fail 'the changed backend is not served'
slice=$(kube -n home get endpointslice -l kubernetes.io/service-name=wiki -o name | head -n 1)
kube -n home patch "$slice" --type=json \
  -p '[{"op":"replace","path":"/endpoints/0/conditions","value":{"ready":false}}]' >/dev/null || fail 'slice'
lab_until 5 lab_gets late.example / 503 || fail 'an endpoint that is not ready is asked'
kube -n home delete ingress late --wait=false >/dev/null
lab_until 5 lab_gets late.example / 404 || fail 'the removed Ingress is served'

# Rights: each request that is made is allowed, and what must not be is not.
as=system:serviceaccount:millrace:millrace-controlplane
for denied in 'list secrets' 'get secrets -n shop' 'watch secrets -n shop' 'create pods -n millrace' 'update ingresses -n shop' \
  'delete ingresses -n shop' 'patch services -n shop' 'delete leases -n millrace' 'list configmaps' 'create events.v1. -n shop' \
  'update leases -n kube-system' 'get pods --subresource=exec' 'escalate clusterroles'; do
  # shellcheck disable=SC2086  # words
  [ "$(kube auth can-i --as "$as" $denied 2>/dev/null)" = no ] || fail "may $denied"
done
printf 'rows of the demo right, four changes followed, 13 rights denied\n'
