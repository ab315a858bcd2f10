#!/bin/bash
# Broken manifests and snapshots: one clear message each, everything else goes on being served.
. "$(dirname "$0")/lab_test.bash"
test_lab
test_millrace

ingress() { # NAME HOST PATH TYPE SERVICE PORT
  cat <<YAML
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: $1, namespace: shop, creationTimestamp: "2026-01-02T03:04:05Z"}
spec:
  ingressClassName: millrace
  rules:
    - host: $2
      http:
        paths:
          - {path: $3, pathType: $4, backend: {service: {name: $5, port: {$6}}}}
YAML
}

# The rows that were right before must be right after each mistake.
others_work() {
  local host path expected
  while read -r host path expected; do
    case $host in '' | '#'*) continue ;; esac
    lab_gets "$host" "$path" "$expected" || {
      lab_say "after $1: $host$path is not answered by $expected"
      return 1
    }
  done <"$lab_top/deploy/demo/requests"
}

said() { grep -c -E "$1" "$lab_dir/controlplane.log"; }

has_said() { [ "$(said "$1")" != 0 ]; }

cases=0 wrong=0
# mistake NAME PATTERN...: the file was just written; the log must now have exactly one line with
# each pattern in it, and the other rows must hold.
mistake() {
  local name=$1 pattern
  shift
  cases=$((cases + 1))
  for pattern; do
    lab_until 5 has_said "$pattern"
    [ "$(said "$pattern")" = 1 ] || {
      lab_say "$name: $(said "$pattern") lines in the log match: $pattern"
      wrong=$((wrong + 1))
    }
  done
  others_work "$name" || wrong=$((wrong + 1))
}
expect() { # HOST PATH ANSWER WHY
  lab_until 5 lab_gets "$1" "$2" "$3" && return
  lab_say "$4: $1$2 should be answered by $3, was $(lab_get "$1" "$2")"
  wrong=$((wrong + 1))
}

# Broken YAML in the second document: the file and the line are named; the first document counts.
{ ingress good good.example / Prefix catalog 'number: 80'; printf -- '---\nkind: [Ingress\nspec: }\n'; } \
  >"$manifests/broken.yaml"
mistake 'broken YAML' 'broken\.yaml:1[0-9]'

ingress sorted sorted.example / Sorted catalog 'number: 80' >"$manifests/sorted.yaml"
mistake 'unknown pathType' 'sorted\.yaml:[0-9]+.*Ingress shop/sorted.*Sorted'

ingress orphan orphan.example / Prefix nowhere 'number: 80' >"$manifests/orphan.yaml"
mistake 'missing Service' 'orphan\.yaml:[0-9]+.*Ingress shop/orphan.*nowhere'
expect orphan.example / 503 'a rule whose Service is missing'

ingress portless portless.example / Prefix catalog 'name: gopher' >"$manifests/portless.yaml"
mistake 'missing port' 'portless\.yaml:[0-9]+.*Ingress shop/portless.*gopher'
expect portless.example / 503 'a rule whose port is missing'

# The older Ingress keeps what a younger one claims as well; the younger one's other path works.
ingress older claimed.example /x Prefix catalog 'number: 80' |
  sed 's/2026-01-02/2025-01-02/' >"$manifests/older.yaml"
expect claimed.example /x catalog-1,catalog-2 'the older Ingress'
{ ingress younger claimed.example /x Prefix checkout 'name: web'
  printf '          - {path: /y, pathType: Prefix, backend: {service: {name: checkout, port: {name: web}}}}\n'
} >"$manifests/younger.yaml"
expect claimed.example /y checkout-1 "the younger Ingress's other path"
mistake 'claimed path' 'younger\.yaml:[0-9]+.*Ingress shop/younger.*shop/older'
expect claimed.example /x catalog-1,catalog-2 'the older Ingress, after the claim'

# A file that breaks while it is served: what it held before is kept.
expect sorted.example / 404 'the refused path'
printf 'kind: {Ingress\n' >"$manifests/older.yaml"
mistake 'a served file breaks' 'older\.yaml:[0-9]+'
expect claimed.example /x catalog-1,catalog-2 'the file that broke while it was served'

# Snapshots with one wrong byte, hashes mended or not: each is refused and the old table stays.
flips=$("$lab_build/tests/support/snapshot_flip" --socket "$lab_dir/dataplane.sock") || {
  lab_say "snapshot_flip: ${flips:-ended}"
  wrong=$((wrong + 1))
}
others_work 'snapshots with a wrong byte' || wrong=$((wrong + 1))
# The way for right ones is still open.
ingress last last.example / Prefix catalog 'number: 80' >"$manifests/last.yaml"
expect last.example / catalog-1,catalog-2 'a manifest after all this'

printf 'manifests=%s wrong=%s snapshots: %s\n' "$cases" "$wrong" "$flips"
[ $wrong = 0 ] || fail 'a mistake was not answered as it should be'
