#include "controlplane/model/ingress_reading.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/check.h"
#include "controlplane/model/host.h"
#include "controlplane/model/limits.h"
#include "controlplane/model/path.h"
#include "controlplane/model/policy.h"

namespace millrace::model {

namespace {

using k8s::Severity;

std::string where_of_rule(uint32_t index) {
  return "spec.rules[" + std::to_string(index) + "]";
}

// What is wrong with the names in a backend; they are good when there is no error.
Status check_backend(const k8s::IngressBackend& backend) {
  if (backend.has_resource()) {
    return Error{backend.has_service()
                     ? std::string("names both a service and a resource")
                     : "resource backends are not supported (" +
                           k8s::quote(backend.resource().kind() + '/' + backend.resource().name()) +
                           ")"};
  }
  if (!backend.has_service()) return Error{"names no service"};
  const auto& service = backend.service();
  if (!k8s::is_dns_subdomain(service.name())) {
    return Error{service.name().empty()
                     ? std::string("service.name is missing")
                     : "service.name " + k8s::quote(service.name()) + " is no name of a Service"};
  }
  const auto& port = service.port();
  const bool has_number = port.number() != 0;
  if (has_number == !port.name().empty()) {
    return Error{has_number ? "service.port has both a name and a number"
                            : "service.port has neither a name nor a number"};
  }
  if (has_number && (port.number() < 1 || port.number() > 65535)) {
    return Error{"service.port.number " + std::to_string(port.number()) + " is no port"};
  }
  // A name holds a letter (RFC 6335), so names and numbers never meet.
  if (!has_number &&
      (!k8s::is_dns_subdomain(port.name()) || port.name().size() > port_name_bytes_max ||
       parse_decimal(port.name(), UINT64_MAX))) {
    return Error{"service.port.name " + k8s::quote(port.name()) + " is no name of a port"};
  }
  return Ok{};
}

class Reader {
 public:
  Reader(const k8s::Object& object, const k8s::Ingress& ingress, const ModelBounds& bounds,
         const NamespaceView& name_space, const Grant& grant)
      : object_(object),
        ingress_(ingress),
        bounds_(bounds),
        view_(name_space),
        quota_(name_space.policy.quota_of(object.key.name_space)),
        grant_(grant) {}

  IngressReading read() {
    if (!ingress_.metadata().annotations().empty()) {
      k8s::ProblemList policy_problems;
      policy_ = parse_policy(object_, ingress_, &policy_problems);
      reading_.problems = policy_problems.take();
    }
    const auto& spec = ingress_.spec();
    read_certificates();
    if (spec.rules_size() == 0) {
      if (spec.has_default_backend()) {
        if (may_claim("", [] { return std::string("spec.defaultBackend"); })) add_default(no_index);
      } else {
        report(Severity::error, "has neither rules nor a defaultBackend; it routes nothing");
      }
      return std::move(reading_);
    }
    reserve_paths();
    for (int i = 0; i < spec.rules_size(); ++i) {
      if (static_cast<size_t>(i) == ingress_rules_max) {
        report(Severity::error, "has more than " + std::to_string(ingress_rules_max) +
                                    " rules; those from spec.rules[" + std::to_string(i) +
                                    "] on are left out");
        break;
      }
      add_rule(static_cast<uint32_t>(i));
    }
    sort_hosts();
    if (spec.has_default_backend()) {
      for (uint32_t host = 0; host < reading_.hosts.size(); ++host) add_default(host);
    }
    return std::move(reading_);
  }

 private:
  // Routes point to where their paths are kept, so that place does not grow under them.
  void reserve_paths() {
    size_t bytes = 0;
    size_t paths = 0;
    const int rules = std::min(ingress_.spec().rules_size(), static_cast<int>(ingress_rules_max));
    for (int i = 0; i < rules; ++i) {
      for (const k8s::HTTPIngressPath& path : ingress_.spec().rules(i).value().http().paths()) {
        if (++paths > ingress_paths_max) break;
        // What is longer is refused; "/" stands where nothing is written.
        const size_t length = path.path().size();
        if (length <= path_bytes_max) bytes += std::max(length, size_t{1});
      }
    }
    reading_.paths.reserve(bytes);
  }

  std::string_view keep_path(std::string_view path) {
    std::vector<char>& kept = reading_.paths;
    CHECK(path.size() <= kept.capacity() - kept.size());
    kept.insert(kept.end(), path.begin(), path.end());
    return {kept.data() + kept.size() - path.size(), path.size()};
  }

  void add_rule(uint32_t index) {
    const k8s::IngressRule& rule = ingress_.spec().rules(static_cast<int>(index));
    Result<std::string> name = parse_host(rule.host());
    if (!name) {
      return report(Severity::error, where_of_rule(index) + ".host: " + k8s::quote(rule.host()) +
                                         ' ' + name.error() +
                                         "; this rule is left out, the others stay");
    }
    if (*name != rule.host()) {
      report(Severity::note, where_of_rule(index) + ".host: " + k8s::quote(rule.host()) +
                                 " is matched as " + k8s::quote(*name));
    }
    if (!may_claim(*name, [&] { return where_of_rule(index); }) || !has_host_left(*name, index))
      return;
    const uint32_t host = host_index(std::move(*name));
    const auto& paths = rule.value().http().paths();
    if (paths.empty() && rule.value().has_http()) {
      report(Severity::warning, where_of_rule(index) + ".http has no paths; the requests of " +
                                    host_text(reading_.hosts[host]) + " go to the default backend");
    }
    if (reading_.routes.empty()) {
      reading_.routes.reserve(std::min(static_cast<size_t>(paths.size()), ingress_paths_max));
    }
    for (int i = 0; i < paths.size(); ++i) {
      if (paths_ == ingress_paths_max) {
        report(Severity::error,
               "has more than " + std::to_string(ingress_paths_max) + " paths; those from " +
                   place_in_ingress(index, static_cast<uint32_t>(i)) + " on are left out");
      }
      if (++paths_ > ingress_paths_max) break;
      add_path(paths[i], host, index, static_cast<uint32_t>(i));
    }
  }

  void add_path(const k8s::HTTPIngressPath& path, uint32_t host, uint32_t rule_index,
                uint32_t path_index) {
    const auto where = [&] { return place_in_ingress(rule_index, path_index); };
    const auto type = parse_path_type(path.path_type());
    if (!type) {
      return report(Severity::error,
                    where() + ".pathType: " +
                        (path.path_type().empty() ? std::string("is missing")
                                                  : k8s::quote(path.path_type()) + " is unknown") +
                        " (Exact, Prefix or ImplementationSpecific); path " +
                        k8s::quote(path.path()) + " of " + host_text(reading_.hosts[host]) +
                        " is left out, the others stay");
    }
    const bool is_default = path.path().empty() && *type == PathType::implementation_specific;
    const std::string_view text = is_default ? std::string_view("/") : path.path();
    const Status checked = check_path(text, *type);
    if (!checked) {
      return report(Severity::error, where() + ".path: " + k8s::quote(text) + " of " +
                                         host_text(reading_.hosts[host]) + ' ' + checked.error() +
                                         "; this path is left out, the others stay");
    }
    if (!take_quota(where) || !take_place()) return;
    const uint32_t backend = take_backend(path.backend(), where, ".backend");
    reading_.routes.push_back({keep_path(text), host, backend, rule_index, path_index, *type});
  }

  void add_default(uint32_t host) {
    const auto where = [] { return std::string("spec.defaultBackend"); };
    if (!take_quota(where) || !take_place()) return;
    const uint32_t backend = take_backend(ingress_.spec().default_backend(), where, "");
    reading_.routes.push_back({{}, host, backend, 0, 0, PathType::prefix});
  }

  // ---- the operator's policy ------------------------------------------------------------------

  // Says what the policy is against. Whether it stands nevertheless.
  bool stands(const std::string& sentence, const char* left_out, k8s::Reason reason) {
    if (view_.policy.enforces()) {
      report(Severity::error, sentence + "; " + left_out, reason);
      return false;
    }
    report(Severity::warning, sentence + "; it is served, because the policy only warns", reason);
    return true;
  }

  template <class Where>
  bool may_claim(const std::string& host, Where where) {
    const auto refusal = view_.owners.refusal(object_.key.name_space, view_.labels, host);
    if (!refusal) return true;
    return stands(where() + " claims " + host_text(host) + ", but " + *refusal,
                  "this rule is left out, the others stay", k8s::Reason::policy_denied);
  }

  std::string quota_text(size_t quota, const char* what) const {
    return "the quota of " + std::to_string(quota) + ' ' + what + " that namespace " +
           k8s::quote(object_.key.name_space) + " has";
  }

  bool has_host_left(const std::string& host, uint32_t rule_index) {
    if (!quota_.hosts) return true;
    reading_.hosts_claimed.insert(host);
    if (!grant_.hosts_over.contains(host)) return true;
    return stands(where_of_rule(rule_index) + ".host: " + host_text(host) + " exceeds " +
                      quota_text(*quota_.hosts, "hosts"),
                  "this rule is left out, the others stay", k8s::Reason::quota_exceeded);
  }

  template <class Where>
  bool take_quota(Where where) {
    if (!quota_.routes) return true;
    if (reading_.quota_routes_wanted++ < grant_.quota_routes) return true;
    return stands(where() + " exceeds " + quota_text(*quota_.routes, "routes"),
                  "this route is left out", k8s::Reason::quota_exceeded);
  }

  void read_certificates() {
    if (!quota_.certificates) return;
    for (int i = 0; i < ingress_.spec().tls_size(); ++i) {
      const std::string& secret = ingress_.spec().tls(i).secret_name();
      if (secret.empty() || !reading_.certificates.insert(secret).second) continue;
      if (!grant_.certificates_over.contains(secret)) continue;
      stands("spec.tls[" + std::to_string(i) + "].secretName " + k8s::quote(secret) + " exceeds " +
                 quota_text(*quota_.certificates, "certificates"),
             "this certificate is left out", k8s::Reason::quota_exceeded);
    }
  }

  // The model as a whole is bounded; the youngest Ingresses do without.
  bool take_place() {
    if (reading_.routes_wanted++ < grant_.routes) return true;
    report(Severity::error, "the cluster has more than " + std::to_string(bounds_.routes) +
                                " routes; this one is left out");
    return false;
  }

  template <class Where>
  uint32_t take_backend(const k8s::IngressBackend& backend, Where where, const char* field) {
    // Most paths of an Ingress lead where the one before does.
    if (last_backend_ != nullptr && is_same(*last_backend_, backend)) return last_index_;
    const Status checked = check_backend(backend);
    if (!checked) {
      report(Severity::error, where() + field + ": " + checked.error() +
                                  "; the route stays and its requests are answered 503");
      return no_index;
    }
    ServiceKey key{object_.key.name_space, backend.service().name(),
                   backend.service().port().number() != 0
                       ? std::to_string(backend.service().port().number())
                       : backend.service().port().name(),
                   policy_};
    if (!policy_.is_unset()) take_policy(&key);
    last_index_ = index_of(std::move(key));
    // One that is complained about is complained about for each path.
    last_backend_ = grant_.denied_policies.empty() ? &backend : nullptr;
    return last_index_;
  }

  static bool is_same(const k8s::IngressBackend& left, const k8s::IngressBackend& right) {
    return !right.has_resource() && right.has_service() &&
           left.service().name() == right.service().name() &&
           left.service().port().name() == right.service().port().name() &&
           left.service().port().number() == right.service().port().number();
  }

  uint32_t index_of(ServiceKey key) {
    const auto next = static_cast<uint32_t>(reading_.backends.size());
    if (next == 0) {
      reading_.backends.push_back(std::move(key));
      return next;
    }
    if (backend_index_.empty()) backend_index_.emplace(reading_.backends[0], 0);
    const auto [at, is_new] = backend_index_.try_emplace(key, next);
    if (is_new) reading_.backends.push_back(std::move(key));
    return at->second;
  }

  // Each policy is a copy of the Service's endpoints in the table: the youngest Ingresses do
  // without.
  void take_policy(ServiceKey* key) {
    if (asked_policies_.insert(*key).second) reading_.policies.push_back(*key);
    if (!grant_.denied_policies.contains(*key)) return;
    report(Severity::error, "asks for a way to a Service (" + key->policy.text() +
                                ") that more than " + std::to_string(bounds_.service_policies) +
                                " others ask for other ways to; its annotations count for nothing");
    key->policy = {};
  }

  uint32_t host_index(std::string name) {
    if (reading_.hosts.empty()) {
      reading_.hosts.push_back(std::move(name));
      return 0;
    }
    if (host_index_.empty()) host_index_.emplace(reading_.hosts[0], 0);
    const auto [at, is_new] =
        host_index_.try_emplace(name, static_cast<uint32_t>(reading_.hosts.size()));
    if (is_new) reading_.hosts.push_back(std::move(name));
    return at->second;
  }

  // Hosts came in the order of rules.
  void sort_hosts() {
    if (std::is_sorted(reading_.hosts.begin(), reading_.hosts.end())) return;
    std::vector<uint32_t> sorted_place(reading_.hosts.size());
    uint32_t place = 0;
    for (const auto& [name, index] : host_index_) sorted_place[index] = place++;
    std::sort(reading_.hosts.begin(), reading_.hosts.end());
    for (AskedRoute& route : reading_.routes) route.host = sorted_place[route.host];
  }

  void report(Severity severity, std::string sentence,
              k8s::Reason reason = k8s::Reason::by_severity) {
    reading_.problems.push_back(
        {severity, object_.place, object_.key.text(), std::move(sentence), reason});
  }

  const k8s::Object& object_;
  const k8s::Ingress& ingress_;
  const ModelBounds& bounds_;
  const NamespaceView& view_;
  const Quota& quota_;
  const Grant& grant_;
  IngressReading reading_;
  Policy policy_;
  size_t paths_ = 0;
  std::map<std::string, uint32_t> host_index_;         // empty while there is one
  const k8s::IngressBackend* last_backend_ = nullptr;  // that could be used
  uint32_t last_index_ = 0;
  std::map<ServiceKey, uint32_t> backend_index_;  // empty while there is one
  std::set<ServiceKey> asked_policies_;
};

}  // namespace

std::string place_in_ingress(uint32_t rule_index, uint32_t path_index) {
  return where_of_rule(rule_index) + ".http.paths[" + std::to_string(path_index) + "]";
}

std::string host_text(const std::string& host) {
  return host.empty() ? std::string("all hosts") : "host " + k8s::quote(host);
}

IngressReading read_ingress(const k8s::Object& object, const k8s::Ingress& ingress,
                            const ModelBounds& bounds, const NamespaceView& name_space,
                            const Grant& grant) {
  return Reader(object, ingress, bounds, name_space, grant).read();
}

}  // namespace millrace::model
