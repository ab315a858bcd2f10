// Where the API server is and who we are there: from a kubeconfig file or from what the kubelet
// mounts into a pod. All of it (token, certificates, key, the kubeconfig itself) is looked at again
// before it is used, so that a rotation needs no restart.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "controlplane/cluster/http_client.h"

namespace millrace::cluster {

// The kubelet replaces a token when a fifth of its life is left, so a look this often is enough.
constexpr Duration credential_look_interval = Duration::seconds(10);
constexpr char service_account_folder[] = "/var/run/secrets/kubernetes.io/serviceaccount";

class Credentials {
 public:
  // `context`: empty for the file's current-context. Error: file, line and what is wrong.
  static Result<Credentials> from_kubeconfig(const std::string& path, const std::string& context);
  // Of the pod we run in: KUBERNETES_SERVICE_HOST and _PORT as given here, and the files of its
  // service account.
  static Result<Credentials> in_cluster(std::string_view host, std::string_view port,
                                        const std::string& folder = service_account_folder);

  // Reads everything again, at most every credential_look_interval. Error, until a later look
  // succeeds: it cannot be read now; what it held before goes on to count.
  ::millrace::Status refresh(Instant now);
  // The next refresh() looks whatever the time: the server refused us.
  void look_at_once() { looked_ = Instant(); }

  const HttpIdentity& identity() const { return identity_; }
  const std::string& source() const { return source_; }  // for the log: the file, or "the pod"

 private:
  using Read = std::function<Result<HttpIdentity>()>;
  static Result<Credentials> from(std::string source, Read read);

  Read read_;
  HttpIdentity identity_;
  std::string source_;
  Instant looked_;
  ::millrace::Status last_look_ = Ok{};
};

}  // namespace millrace::cluster
