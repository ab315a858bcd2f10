// What each refusal means and which status answers it.
#include <array>

#include "base/check.h"
#include "dataplane/http/head_parser.h"

namespace millrace::http {
namespace {

struct Meaning {
  HeadError error;
  uint16_t status;
  std::string_view sentence;
};

constexpr std::array<Meaning, head_error_count> meanings = {{
    {HeadError::none, 500, "the head was not refused"},
    {HeadError::line_end_invalid, 400, "a line does not end with CRLF"},
    {HeadError::request_line_malformed, 400, "the request line is not method, target and version"},
    {HeadError::method_too_long, 501, "the method is longer than any known one"},
    {HeadError::method_not_allowed, 405, "TRACE is not allowed"},
    {HeadError::connect_unsupported, 501, "CONNECT is not implemented"},
    {HeadError::target_invalid, 400, "the request target has an invalid form or octet"},
    {HeadError::target_too_long, 414, "the request target is too long"},
    {HeadError::version_unsupported, 505, "the major version is not 1"},
    {HeadError::status_line_malformed, 400, "the status line is malformed"},
    {HeadError::field_line_folded, 400, "a field line begins with white space"},
    {HeadError::field_name_invalid, 400, "a field name is empty or not a token before a colon"},
    {HeadError::field_value_invalid, 400, "a field value contains a control octet"},
    {HeadError::field_line_too_long, 431, "a field line is too long"},
    {HeadError::fields_too_many, 431, "there are too many field lines"},
    {HeadError::head_too_large, 431, "the head is too large"},
    {HeadError::host_missing, 400, "an HTTP/1.1 request has no Host"},
    {HeadError::host_duplicate, 400, "there is more than one Host"},
    {HeadError::host_invalid, 400, "Host is not a host with an optional port"},
    {HeadError::content_length_invalid, 400, "Content-Length is not a decimal number in range"},
    {HeadError::content_length_duplicate, 400, "there is more than one Content-Length"},
    {HeadError::transfer_encoding_invalid, 400, "Transfer-Encoding does not end in one chunked"},
    {HeadError::transfer_encoding_unsupported, 501, "a transfer coding besides chunked is used"},
    {HeadError::transfer_encoding_duplicate, 400, "there is more than one Transfer-Encoding"},
    {HeadError::transfer_encoding_in_http_1_0, 400, "HTTP/1.0 has no Transfer-Encoding"},
    {HeadError::framing_ambiguous, 400, "Content-Length and Transfer-Encoding contradict"},
    {HeadError::connection_invalid, 400, "Connection is not a short list of tokens"},
    {HeadError::connection_nominates_protected, 400, "Connection nominates a protected field"},
    {HeadError::expectation_unsupported, 417, "an expectation is not 100-continue"},
}};

constexpr bool meanings_are_in_order() {
  for (size_t i = 0; i < meanings.size(); ++i) {
    if (static_cast<size_t>(meanings[i].error) != i) return false;
  }
  return true;
}
static_assert(meanings_are_in_order());

const Meaning& meaning(HeadError error) {
  CHECK(static_cast<size_t>(error) < meanings.size());
  return meanings[static_cast<size_t>(error)];
}

}  // namespace

uint16_t reply_status(HeadError error) {
  return meaning(error).status;
}
std::string_view sentence(HeadError error) {
  return meaning(error).sentence;
}

}  // namespace millrace::http
