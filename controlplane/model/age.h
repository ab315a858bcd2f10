// How old an Ingress is: what decides between two that ask for the same.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "controlplane/k8s/object.h"

namespace millrace::model {

// Older first; an Ingress without a creationTimestamp after all that have one; then by name. No two
// Ingresses are as old as each other.
struct Age {
  bool has_no_time = true;
  int64_t seconds = 0;
  int32_t nanoseconds = 0;
  std::string name;  // "namespace/name", compared as text, as the Gateway API says

  auto operator<=>(const Age&) const = default;
  bool same_time(const Age& other) const {
    return has_no_time == other.has_no_time && seconds == other.seconds &&
           nanoseconds == other.nanoseconds;
  }
};

inline Age age_of(const k8s::ObjectKey& key, const k8s::ObjectMeta& metadata) {
  Age age{!metadata.has_creation_timestamp(), 0, 0, key.name_space + '/' + key.name};
  if (!age.has_no_time) {
    age.seconds = metadata.creation_timestamp().seconds();
    age.nanoseconds = metadata.creation_timestamp().nanos();
  }
  return age;
}

}  // namespace millrace::model
