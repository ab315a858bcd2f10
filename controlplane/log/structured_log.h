// The control plane's log: one line an event on standard error, as text for people or as JSON for
// collectors. A sentence says it all in text; in JSON what it speaks of stands beside it as fields,
// so that nobody has to take sentences apart.
//
//   2026-11-25T10:00:00.000Z info new table, version 7: ...
//   {"time":"2026-11-25T10:00:00.000Z","level":"info","message":"new table, version 7:
//   ...","version":7}
//
// Lines of spdlog::info() and the like are of the same form, without fields. Text that is not UTF-8
// is made so in JSON, since a line that no parser takes is lost.
#pragma once

#include <spdlog/common.h>
#include <spdlog/formatter.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>
#include <variant>

namespace millrace::log {

enum class Format : uint8_t { text, json };

// For the process; before anything is logged.
void begin(Format format, spdlog::level::level_enum level);

struct Field {
  std::string_view name;  // lower case with '_', none of "time", "level", "message"
  std::variant<std::string_view, int64_t, double> value;
};

void line(spdlog::level::level_enum level, std::string_view sentence,
          std::span<const Field> fields);
inline void line(spdlog::level::level_enum level, std::string_view sentence,
                 std::initializer_list<Field> fields) {
  line(level, sentence, std::span<const Field>(fields.begin(), fields.size()));
}

// What prints a line of a format. Lines of line() and lines of spdlog's own functions go through
// it.
std::unique_ptr<spdlog::formatter> make_formatter(Format format);

}  // namespace millrace::log
