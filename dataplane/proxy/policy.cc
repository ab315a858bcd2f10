// What the Ingress of a route asks for beside its backend: an endpoint by a hash of the request, or
// the one that the client had, a PROXY header for it, slashes that are encoded in paths.
#include <charconv>
#include <cstring>
#include <optional>

#include "base/address.h"
#include "base/hash.h"
#include "base/ipv6_address.h"
#include "dataplane/http/char_class.h"
#include "dataplane/proxy/proxy.h"
#include "dataplane/proxy/proxy_header.h"
#include "shm/service_policy.h"

namespace millrace::proxy {
namespace {

using upstream::Policy;

// Of all Cookie fields the first cookie of that name (RFC 6265 section 4.2.1: pairs with "; "
// between them; names are told apart by case). In one pass: there may be thousands of short ones.
std::string_view cookie_of(const http::Fields& fields, std::string_view name) {
  for (const http::Field& field : fields.all()) {
    if (field.known != http::FieldName::cookie) continue;
    const std::string_view all = field.value();
    for (size_t at = 0; at < all.size(); ++at) {
      if (http::is_ows(static_cast<uint8_t>(all[at]))) continue;
      const size_t begin = at;
      while (at < all.size() && all[at] != ';') ++at;
      const std::string_view pair = all.substr(begin, at - begin);
      if (pair.size() > name.size() && pair[name.size()] == '=' && pair.starts_with(name)) {
        return pair.substr(name.size() + 1);
      }
    }
  }
  return {};
}

std::string_view field_of(const http::Fields& fields, std::string_view name) {
  for (const http::Field& field : fields.all()) {
    if (http::equals_ignoring_case(field.name(), name)) return field.value();
  }
  return {};
}

// The endpoint's id as it was written into the cookie; 0: nothing of ours.
uint64_t id_in_cookie(std::string_view value) {
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), id, 16);
  return value.size() == 16 && error == std::errc{} && end == value.data() + value.size() ? id : 0;
}

std::optional<uint64_t> hash_of(std::string_view text) {
  if (text.empty()) return std::nullopt;
  return hash_finish(hash_text(text));
}

// However it is written: what is one address has one hash.
std::optional<uint64_t> hash_of_address(std::string_view text) {
  const auto ipv6 = Ipv6Address::parse(text);
  if (!ipv6) return hash_of(text);
  const ByteView octets(ipv6->octets());
  std::array<char, Ipv4Address::text_bytes_max> ipv4;
  if (ipv6->is_ipv4_mapped()) {
    const size_t bytes = Ipv4Address::load(&octets[12]).write_text(ipv4.data());
    return hash_of(std::string_view(ipv4.data(), bytes));
  }
  return hash_of(as_text(octets));
}

uint8_t proxy_header_version(const shm::ServicePolicy& policy) {
  if ((policy.flags & shm::policy_proxy_header_v1) != 0) return 1;
  return (policy.flags & shm::policy_proxy_header_v2) != 0 ? 2 : 0;
}

}  // namespace

// No route, and one whose Ingress says nothing: as the configuration has it.
bool Proxy::passes_encoded_slash(const route::RouteMatch& match, const Turn& turn) const {
  const uint8_t flags = match.found == route::RouteFound::none
                            ? uint8_t{0}
                            : turn.snapshot.policy(match.service_slot).flags;
  if ((flags & shm::policy_passes_encoded_slash) != 0) return true;
  return paths_.passes_encoded_slash && (flags & shm::policy_refuses_encoded_slash) == 0;
}

void Proxy::settle_wishes(Session& session, const http::RequestHead& head, uint32_t service_slot,
                          const Turn& turn) const {
  Wishes& wishes = session.wishes;
  wishes.endpoint = {};
  wishes.proxy_header = 0;
  wishes.proxy_header_bytes = 0;
  wishes.sets_cookie = false;
  wishes.cookie_name_bytes = 0;
  const shm::ServicePolicy& policy = turn.snapshot.policy(service_slot);
  if (shm::is_unset(policy)) return;
  const std::string_view name = turn.snapshot.policy_name(service_slot);
  switch (static_cast<shm::ServiceBalance>(policy.balance)) {
    case shm::ServiceBalance::round_robin: wishes.endpoint.policy = Policy::round_robin; break;
    case shm::ServiceBalance::least_requests:
      wishes.endpoint.policy = Policy::least_requests;
      break;
    case shm::ServiceBalance::unset:
    case shm::ServiceBalance::hash: break;
  }
  switch (static_cast<shm::HashSource>(policy.hash_source)) {
    case shm::HashSource::none: break;
    case shm::HashSource::client_address:
      wishes.endpoint.hash = hash_of_address(provenance_.client);
      break;
    case shm::HashSource::path: wishes.endpoint.hash = hash_of(head.path); break;
    case shm::HashSource::header:
      wishes.endpoint.hash = hash_of(field_of(head.fields, name));
      break;
    case shm::HashSource::cookie:
      wishes.endpoint.hash = hash_of(cookie_of(head.fields, name));
      break;
  }
  if ((policy.flags & shm::policy_sticky_cookie) != 0) {
    wishes.endpoint.stick_to = id_in_cookie(cookie_of(head.fields, name));
    wishes.cookie_name_bytes = policy.name_length;
    std::memcpy(wishes.cookie_name.data(), name.data(), name.size());
  }
  wishes.proxy_header = proxy_header_version(policy);
}

// For a request that is said again in the same words, by the table of now. False: its route leads
// to where other words are wanted.
bool Proxy::keep_wishes(Session& session, uint32_t service_slot, const Turn& turn) const {
  Wishes& wishes = session.wishes;
  if (proxy_header_version(turn.snapshot.policy(service_slot)) != wishes.proxy_header) return false;
  const std::string_view cookie(wishes.cookie_name.data(), wishes.cookie_name_bytes);
  if (turn.snapshot.policy_name(service_slot) != cookie) wishes.cookie_name_bytes = 0;
  return true;
}

// In front of a request: who has connected to us. Octets; 0: none is wanted, or there is no room.
size_t Proxy::put_proxy_header(Session& session, ByteSpan room) const {
  const SocketAddress local = tcp_.local(session.client);
  std::array<char, tcp::Tcp::address_text_bytes_max> text;
  const ProxyHeaderEnd client{{session.client_text, session.client_text_bytes},
                              session.client_port};
  const ProxyHeaderEnd server{{text.data(), tcp_.write_address(local.address, text.data())},
                              local.port};
  const size_t octets = write_proxy_header(session.wishes.proxy_header, client, server, room);
  session.wishes.proxy_header_bytes = static_cast<uint16_t>(octets);
  return octets;
}

std::string_view Proxy::write_cookie_value(uint64_t endpoint_id) {
  constexpr std::string_view hex = "0123456789abcdef";
  for (size_t i = cookie_value_.size(); i-- > 0; endpoint_id >>= 4) {
    cookie_value_[i] = hex[endpoint_id & 15];
  }
  return {cookie_value_.data(), cookie_value_.size()};
}

}  // namespace millrace::proxy
