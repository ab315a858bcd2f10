# What every test of whole programs against a cluster begins with. To be sourced by tests/cluster/NAME.sh.
# The API server is the one that tests/cluster/run has started; a lab of tests/e2e is the network, with
# real nginx backends and the data plane in its node.

set -u
. "$(dirname "${BASH_SOURCE[0]}")/../e2e/lab_test.bash"
. "$lab_top/tests/cluster/server.bash"
cd "$lab_top" || exit 1
[ -n "${MILLRACE_TEST_SERVER:-}" ] || skip 'run it by tests/cluster/run, which starts an API server'
load_server "$MILLRACE_TEST_SERVER"

# Namespaces and everything else of earlier tests is removed: no controller does that here.
cluster_clean() {
  local name_space
  kube delete ingress,service,endpointslice,lease,event.v1.events.k8s.io,rolebinding,role \
    --all --all-namespaces --wait=false >/dev/null 2>&1
  kube -n shop delete secret --all >/dev/null 2>&1
  kube delete ingressclass,node,clusterrole,clusterrolebinding -l '!kubernetes.io/bootstrapping' --wait=false >/dev/null 2>&1
  for name_space in shop home apps millrace; do
    kube create namespace "$name_space" --dry-run=client -o yaml | kube apply -f - >/dev/null || fail "namespace $name_space"
  done
}

# cluster_account [FILE] [ACCOUNT]: $account is the kubeconfig of the ServiceAccount that FILE of
# deploy/manifests/ingress makes, with its rights and no others.
cluster_account() {
  local file=${1:-rbac.yaml} name=${2:-millrace-controlplane}
  kube apply -f "$lab_top/deploy/manifests/ingress/namespace.yaml" >/dev/null || fail 'namespace.yaml is refused'
  kube apply -f "$lab_top/deploy/manifests/ingress/$file" >/dev/null || fail "$file is refused"
  account=$(kubeconfig_for "$name-$test_name" "$(kube create token -n millrace "$name" --duration 1h)") || fail 'no token'
}

# cluster_controlplane LABEL ARGUMENTS...: on the machine's own network, where the API server is.
cluster_controlplane() {
  local label=$1
  shift
  setsid "$lab_build/controlplane/millrace-controlplane" --kubeconfig "$account" \
    --socket "${socket:-$lab_dir/dataplane.sock}" "$@" </dev/null >>"$lab_dir/$label.log" 2>&1 &
  local pid=$!
  disown "$pid"
  printf '%s %s\n' "$pid" "$(lab_start_time "$pid")" >"$lab_dir/$label.pid"
}

# A lab whose data plane runs, a cluster with the demo's objects.
cluster_lab() {
  test_lab
  cluster_clean
  cluster_account
  kube apply -f "$manifests" >"$lab_dir/apply.log" 2>&1 || { cat "$lab_dir/apply.log"; fail 'the demo is refused'; }
  lab_start_dataplane
}

# Every row of the demo's table.
cluster_check_demo() {
  local host path answer wrong=0 rows=0
  while read -r host path answer; do
    case $host in '#'* | '') continue ;; esac
    rows=$((rows + 1))
    lab_gets "$host" "$path" "$answer" || { printf '%s%s: %s instead of %s\n' "$host" "$path" "$(lab_get "$host" "$path")" "$answer"; wrong=$((wrong + 1)); }
  done <"$lab_top/deploy/demo/requests"
  [ $wrong = 0 ] && [ $rows -gt 10 ]
}
