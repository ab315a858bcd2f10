#!/bin/bash
# TLS Secrets where Ingresses name them: what is wrong with a certificate is an Event, and its expiry a metric; no
# Secret is read that no Ingress names, and no key reaches log, history, API or Events.
set -u
. "$(dirname "$0")/cluster_lab.bash"
cluster_lab
kube apply -f "$lab_top/deploy/manifests/ingress/secrets-of-a-namespace.yaml" >/dev/null || fail 'refused'
notes_of() { kube -n shop get events.v1.events.k8s.io -o json | python3 -c "import json, sys; [print(e['reason'], e['type'], e['note']) for e in json.load(sys.stdin)['items'] if e['regarding']['name'] == '$1']"; }
says() { notes_of "$1" | grep -q "$2"; }
says_status() { "$lab_build/cli/millrace" --run "$lab_dir" status -o json | grep -q "$1"; }
status_is_without() { ! says_status "$1"; }
certificate() { # NAME HOSTS: $lab_dir/NAME.crt and .key
  openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=x -addext "subjectAltName=$2" \
    -keyout "$lab_dir/$1.key" -out "$lab_dir/$1.crt" 2>/dev/null || fail 'openssl'
}
put_secret() { # NAME CERTIFICATE KEY
  kube -n shop create secret tls "$1" --cert "$lab_dir/$2.crt" --key "$lab_dir/$3.key" --dry-run=client -o yaml | kube apply -f - >/dev/null 2>&1
}
certificate right DNS:shop.example,DNS:*.shop.example
certificate wrong DNS:elsewhere.example
put_secret unnamed right right

cluster_controlplane controlplane --tls-secrets --metrics-address 127.0.0.1:19117
lab_until 10 lab_answered_or_dead wiki.apps.example / wiki-1
kube -n shop patch ingress shop --type=merge \
  -p '{"spec":{"tls":[{"hosts":["shop.example","www.shop.example"],"secretName":"shop-tls"}]}}' >/dev/null
lab_until 15 says shop 'CertificateMissing Warning spec.tls.0..secretName: there is no Secret shop/shop-tls' || fail "$(notes_of shop)"
says shop 'TLSNotTerminated Normal spec.tls: TLS is not terminated here' || fail "$(notes_of shop)"

put_secret shop-tls wrong wrong
lab_until 15 says shop 'CertificateInvalid Warning .* does not cover the hosts "shop.example", "www.shop.example"' || fail "$(notes_of shop)"
put_secret shop-tls right right
lab_until 15 status_is_without Certificate || fail 'a good certificate is complained about'
ends=$(date -d "$(openssl x509 -noout -enddate -in "$lab_dir/right.crt" | cut -d= -f2)" +%s)
told=$(curl -s http://127.0.0.1:19117/metrics | grep '^millrace_certificate_expiry_seconds{')
[ "$told" = "millrace_certificate_expiry_seconds{namespace=\"shop\",name=\"shop-tls\"} $ends" ] || fail "the metrics say '$told', not $ends"

# One that may not be read, of another name than the Role has.
kube -n shop create ingress other --class=millrace --rule='other.example/*=catalog:80,tls=unnamed' >/dev/null
lab_until 15 says other 'CertificateMissing Warning .* cannot be looked at: HTTP 403' || fail "$(notes_of other)"
lab_gets other.example / catalog-1,catalog-2 || fail 'its routes are not served'
kube -n shop delete ingress other --wait=false >/dev/null
lab_until 15 status_is_without Certificate || fail 'what is not named any more is complained about'

# Nowhere a piece of a key, neither as the file has it nor as the Secret has it, whose base64 is of the whole file.
line=$(sed -n 5p "$lab_dir/right.key")
[ ${#line} -ge 60 ] || fail 'no line of a key to look for'
piece=$(base64 -w 0 "$lab_dir/right.key" | cut -c 401-460)
kube -n shop get secret shop-tls -o yaml | grep -qF -e "$piece" || fail 'what is looked for is not in the Secret'
grep -qF -e "$line" "$lab_dir/right.key" || fail 'what is looked for is not in the key'
"$lab_build/cli/millrace" --run "$lab_dir" status -o json >"$lab_dir/status.json"
"$lab_build/cli/millrace" --run "$lab_dir" history -o json >"$lab_dir/history.json"
kube get events.v1.events.k8s.io -A -o yaml >"$lab_dir/events.yaml"
curl -s http://127.0.0.1:19117/metrics >"$lab_dir/metrics.txt"
for told in status.json history.json events.yaml metrics.txt; do
  [ -s "$lab_dir/$told" ] || fail "$told is empty"
done
grep -rlF -e "$line" -e "$piece" "$lab_dir" --exclude='*.key' && fail 'a key was told'
grep -c 'Secret' "$lab_dir/history.json" | grep -qx 0 || fail 'a Secret is a cause in the history'
printf 'certificates missing, wrong, right, and not to be read\n'
