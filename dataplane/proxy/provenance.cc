// Who a request comes from, and what its endpoint is told about that (H33): what we have seen
// ourselves, and what a trusted proxy has said; of a stranger's word nothing.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "dataplane/http/char_class.h"
#include "dataplane/http/host.h"
#include "dataplane/proxy/proxy.h"

namespace millrace::proxy {

void Proxy::settle_provenance(const Session& session, const http::RequestHead& head) {
  provenance_.client = {session.client_text, session.client_text_bytes};
  provenance_.chain.count = 0;
  provenance_.max_forwards.reset();
  if (session.is_trusted) {
    provenance_.chain = http::read_forwarded_for(head.fields);
    provenance_.client =
        http::client_of(provenance_.chain, provenance_.client, forwarding_.trusted);
  }
  provenance_.request_id_bytes = 0;
  if (!forwarding_.writes_request_id) return;
  const std::string_view given = session.is_trusted
                                     ? http::only_value(head.fields, http::FieldName::x_request_id)
                                     : std::string_view{};
  if (http::is_request_id(given)) {
    std::memcpy(provenance_.request_id_text.data(), given.data(), given.size());
    provenance_.request_id_bytes = given.size();
  } else {
    make_request_id();
  }
}

// 128 bits as 32 digits, a keyed hash of a count: nobody has to be asked for the next number, and
// nobody who has seen one can tell another.
void Proxy::make_request_id() {
  constexpr size_t digits = 32;
  constexpr std::string_view hex = "0123456789abcdef";
  static_assert(digits <= http::request_id_bytes_max);
  const uint64_t number = request_ids_made_++;
  uint64_t bits = 0;
  for (size_t i = 0; i < digits; ++i) {
    if (i % 16 == 0) bits = siphash13(forwarding_.request_id_key, number, i);
    provenance_.request_id_text[i] = hex[bits & 15];
    bits >>= 4;
  }
  provenance_.request_id_bytes = digits;
}

// H36: it has been here before, so it would come again.
bool Proxy::is_loop(const http::RequestHead& head) const {
  return head.has_cdn_loop && !forwarding_.loop_id.empty() &&
         http::has_passed(head.fields, forwarding_.loop_id);
}

// H32: of an OPTIONS that may not be sent on we are the last recipient (RFC 9110 section 7.6.2).
bool Proxy::ends_here(http::RequestHead& head) {
  if (head.method != http::Method::options) return false;
  const std::optional<uint32_t> hops = http::take_max_forwards(head.fields);
  if (!hops) return false;
  if (*hops > 0) provenance_.max_forwards = *hops - 1;
  return *hops == 0;
}

namespace {

// "host" or "host:port" of a trusted X-Forwarded-Host, written anew; empty: it is no authority.
class ForwardedHost {
 public:
  explicit ForwardedHost(std::string_view value) {
    std::array<char, http::host_bytes_max + 1> host;
    uint8_t host_bytes = 0;
    uint16_t port = 0;
    if (value.empty() || !http::parse_authority(value, {host, host_bytes, port})) return;
    char* end = std::copy_n(host.data(), host_bytes, text_.data());
    if (port != 0) {
      *end++ = ':';
      end = std::to_chars(end, text_.data() + text_.size(), port).ptr;
    }
    bytes_ = static_cast<size_t>(end - text_.data());
  }
  std::string_view text() const { return {text_.data(), bytes_}; }

 private:
  std::array<char, http::host_bytes_max + 6> text_;  // and a colon and five digits
  size_t bytes_ = 0;
};

}  // namespace

bool Proxy::write_request(Session& session, const http::RequestHead& head) {
  std::array<char, tcp::Tcp::address_text_bytes_max + 2> local_text;
  http::ForwardingFields forwarding;
  const SocketAddress local = tcp_.local(session.client);
  forwarding.client_address = {session.client_text, session.client_text_bytes};
  forwarding.scheme = "http";
  forwarding.port = local.port;
  forwarding.request_id = provenance_.request_id();
  forwarding.loop_id = forwarding_.loop_id;
  forwarding.max_forwards = provenance_.max_forwards;
  forwarding.writes_forwarded = forwarding_.writes_forwarded;
  if (head.host_bytes == 0) {
    // RFC 3986 section 3.2.2: as a host an IPv6 address stands in brackets.
    const size_t bracket = tcp_.is_ipv6(local.address) ? 1 : 0;
    size_t length = bracket + tcp_.write_address(local.address, local_text.data() + bracket);
    if (bracket == 1) {
      local_text[0] = '[';
      local_text[length++] = ']';
    }
    forwarding.fallback_host = {local_text.data(), length};
  }
  const auto put = [&] {
    return put_message(pool_[session.upstream].connection, [&](ByteSpan room) {
             if (session.wishes.proxy_header == 0) {
               return http::write_request_head(head, forwarding, room);
             }
             const size_t before = put_proxy_header(session, room);
             const size_t octets =
                 before == 0 ? 0 : http::write_request_head(head, forwarding, room.subspan(before));
             return octets == 0 ? 0 : before + octets;
           }) == Put::done;
  };
  if (!session.is_trusted) return put();
  // What a trusted proxy has seen counts more than what we see of it.
  forwarding.before = &provenance_.chain;
  forwarding.real_address = provenance_.client;
  forwarding.passes_other_fields = true;
  const auto said = [&](http::FieldName name) { return http::only_value(head.fields, name); };
  const ForwardedHost host(said(http::FieldName::x_forwarded_host));
  forwarding.host = host.text();
  for (const std::string_view scheme : {"http", "https"}) {
    if (http::equals_ignoring_case(said(http::FieldName::x_forwarded_proto), scheme)) {
      forwarding.scheme = scheme;
      forwarding.port = 0;  // ours is none of that scheme
    }
  }
  const auto port = http::parse_port(said(http::FieldName::x_forwarded_port));
  if (port && *port != 0) forwarding.port = *port;
  return put();
}

}  // namespace millrace::proxy
