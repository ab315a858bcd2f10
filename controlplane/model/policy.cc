#include "controlplane/model/policy.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "controlplane/k8s/objects.pb.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/model/limits.h"

namespace millrace::model {
namespace {

using k8s::Severity;

constexpr std::string_view ours = "millrace.dev/";
constexpr std::string_view nginx = "nginx.ingress.kubernetes.io/";
constexpr std::string_view traefik = "traefik.ingress.kubernetes.io/";
constexpr std::string_view nginx_cookie_default = "INGRESSCOOKIE";
constexpr size_t names_told_max = 12;

// RFC 9110 section 5.6.2, as names of header fields and of cookies (RFC 6265) are.
bool is_name(std::string_view text) {
  constexpr std::string_view others = "!#$%&'*+-.^_`|~";
  return !text.empty() && text.size() <= policy_name_bytes_max &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  others.find(c) != std::string_view::npos;
         });
}

// What nginx takes for the rest of a variable's name.
bool is_variable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

// The annotations of one Ingress, each taken at most once; what is left was not understood.
class Reader {
 public:
  Reader(const k8s::Object& object, const k8s::Ingress& ingress, k8s::ProblemList* problems)
      : object_(object), problems_(problems) {
    for (const auto& [name, value] : ingress.metadata().annotations()) {
      for (const std::string_view prefix : {ours, nginx, traefik}) {
        if (std::string_view(name).substr(0, prefix.size()) == prefix) left_.emplace(name, value);
      }
    }
  }

  Policy read() {
    if (left_.empty()) return {};
    read_ours();
    settle();
    read_nginx();
    tell_what_is_left();
    return std::move(policy_);
  }

 private:
  std::optional<std::string> take(std::string_view prefix, std::string_view name) {
    const auto found = left_.find(std::string(prefix).append(name));
    if (found == left_.end()) return std::nullopt;
    std::string value = std::move(found->second);
    left_.erase(found);
    return value;
  }

  // One of ours: `set` answers whether the value is one.
  template <class Set>
  void take_ours(std::string_view name, const char* wanted, Set set) {
    const auto value = take(ours, name);
    if (value && !set(*value)) {
      report(Severity::error, "the annotation " + std::string(ours).append(name) + " is " +
                                  k8s::quote(*value) + " and not " + wanted +
                                  "; it counts for nothing");
    }
  }

  void read_ours() {
    take_ours("balance", "round-robin or least-requests", [&](const std::string& value) {
      if (value == "round-robin") policy_.balance = Balance::round_robin;
      if (value == "least-requests") policy_.balance = Balance::least_requests;
      return is_one_of(value, {"round-robin", "least-requests"});
    });
    take_ours("hash-by", "client-address, path, header:NAME or cookie:NAME",
              [&](const std::string& value) { return set_hash(value); });
    take_ours("sticky-cookie", "a cookie's name", [&](const std::string& value) {
      if (is_name(value)) policy_.sticky_cookie = value;
      return is_name(value);
    });
    take_ours("encoded-slash", "pass or refuse", [&](const std::string& value) {
      if (value == "pass") policy_.encoded_slash = EncodedSlash::pass;
      if (value == "refuse") policy_.encoded_slash = EncodedSlash::refuse;
      return is_one_of(value, {"pass", "refuse"});
    });
    take_ours("send-proxy-protocol", "v1 or v2", [&](const std::string& value) {
      if (value == "v1") policy_.proxy_protocol = 1;
      if (value == "v2") policy_.proxy_protocol = 2;
      return is_one_of(value, {"v1", "v2"});
    });
  }

  bool set_hash(const std::string& value) {
    std::string name = value.substr(std::min(value.size(), value.find(':') + 1));
    if (value == "client-address") {
      policy_.hash_by = HashBy::client_address;
    } else if (value == "path") {
      policy_.hash_by = HashBy::path;
    } else if (value == "header:" + name && is_name(name)) {
      policy_.hash_by = HashBy::header;
    } else if (value == "cookie:" + name && is_name(name)) {
      policy_.hash_by = HashBy::cookie;
    } else {
      return false;
    }
    if (policy_.hash_by == HashBy::header) {  // names of fields are the same in any case
      std::transform(name.begin(), name.end(), name.begin(),
                     [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
    }
    const bool named = policy_.hash_by == HashBy::header || policy_.hash_by == HashBy::cookie;
    policy_.hash_name = named ? std::move(name) : "";
    return true;
  }

  // Those that have the same meaning here, and those that ask for what is done anyway. Anything
  // else stays among what is left, as does another way to an endpoint than one of ours asks for.
  void read_nginx() {
    for (const std::string_view name : {"proxy-buffering", "proxy-request-buffering"}) {
      keep_unless(name, [](const std::string& value) { return value == "off"; });
    }
    // What cert-manager writes into the Ingress of a challenge: everybody.
    keep_unless("whitelist-source-range",
                [](const std::string& value) { return value == "0.0.0.0/0,::/0"; });
    if (policy_.balance != Balance::unset || policy_.hash_by != HashBy::nothing ||
        !policy_.sticky_cookie.empty()) {
      return;
    }
    keep_unless("affinity", [&](const std::string& value) {
      if (value != "cookie") return false;
      policy_.sticky_cookie = nginx_cookie_default;
      return true;
    });
    if (!policy_.sticky_cookie.empty()) {
      keep_unless("session-cookie-name", [&](const std::string& value) {
        if (is_name(value)) policy_.sticky_cookie = value;
        return is_name(value);
      });
      keep_unless("session-cookie-path", [](const std::string& value) { return value == "/"; });
    }
    keep_unless("load-balance", [&](const std::string& value) {
      if (value == "round_robin") policy_.balance = Balance::round_robin;
      return value == "round_robin";
    });
    if (!policy_.sticky_cookie.empty() || policy_.balance != Balance::unset) return;
    keep_unless("upstream-hash-by", [&](const std::string& value) {
      if (is_one_of(value, {"$remote_addr", "$binary_remote_addr"})) {
        return set_hash("client-address");
      }
      if (value == "$uri") return set_hash("path");
      for (const auto& [variable, kind] :
           {std::pair<std::string, const char*>{"$http_", "header:"}, {"$cookie_", "cookie:"}}) {
        if (value.compare(0, variable.size(), variable) != 0) continue;
        std::string name = value.substr(variable.size());
        if (!is_variable(name)) return false;  // text or another variable behind it
        // A variable has no hyphens; names of header fields hardly ever have anything else.
        if (variable == "$http_") std::replace(name.begin(), name.end(), '_', '-');
        return set_hash(kind + name);
      }
      return false;
    });
  }

  template <class Understand>
  void keep_unless(std::string_view name, Understand understand) {
    const auto found = left_.find(std::string(nginx).append(name));
    if (found != left_.end() && understand(found->second)) left_.erase(found);
  }

  // What excludes each other.
  void settle() {
    const bool named = policy_.hash_by == HashBy::header || policy_.hash_by == HashBy::cookie;
    if (named && !policy_.sticky_cookie.empty()) {
      report(Severity::error,
             "asks for a sticky cookie and for a hash by a header or cookie; the sticky cookie "
             "counts");
      policy_.hash_by = HashBy::nothing;
      policy_.hash_name.clear();
    }
    if (policy_.hash_by != HashBy::nothing && policy_.balance != Balance::unset) {
      report(Severity::warning, "asks for a hash and for another balance; the hash counts");
      policy_.balance = Balance::unset;
    }
  }

  void tell_what_is_left() {
    if (left_.empty()) return;
    std::string names;
    size_t told = 0;
    for (const auto& [name, value] : left_) {
      if (told == names_told_max) break;
      names += (told++ == 0 ? "" : ", ") + k8s::quote(name);
    }
    if (told < left_.size()) names += " and " + std::to_string(left_.size() - told) + " more";
    report(Severity::warning,
           "has annotations that are not understood here, with what they ask "
           "for, and count for nothing: " +
               names);
  }

  void report(Severity severity, std::string sentence) {
    problems_->add({severity, object_.place, object_.key.text(), std::move(sentence)});
  }

  const k8s::Object& object_;
  k8s::ProblemList* problems_;
  std::map<std::string, std::string> left_;
  Policy policy_;
};

}  // namespace

std::string Policy::text() const {
  std::vector<std::string> parts;
  if (balance == Balance::round_robin) parts.emplace_back("balance=round-robin");
  if (balance == Balance::least_requests) parts.emplace_back("balance=least-requests");
  if (hash_by == HashBy::client_address) parts.emplace_back("hash-by=client-address");
  if (hash_by == HashBy::path) parts.emplace_back("hash-by=path");
  if (hash_by == HashBy::header) parts.push_back("hash-by=header:" + hash_name);
  if (hash_by == HashBy::cookie) parts.push_back("hash-by=cookie:" + hash_name);
  if (!sticky_cookie.empty()) parts.push_back("sticky-cookie=" + sticky_cookie);
  if (encoded_slash == EncodedSlash::pass) parts.emplace_back("encoded-slash=pass");
  if (encoded_slash == EncodedSlash::refuse) parts.emplace_back("encoded-slash=refuse");
  if (proxy_protocol != 0) {
    parts.push_back("send-proxy-protocol=v" + std::to_string(proxy_protocol));
  }
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

Policy parse_policy(const k8s::Object& object, const k8s::Ingress& ingress,
                    k8s::ProblemList* problems) {
  return Reader(object, ingress, problems).read();
}

}  // namespace millrace::model
