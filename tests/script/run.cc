// The peer that a script plays, and the application above the stack.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>

#include "dataplane/net/checksum.h"
#include "dataplane/net/ipv4.h"
#include "tests/script/script.h"
#include "tests/stack_api/millrace_stack.h"

namespace millrace::script {
namespace {

constexpr int64_t tolerance_ns =
    6'000'000;  // timers are in whole milliseconds, and up to 4 ms late
constexpr uint64_t start_ns = 1'000'000'000'000;
const Ipv4Address stack_address = Ipv4Address::from_octets(10, 0, 0, 1);
const Ipv4Address peer_address = Ipv4Address::from_octets(10, 0, 0, 2);
constexpr uint32_t peer_isn = 0xffff'f000;  // so that everything wraps soon
constexpr uint16_t peer_port = 40'000;

struct Seen {
  std::vector<uint8_t> bytes;
  tcp::Segment segment;
};

uint8_t pattern(uint32_t offset) {
  return static_cast<uint8_t>('a' + offset % 23);
}

class Run {
 public:
  Run(const Script& script, bool fast_paths, bool verbose) : script_(script), verbose_(verbose) {
    config_.address = stack_address.host_order();
    config_.prefix_length = 24;
    config_.seed = 7;
    config_.start_ns = start_ns;
    config_.no_fast_paths = fast_paths ? 0 : 1;
  }
  ~Run() {
    if (stack_ != nullptr) mr_destroy(stack_);
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  std::string run() {
    for (const Line& line : script_.lines) {
      if (verbose_) std::printf("%9.3f %s\n", since_start(), line.source.c_str());
      std::string wrong = step(line);
      if (wrong.empty()) continue;
      return script_.path + ":" + std::to_string(line.number) + ": " + wrong + "\n    " +
             line.source + "\n  at " + std::to_string(since_start()) + " s";
    }
    if (!seen_.empty())
      return script_.path + ": at the end, sent and not expected: " + told(seen_[0]);
    return "";
  }

 private:
  double since_start() const { return static_cast<double>(now_ns_ - start_ns) / 1e9; }

  std::string step(const Line& line) {
    if (line.command == "stack") return configure(line);
    if (stack_ == nullptr) {
      stack_ = mr_create(&config_);
      if (stack_ == nullptr) return "the stack's configuration makes no sense";
    }
    if (line.command == "out") return expect(line);
    if (line.after_ns) {
      advance(*line.after_ns);
      if (!seen_.empty()) return "sent before, and not expected: " + told(seen_[0]);
    }
    if (line.command == "in") return inject(line);
    if (line.command == "silent" || line.command == "wait") return wait(line);
    if (line.command == "check") return check(line);
    if (line.command == "events") return check_events(line);
    return call(line);
  }

  std::string configure(const Line& line) {
    for (const std::string& word : line.words) {
      const size_t equals = word.find('=');
      const std::string name = word.substr(0, equals);
      const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
      const auto number = static_cast<uint32_t>(std::atoll(value.c_str()));
      const uint8_t off = value == "off" ? 1 : 0;
      if (name == "sack")
        config_.no_sack = off;
      else if (name == "timestamps")
        config_.no_timestamps = off;
      else if (name == "scaling")
        config_.no_window_scaling = off;
      else if (name == "new_reno")
        config_.new_reno = off == 0 ? 1 : 0;
      else if (name == "mtu")
        config_.mtu_bytes = static_cast<uint16_t>(number);
      else if (name == "half_open")
        config_.half_open = number;
      else if (name == "connections")
        config_.connections = number;
      else if (name == "slots")
        config_.packet_slots = number;
      else if (name == "keepalive_idle_ms")
        config_.keepalive_idle_ms = number;
      else if (name == "keepalive_interval_ms")
        config_.keepalive_interval_ms = number;
      else if (name == "keepalive_probes")
        config_.keepalive_probes = static_cast<uint8_t>(number);
      else
        return "\"" + name + "\" is nothing that a stack can be told";
    }
    return "";
  }

  void advance(int64_t span_ns) {
    now_ns_ += static_cast<uint64_t>(span_ns);
    mr_advance(stack_, now_ns_);
    collect();
  }

  // Takes what the stack has sent since.
  void collect() {
    std::array<uint8_t, 2'048> datagram;
    for (size_t octets = 0;
         (octets = mr_device_out(stack_, datagram.data(), datagram.size())) > 0;) {
      Seen seen;
      seen.bytes.assign(datagram.begin(), datagram.begin() + static_cast<long>(octets));
      tcp::SegmentError error{};
      if (seen.bytes[9] != net::protocol_tcp) continue;
      if (!tcp::parse_segment_into(&seen.segment, ByteView(seen.bytes).subspan(20), &error))
        continue;
      if (seen.segment.has(tcp::flag_syn)) stack_isn_ = seen.segment.seq.value();
      if (seen.segment.has(tcp::flag_syn)) stack_port_ = seen.segment.source_port;
      if (seen.segment.options.has_timestamps)
        last_time_value_ = seen.segment.options.timestamp_value;
      if (!seen.segment.has(tcp::flag_rst)) {
        const tcp::Seq end = seen.segment.seq + seen.segment.sequence_length();
        if (!stack_next_known_ || end > stack_next_) stack_next_ = end;
        stack_next_known_ = true;
      }
      if (verbose_) std::printf("%9.3f   sent: %s\n", since_start(), told(seen).c_str());
      seen_.push_back(std::move(seen));
    }
  }

  std::string inject(const Line& line) {
    std::string error;
    const auto text = parse_segment_text(line.words, &error);
    if (!text) return error;
    tcp::HeaderFields fields;
    fields.source_port = static_cast<uint16_t>(text->from_port.value_or(peer_port));
    fields.destination_port = static_cast<uint16_t>(
        text->to_port.value_or(stack_port_ != 0 ? stack_port_ : listen_port_));
    fields.seq = text->seq ? tcp::Seq(peer_isn + static_cast<uint32_t>(*text->seq)) : peer_next_;
    fields.flags = flags_of(text->flags);
    if ((fields.flags & tcp::flag_ack) != 0) {
      fields.ack =
          text->ack ? tcp::Seq(stack_isn_ + static_cast<uint32_t>(*text->ack)) : stack_next_;
    }
    fields.window = static_cast<uint16_t>(text->window.value_or(65'535));
    fill_options(*text, &fields.options);
    std::vector<uint8_t> segment = written(*text, fields);
    send(segment, *text);
    const tcp::Seq end = fields.seq + text->text.value_or(0) +
                         ((fields.flags & tcp::flag_syn) != 0 ? 1U : 0U) +
                         ((fields.flags & tcp::flag_fin) != 0 ? 1U : 0U);
    const bool in_order = !text->seq || fields.seq <= peer_next_;
    if (in_order && end > peer_next_ && (fields.flags & tcp::flag_rst) == 0) peer_next_ = end;
    collect();
    return "";
  }

  void fill_options(const SegmentText& text, tcp::Options* options) const {
    if (text.mss) {
      options->has_mss = true;
      options->mss = static_cast<uint16_t>(*text.mss);
    }
    if (text.scale) {
      options->has_window_scale = true;
      options->window_scale = static_cast<uint8_t>(*text.scale);
    }
    options->sack_permitted = text.sack_ok;
    if (text.has_time) {
      options->has_timestamps = true;
      options->timestamp_value = *text.time_value;
      options->timestamp_echo = text.time_echo.value_or(last_time_value_);
    }
    for (const auto& [begin, end] : text.sack) {
      options->sack[options->sack_count++] = {tcp::Seq(stack_isn_ + static_cast<uint32_t>(begin)),
                                              tcp::Seq(stack_isn_ + static_cast<uint32_t>(end))};
    }
  }

  std::vector<uint8_t> written(const SegmentText& text, const tcp::HeaderFields& fields) const {
    const auto raw = static_cast<uint32_t>((text.raw_options.size() + 3) / 4 * 4);
    const uint32_t header =
        raw > 0 ? tcp::header_bytes_min + raw : tcp::header_bytes(fields.options);
    std::vector<uint8_t> segment(header + text.text.value_or(0));
    tcp::HeaderFields written = fields;
    if (raw > 0) written.options = {};
    tcp::write_header(segment.data(), written);
    if (raw > 0) {
      segment[12] = static_cast<uint8_t>(header / 4 << 4);
      std::copy(text.raw_options.begin(), text.raw_options.end(),
                segment.begin() + tcp::header_bytes_min);
    }
    segment[13] = fields.flags;
    if (text.urgent) store_be16(&segment[18], static_cast<uint16_t>(*text.urgent));
    const uint32_t offset = fields.seq.value() - (peer_isn + 1);
    for (uint32_t i = 0; i < text.text.value_or(0); ++i) segment[header + i] = pattern(offset + i);
    return segment;
  }

  void send(std::vector<uint8_t>& segment, const SegmentText& text) {
    net::store_transport_checksum(&segment[tcp::checksum_offset], peer_address, stack_address,
                                  net::protocol_tcp, segment);
    if (text.bad_checksum) segment[tcp::checksum_offset] ^= 0x55;
    std::vector<uint8_t> datagram(net::ipv4_header_bytes + segment.size());
    net::write_ipv4(datagram.data(), peer_address, stack_address, net::protocol_tcp,
                    static_cast<uint16_t>(segment.size()));
    std::copy(segment.begin(), segment.end(), datagram.begin() + net::ipv4_header_bytes);
    mr_device_in(stack_, datagram.data(), datagram.size());
  }

  std::string expect(const Line& line) {
    std::string error;
    const auto text = parse_segment_text(line.words, &error);
    if (!text) return error;
    const int64_t after = line.after_ns.value_or(0);
    if (after > 0) {
      if (!seen_.empty()) return "sent too early: " + told(seen_[0]);
      advance(std::max<int64_t>(after - 1'000'000, 0));
      if (!seen_.empty()) return "sent too early: " + told(seen_[0]);
      for (int64_t late = 0; seen_.empty() && late <= 1'000'000 + tolerance_ns; late += 500'000)
        advance(500'000);
    }
    if (seen_.empty()) return "nothing was sent";
    const Seen seen = std::move(seen_.front());
    seen_.pop_front();
    const std::string wrong = compare(*text, seen.segment);
    return wrong.empty() ? "" : wrong + ": " + told(seen);
  }

  std::string compare(const SegmentText& text, const tcp::Segment& segment) const {
    const uint8_t mask =
        text.flags.find('P') == std::string::npos ? uint8_t{tcp::flag_psh} : uint8_t{0};
    if ((segment.flags & ~mask) != flags_of(text.flags)) return "the flags are others";
    if (text.seq && segment.seq != tcp::Seq(stack_isn_ + static_cast<uint32_t>(*text.seq)))
      return "seq is another";
    if (text.ack && segment.ack != tcp::Seq(peer_isn + static_cast<uint32_t>(*text.ack)))
      return "ack is another";
    if (text.window && segment.window != *text.window) return "the window is another";
    if (text.text && segment.text.size() != *text.text) return "the text is of another length";
    for (size_t i = 0; i < segment.text.size(); ++i) {
      const uint32_t offset = segment.seq.value() - (stack_isn_ + 1) + static_cast<uint32_t>(i);
      if (segment.text[i] != pattern(offset)) return "the text is another";
    }
    const tcp::Options& options = segment.options;
    if (text.mss && (!options.has_mss || options.mss != *text.mss)) return "the MSS is another";
    if (text.scale && (!options.has_window_scale || options.window_scale != *text.scale))
      return "the window scale is another";
    if (text.sack_ok && !options.sack_permitted) return "SACK is not permitted";
    if (text.no_sack_ok && options.sack_permitted) return "SACK is permitted";
    if (text.no_time && options.has_timestamps) return "there are timestamps";
    if (text.time_echo && (!options.has_timestamps || options.timestamp_echo != *text.time_echo))
      return "the timestamp echoed is another";
    if (text.sack.empty()) return "";
    if (options.sack_count != text.sack.size()) return "there are other selective acknowledgments";
    for (size_t i = 0; i < text.sack.size(); ++i) {
      if (options.sack[i].begin != tcp::Seq(peer_isn + static_cast<uint32_t>(text.sack[i].first)) ||
          options.sack[i].end != tcp::Seq(peer_isn + static_cast<uint32_t>(text.sack[i].second)))
        return "the selective acknowledgments are others";
    }
    return "";
  }

  std::string wait(const Line& line) {
    const auto span = line.words.size() == 1 ? parse_seconds_ns(line.words[0]) : std::nullopt;
    if (!span) return "SECONDS are missing";
    if (line.command == "silent" && !seen_.empty()) return "not silent: " + told(seen_[0]);
    advance(*span);
    if (line.command == "silent" && !seen_.empty()) return "not silent: " + told(seen_[0]);
    if (line.command == "wait") seen_.clear();
    return "";
  }

  std::string call(const Line& line) {
    const uint32_t number =
        line.words.empty() ? 0 : static_cast<uint32_t>(std::atoll(line.words[0].c_str()));
    int result = 0;
    if (line.command == "listen") {
      listen_port_ = static_cast<uint16_t>(number);
      result = mr_listen(stack_, listen_port_);
    } else if (line.command == "accept") {
      socket_ = mr_accept(stack_);
      if (socket_ < 0) return "no connection waits";
    } else if (line.command == "connect") {
      socket_ = mr_connect(stack_, peer_address.host_order(), peer_port);
      if (socket_ < 0) return "no connection was begun";
    } else if (line.command == "write") {
      return write(number);
    } else if (line.command == "read") {
      return read(number);
    } else if (line.command == "shutdown") {
      result = mr_shutdown(stack_, socket_);
    } else if (line.command == "close") {
      result = mr_close(stack_, socket_);
    } else if (line.command == "abort") {
      result = mr_abort(stack_, socket_);
    } else if (line.command == "nagle") {
      result = mr_set_nagle(stack_, socket_, 1);
    } else if (line.command == "keepalive") {
      result = mr_set_keepalive(stack_, socket_, 1);
    } else {
      return "\"" + line.command + "\" is no command";
    }
    collect();
    return result == 0 ? "" : "the call failed";
  }

  std::string write(uint32_t octets) {
    std::vector<uint8_t> text(octets);
    for (uint32_t i = 0; i < octets; ++i) text[i] = pattern(written_ + i);
    const size_t taken = mr_send(stack_, socket_, text.data(), octets);
    written_ += static_cast<uint32_t>(taken);
    collect();
    return taken == octets ? "" : "only " + std::to_string(taken) + " octets were taken";
  }

  std::string read(uint32_t octets) {
    std::vector<uint8_t> text(octets + 1);
    const size_t taken = mr_receive(stack_, socket_, text.data(), text.size());
    collect();
    if (taken != octets) return std::to_string(taken) + " octets were there";
    for (uint32_t i = 0; i < octets; ++i) {
      if (text[i] != pattern(read_ + i))
        return "octet " + std::to_string(read_ + i) + " is another";
    }
    read_ += octets;
    return "";
  }

  std::string check_events(const Line& line) {
    static const std::map<std::string, uint32_t> names = {
        {"accepted", MR_ACCEPTED}, {"connected", MR_CONNECTED}, {"readable", MR_READABLE},
        {"ended", MR_PEER_ENDED},  {"writable", MR_WRITABLE},   {"aborted", MR_ABORTED}};
    uint32_t wanted = 0;
    for (const std::string& word : line.words) {
      const auto found = names.find(word);
      if (found == names.end()) return "\"" + word + "\" is no event";
      wanted |= found->second;
    }
    const uint32_t events = mr_events(stack_, socket_);
    if (events == wanted) return "";
    std::string seen;
    for (const auto& [name, bit] : names) seen += (events & bit) != 0 ? " " + name : "";
    return "the events are:" + (seen.empty() ? " none" : seen);
  }

  std::string check(const Line& line) {
    if (line.words.size() < 2) return "check NAME [OPERATOR] VALUE was expected";
    const std::string& name = line.words[0];
    const bool has_operator = line.words.size() == 3;
    const std::string relation = has_operator ? line.words[1] : "=";
    const std::string& value = line.words.back();
    mr_info info;
    mr_describe(stack_, socket_, &info);
    if (name == "state")
      return value == info.state ? "" : std::string("the state is ") + info.state;
    const std::map<std::string, int64_t> numbers = {{"window", info.congestion_window},
                                                    {"threshold", info.slow_start_threshold},
                                                    {"mss", info.send_mss_bytes},
                                                    {"in_flight", info.in_flight},
                                                    {"send_queue", info.send_queue},
                                                    {"receive_queue", info.receive_queue},
                                                    {"ranges", info.out_of_order_ranges},
                                                    {"peer_window", info.peer_window},
                                                    {"round_trip_us", info.round_trip_us},
                                                    {"rto_ms", info.rto_ms},
                                                    {"connections", mr_connection_count(stack_)},
                                                    {"empty", mr_is_empty(stack_)}};
    const auto found = numbers.find(name);
    const int64_t number =
        found != numbers.end() ? found->second : mr_counter(stack_, name.c_str());
    if (number < 0) return "\"" + name + "\" is nothing that can be checked";
    const int64_t wanted = std::atoll(value.c_str());
    const bool holds = relation == "="    ? number == wanted
                       : relation == ">=" ? number >= wanted
                       : relation == "<=" ? number <= wanted
                                          : false;
    return holds ? "" : name + " is " + std::to_string(number);
  }

  static uint8_t flags_of(const std::string& letters) {
    uint8_t flags = 0;
    for (const char letter : letters) {
      switch (letter) {
        case 'S': flags |= tcp::flag_syn; break;
        case 'F': flags |= tcp::flag_fin; break;
        case 'R': flags |= tcp::flag_rst; break;
        case 'P': flags |= tcp::flag_psh; break;
        case '.': flags |= tcp::flag_ack; break;
        case 'U': flags |= tcp::flag_urg; break;
        case 'E': flags |= 0x40; break;
        case 'W': flags |= 0x80; break;
        default: break;
      }
    }
    return flags;
  }

  std::string told(const Seen& seen) const {
    const tcp::Segment& s = seen.segment;
    std::string flags;
    for (const char letter : std::string("SFRP.UEW")) {
      if ((s.flags & flags_of(std::string(1, letter))) != 0) flags += letter;
    }
    std::string text = flags + " seq " +
                       std::to_string(static_cast<int32_t>(s.seq.value() - stack_isn_)) + " ack " +
                       std::to_string(static_cast<int32_t>(s.ack.value() - peer_isn)) + " window " +
                       std::to_string(s.window) + " text " + std::to_string(s.text.size());
    if (s.options.has_mss) text += " mss " + std::to_string(s.options.mss);
    if (s.options.has_window_scale) text += " scale " + std::to_string(s.options.window_scale);
    if (s.options.sack_permitted) text += " sackok";
    if (s.options.has_timestamps)
      text += " time " + std::to_string(s.options.timestamp_value) + " echo " +
              std::to_string(s.options.timestamp_echo);
    for (size_t i = 0; i < s.options.sack_count; ++i)
      text += (i == 0 ? " sack " : ",") +
              std::to_string(static_cast<int32_t>(s.options.sack[i].begin.value() - peer_isn)) +
              "-" + std::to_string(static_cast<int32_t>(s.options.sack[i].end.value() - peer_isn));
    return text;
  }

  const Script& script_;
  bool verbose_;
  mr_config config_{};
  mr_stack* stack_ = nullptr;
  mr_socket socket_ = -1;
  uint64_t now_ns_ = start_ns;
  std::deque<Seen> seen_;
  uint32_t stack_isn_ = 0;
  uint16_t stack_port_ = 0;
  uint16_t listen_port_ = 80;
  tcp::Seq stack_next_;  // behind all that the stack has sent
  bool stack_next_known_ = false;
  tcp::Seq peer_next_{peer_isn};
  uint32_t last_time_value_ = 0;
  uint32_t written_ = 0;
  uint32_t read_ = 0;
};

}  // namespace

std::string run_script(const Script& script, bool fast_paths, bool verbose) {
  Run run(script, fast_paths, verbose);
  return run.run();
}

}  // namespace millrace::script
