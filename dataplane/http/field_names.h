// The field names that the proxy looks at, or meets so often that recognising them is the cheapest
// way of validating them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace millrace::http {

// The order carries meaning: a name's place says what a forwarder does with it, see the predicates
// below.
enum class FieldName : uint8_t {
  other,
  // Sent on unchanged.
  accept,
  accept_charset,
  accept_encoding,
  accept_language,
  accept_ranges,
  age,
  allow,
  authorization,
  cache_control,
  content_disposition,
  content_encoding,
  content_language,
  content_location,
  content_range,
  content_security_policy,
  content_type,
  cookie,
  date,
  dnt,
  etag,
  expires,
  from,
  if_match,
  if_modified_since,
  if_none_match,
  if_range,
  if_unmodified_since,
  last_modified,
  link,
  location,
  max_forwards,
  origin,
  pragma,
  priority,
  range,
  referer,
  retry_after,
  sec_ch_ua,
  sec_ch_ua_mobile,
  sec_ch_ua_platform,
  sec_fetch_dest,
  sec_fetch_mode,
  sec_fetch_site,
  sec_fetch_user,
  server,
  set_cookie,
  strict_transport_security,
  upgrade_insecure_requests,
  user_agent,
  vary,
  via,
  www_authenticate,
  x_content_type_options,
  x_frame_options,
  x_powered_by,
  x_requested_with,
  // Goes on, unless requests get a number of ours.
  x_request_id,
  // Who the client was and what it asked for, as told by an earlier proxy (H33). A stranger's word:
  // removed from requests.
  forwarded,
  x_forwarded_for,
  x_forwarded_host,
  x_forwarded_port,
  x_forwarded_proto,
  x_forwarded_other,  // any further name that begins with "x-forwarded-"
  x_real_ip,
  // Of a request, written by us from what was understood.
  host,
  expect,
  // Who has passed the request on (RFC 8586), which says whether it goes round in a circle.
  cdn_loop,
  // Of one hop (H14, RFC 9110 7.6.1): never sent on, in neither direction.
  connection,
  content_length,
  keep_alive,
  proxy_authenticate,
  proxy_authorization,
  proxy_connection,
  te,
  trailer,
  transfer_encoding,
  upgrade,
};
inline constexpr size_t field_name_count = static_cast<size_t>(FieldName::upgrade) + 1;

constexpr bool is_forwarding_field(FieldName name) {
  return name >= FieldName::forwarded && name <= FieldName::x_real_ip;
}
constexpr bool is_hop_by_hop(FieldName name) {
  return name >= FieldName::connection;
}
// The parser decides something when it meets one of these.
constexpr bool is_parsed_field(FieldName name) {
  return name >= FieldName::host;
}

// Names that a Connection field may not take away (H14): removing them would change who the client
// is, where the request goes, or where it ends.
constexpr bool is_protected_from_nomination(FieldName name) {
  return is_forwarding_field(name) || name == FieldName::host || name == FieldName::cdn_loop ||
         name == FieldName::authorization || name == FieldName::cookie ||
         name == FieldName::set_cookie || name == FieldName::content_length ||
         name == FieldName::transfer_encoding;
}

// Recognises a name in any case (names are case-insensitive, RFC 9110 5.1). A recognised name
// consists of token characters only; `other` says nothing about the bytes, except that
// x_forwarded_other's tail is unchecked as well.
FieldName recognise_field_name(const uint8_t* name, size_t bytes);
// The same without x_forwarded_other: enough where the answer is nearly always a name of the list.
FieldName recognise_listed_name(const uint8_t* name, size_t bytes);

// In lower case; empty for `other` and `x_forwarded_other`.
std::string_view to_text(FieldName name);

}  // namespace millrace::http
