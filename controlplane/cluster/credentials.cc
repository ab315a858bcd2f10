#include "controlplane/cluster/credentials.h"

#include <utility>

#include "controlplane/cluster/credential_file.h"
#include "controlplane/cluster/kubeconfig.h"
#include "controlplane/k8s/object.h"

namespace millrace::cluster {

Result<Credentials> Credentials::from(std::string source, Read read) {
  auto identity = read();
  if (!identity) return Error{identity.error()};
  Credentials credentials;
  credentials.identity_ = std::move(*identity);
  credentials.source_ = std::move(source);
  credentials.read_ = std::move(read);
  return credentials;
}

Result<Credentials> Credentials::from_kubeconfig(const std::string& path,
                                                 const std::string& context) {
  return from(path, [path, context] { return read_kubeconfig(path, context); });
}

Result<Credentials> Credentials::in_cluster(std::string_view host, std::string_view port,
                                            const std::string& folder) {
  if (host.empty() || port.empty()) {
    return Error{
        "not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not both set"};
  }
  const bool is_ipv6 = host.find(':') != std::string_view::npos;
  const std::string server = "https://" +
                             (is_ipv6 ? '[' + std::string(host) + ']' : std::string(host)) + ':' +
                             std::string(port);
  return from("the pod's service account", [server, folder]() -> Result<HttpIdentity> {
    HttpIdentity identity;
    identity.server = server;
    auto token = read_token(folder + "/token");
    if (!token) return Error{token.error()};
    auto ca = read_credential(folder + "/ca.crt");
    if (!ca) return Error{ca.error()};
    identity.bearer_token = std::move(*token);
    identity.ca_pem = std::move(*ca);
    return identity;
  });
}

// All or none: a certificate and its key are two files, and are of use only together.
::millrace::Status Credentials::refresh(Instant now) {
  const bool is_first = looked_ == Instant();
  if (!is_first && now - looked_ < credential_look_interval) return last_look_;
  looked_ = now;
  auto identity = read_();
  if (!identity) {
    last_look_ = Error{identity.error() + "; what it held before goes on to count"};
  } else if (identity->server != identity_.server) {
    // What we know of one server's objects is not true of another's.
    last_look_ = Error{k8s::printable(source_) + ": names another server now, " +
                       k8s::quote(identity->server) + "; it is followed after a restart"};
  } else {
    identity_ = std::move(*identity);
    last_look_ = Ok{};
  }
  return last_look_;
}

}  // namespace millrace::cluster
