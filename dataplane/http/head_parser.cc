#include "dataplane/http/head_parser.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "dataplane/http/byte_scan.h"
#include "dataplane/http/head_judge.h"
#include "dataplane/http/host.h"
#include "dataplane/http/start_line.h"
#include "dataplane/http/vector_head.h"

namespace millrace::http {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// "HTTP/" DIGIT "." DIGIT, RFC 9112 2.3. `otherwise` is the answer to anything else.
HeadError parse_version(std::string_view text, Version& version, HeadError otherwise) {
  if (text.size() != 8 || text.substr(0, 5) != "HTTP/" || !is_digit(text[5]) || text[6] != '.' ||
      !is_digit(text[7])) {
    return otherwise;
  }
  if (text[5] != '1') return HeadError::version_unsupported;
  version = text[7] == '0' ? Version::http_1_0 : Version::http_1_1;
  return HeadError::none;
}

// Walks the lines of one head.
//
//   begin_        line           at       window        end_
//     |  judged     |  this line  |          |  received  |
//
// The window ends where the line, the head or the input ends, whichever comes first. An offence is
// told only when its line's LF lies in the window; so the answer is the same however the input was
// cut, and HeadScan may skip an input without a new LF.
//
// What nearly every head consists of is taken by a level's vector functions; what they leave, and
// heads too short for them, is walked octet by octet or with the level's scans.
template <class Level>
class HeadWalk {
  using Scan = typename Level::Scan;

 public:
  HeadWalk(ByteView input, Readable readable, HeadScan* scan, HeadError start_line_too_long,
           HeadError& error)
      : begin_(input.data()),
        end_(input.data() + input.size()),
        readable_end_(end_ + readable.bytes_behind),
        at_(begin_),
        scan_(scan),
        line_too_long_(start_line_too_long),
        error_(error) {}

  // Nothing to judge since the last call.
  bool is_still_partial() {
    if (scan_ == nullptr || scan_->bytes_seen == 0) return false;
    const size_t size = static_cast<size_t>(end_ - begin_);
    const size_t limit = std::min(size_t{scan_->line_start} + line_bytes_max, head_bytes_max);
    if (size >= limit || size < scan_->bytes_seen) return false;
    const size_t fresh = size - scan_->bytes_seen;
    if (fresh != 0 && std::memchr(begin_ + scan_->bytes_seen, '\n', fresh) != nullptr) return false;
    scan_->bytes_seen = static_cast<uint32_t>(size);
    return true;
  }

  size_t consumed() const { return static_cast<size_t>(at_ - begin_); }

  // RFC 9112 2.2: one empty line before a request line is ignored.
  ParseStatus skip_empty_line() {
    const Line line = open_line();
    if (line.start == line.window) return out_of_line(line);
    if (*line.start == '\n') return refuse(line, line.start, HeadError::line_end_invalid);
    if (*line.start != '\r') return ParseStatus::complete;
    return take_line_end(line, line.start);
  }

  // method SP target SP version CRLF, RFC 9112 3.
  ParseStatus request_line(RequestHead& out, std::string_view& target, size_t& query_at) {
    const Line line = open_line();
    const uint8_t* at = line.start;
    const ParseStatus method = take_method(line, at, out);
    if (method != ParseStatus::complete) return method;
    const uint8_t* const target_start = at;
    query_at = std::string_view::npos;
    for (;;) {
      at = Scan::target_stop(at, line.window);
      if (at == line.window) return out_of_line(line);
      if (*at != '?') break;
      if (query_at == std::string_view::npos) query_at = static_cast<size_t>(at - target_start);
      ++at;
    }
    if (*at != ' ') {
      const bool at_line_end = *at == '\r' || *at == '\n';
      return refuse(line, at,
                    at_line_end ? HeadError::request_line_malformed : HeadError::target_invalid);
    }
    target = text_between(target_start, at);
    if (target.empty()) return refuse(line, at, HeadError::request_line_malformed);
    if (target.size() > target_bytes_max) return refuse(line, at, HeadError::target_too_long);
    ++at;
    if (line.window - at >= 10 && load<uint64_t>(at) == http_1_1_octets &&
        load<uint16_t>(at + 8) == crlf_octets) {
      out.version = Version::http_1_1;
      at_ = at + 10;
      return ParseStatus::complete;
    }
    std::string_view text;
    const ParseStatus rest = take_rest_of_line(line, at, text);
    if (rest != ParseStatus::complete) return rest;
    return answer(parse_version(text, out.version, HeadError::request_line_malformed));
  }

  // version SP status [ SP reason ] CRLF, RFC 9112 4; without the last SP, because some origins
  // leave it out together with the reason.
  ParseStatus status_line(ResponseHead& out) {
    const Line line = open_line();
    std::string_view text;
    const ParseStatus rest = take_rest_of_line(line, line.start, text);
    if (rest != ParseStatus::complete) return rest;
    if (text.size() >= 8 && load<uint64_t>(line.start) == http_1_1_octets) {
      out.version = Version::http_1_1;
    } else {
      const HeadError version =
          parse_version(text.substr(0, 8), out.version, HeadError::status_line_malformed);
      if (version != HeadError::none) return answer(version);
    }
    if (text.size() < 12 || text[8] != ' ' || text[9] == '0' || !is_digit(text[9]) ||
        !is_digit(text[10]) || !is_digit(text[11]) || (text.size() > 12 && text[12] != ' ')) {
      return answer(HeadError::status_line_malformed);
    }
    out.status =
        static_cast<uint16_t>((text[9] - '0') * 100 + (text[10] - '0') * 10 + text[11] - '0');
    out.reason = text.size() > 13 ? text.substr(13) : std::string_view{};
    return ParseStatus::complete;
  }

  // field-line = field-name ":" OWS field-value OWS CRLF, up to the empty line (RFC 9112 5). Calls
  // judge(field) for each field whose meaning concerns the parser.
  template <class Judge>
  ParseStatus field_lines(Fields& fields, Judge& judge) {
    line_too_long_ = HeadError::field_line_too_long;
    Field* field = fields.lines.data();
    Field* const limit = field + fields_max;
    uint32_t lines_left_to_walk = 0;
    uint32_t misses = 0;
    for (;;) {
      if (lines_left_to_walk > 0) {
        --lines_left_to_walk;
      } else {
        const FieldRun run =
            Level::take_field_lines({at_, window_of(at_), readable_end_, field, limit}, judge);
        if (run.error != HeadError::none) return answer(run.error);
        // Where nothing is for them they are not tried at each line: a head may have a hundred
        // such.
        misses = run.next == field ? std::min(misses + 1, misses_max) : 0;
        lines_left_to_walk = (1U << misses) - 1;
        at_ += run.octets;
        field = run.next;
      }
      const Line line = open_line();
      if (line.start == line.window) return out_of_line(line);
      if (*line.start <= ' ') {
        fields.count = static_cast<uint32_t>(field - fields.lines.data());
        return empty_line(line);
      }
      if (field == limit) return refuse(line, line.start, HeadError::fields_too_many);
      const ParseStatus status = take_field_line(line, *field);
      if (status != ParseStatus::complete) return status;
      if (is_parsed_field(field->known)) {
        const HeadError error = judge.judge(*field);
        if (error != HeadError::none) return answer(error);
      }
      ++field;
    }
  }

 private:
  struct Line {
    const uint8_t* start;
    const uint8_t* window;
  };

  // One line, whatever is in it.
  [[gnu::noinline]] ParseStatus take_field_line(Line line, Field& field) {
    const uint8_t* const colon = Scan::name_end(line.start, line.window);
    if (colon == line.window) return out_of_line(line);
    if (*colon != ':' || colon == line.start) {
      return refuse(line, colon, HeadError::field_name_invalid);
    }
    const size_t name_bytes = static_cast<size_t>(colon - line.start);
    field.flags = 0;
    field.known = recognise_listed_name(line.start, name_bytes);
    if (field.known == FieldName::other && !take_unlisted_name(line.start, name_bytes, field)) {
      return refuse(line, colon, HeadError::field_name_invalid);
    }

    const uint8_t* value = colon + 1;
    const uint8_t* value_end = Scan::value_end(value, line.window);
    if (line.window - value_end < 2 || load<uint16_t>(value_end) != crlf_octets) {
      return value_without_end(line, value_end);
    }
    at_ = value_end + 2;
    // Within a value only white space is as low as a space; the colon in front of it is higher. A
    // head may have a hundred such values, so each octet of white space is compared once.
    while (value_end[-1] <= ' ') --value_end;
    if (value != value_end) {
      while (*value <= ' ') ++value;
    }
    field.line = reinterpret_cast<const char*>(line.start);
    field.name_bytes = static_cast<uint16_t>(name_bytes);
    field.value_offset = static_cast<uint16_t>(value - line.start);
    field.value_bytes = static_cast<uint16_t>(value_end - value);
    return ParseStatus::complete;
  }

  // A name that is not known by heart is looked at octet by octet. False: it is no token.
  [[gnu::noinline]] static bool take_unlisted_name(const uint8_t* name, size_t bytes,
                                                   Field& field) {
    uint8_t classes = 0;
    for (size_t i = 0; i < bytes; ++i) classes |= char_classes[name[i]];
    if ((classes & not_token) != 0) return false;
    if ((classes & underscore) != 0) field.flags = Field::has_underscore_flag;
    if ((name[0] | 0x20) == 'x') field.known = recognise_field_name(name, bytes);
    return true;
  }

  Line open_line() const { return {at_, window_of(at_)}; }

  const uint8_t* window_of(const uint8_t* line) const {
    const size_t limit =
        std::min(static_cast<size_t>(line - begin_) + line_bytes_max, head_bytes_max);
    return begin_ + std::min(limit, static_cast<size_t>(end_ - begin_));
  }

  // The window ended inside the line: a limit is passed, or more has to come.
  [[gnu::cold, gnu::noinline]] ParseStatus out_of_line(Line line) {
    if (static_cast<size_t>(line.window - line.start) >= line_bytes_max) {
      return answer(line_too_long_);
    }
    if (static_cast<size_t>(line.window - begin_) >= head_bytes_max) {
      return answer(HeadError::head_too_large);
    }
    if (scan_ != nullptr) {
      scan_->bytes_seen = static_cast<uint32_t>(end_ - begin_);
      scan_->line_start = static_cast<uint32_t>(line.start - begin_);
    }
    return ParseStatus::partial;
  }

  // The octet at `at` is wrong, and no LF stands before it in this line.
  [[gnu::cold, gnu::noinline]] ParseStatus refuse(Line line, const uint8_t* at, HeadError error) {
    const size_t left = static_cast<size_t>(line.window - at);
    if (left == 0 || std::memchr(at, '\n', left) == nullptr) return out_of_line(line);
    return answer(error);
  }

  // A value stopped at `at`, and that is not its CRLF.
  [[gnu::cold, gnu::noinline]] ParseStatus value_without_end(Line line, const uint8_t* at) {
    if (at == line.window) return out_of_line(line);
    const bool at_line_end = *at == '\r' || *at == '\n';
    return refuse(line, at,
                  at_line_end ? HeadError::line_end_invalid : HeadError::field_value_invalid);
  }

  // The line was seen whole.
  ParseStatus answer(HeadError error) {
    error_ = error;
    return error == HeadError::none ? ParseStatus::complete : ParseStatus::error;
  }

  // CRLF, or not, behind what was understood of the line.
  ParseStatus take_line_end(Line line, const uint8_t* at) {
    if (line.window - at < 2 || load<uint16_t>(at) != crlf_octets)
      return value_without_end(line, at);
    at_ = at + 2;
    return ParseStatus::complete;
  }

  // Everything up to CRLF, as a field value may look.
  ParseStatus take_rest_of_line(Line line, const uint8_t* from, std::string_view& text) {
    const uint8_t* const to = Scan::value_end(from, line.window);
    text = text_between(from, to);
    return take_line_end(line, to);
  }

  ParseStatus take_method(Line line, const uint8_t*& at, RequestHead& out) {
    if (line.window - at >= 4 && load<uint32_t>(at) == get_octets) {
      out.method = Method::get;
      out.method_text = text_between(at, at + 3);
      at += 4;
      return ParseStatus::complete;
    }
    while (at != line.window && !is_in_class(*at, not_token)) ++at;
    if (at == line.window) return out_of_line(line);
    if (*at != ' ' || at == line.start) {
      return refuse(line, at,
                    *at == '\n' ? HeadError::line_end_invalid : HeadError::request_line_malformed);
    }
    out.method_text = text_between(line.start, at);
    if (out.method_text.size() > method_bytes_max) {
      return refuse(line, at, HeadError::method_too_long);
    }
    out.method = recognise_method(out.method_text);
    ++at;
    return ParseStatus::complete;
  }

  // The line begins with white space or a control octet: the end of the head, or an offence.
  ParseStatus empty_line(Line line) {
    switch (*line.start) {
      case '\r': return take_line_end(line, line.start);
      case '\n': return refuse(line, line.start, HeadError::line_end_invalid);
      case ' ':
      case '\t': return refuse(line, line.start, HeadError::field_line_folded);
      default: return refuse(line, line.start, HeadError::field_name_invalid);
    }
  }

  static constexpr uint32_t misses_max = 4;  // 15 lines are walked then

  const uint8_t* const begin_;
  const uint8_t* const end_;
  const uint8_t* const readable_end_;
  const uint8_t* at_;  // behind the last line that was taken
  HeadScan* const scan_;
  HeadError line_too_long_;
  HeadError& error_;
};

// The first absolute-form octets; the scheme is case-insensitive (RFC 3986 3.1). We are asked over
// plain TCP, so a target that says https was meant for somebody else.
constexpr std::string_view http_prefix = "http://";

// absolute-form: its authority is the request's host, whatever Host says (RFC 9112 3.2.2).
HeadError interpret_absolute(std::string_view target, size_t query_at, RequestHead& out) {
  if (target.size() < http_prefix.size() ||
      !equals_ignoring_case(target.substr(0, http_prefix.size()), http_prefix)) {
    return HeadError::target_invalid;
  }
  const size_t path_end = std::min(query_at, target.size());
  const size_t slash = target.find('/', http_prefix.size());
  const size_t path_at = std::min(slash, path_end);
  const std::string_view authority =
      target.substr(http_prefix.size(), path_at - http_prefix.size());
  if (!parse_authority(authority, {out.host_text, out.host_bytes, out.port})) {
    return HeadError::target_invalid;
  }
  out.form = TargetForm::absolute;
  out.path = target.substr(path_at, path_end - path_at);
  // RFC 9112 3.2.1 and 3.2.4: an empty path is "/", except where OPTIONS asks about the server.
  if (out.path.empty()) {
    out.path = out.method == Method::options && !out.has_query ? "*" : "/";
  }
  return HeadError::none;
}

HeadError interpret_target(std::string_view target, size_t query_at, RequestHead& out) {
  if (out.method == Method::connect) return HeadError::connect_unsupported;
  if (out.method == Method::trace) return HeadError::method_not_allowed;  // echoes what it is sent
  out.has_query = query_at != std::string_view::npos;
  out.query = out.has_query ? target.substr(query_at + 1) : std::string_view{};
  out.host_bytes = 0;
  out.port = 0;
  if (target[0] == '/') {
    out.form = TargetForm::origin;
    out.path = target.substr(0, query_at);
    return HeadError::none;
  }
  if (target[0] != '*') return interpret_absolute(target, query_at, out);
  if (target.size() != 1 || out.method != Method::options) return HeadError::target_invalid;
  out.form = TargetForm::asterisk;
  out.path = target;
  return HeadError::none;
}

struct OffLevel {
  using Scan = PortableScan;
  template <class Judge>
  static FieldRun take_field_lines(const LineRange& range, Judge&) {
    return {0, range.next, HeadError::none};
  }
};

struct PortableLevel : PortableVectors {
  using Scan = PortableScan;
};
#if defined(__x86_64__)
struct Sse2Level : Sse2Vectors {
  using Scan = Sse2Scan;
};
struct Avx2Level : Avx2Vectors {
  using Scan = Sse2Scan;
};
#endif

template <class Level>
ParseStatus request_by_lines(ByteView input, RequestHead& out, size_t& consumed, HeadScan* scan,
                             Readable readable) {
  consumed = 0;
  if (input.empty()) return ParseStatus::partial;
  HeadWalk<Level> walk(input, readable, scan, HeadError::target_too_long, out.error);
  if (walk.is_still_partial()) return ParseStatus::partial;
  out.canonical_line = {};
  ParseStatus status = walk.skip_empty_line();
  if (status != ParseStatus::complete) return status;
  std::string_view target;
  size_t query_at;
  status = walk.request_line(out, target, query_at);
  if (status != ParseStatus::complete) return status;
  out.error = interpret_target(target, query_at, out);
  if (out.error != HeadError::none) return ParseStatus::error;
  RequestJudge judge(out);
  status = walk.field_lines(out.fields, judge);
  if (status != ParseStatus::complete) return status;
  out.error = judge.conclude();
  if (out.error != HeadError::none) return ParseStatus::error;
  consumed = walk.consumed();
  return ParseStatus::complete;
}

template <class Level>
ParseStatus response_by_lines(ByteView input, Method request_method, ResponseHead& out,
                              size_t& consumed, HeadScan* scan, Readable readable) {
  consumed = 0;
  if (input.empty()) return ParseStatus::partial;
  HeadWalk<Level> walk(input, readable, scan, HeadError::status_line_malformed, out.error);
  if (walk.is_still_partial()) return ParseStatus::partial;
  out.canonical_line = {};
  ParseStatus status = walk.status_line(out);
  if (status != ParseStatus::complete) return status;
  ResponseJudge judge(out, request_method);
  status = walk.field_lines(out.fields, judge);
  if (status != ParseStatus::complete) return status;
  out.error = judge.conclude();
  if (out.error != HeadError::none) return ParseStatus::error;
  consumed = walk.consumed();
  return ParseStatus::complete;
}

struct Parsers {
  decltype(&parse_request_head) request;
  decltype(&parse_response_head) response;
};

Parsers parsers_at(VectorLevel level) {
#if defined(__x86_64__)
  if (level == VectorLevel::avx2) return {Avx2Vectors::parse_request, Avx2Vectors::parse_response};
  if (level == VectorLevel::sse2) return {Sse2Vectors::parse_request, Sse2Vectors::parse_response};
#endif
  if (level == VectorLevel::portable) {
    return {PortableVectors::parse_request, PortableVectors::parse_response};
  }
  return {request_by_lines<OffLevel>, response_by_lines<OffLevel>};
}

const Parsers best_parsers = parsers_at(vector_level_max());

}  // namespace

#define MILLRACE_BY_LINES(name)                                                                  \
  ParseStatus name##Vectors::parse_request_by_lines(                                             \
      ByteView input, RequestHead& out, size_t& consumed, HeadScan* scan, Readable readable) {   \
    return request_by_lines<name##Level>(input, out, consumed, scan, readable);                  \
  }                                                                                              \
  ParseStatus name##Vectors::parse_response_by_lines(ByteView input, Method request_method,      \
                                                     ResponseHead& out, size_t& consumed,        \
                                                     HeadScan* scan, Readable readable) {        \
    return response_by_lines<name##Level>(input, request_method, out, consumed, scan, readable); \
  }
MILLRACE_BY_LINES(Portable)
#if defined(__x86_64__)
MILLRACE_BY_LINES(Sse2)
MILLRACE_BY_LINES(Avx2)
#endif
#undef MILLRACE_BY_LINES

ParseStatus parse_request_head(ByteView input, RequestHead& out, size_t& consumed, HeadScan* scan,
                               Readable readable) {
  return best_parsers.request(input, out, consumed, scan, readable);
}
ParseStatus parse_response_head(ByteView input, Method request_method, ResponseHead& out,
                                size_t& consumed, HeadScan* scan, Readable readable) {
  return best_parsers.response(input, request_method, out, consumed, scan, readable);
}
ParseStatus parse_request_head_at(VectorLevel level, ByteView input, RequestHead& out,
                                  size_t& consumed, HeadScan* scan, Readable readable) {
  CHECK(level <= vector_level_max());
  return parsers_at(level).request(input, out, consumed, scan, readable);
}
ParseStatus parse_response_head_at(VectorLevel level, ByteView input, Method request_method,
                                   ResponseHead& out, size_t& consumed, HeadScan* scan,
                                   Readable readable) {
  CHECK(level <= vector_level_max());
  return parsers_at(level).response(input, request_method, out, consumed, scan, readable);
}
const Field* Fields::find(FieldName name) const {
  for (const Field& field : all()) {
    if (field.known == name) return &field;
  }
  return nullptr;
}

}  // namespace millrace::http
