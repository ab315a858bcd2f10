#include "dataplane/http/field_names.h"

#include <array>
#include <cstring>

#include "base/check.h"
#include "dataplane/http/char_class.h"

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
    {FieldName::x_request_id, "x-request-id"},
    {FieldName::x_requested_with, "x-requested-with"},
    {FieldName::x_xss_protection, "x-xss-protection"},
    {FieldName::forwarded, "forwarded"},
    {FieldName::x_forwarded_for, "x-forwarded-for"},
    {FieldName::x_forwarded_host, "x-forwarded-host"},
    {FieldName::x_forwarded_port, "x-forwarded-port"},
    {FieldName::x_forwarded_proto, "x-forwarded-proto"},
    {FieldName::x_forwarded_other, ""},
    {FieldName::x_real_ip, "x-real-ip"},
    {FieldName::host, "host"},
    {FieldName::expect, "expect"},
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

constexpr size_t name_bytes_max = 32;

// A name as 64-bit words, counted from both of its ends; where they meet they overlap, so nothing
// beyond the name is read and no loop is needed. `fold` has 0x20 where the name has a letter:
// or-ing it into "\r" would make a "-".
//
//   2 to 3 octets     16 bits from the front, 16 from the back, in one word
//   4 to 7            32 and 32, in one word
//   8 to 16           one word from each end
//   17 to 32          two words from each end
struct Entry {
  uint64_t words[4];
  uint64_t fold[4];
  uint32_t bytes;
  FieldName name;
};

constexpr uint64_t load_constant(const char* from, size_t bytes) {
  uint64_t word = 0;
  for (size_t i = 0; i < bytes; ++i) {
    word |= uint64_t{static_cast<uint8_t>(from[i])} << (8 * i);
  }
  return word;
}

template <class T>
uint64_t load(const uint8_t* from) {
  T word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// Two overlapping halves for names of less than eight octets (two at least).
uint64_t load_short(const uint8_t* name, size_t bytes) {
  if (bytes >= 4) return load<uint32_t>(name) | load<uint32_t>(name + bytes - 4) << 32;
  return load<uint16_t>(name) | load<uint16_t>(name + bytes - 2) << 16;
}

constexpr Entry make_entry(const NameText& from) {
  Entry entry{};
  const char* text = from.text.data();
  const size_t bytes = from.text.size();
  entry.name = from.name;
  entry.bytes = static_cast<uint32_t>(bytes);
  if (bytes >= 8) {
    entry.words[0] = load_constant(text, 8);
    entry.words[1] = load_constant(text + bytes - 8, 8);
    if (bytes > 16) {
      entry.words[2] = load_constant(text + 8, 8);
      entry.words[3] = load_constant(text + bytes - 16, 8);
    }
  } else if (bytes >= 4) {
    entry.words[0] = load_constant(text, 4) | load_constant(text + bytes - 4, 4) << 32;
  } else if (bytes >= 2) {
    entry.words[0] = load_constant(text, 2) | load_constant(text + bytes - 2, 2) << 16;
  }
  for (size_t i = 0; i < 4; ++i) {
    for (unsigned shift = 0; shift < 64; shift += 8) {
      const uint64_t octet = entry.words[i] >> shift & 0xff;
      if (octet >= 'a' && octet <= 'z') entry.fold[i] |= uint64_t{0x20} << shift;
    }
  }
  return entry;
}

// A perfect hash over length, first and last two letters.
constexpr size_t slot_bits = 8;

constexpr size_t slot_of(uint32_t first, uint32_t last_two, size_t bytes, uint32_t multiplier) {
  const uint32_t letters = (first << 16 | last_two) | 0x202020;  // case folded
  return (letters + static_cast<uint32_t>(bytes) * 0x9e3779b1U) * multiplier >> (32 - slot_bits);
}

constexpr bool is_perfect(uint32_t multiplier) {
  bool used[size_t{1} << slot_bits] = {};
  for (const NameText& name : names) {
    if (name.text.empty()) continue;
    const char* text = name.text.data();
    const size_t bytes = name.text.size();
    const size_t slot =
        slot_of(static_cast<uint8_t>(text[0]),
                static_cast<uint32_t>(load_constant(text + bytes - 2, 2)), bytes, multiplier);
    if (used[slot]) return false;
    used[slot] = true;
  }
  return true;
}

// Found by trying; with other names take the next odd number for which this compiles.
constexpr uint32_t slot_multiplier = 0x9e4c81adU;
static_assert(is_perfect(slot_multiplier));

struct Table {
  std::array<Entry, field_name_count> entries{};
  std::array<uint8_t, size_t{1} << slot_bits> slots{};  // index into entries; 0: empty
};

constexpr Table make_table() {
  Table table;
  for (size_t i = 1; i < field_name_count; ++i) {
    const std::string_view text = names[i].text;
    table.entries[i] = make_entry(names[i]);
    if (text.empty()) continue;
    const auto last_two = static_cast<uint32_t>(load_constant(text.data() + text.size() - 2, 2));
    table.slots[slot_of(static_cast<uint8_t>(text[0]), last_two, text.size(), slot_multiplier)] =
        static_cast<uint8_t>(i);
  }
  return table;
}
constexpr Table table = make_table();

constexpr bool names_are_in_order() {
  for (size_t i = 0; i < field_name_count; ++i) {
    if (static_cast<size_t>(names[i].name) != i || names[i].text.size() > name_bytes_max) {
      return false;
    }
    if (names[i].text.size() == 1) return false;  // load_short needs two
  }
  return true;
}
static_assert(names_are_in_order());

inline bool matches(const Entry& entry, const uint8_t* name, size_t bytes) {
  if (bytes < 8) return (load_short(name, bytes) | entry.fold[0]) == entry.words[0];
  const auto differs = [&](size_t at, size_t word) {
    return (load<uint64_t>(name + at) | entry.fold[word]) ^ entry.words[word];
  };
  uint64_t difference = differs(0, 0) | differs(bytes - 8, 1);
  if (bytes > 16) difference |= differs(8, 2) | differs(bytes - 16, 3);
  return difference == 0;
}

constexpr std::string_view forwarded_prefix = "x-forwarded-";

}  // namespace

FieldName recognise_listed_name(const uint8_t* name, size_t bytes) {
  if (bytes < 2) return FieldName::other;
  const auto last_two = static_cast<uint32_t>(load<uint16_t>(name + bytes - 2));
  const size_t slot = slot_of(name[0], last_two, bytes, slot_multiplier);
  const Entry& entry = table.entries[table.slots[slot]];
  return entry.bytes == bytes && matches(entry, name, bytes) ? entry.name : FieldName::other;
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
