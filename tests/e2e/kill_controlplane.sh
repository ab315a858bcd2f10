#!/bin/bash
# The control plane is killed with -9 every 200 ms under load: traffic does not notice.
. "$(dirname "$0")/lab_test.bash"
test_lab

# A route that is edited meanwhile: publishing is in every state when the kill comes.
edit() { # SERVICE PORT
  cat >"$lab_dir/edit" <<YAML
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: edited, namespace: home}
spec:
  ingressClassName: millrace
  rules:
    - host: edited.example
      http:
        paths:
          - {path: /, pathType: Prefix, backend: {service: {name: $1, port: {number: 80}}}}
YAML
  mv "$lab_dir/edit" "$manifests/edited.yaml"
}
edit wiki
test_millrace
lab_until 5 lab_gets edited.example / wiki-1 || fail 'the first table is not there'

load_start --connections 32 --rate 3000 --rows "$lab_top/deploy/demo/requests" \
  --row 'edited.example / wiki-1,landing-2'
seconds=${MILLRACE_LONG:+300}
end=$(($(milliseconds) + 1000 * ${seconds:-30}))
kills=0
while [ "$(milliseconds)" -lt "$end" ]; do
  [ $((kills % 2)) = 0 ] && edit landing || edit wiki
  sleep 0.2
  lab_signal controlplane KILL || fail "the control plane had ended by itself before kill $kills"
  kills=$((kills + 1))
  lab_start_controlplane "$manifests"
done

# It comes back and publishes.
began=$(milliseconds)
edit landing
lab_until 5 lab_gets edited.example / landing-2 || fail 'no answer by the new table after the last start'
edit wiki
lab_until 5 lab_gets edited.example / wiki-1 || fail 'no answer by the new table'
published_ms=$(($(milliseconds) - began))
load_stop

printf 'kills=%s published_ms=%s %s\n' "$kills" "$published_ms" "$load_line"
[ "$kills" -ge 50 ] && [ "$(load_figure requests)" -gt 1000 ] && [ "$(load_figure failed)" = 0 ] &&
  [ "$(load_figure wrong_backend)" = 0 ] || fail 'requests failed or strayed, or too few kills'
