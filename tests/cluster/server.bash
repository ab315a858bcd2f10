# Starts and ends a real Kubernetes API server on loopback: etcd and kube-apiserver, nothing else (no
# controllers: EndpointSlices are written by the tests, namespaces stay). To be sourced.
#
#   start_server FOLDER   everything of it lies there; afterwards:
#     $server_url, $server_version, $kubeconfig (of an administrator), kube ARGUMENTS... (kubectl as that)
#   stop_server
#   restart_apiserver [compact] [FLAGS...]   the kube-apiserver on the same port, with FLAGS beside its own; with
#                     "compact", etcd has forgotten every version from before meanwhile
#   audit_log         the file in which it says what ServiceAccounts of the namespace millrace have asked for
#   load_server FOLDER   in another shell: knows the server that was started there
#   kubeconfig_for NAME TOKEN   prints a kubeconfig file's name for somebody else

server_folder=

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start_etcd() { # arguments go to etcd
  "$assets/etcd" --name test --data-dir "$server_folder/etcd" --listen-client-urls "$etcd_url" \
    --advertise-client-urls "$etcd_url" --listen-peer-urls "$peer_url" --initial-advertise-peer-urls "$peer_url" \
    --initial-cluster "test=$peer_url" --unsafe-no-fsync --logger zap --log-level error "$@" \
    >"$server_folder/etcd.log" 2>&1 &
  etcd_pid=$!
  disown "$etcd_pid" # the shell has nothing to say when it is killed
}

start_apiserver() { # arguments go to kube-apiserver
  "$assets/kube-apiserver" --etcd-servers "$etcd_url" --secure-port "$server_port" --bind-address 127.0.0.1 \
    --advertise-address 127.0.0.1 --cert-dir "$server_folder/certificates" --service-cluster-ip-range 10.96.0.0/16 \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$server_folder/sa.pub" \
    --service-account-signing-key-file "$server_folder/sa.key" --api-audiences https://kubernetes.default.svc \
    --authorization-mode RBAC --token-auth-file "$server_folder/tokens.csv" --disable-admission-plugins ServiceAccount \
    --endpoint-reconciler-type none --event-ttl 1h --v 1 "${apiserver_flags[@]}" "$@" \
    >>"$server_folder/kube-apiserver.log" 2>&1 &
  apiserver_pid=$!
  disown "$apiserver_pid"
}

wait_until_ready() { # SECONDS
  local end=$((SECONDS + $1))
  until kube get --raw /readyz >/dev/null 2>&1; do
    kill -0 "$apiserver_pid" 2>/dev/null || { tail -n 20 "$server_folder/kube-apiserver.log" >&2; return 1; }
    [ $SECONDS -lt $end ] || { tail -n 20 "$server_folder/kube-apiserver.log" >&2; return 1; }
    sleep 0.2
  done
}

kubeconfig_for() { # NAME TOKEN
  local file=$server_folder/$1.kubeconfig
  cat >"$file" <<CONFIG
apiVersion: v1
kind: Config
clusters:
- name: test
  cluster: {server: "$server_url", certificate-authority: certificates/apiserver.crt}
users:
- name: $1
  user: {token: "$2"}
contexts:
- name: test
  context: {cluster: test, user: $1}
current-context: test
CONFIG
  printf '%s\n' "$file"
}

kube() { "$assets/kubectl" --kubeconfig "$kubeconfig" --cache-dir "$server_folder/cache" "$@"; }

start_server() { # FOLDER
  assets=$(tests/cluster/binaries) || return 77
  server_folder=$(cd "$1" && pwd)
  audit_log=$server_folder/audit.log
  cat >"$server_folder/audit-policy.yaml" <<'POLICY'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, userGroups: ["system:serviceaccounts:millrace"]}
- {level: None}
POLICY
  apiserver_flags=(--audit-policy-file "$server_folder/audit-policy.yaml" --audit-log-path "$audit_log")
  etcd_url=http://127.0.0.1:$(free_port)
  peer_url=http://127.0.0.1:$(free_port)
  server_port=$(free_port)
  server_url=https://127.0.0.1:$server_port
  local token
  token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  printf '%s,admin,admin,system:masters\n' "$token" >"$server_folder/tokens.csv"
  openssl genrsa -out "$server_folder/sa.key" 2048 2>/dev/null &&
    openssl rsa -in "$server_folder/sa.key" -pubout -out "$server_folder/sa.pub" 2>/dev/null || return 1
  kubeconfig=$(kubeconfig_for admin "$token")
  start_etcd
  start_apiserver
  wait_until_ready 90 || return 1
  server_version=$(kube version -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["serverVersion"]["gitVersion"])')
  save_server
}

save_server() {
  declare -p assets server_folder audit_log etcd_url peer_url server_port server_url server_version kubeconfig etcd_pid \
    apiserver_pid apiserver_flags >"$server_folder/control"
}

load_server() { # FOLDER; declare -p speaks of local variables inside a function
  . <(sed 's/^declare -[-a-z]* //' "$1/control")
}

etcd_compact() {
  local revision
  # A write behind everything that was read, so that what was read is older than what is kept.
  kube -n default create configmap "forget-$RANDOM$RANDOM" >/dev/null || return 1
  revision=$(curl -sf "$etcd_url/v3/kv/range" -d '{"key":"AA==","limit":1}' |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["header"]["revision"])') || return 1
  curl -sf "$etcd_url/v3/kv/compaction" -d "{\"revision\":\"$revision\",\"physical\":true}" >/dev/null
}

restart_apiserver() {
  if [ "${1:-}" = compact ]; then etcd_compact || return 1; shift; fi
  kill -9 "$apiserver_pid" # asked to stop, it waits a minute for watches to end
  while kill -0 "$apiserver_pid" 2>/dev/null; do sleep 0.05; done
  start_apiserver "$@"
  save_server
  wait_until_ready 60
}

stop_server() {
  local pid
  [ -f "$server_folder/control" ] && load_server "$server_folder"
  for pid in "$apiserver_pid" "$etcd_pid"; do
    kill -9 "$pid" 2>/dev/null
    while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
  done
}
