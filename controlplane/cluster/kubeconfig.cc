#include "controlplane/cluster/kubeconfig.h"

#include <yaml-cpp/yaml.h>

#include <utility>

#include "controlplane/cluster/credential_file.h"
#include "controlplane/cluster/kubeconfig.pb.h"
#include "controlplane/k8s/object.h"
#include "controlplane/manifests/yaml_message.h"

namespace millrace::cluster {

namespace {

// A file named in a kubeconfig is relative to the kubeconfig.
std::string beside(const std::string& kubeconfig, const std::string& path) {
  if (path.empty() || path[0] == '/') return path;
  const size_t slash = kubeconfig.rfind('/');
  return slash == std::string::npos ? path : kubeconfig.substr(0, slash + 1) + path;
}

template <typename Entries>
auto find_named(const Entries& entries, const std::string& name) -> decltype(&*entries.begin()) {
  for (const auto& entry : entries) {
    if (entry.name() == name) return &entry;
  }
  return nullptr;
}

Result<Kubeconfig> parse_kubeconfig(const std::string& path) {
  auto text = read_credential(path);
  if (!text) return Error{text.error()};
  Kubeconfig config;
  try {
    const YAML::Node root = YAML::Load(*text);
    manifests::ValueBudget budget;
    manifests::FieldError error;
    if (!manifests::read_message(root, &config, &budget, &error)) {
      return Error{k8s::printable(path) + ':' + std::to_string(error.line) + ": " +
                   (error.field.empty() ? "" : error.field + ": ") + error.sentence};
    }
  } catch (const YAML::Exception& error) {
    return Error{k8s::printable(path) + ':' + std::to_string(error.mark.line + 1) + ": " +
                 k8s::printable(error.msg)};
  }
  return config;
}

std::string without_slash(std::string server) {
  while (!server.empty() && server.back() == '/') server.pop_back();
  return server;
}

}  // namespace

Result<HttpIdentity> read_kubeconfig(const std::string& path, const std::string& context) {
  const Result<Kubeconfig> read = parse_kubeconfig(path);
  if (!read) return Error{read.error()};
  const Kubeconfig& config = *read;
  const auto wrong = [&](const std::string& sentence) {
    return Error{k8s::printable(path) + ": " + sentence};
  };
  const std::string& wanted = context.empty() ? config.current_context() : context;
  if (wanted.empty()) return wrong("has no current-context, and no other one was asked for");
  const NamedContext* named = find_named(config.contexts(), wanted);
  if (named == nullptr) return wrong("has no context " + k8s::quote(wanted));
  const NamedCluster* cluster = find_named(config.clusters(), named->context().cluster());
  if (cluster == nullptr) {
    return wrong("context " + k8s::quote(wanted) + " names the cluster " +
                 k8s::quote(named->context().cluster()) + ", which is not there");
  }
  const NamedUser* user = find_named(config.users(), named->context().user());
  if (user == nullptr && !named->context().user().empty()) {
    return wrong("context " + k8s::quote(wanted) + " names the user " +
                 k8s::quote(named->context().user()) + ", which is not there");
  }

  HttpIdentity identity;
  identity.server = without_slash(cluster->cluster().server());
  if (!identity.server.starts_with("https://") && !identity.server.starts_with("http://")) {
    return wrong("the server " + k8s::quote(identity.server) + " of cluster " +
                 k8s::quote(cluster->name()) + " is no http or https URL");
  }
  identity.tls_server_name = cluster->cluster().tls_server_name();
  identity.insecure_skip_tls_verify = cluster->cluster().insecure_skip_tls_verify();
  const UserEntry nobody;
  const UserEntry& who = user == nullptr ? nobody : user->user();
  if (who.has_exec()) {
    return wrong("user " + k8s::quote(user->name()) + " is authenticated by the command " +
                 k8s::quote(who.exec().command()) +
                 ", and commands are not run; give a token, a tokenFile or a certificate");
  }
  identity.user_name = who.username();
  identity.password = who.password();
  identity.bearer_token = who.token();
  const struct {
    const std::string& data;
    const std::string& file;
    std::string HttpIdentity::*into;
    const char* name;
  } parts[] = {
      {cluster->cluster().certificate_authority_data(), cluster->cluster().certificate_authority(),
       &HttpIdentity::ca_pem, "certificate-authority-data"},
      {who.client_certificate_data(), who.client_certificate(),
       &HttpIdentity::client_certificate_pem, "client-certificate-data"},
      {who.client_key_data(), who.client_key(), &HttpIdentity::client_key_pem, "client-key-data"}};
  for (const auto& part : parts) {
    if (!part.data.empty()) {
      if (!decode_base64(part.data, &(identity.*part.into))) {
        return wrong(std::string(part.name) + " is not base64");
      }
    } else if (!part.file.empty()) {
      auto bytes = read_credential(beside(path, part.file));
      if (!bytes) return Error{bytes.error()};
      identity.*part.into = std::move(*bytes);
    }
  }
  if (identity.client_certificate_pem.empty() != identity.client_key_pem.empty()) {
    return wrong("user " + k8s::quote(user->name()) +
                 " has one of client-certificate and client-key without the other");
  }
  // client-go: the file counts before what stands in the kubeconfig.
  if (!who.token_file().empty()) {
    auto token = read_token(beside(path, who.token_file()));
    if (!token) return Error{token.error()};
    identity.bearer_token = std::move(*token);
  }
  return identity;
}

}  // namespace millrace::cluster
