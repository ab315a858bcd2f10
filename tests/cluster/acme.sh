#!/bin/bash
# The HTTP-01 contract of cert-manager: a solver's Ingress for the app's own host answers while the app's is up.
set -u
. "$(dirname "$0")/cluster_lab.bash"
cluster_lab
lab_stop nginx-pod
lab_backend pod 10.244.0.10 8080=whoami-pod 8089=token.key-authorization
cluster_controlplane controlplane
lab_until 10 lab_gets shop.example /catalog catalog-1,catalog-2 || fail 'the app is not served'
kube -n shop create ingress app --class=millrace --rule='acme.example/*=catalog:80' >/dev/null
lab_until 5 lab_gets acme.example / catalog-1,catalog-2 || fail 'the app is not served'

# solver NAME PATHTYPE CLASS-LINES: as cert-manager makes it (kubernetes.md 1.2).
solver() {
  kube -n shop apply -f - >/dev/null <<YAML || fail "the solver $1 is refused"
apiVersion: v1
kind: Service
metadata:
  name: cm-acme-http-solver-$1
  labels: {acme.cert-manager.io/http-domain: "112233", acme.cert-manager.io/http-token: "445566", acme.cert-manager.io/http01-solver: "true"}
  annotations: {auth.istio.io/8089: NONE}
spec:
  type: NodePort
  ports: [{name: http, port: 8089, targetPort: 8089, protocol: TCP}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: cm-acme-http-solver-$1-x, labels: {kubernetes.io/service-name: cm-acme-http-solver-$1}}
addressType: IPv4
ports: [{name: http, port: 8089, protocol: TCP}]
endpoints: [{addresses: [10.244.0.10], conditions: {ready: true}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: cm-acme-http-solver-$1
  labels: {acme.cert-manager.io/http-domain: "112233", acme.cert-manager.io/http-token: "445566", acme.cert-manager.io/http01-solver: "true"}
  annotations:
    nginx.ingress.kubernetes.io/whitelist-source-range: 0.0.0.0/0,::/0
    ${3:-millrace.dev/nothing: here}
spec:
  ${4:-}
  rules:
  - host: acme.example
    http:
      paths:
      - {path: /.well-known/acme-challenge/token-$1, pathType: $2, backend: {service: {name: cm-acme-http-solver-$1, port: {number: 8089}}}}
YAML
}

solver exact Exact '' 'ingressClassName: millrace'
solver annotation ImplementationSpecific 'kubernetes.io/ingress.class: millrace'
for name in exact annotation; do
  lab_until 5 lab_gets acme.example "/.well-known/acme-challenge/token-$name" token.key-authorization ||
    fail "the solver $name does not answer"
done
lab_gets acme.example / catalog-1,catalog-2 || fail 'the app does not answer beside its solvers'
lab_gets acme.example /.well-known/acme-challenge/other catalog-1,catalog-2 || fail 'other challenges are not the app'"'"'s'
for kind in ingress service endpointslice; do
  kube -n shop delete $kind --wait=false -l acme.cert-manager.io/http01-solver=true >/dev/null
done
lab_until 5 lab_gets acme.example /.well-known/acme-challenge/token-exact catalog-1,catalog-2 || fail 'the solver does not go'
printf 'two solvers answered beside the app, and went\n'
