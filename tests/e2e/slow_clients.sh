#!/bin/bash
# Slow clients against Millrace and against nginx in front of the same servers, on the same machine: what they do to
# the p99 of others. Each attack is made against each; the p99 alone is measured in front of each attack.
#
# SLOW_CONNECTIONS: of each attack (2000). SLOW_ROUNDS: how often all of it (2).
. "$(dirname "$0")/lab_test.bash"
connections=${SLOW_CONNECTIONS:-2000}
rounds=${SLOW_ROUNDS:-2}
for program in node slowhttptest nginx; do
  command -v $program >/dev/null || skip "needs $program (Debian: nodejs, slowhttptest, nginx-light)"
done
test_lab
{
  lab_service real bodies 10.20.0.11 9097
  lab_ingress real bodies real.example / bodies
} >"$manifests/real.yaml"
# slowhttptest names the address and nothing else.
cat >>"$manifests/real.yaml" <<YAML
    - http:
        paths:
          - {path: /hash, pathType: Prefix, backend: {service: {name: bodies, port: {number: 80}}}}
          - {path: /bytes, pathType: Prefix, backend: {service: {name: bodies, port: {number: 80}}}}
YAML
lab_start bodies backend1 node "$lab_top/tests/support/body_server.js" 10.20.0.11 9097
test_millrace

# nginx in the node's kernel: one worker as Millrace has one, kept connections, and room for all who come.
mkdir -p "$lab_dir/peer"
cat >"$lab_dir/peer/nginx.conf" <<CONFIGURATION
user root;
daemon off;
pid $lab_dir/peer/pid;
worker_processes 1;
worker_rlimit_nofile 65536;
events { worker_connections 16384; }
http {
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path $lab_dir/peer/body;
  proxy_temp_path $lab_dir/peer/proxy;
  fastcgi_temp_path $lab_dir/peer/fastcgi;
  uwsgi_temp_path $lab_dir/peer/uwsgi;
  scgi_temp_path $lab_dir/peer/scgi;
  upstream wiki { server 10.20.0.11:8083; keepalive 64; }
  upstream bodies { server 10.20.0.11:9097; keepalive 64; }
  server {
    listen $lab_node:8090 backlog=4096;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host \$host;
    location /wiki { proxy_pass http://wiki; }
    location / { proxy_pass http://bodies; }
  }
}
CONFIGURATION
lab_start peer node nginx -p "$lab_dir/peer" -e "$lab_dir/peer/error.log" -c "$lab_dir/peer/nginx.conf"
lab_until 10 lab_answers client "http://$lab_node:8090/wiki" -H 'Host: home.example' || fail 'nginx does not answer'

p99() { p99_of_others "$@" || echo failed; }
# attack NAME ADDRESS ATTACK
attack() {
  local quiet during later=''
  p99 "$2" 2 >/dev/null
  quiet=$(p99 "$2" 6)
  slow_attack "$3" "$2" "$connections"
  sleep 1
  during=$(p99 "$2" 6)
  while kill -0 "$attacker" 2>/dev/null; do later+=${later:+,}$(p99 "$2" 2); done
  wait "$attacker"
  [ -n "$later" ] || fail "slowhttptest $3 had ended within seven seconds: $(tail -n 3 "$lab_dir/slow")"
  [[ $1 != millrace || $quiet,$during,$later != *failed* ]] || lost=yes
  printf '%s %s: alone=%s p99_us=%s then=%s\n' "${3%% *}" "$1" "$quiet" "$during" "$later"
}
lost=no
for ((round = 0; round < rounds; ++round)); do
  for options in "${slow_attacks[@]}"; do
    attack millrace "$lab_vip:80" "$options"
    attack nginx "$lab_node:8090" "$options"
  done
done
[ $lost = no ] || fail 'requests of others to Millrace failed'
