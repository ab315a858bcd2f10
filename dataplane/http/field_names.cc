#include "dataplane/http/field_names.h"

#include <array>
#include <cstring>

#include "base/check.h"
#include "dataplane/http/char_class.h"
#include "dataplane/http/field_name_table.h"

namespace millrace::http {
namespace {

struct NameText {
  FieldName name;
  std::string_view text;
};

constexpr NameText names[] = {
    {FieldName::other, ""},
    {FieldName::accept, "accept"},
    {FieldName::accept_charset, "accept-charset"},
    {FieldName::accept_encoding, "accept-encoding"},
    {FieldName::accept_language, "accept-language"},
    {FieldName::accept_ranges, "accept-ranges"},
    {FieldName::age, "age"},
    {FieldName::allow, "allow"},
    {FieldName::authorization, "authorization"},
    {FieldName::cache_control, "cache-control"},
    {FieldName::content_disposition, "content-disposition"},
    {FieldName::content_encoding, "content-encoding"},
    {FieldName::content_language, "content-language"},
    {FieldName::content_location, "content-location"},
    {FieldName::content_range, "content-range"},
    {FieldName::content_security_policy, "content-security-policy"},
    {FieldName::content_type, "content-type"},
    {FieldName::cookie, "cookie"},
    {FieldName::date, "date"},
    {FieldName::dnt, "dnt"},
    {FieldName::etag, "etag"},
    {FieldName::expires, "expires"},
    {FieldName::from, "from"},
    {FieldName::if_match, "if-match"},
    {FieldName::if_modified_since, "if-modified-since"},
    {FieldName::if_none_match, "if-none-match"},
    {FieldName::if_range, "if-range"},
    {FieldName::if_unmodified_since, "if-unmodified-since"},
    {FieldName::last_modified, "last-modified"},
    {FieldName::link, "link"},
    {FieldName::location, "location"},
    {FieldName::max_forwards, "max-forwards"},
    {FieldName::origin, "origin"},
    {FieldName::pragma, "pragma"},
    {FieldName::priority, "priority"},
    {FieldName::range, "range"},
    {FieldName::referer, "referer"},
    {FieldName::retry_after, "retry-after"},
    {FieldName::sec_ch_ua, "sec-ch-ua"},
    {FieldName::sec_ch_ua_mobile, "sec-ch-ua-mobile"},
    {FieldName::sec_ch_ua_platform, "sec-ch-ua-platform"},
    {FieldName::sec_fetch_dest, "sec-fetch-dest"},
    {FieldName::sec_fetch_mode, "sec-fetch-mode"},
    {FieldName::sec_fetch_site, "sec-fetch-site"},
    {FieldName::sec_fetch_user, "sec-fetch-user"},
    {FieldName::server, "server"},
    {FieldName::set_cookie, "set-cookie"},
    {FieldName::strict_transport_security, "strict-transport-security"},
    {FieldName::upgrade_insecure_requests, "upgrade-insecure-requests"},
    {FieldName::user_agent, "user-agent"},
    {FieldName::vary, "vary"},
    {FieldName::via, "via"},
    {FieldName::www_authenticate, "www-authenticate"},
    {FieldName::x_content_type_options, "x-content-type-options"},
    {FieldName::x_frame_options, "x-frame-options"},
    {FieldName::x_powered_by, "x-powered-by"},
    {FieldName::x_requested_with, "x-requested-with"},
    {FieldName::x_request_id, "x-request-id"},
    {FieldName::forwarded, "forwarded"},
    {FieldName::x_forwarded_for, "x-forwarded-for"},
    {FieldName::x_forwarded_host, "x-forwarded-host"},
    {FieldName::x_forwarded_port, "x-forwarded-port"},
    {FieldName::x_forwarded_proto, "x-forwarded-proto"},
    {FieldName::x_forwarded_other, ""},
    {FieldName::x_real_ip, "x-real-ip"},
    {FieldName::host, "host"},
    {FieldName::expect, "expect"},
    {FieldName::cdn_loop, "cdn-loop"},
    {FieldName::connection, "connection"},
    {FieldName::content_length, "content-length"},
    {FieldName::keep_alive, "keep-alive"},
    {FieldName::proxy_authenticate, "proxy-authenticate"},
    {FieldName::proxy_authorization, "proxy-authorization"},
    {FieldName::proxy_connection, "proxy-connection"},
    {FieldName::te, "te"},
    {FieldName::trailer, "trailer"},
    {FieldName::transfer_encoding, "transfer-encoding"},
    {FieldName::upgrade, "upgrade"},
};
static_assert(sizeof(names) / sizeof(names[0]) == field_name_count);

// What names shorter than five octets have in front of them in a head, as far as it is known.
constexpr char before_short_name[] = {'\0', '\0', '\r', '\n'};

constexpr uint32_t octets_before_last(std::string_view name) {
  uint32_t octets = 0;
  for (size_t i = 0; i < 4; ++i) {
    const size_t at = name.size() + i;  // counted from five octets before the name
    const char c = at < 5 ? before_short_name[at - 1] : name[at - 5];
    octets |= uint32_t{static_cast<uint8_t>(c)} << (8 * i);
  }
  return octets;
}

constexpr size_t slot_of(std::string_view name) {
  return name_slot(octets_before_last(name), name.size());
}

constexpr NameEntry make_entry(const NameText& from) {
  NameEntry entry{};
  const size_t bytes = from.text.size();
  if (bytes == 0) {  // a folded octet is never zero
    entry.match_bits = entry.compared_bits = ~0U;
    return entry;
  }
  for (size_t i = 0; i < bytes; ++i) entry.text[i] = static_cast<uint8_t>(from.text[i]);
  entry.text[bytes] = ':';
  entry.text[bytes + 1] = entry.text[bytes + 2] = ' ';
  entry.known = from.name;
  entry.match_bits = static_cast<uint32_t>((uint64_t{1} << (bytes + 2)) - 1);
  entry.compared_bits = static_cast<uint32_t>((uint64_t{1} << (bytes + 3)) - 1);
  const unsigned flags =
      Field::is_canonical_flag | (is_parsed_field(from.name) ? Field::is_judged_flag : 0U);
  entry.field_word = bytes + ((bytes + 2) << 16) - ((bytes + 2) << 32) +
                     (static_cast<uint64_t>(from.name) << 48) + (uint64_t{flags} << 56);
  return entry;
}
// The same layout as field_word.
static_assert(offsetof(Field, value_offset) == offsetof(Field, name_bytes) + 2 &&
              offsetof(Field, value_bytes) == offsetof(Field, name_bytes) + 4 &&
              offsetof(Field, known) == offsetof(Field, name_bytes) + 6 &&
              offsetof(Field, flags) == offsetof(Field, name_bytes) + 7);

constexpr bool is_perfect() {
  bool used[size_t{1} << name_slot_bits] = {};
  for (const NameText& name : names) {
    if (name.text.empty()) continue;
    if (used[slot_of(name.text)]) return false;
    used[slot_of(name.text)] = true;
  }
  return true;
}
static_assert(is_perfect());

constexpr bool names_are_in_order() {
  for (size_t i = 0; i < field_name_count; ++i) {
    const std::string_view text = names[i].text;
    if (static_cast<size_t>(names[i].name) != i || text.size() > listed_name_bytes_max ||
        text.size() == 1) {
      return false;
    }
    // Lines are compared with bit 0x20 set in every octet, which must tell nothing but case away.
    for (char c : text) {
      if (c != '-' && (c < 'a' || c > 'z')) return false;
    }
  }
  return true;
}
static_assert(names_are_in_order());

constexpr NameTable make_table() {
  NameTable table{};
  for (size_t i = 0; i < field_name_count; ++i) {
    table.entries[i] = make_entry(names[i]);
    if (names[i].text.empty()) continue;
    table.slots[slot_of(names[i].text)] = static_cast<uint16_t>(i * sizeof(NameEntry));
  }
  return table;
}

constexpr std::string_view forwarded_prefix = "x-forwarded-";

}  // namespace

constexpr NameTable made_table = make_table();
const NameTable name_table = made_table;

FieldName recognise_listed_name(const uint8_t* name, size_t bytes) {
  if (bytes < 2 || bytes > listed_name_bytes_max) return FieldName::other;
  const std::string_view text{reinterpret_cast<const char*>(name), bytes};
  const size_t index = name_table.slots[slot_of(text)] / sizeof(NameEntry);
  return equals_ignoring_case(text, names[index].text) ? static_cast<FieldName>(index)
                                                       : FieldName::other;
}

FieldName recognise_field_name(const uint8_t* name, size_t bytes) {
  const FieldName listed = recognise_listed_name(name, bytes);
  if (listed != FieldName::other || bytes <= forwarded_prefix.size()) return listed;
  const std::string_view start{reinterpret_cast<const char*>(name), forwarded_prefix.size()};
  return equals_ignoring_case(start, forwarded_prefix) ? FieldName::x_forwarded_other
                                                       : FieldName::other;
}

std::string_view to_text(FieldName name) {
  const auto index = static_cast<size_t>(name);
  CHECK(index < field_name_count);
  return names[index].text;
}

}  // namespace millrace::http
