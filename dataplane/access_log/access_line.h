// The lines of the access log: a record as the worker handed it over, as JSON or in the combined
// format, with its newline. Whatever a client has sent stands there escaped: a line is one line,
// and JSON is JSON (H39).
//
// JSON: one object, the same keys in the same order; what an exchange does not have is left out.
// Octets that are not printable ASCII are written as \u00XX, each by itself, since a header field
// has no encoding (RFC 9110 section 5.5).
//
// Combined, the format of that name that most servers write:
//   client - - [27/Nov/2026:17:20:45 +0000] "GET /path?query HTTP/1.1" 200 2326 "referer" "user
//   agent"
// with \xXX for such octets, and - for texts that are not there and for the status of an exchange
// without an answer. Times are UTC.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "dataplane/access_log/access_record.h"

namespace millrace::access_log {

enum class Format : uint8_t { json, combined };

// Reads what ExchangeNotes has pushed.
class AccessEntry {
 public:
  explicit AccessEntry(ByteView pushed);
  const AccessRecord& record() const { return record_; }
  std::string_view text(Text text) const;
  // It may be longer than what is here.
  bool is_cut(Text text) const { return this->text(text).size() == limit(text); }

 private:
  static size_t limit(Text text) { return text_bytes_max[static_cast<size_t>(text)]; }

  AccessRecord record_;
  std::string_view texts_;
};

// Appends the line to out. wall_ns_of_origin: what to add to the worker's clock for the time since
// 1970, in nanoseconds.
void append_line(const AccessEntry& entry, Format format, uint64_t wall_ns_of_origin,
                 std::string& out);

}  // namespace millrace::access_log
