#include "dataplane/http/field_semantics.h"

#include <array>

#include "dataplane/http/char_class.h"

namespace millrace::http {
namespace {

std::string_view trim_ows(std::string_view text) {
  while (!text.empty() && is_ows(static_cast<uint8_t>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && is_ows(static_cast<uint8_t>(text.back()))) text.remove_suffix(1);
  return text;
}

// Calls visit(element) for each element of a #list, empty ones included (RFC 9110 5.6.1), until it
// answers something else than `none`.
template <class Visit>
HeadError for_each_element(std::string_view list, Visit visit) {
  for (;;) {
    const size_t comma = list.find(',');
    const HeadError error = visit(trim_ows(list.substr(0, comma)));
    if (error != HeadError::none) return error;
    if (comma == list.npos) return HeadError::none;
    list.remove_prefix(comma + 1);
  }
}

FieldName recognise(std::string_view name) {
  return recognise_field_name(reinterpret_cast<const uint8_t*>(name.data()), name.size());
}

bool names_are_equal(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const auto x = static_cast<uint8_t>(a[i]);
    const auto y = static_cast<uint8_t>(b[i]);
    const auto folded = static_cast<uint8_t>(x | 0x20);
    const bool same_letter = (x ^ y) == 0x20 && folded >= 'a' && folded <= 'z';
    if (x != y && !same_letter) return false;
  }
  return true;
}

// The same for names that are equal; of others hardly ever.
uint64_t hash_of_name(std::string_view name) {
  uint64_t hash = name.size();
  for (const char c : name) {
    const auto octet = static_cast<uint8_t>(c);
    const bool is_upper = octet >= 'A' && octet <= 'Z';
    hash = (hash ^ (is_upper ? octet | 0x20U : octet)) * 0x9e3779b97f4a7c15U;
    hash ^= hash >> 32;
  }
  return hash;
}
using NameHashes = std::array<uint64_t, fields_max>;

void mark_nominated(std::string_view option, Fields& fields, const NameHashes& hashes) {
  const FieldName known = recognise(option);
  if (is_hop_by_hop(known) || is_protected_from_nomination(known)) return;
  const uint64_t hash = hash_of_name(option);
  for (uint32_t i = 0; i < fields.count; ++i) {
    if (hashes[i] != hash) [[likely]]
      continue;
    Field& field = fields.lines[i];
    if ((field.flags & Field::is_nominated_flag) == 0 && names_are_equal(field.name(), option)) {
      field.flags |= Field::is_nominated_flag;
    }
  }
}

}  // namespace

HeadError take_content_length(std::string_view value, Semantics& semantics) {
  if (semantics.has_content_length) return HeadError::content_length_duplicate;
  if (value.empty()) return HeadError::content_length_invalid;
  uint64_t length = 0;
  for (char c : value) {
    const unsigned digit = static_cast<uint8_t>(c) - unsigned{'0'};
    if (digit > 9 || length > (content_length_max - digit) / 10) {
      return HeadError::content_length_invalid;
    }
    length = length * 10 + digit;
  }
  semantics.has_content_length = true;
  semantics.content_length = length;
  return HeadError::none;
}

HeadError take_transfer_encoding(std::string_view value, Semantics& semantics) {
  if (semantics.has_transfer_encoding) return HeadError::transfer_encoding_duplicate;
  semantics.has_transfer_encoding = true;
  if (equals_ignoring_case(value, "chunked")) return HeadError::none;
  // Well-formed codings under a final "chunked" are only not implemented. Everything else leaves
  // the end of the message open.
  const size_t comma = value.rfind(',');
  if (comma == value.npos || !equals_ignoring_case(trim_ows(value.substr(comma + 1)), "chunked")) {
    return HeadError::transfer_encoding_invalid;
  }
  const HeadError error = for_each_element(value.substr(0, comma), [](std::string_view coding) {
    return is_token(coding) && !equals_ignoring_case(coding, "chunked")
               ? HeadError::none
               : HeadError::transfer_encoding_invalid;
  });
  return error == HeadError::none ? HeadError::transfer_encoding_unsupported : error;
}

HeadError take_connection(std::string_view value, Direction direction, Semantics& semantics) {
  return for_each_element(value, [&](std::string_view option) {
    if (++semantics.connection_options > connection_options_max) {
      return HeadError::connection_invalid;
    }
    if (option.empty()) return HeadError::none;
    if (equals_ignoring_case(option, "keep-alive")) {
      semantics.has_keep_alive = true;
    } else if (equals_ignoring_case(option, "close")) {
      semantics.has_close = true;
    } else if (!is_token(option)) {
      return HeadError::connection_invalid;
    } else {
      const FieldName known = recognise(option);
      if (is_protected_from_nomination(known)) {
        return direction == Direction::request ? HeadError::connection_nominates_protected
                                               : HeadError::none;
      }
      if (!is_hop_by_hop(known)) semantics.has_nominations = true;
      if (known == FieldName::upgrade) semantics.has_upgrade_option = true;
    }
    return HeadError::none;
  });
}

bool is_short_protocol(std::string_view text) {
  const size_t slash = text.find('/');
  return text.size() <= upgrade_bytes_max && is_token(text.substr(0, slash)) &&
         (slash == text.npos || is_token(text.substr(slash + 1)));
}

// Of every version and draft: "h2c-14" and "HTTP2" too.
bool is_http_or_tls(std::string_view protocol) {
  for (const std::string_view start : {"h2", "h3", "http", "tls"}) {
    if (equals_ignoring_case(protocol.substr(0, start.size()), start)) return true;
  }
  return false;
}

std::string_view tunnel_protocol(const Semantics& semantics, const Fields& fields) {
  if (!semantics.has_upgrade_option || semantics.upgrade_lines != 1) return {};
  const std::string_view protocol = fields.find(FieldName::upgrade)->value();
  if (!is_short_protocol(protocol)) return {};
  return is_http_or_tls(protocol) ? std::string_view{} : protocol;
}

void mark_nominated_fields(Fields& fields) {
  // Each name with each option would be thousands of comparisons.
  NameHashes hashes;
  for (uint32_t i = 0; i < fields.count; ++i) hashes[i] = hash_of_name(fields.lines[i].name());
  for (const Field& field : fields.all()) {
    if (field.known != FieldName::connection) continue;
    for_each_element(field.value(), [&](std::string_view option) {
      if (!option.empty()) mark_nominated(option, fields, hashes);
      return HeadError::none;
    });
  }
}

}  // namespace millrace::http
