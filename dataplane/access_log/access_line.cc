#include "dataplane/access_log/access_line.h"

#include <array>
#include <charconv>
#include <ctime>

#include "base/address.h"
#include "base/check.h"
#include "dataplane/http/head_parser.h"

namespace millrace::access_log {
namespace {

constexpr uint64_t ns_per_s = 1'000'000'000;
constexpr std::string_view hex_digits = "0123456789abcdef";

bool is_plain(char c) {
  return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void append_number(uint64_t number, std::string& out) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  out.append(digits.data(), end.ptr);
}

// before: what stands before the two hexadecimal digits of an octet.
void append_escaped(std::string_view text, std::string_view before, std::string& out) {
  for (const char c : text) {
    if (is_plain(c)) {
      out += c;
      continue;
    }
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
      continue;
    }
    const auto octet = static_cast<uint8_t>(c);
    out += before;
    out += hex_digits[octet >> 4];
    out += hex_digits[octet & 15];
  }
}

std::tm utc_of(uint64_t wall_ns) {
  const auto seconds = static_cast<time_t>(wall_ns / ns_per_s);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return utc;
}

std::string_view version_text(http::Version version) {
  return version == http::Version::http_1_0 ? "HTTP/1.0" : "HTTP/1.1";
}

// Microseconds from one instant of a record to a later one.
uint64_t us_between(uint64_t from_ns, uint64_t to_ns) {
  return to_ns > from_ns ? (to_ns - from_ns) / 1'000 : 0;
}

// The members of one object.
class JsonObject {
 public:
  explicit JsonObject(std::string& out) : out_(out) { out_ += '{'; }
  void end() { out_ += "}\n"; }
  void text(std::string_view key, std::string_view value) {
    begin(key);
    out_ += '"';
    append_escaped(value, "\\u00", out_);
    out_ += '"';
  }
  void text_if_any(std::string_view key, std::string_view value) {
    if (!value.empty()) text(key, value);
  }
  void number(std::string_view key, uint64_t value) {
    begin(key);
    append_number(value, out_);
  }
  void flag(std::string_view key, bool value) {
    begin(key);
    out_ += value ? "true" : "false";
  }

 private:
  void begin(std::string_view key) {
    if (!first_) out_ += ',';
    first_ = false;
    out_ += '"';
    out_ += key;
    out_ += "\":";
  }
  std::string& out_;
  bool first_ = true;
};

std::string iso_time(uint64_t wall_ns) {
  const std::tm utc = utc_of(wall_ns);
  std::array<char, 40> text;
  const size_t bytes = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::string time(text.data(), bytes);
  const std::string fraction = std::to_string(1'000'000 + wall_ns % ns_per_s / 1'000);
  return time + "." + fraction.substr(1) + "Z";
}

void append_request(const AccessEntry& entry, JsonObject& line) {
  const AccessRecord& record = entry.record();
  line.text("client", entry.text(Text::client));
  line.text_if_any("peer", entry.text(Text::peer));
  line.number(entry.text(Text::peer).empty() ? "client_port" : "peer_port", record.client_port);
  line.text_if_any("request_id", entry.text(Text::request_id));
  if (!entry.text(Text::method).empty()) {
    line.text("method", entry.text(Text::method));
    line.text("host", entry.text(Text::host));
    line.text("target", entry.text(Text::target));
    if (entry.is_cut(Text::target)) line.flag("target_cut", true);
    line.text("version", version_text(record.version));
  }
  line.text_if_any("upgrade", entry.text(Text::upgrade));
  line.text_if_any("user_agent", entry.text(Text::user_agent));
  line.text_if_any("referer", entry.text(Text::referer));
}

void append_answer(const AccessEntry& entry, JsonObject& line) {
  const AccessRecord& record = entry.record();
  line.number("status", record.status);
  line.text("end", exchange_end_names[static_cast<size_t>(record.end)]);
  if (record.reason != LocalReason::none) {
    line.text("reason", local_reason_names[static_cast<size_t>(record.reason)]);
  }
  if (record.head_error != http::HeadError::none) {
    line.text("head_error", http::sentence(record.head_error));
  }
  line.text_if_any("route", entry.text(Text::route));
  line.text_if_any("service", entry.text(Text::service));
  if (record.endpoint_port != 0) {
    const Ipv4Address address = Ipv4Address::from_host_order(record.endpoint_address);
    line.text("endpoint", SocketAddress{address, record.endpoint_port}.text());
    line.number("attempts", record.attempts);
    line.flag("reused", record.reused);
  }
  line.flag("keep_alive", record.keep_alive);
  line.number("request_body_bytes", record.request_body_octets);
  line.number("response_body_bytes", record.response_body_octets);
}

// Phases one behind the other; only those that came.
void append_times(const AccessRecord& record, JsonObject& line) {
  line.number("head_us", us_between(record.began_ns, record.routed_ns));
  uint64_t last_ns = record.routed_ns;
  if (record.connected_ns != 0) {
    line.number("connect_us", us_between(last_ns, record.connected_ns));
    last_ns = record.connected_ns;
  }
  if (record.responded_ns != 0) {
    line.number("response_us", us_between(last_ns, record.responded_ns));
    last_ns = record.responded_ns;
  }
  line.number("body_us", us_between(last_ns, record.ended_ns));
  line.number("total_us", us_between(record.began_ns, record.ended_ns));
}

void append_json(const AccessEntry& entry, uint64_t wall_ns_of_origin, std::string& out) {
  JsonObject line(out);
  line.text("time", iso_time(entry.record().began_ns + wall_ns_of_origin));
  append_request(entry, line);
  append_answer(entry, line);
  append_times(entry.record(), line);
  line.end();
}

void append_combined(const AccessEntry& entry, uint64_t wall_ns_of_origin, std::string& out) {
  const AccessRecord& record = entry.record();
  const std::tm utc = utc_of(record.began_ns + wall_ns_of_origin);
  std::array<char, 40> time;
  const size_t time_bytes =
      std::strftime(time.data(), time.size(), " - - [%d/%b/%Y:%H:%M:%S +0000] \"", &utc);
  const auto quoted = [&](Text text) {
    if (entry.text(text).empty()) out += '-';
    append_escaped(entry.text(text), "\\x", out);
  };
  out += entry.text(Text::client);
  out.append(time.data(), time_bytes);
  quoted(Text::method);
  if (!entry.text(Text::method).empty()) {
    out += ' ';
    append_escaped(entry.text(Text::target), "\\x", out);
    out += ' ';
    out += version_text(record.version);
  }
  out += "\" ";
  if (record.status == 0) {
    out += '-';
  } else {
    append_number(record.status, out);
  }
  out += ' ';
  append_number(record.response_body_octets, out);
  out += " \"";
  quoted(Text::referer);
  out += "\" \"";
  quoted(Text::user_agent);
  out += "\"\n";
}

}  // namespace

AccessEntry::AccessEntry(ByteView pushed) {
  CHECK(pushed.size() >= sizeof record_);
  std::memcpy(&record_, pushed.data(), sizeof record_);
  texts_ = as_text(pushed.subspan(sizeof record_));
}

std::string_view AccessEntry::text(Text text) const {
  size_t at = 0;
  for (size_t i = 0; i < static_cast<size_t>(text); ++i) at += record_.text_bytes[i];
  return texts_.substr(at, record_.text_bytes[static_cast<size_t>(text)]);
}

void append_line(const AccessEntry& entry, Format format, uint64_t wall_ns_of_origin,
                 std::string& out) {
  switch (format) {
    case Format::json: append_json(entry, wall_ns_of_origin, out); break;
    case Format::combined: append_combined(entry, wall_ns_of_origin, out); break;
  }
}

}  // namespace millrace::access_log
