// Where the API server is and who we are there: from a kubeconfig file or from what the kubelet
// mounts into a pod. Everything that lies in a file of its own (token, certificates, key) is looked
// at again before it is used, so that a rotation needs no restart.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "controlplane/cluster/http_client.h"

namespace millrace::cluster {

constexpr size_t credential_bytes_max = 1 << 20;  // of one file
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

  // Reads again what has changed on disk, at most every credential_look_interval. Error: a file
  // cannot be read now; what it held before goes on to count.
  Status refresh(Instant now);
  // The next refresh() looks whatever the time: the server refused us.
  void look_at_once() { looked_ = Instant(); }

  const HttpIdentity& identity() const { return identity_; }
  const std::string& source() const { return source_; }  // for the log: the file, or "the pod"
  // The files that are looked at, for messages.
  size_t file_count() const { return files_.size(); }

 private:
  struct File {
    std::string HttpIdentity::*into = nullptr;
    bool is_token = false;  // white space around it is not part of it
    std::string bytes;
  };

  Status add_file(const std::string& path, std::string HttpIdentity::*into, bool is_token);
  Status read_all();

  HttpIdentity identity_;
  std::string source_;
  std::multimap<std::string, File> files_;  // by path
  Instant looked_;
};

// RFC 4648 4, with padding; white space is skipped. False when it is something else.
bool decode_base64(std::string_view text, std::string* bytes);

}  // namespace millrace::cluster
