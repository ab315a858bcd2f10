#include "controlplane/log/structured_log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <string>

namespace millrace::log {

namespace {

constexpr const char* time_pattern = "%Y-%m-%dT%H:%M:%S.%eZ";

// Of the line that is being written: spdlog hands a formatter the sentence alone, and calls it
// before line() returns.
thread_local std::span<const Field> fields_of_line;

class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    spdlog::memory_buf_t time;
    time_.format(message, time);
    nlohmann::ordered_json line;
    line["time"] = std::string_view(time.data(), time.size());
    line["level"] = text_of(spdlog::level::to_string_view(message.level));
    line["message"] = text_of(message.payload);
    for (const Field& field : fields_of_line) {
      std::visit([&](const auto& value) { line[std::string(field.name)] = value; }, field.value);
    }
    // No indentation; what is not UTF-8 becomes U+FFFD.
    const std::string text =
        line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
    out.append(text.data(), text.data() + text.size());
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>();
  }

 private:
  static std::string_view text_of(spdlog::string_view_t text) { return {text.data(), text.size()}; }

  spdlog::pattern_formatter time_{time_pattern, spdlog::pattern_time_type::utc, ""};
};

}  // namespace

std::unique_ptr<spdlog::formatter> make_formatter(Format format) {
  if (format == Format::json) return std::make_unique<JsonFormatter>();
  return std::make_unique<spdlog::pattern_formatter>(std::string(time_pattern) + " %l %v",
                                                     spdlog::pattern_time_type::utc);
}

void begin(Format format, spdlog::level::level_enum level) {
  spdlog::set_default_logger(spdlog::stderr_logger_st("controlplane"));
  spdlog::set_formatter(make_formatter(format));
  spdlog::set_level(level);
  spdlog::flush_on(spdlog::level::trace);
}

void line(spdlog::level::level_enum level, std::string_view sentence,
          std::span<const Field> fields) {
  fields_of_line = fields;
  spdlog::log(level, "{}", sentence);
  fields_of_line = {};
}

}  // namespace millrace::log
