// Policy: what an Ingress asks for by annotations beside rules and backends. Its routes' backends
// are told apart by it: two Ingresses may lead to one Service in two ways.
//
// Ours begin with "millrace.dev/". A few of ingress-nginx are understood, so that an Ingress need
// not be rewritten to be moved, unless one of ours is about the same; what its author asked for and
// does not get is said in a problem.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace millrace::k8s {
class Ingress;
class ProblemList;
struct Object;
}  // namespace millrace::k8s

namespace millrace::model {

enum class Balance : uint8_t { unset, round_robin, least_requests };
enum class HashBy : uint8_t { nothing, client_address, path, header, cookie };
enum class EncodedSlash : uint8_t { unset, pass, refuse };

struct Policy {
  Balance balance = Balance::unset;
  HashBy hash_by = HashBy::nothing;
  std::string hash_name;      // of the header, in lower case, or of the cookie
  std::string sticky_cookie;  // its name; empty: none
  EncodedSlash encoded_slash = EncodedSlash::unset;
  uint8_t proxy_protocol = 0;  // the version that is sent to endpoints; 0: none

  auto operator<=>(const Policy&) const = default;
  bool is_unset() const { return *this == Policy(); }
  std::string text() const;  // "hash-by=header:X-User, encoded-slash=pass"; empty when unset
};

// What the annotations of `ingress` say. What cannot be understood, or contradicts something else,
// counts for nothing and is a problem.
Policy parse_policy(const k8s::Object& object, const k8s::Ingress& ingress,
                    k8s::ProblemList* problems);

}  // namespace millrace::model
