#include "controlplane/cluster/credentials.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include <yaml-cpp/yaml.h>

#include "base/unique_fd.h"
#include "controlplane/cluster/kubeconfig.pb.h"
#include "controlplane/k8s/object.h"
#include "controlplane/manifests/yaml_message.h"

namespace millrace::cluster {

namespace {

Result<std::string> read_file(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return Error{k8s::printable(path) + ": " + std::strerror(errno)};
  std::string bytes;
  char buffer[16 << 10];
  while (true) {
    const ssize_t count = read(fd.get(), buffer, sizeof buffer);
    if (count < 0) return Error{k8s::printable(path) + ": " + std::strerror(errno)};
    if (count == 0) return bytes;
    bytes.append(buffer, static_cast<size_t>(count));
    if (bytes.size() > credential_bytes_max) {
      return Error{k8s::printable(path) + ": is longer than 1 MiB"};
    }
  }
}

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::optional<uint8_t> base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return static_cast<uint8_t>(c - 'A');
  if (c >= 'a' && c <= 'z') return static_cast<uint8_t>(c - 'a' + 26);
  if (c >= '0' && c <= '9') return static_cast<uint8_t>(c - '0' + 52);
  if (c == '+') return uint8_t{62};
  if (c == '/') return uint8_t{63};
  return std::nullopt;
}

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

Result<Kubeconfig> read_kubeconfig(const std::string& path) {
  auto text = read_file(path);
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

bool decode_base64(std::string_view text, std::string* bytes) {
  bytes->clear();
  uint32_t bits = 0;
  int count = 0;
  int padding = 0;
  for (char c : text) {
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
    if (c == '=') {
      ++padding;
      continue;
    }
    const auto value = base64_value(c);
    if (!value || padding > 0) return false;
    bits = bits << 6 | *value;
    if (++count < 4) continue;
    for (int shift = 16; shift >= 0; shift -= 8) *bytes += static_cast<char>(bits >> shift & 0xff);
    bits = 0;
    count = 0;
  }
  if (count == 0) return padding == 0;
  if (count == 1 || count + padding != 4) return false;
  bits <<= 6 * (4 - count);
  for (int i = 0; i < count - 1; ++i) *bytes += static_cast<char>(bits >> (16 - 8 * i) & 0xff);
  return true;
}

Result<Credentials> Credentials::from_kubeconfig(const std::string& path,
                                                 const std::string& context) {
  const Result<Kubeconfig> read = read_kubeconfig(path);
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

  Credentials credentials;
  credentials.source_ = path;
  HttpIdentity& identity = credentials.identity_;
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
      const Status added = credentials.add_file(beside(path, part.file), part.into, false);
      if (!added) return Error{added.error()};
    }
  }
  // client-go: the file counts before what stands in the kubeconfig.
  if (!who.token_file().empty()) {
    const Status added =
        credentials.add_file(beside(path, who.token_file()), &HttpIdentity::bearer_token, true);
    if (!added) return Error{added.error()};
  }
  return credentials;
}

Result<Credentials> Credentials::in_cluster(std::string_view host, std::string_view port,
                                            const std::string& folder) {
  if (host.empty() || port.empty()) {
    return Error{
        "not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not both set"};
  }
  Credentials credentials;
  credentials.source_ = "the pod's service account";
  const bool is_ipv6 = host.find(':') != std::string_view::npos;
  credentials.identity_.server = "https://" +
                                 (is_ipv6 ? '[' + std::string(host) + ']' : std::string(host)) +
                                 ':' + std::string(port);
  for (const Status& added :
       {credentials.add_file(folder + "/token", &HttpIdentity::bearer_token, true),
        credentials.add_file(folder + "/ca.crt", &HttpIdentity::ca_pem, false)}) {
    if (!added) return Error{added.error()};
  }
  return credentials;
}

Status Credentials::add_file(const std::string& path, std::string HttpIdentity::*into,
                             bool is_token) {
  File file{into, is_token, {}};
  auto bytes = read_file(path);
  if (!bytes) return Error{bytes.error()};
  file.bytes = std::move(*bytes);
  identity_.*into = is_token ? trimmed(file.bytes) : file.bytes;
  files_.emplace(path, std::move(file));
  return Ok{};
}

Status Credentials::refresh(Instant now) {
  const bool is_first = looked_ == Instant();
  if (files_.empty() || (!is_first && now - looked_ < credential_look_interval)) return Ok{};
  looked_ = now;
  return read_all();
}

// All or none: a certificate and its key are two files, and are of use only together.
Status Credentials::read_all() {
  std::multimap<std::string, File> fresh;
  for (const auto& [path, file] : files_) {
    auto bytes = read_file(path);
    if (!bytes) return Error{bytes.error() + "; what it held before goes on to count"};
    if (bytes->empty()) {
      return Error{k8s::printable(path) + ": is empty; what it held before goes on to count"};
    }
    fresh.emplace(path, File{file.into, file.is_token, std::move(*bytes)});
  }
  files_ = std::move(fresh);
  for (const auto& [path, file] : files_) {
    identity_.*file.into = file.is_token ? trimmed(file.bytes) : file.bytes;
  }
  return Ok{};
}

}  // namespace millrace::cluster
