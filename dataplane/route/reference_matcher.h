// For tests: the precedence rules again, written for obviousness instead of speed. Walks all rules.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shm/snapshot_writer.h"

namespace millrace::route::testing {

struct ReferenceRule {
  std::string host;
  std::optional<std::string> path;  // none: the host's default
  shm::PathType type = shm::PathType::prefix;
  uint32_t service_slot = 0;
};

inline bool host_matches(const std::string& rule, std::string_view host) {
  if (rule.empty()) return true;
  if (rule.front() != '*') return rule == host;
  const size_t dot = host.find('.');
  return dot != std::string_view::npos && dot > 0 && host.substr(dot) == rule.substr(1);
}

inline std::vector<std::string> elements(std::string_view path) {
  std::vector<std::string> parts;
  if (!path.empty() && path.back() == '/') path.remove_suffix(1);  // "/a/" is "/a", "/" is nothing
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const size_t end = path.find('/');
    parts.emplace_back(path.substr(0, end));
    path = end == std::string_view::npos ? std::string_view() : path.substr(end);
  }
  return parts;
}

inline bool prefix_matches(std::string_view rule, std::string_view path) {
  const std::vector<std::string> want = elements(rule);
  const std::vector<std::string> have = elements(path);
  return want.size() <= have.size() && std::equal(want.begin(), want.end(), have.begin());
}

// The winning rule's service slot; none when nothing matches.
inline std::optional<uint32_t> reference_match(const std::vector<ReferenceRule>& rules,
                                               std::optional<uint32_t> cluster_default,
                                               std::string_view host, std::string_view path) {
  const auto rank = [](const std::string& rule) {
    return rule.empty() ? 0 : rule.front() == '*' ? 1 : 2;
  };
  std::optional<std::string> chosen;
  for (const ReferenceRule& rule : rules) {
    if (host_matches(rule.host, host) && (!chosen || rank(rule.host) > rank(*chosen))) {
      chosen = rule.host;
    }
  }
  if (!chosen) return cluster_default;
  const ReferenceRule* best = nullptr;
  const ReferenceRule* rest = nullptr;
  for (const ReferenceRule& rule : rules) {
    if (rule.host != *chosen) continue;
    if (!rule.path) {
      rest = &rule;
    } else if (rule.type == shm::PathType::exact) {
      if (*rule.path == path) return rule.service_slot;
    } else if (prefix_matches(*rule.path, path)) {
      if (best == nullptr || rule.path->size() > best->path->size()) best = &rule;
    }
  }
  if (best != nullptr) return best->service_slot;
  if (rest != nullptr) return rest->service_slot;
  return cluster_default;
}

}  // namespace millrace::route::testing
