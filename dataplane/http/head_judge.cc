#include "dataplane/http/head_judge.h"

#include "dataplane/http/char_class.h"

namespace millrace::http {

HeadError RequestJudge::take_other(const Field& field) {
  switch (field.known) {
    case FieldName::host: return take_any_host(field.value());
    case FieldName::content_length: return take_content_length(field.value(), semantics_);
    case FieldName::transfer_encoding: return take_transfer_encoding(field.value(), semantics_);
    case FieldName::connection:
      return take_connection(field.value(), Direction::request, semantics_);
    case FieldName::expect:
      has_expect_ = true;
      return equals_ignoring_case(field.value(), "100-continue")
                 ? HeadError::none
                 : HeadError::expectation_unsupported;
    case FieldName::cdn_loop: has_cdn_loop_ = true; return HeadError::none;
    case FieldName::upgrade: take_upgrade(semantics_); return HeadError::none;
    default: return HeadError::none;
  }
}

HeadError RequestJudge::take_any_host(std::string_view value) {
  if (has_host_) return HeadError::host_duplicate;
  has_host_ = true;
  if (out_.form != TargetForm::absolute) {
    return parse_authority(value, {out_.host_text, out_.host_bytes, out_.port})
               ? HeadError::none
               : HeadError::host_invalid;
  }
  std::array<char, host_bytes_max + 1> ignored_text;
  uint8_t ignored_bytes;
  uint16_t ignored_port;
  return parse_authority(value, {ignored_text, ignored_bytes, ignored_port})
             ? HeadError::none
             : HeadError::host_invalid;
}

HeadError ResponseJudge::take_other(const Field& field) {
  switch (field.known) {
    case FieldName::content_length: return take_content_length(field.value(), semantics_);
    case FieldName::transfer_encoding: return take_transfer_encoding(field.value(), semantics_);
    case FieldName::connection:
      return take_connection(field.value(), Direction::response, semantics_);
    case FieldName::upgrade: take_upgrade(semantics_); return HeadError::none;
    default: return HeadError::none;
  }
}

}  // namespace millrace::http
