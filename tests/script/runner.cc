#include "tests/script/runner.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <memory>

#include "tests/script/wire.h"
#include "tests/stack_api/millrace_stack.h"
#include "tests/support/packet_builder.h"

namespace millrace::script {
namespace {

constexpr uint8_t flag_syn = 0x02;
constexpr uint8_t flag_psh = 0x08;
constexpr uint8_t flag_ack = 0x10;
constexpr uint16_t first_peer_port = 40'000;
constexpr uint32_t first_peer_isn = 1'000;
constexpr uint32_t first_peer_timestamp = 1'000;
constexpr uint64_t isn_clock_ns = 4'000;  // RFC 6528: M ticks every 4 us

// Thrown by a step that is not fulfilled, and caught by run_script.
struct Unfulfilled {
  std::string what;
};

[[noreturn]] void fail(const std::string& what) {
  throw Unfulfilled{what};
}

std::string milliseconds(Duration span) {
  const int64_t us = span.count_us();
  std::string fraction = std::to_string(us % 1'000);
  fraction.insert(0, 3 - fraction.size(), '0');
  return std::to_string(us / 1'000) + "." + fraction + "ms";
}

// What stands at an offset of a stream; the other kind, of what was not sent so first.
uint8_t octet_at(uint64_t offset, bool other) {
  return static_cast<uint8_t>((other ? 'A' : 'a') + offset % 23);
}

struct DestroyStack {
  void operator()(MillraceStack* stack) const { millrace_stack_destroy(stack); }
};
using StackPointer = std::unique_ptr<MillraceStack, DestroyStack>;

// One peer port, and the connection that it has with the stack.
struct Flow {
  uint16_t peer_port = first_peer_port;
  uint16_t stack_port = 80;
  uint32_t peer_isn = first_peer_isn;
  std::optional<uint32_t> stack_isn;
  MillraceSocket socket = 0;
  uint64_t written = 0;
  uint64_t read = 0;
  bool timestamps = false;  // every segment carries them
  uint32_t last_timestamp = 0;
  uint16_t window = 65'535;
};

struct Seen {
  WireSegment segment;
  Instant sent_at;
};

struct StateName {
  MillraceSocketState state;
  std::string_view name;
};
constexpr std::array<StateName, 10> state_names{{
    {MILLRACE_STATE_CLOSED, "CLOSED"},
    {MILLRACE_STATE_SYN_SENT, "SYN-SENT"},
    {MILLRACE_STATE_SYN_RECEIVED, "SYN-RECEIVED"},
    {MILLRACE_STATE_ESTABLISHED, "ESTABLISHED"},
    {MILLRACE_STATE_FIN_WAIT_1, "FIN-WAIT-1"},
    {MILLRACE_STATE_FIN_WAIT_2, "FIN-WAIT-2"},
    {MILLRACE_STATE_CLOSE_WAIT, "CLOSE-WAIT"},
    {MILLRACE_STATE_CLOSING, "CLOSING"},
    {MILLRACE_STATE_LAST_ACK, "LAST-ACK"},
    {MILLRACE_STATE_TIME_WAIT, "TIME-WAIT"},
}};

class Runner {
 public:
  explicit Runner(bool fast_paths) {
    millrace_stack_config_default(&config_);
    config_.fast_paths = fast_paths;
    config_.listen_ports[config_.listen_count++] = 80;
  }

  void run(const Step& step) {
    if (step.verb == Verb::config) {
      if (stack_) fail("config stands before everything else");
      configure(step);
      return;
    }
    if (!stack_) start();
    if (step.verb == Verb::expect) {
      expect(step);
      return;
    }
    come_to(step.when);
    if (step.verb != Verb::drain) nothing_waits();
    act(step);
    if (!step.turn_goes_on) collect();
  }
  // At the end: nothing more is seen, and nothing leaks.
  void finish() {
    nothing_waits();
    if (const int32_t leaked = millrace_stack_check(stack_.get()); leaked != 0)
      fail(std::to_string(leaked) + " slots of packet memory belong to nobody");
  }

 private:
  void configure(const Step& step);
  void start();
  void act(const Step& step);

  // --- time ---
  Instant now() const { return Instant::from_ns(millrace_stack_now(stack_.get())); }
  void advance_to(Instant to) {
    if (to < now()) fail("that time is over: it is " + milliseconds(now() - begin_));
    millrace_stack_advance_to(stack_.get(), to.since_origin_ns());
    collect();
  }
  Instant instant_of(const When& when, Duration span) const {
    return when.kind == When::Kind::at ? begin_ + span : now() + span;
  }
  void come_to(const When& when) {
    if (when.kind != When::Kind::now) advance_to(instant_of(when, when.earliest));
  }

  // --- what was seen ---
  void collect();
  void nothing_waits() const {
    if (!seen_.empty()) fail("unexpected: " + told(seen_.front()));
  }
  std::string told(const Seen& seen) const {
    return text_of(seen.segment, flow().stack_isn.value_or(0), flow().peer_isn) + " at " +
           milliseconds(seen.sent_at - begin_);
  }
  void expect(const Step& step);
  void await(Instant latest);
  void compare(const SegmentPattern& pattern, const Seen& seen);
  void compare_options(const SegmentPattern& pattern, const WireSegment& segment,
                       const std::string& told) const;
  void check_text(const WireSegment& segment, const std::string& told) const;

  // --- what goes in ---
  void inject(const SegmentPattern& pattern);
  void add_options(const SegmentPattern& pattern, testing::PacketBuilder& builder);
  void inject_icmp(const IcmpPattern& pattern);
  void device_in(const testing::Bytes& datagram) {
    millrace_stack_device_in(stack_.get(), datagram.data(), datagram.size());
  }
  void establish(const SegmentPattern& options);

  // --- the application ---
  void connect(uint16_t port);
  void accept(bool expected);
  void write(const Step& step);
  void read(const Step& step);
  void set_option(const Step& step);
  void check_state(const Step& step);
  void check_count(const Step& step);
  void check_info(const Step& step);
  void check_events(const Step& step);
  MillraceSocketInfo info();
  MillraceSocket socket() const {
    if (flow().socket == 0) fail("the application has no connection here");
    return flow().socket;
  }

  // --- sequence numbers ---
  uint32_t stack_isn() const {
    if (!flow().stack_isn) fail("the stack's initial sequence number is not known yet");
    return *flow().stack_isn;
  }
  uint32_t of_stack(const SequenceNumber& number) const {
    return static_cast<uint32_t>(number.value) + (number.absolute ? 0 : stack_isn());
  }
  uint32_t of_peer(const SequenceNumber& number) const {
    return static_cast<uint32_t>(number.value) + (number.absolute ? 0 : flow().peer_isn);
  }

  Flow& flow() { return flows_[flow_number_]; }
  const Flow& flow() const { return flows_.at(flow_number_); }

  MillraceStackConfig config_{};
  std::optional<uint32_t> wanted_isn_;
  Duration tolerance_ = Duration::milliseconds(2);
  uint32_t first_isn_ = first_peer_isn;
  StackPointer stack_;
  Instant begin_;
  Ipv4Address stack_address_ = Ipv4Address::from_octets(192, 0, 2, 1);
  Ipv4Address peer_address_ = Ipv4Address::from_octets(192, 0, 2, 2);
  std::map<uint64_t, Flow> flows_{{1, Flow{}}};
  uint64_t flow_number_ = 1;
  std::deque<Seen> seen_;
};

// --- configuration ---

void Runner::configure(const Step& step) {
  const std::string& word = step.words[0];
  const auto number = parse_decimal(word, UINT32_MAX);
  const std::map<std::string_view, uint8_t*> switches{
      {"window_scaling", &config_.window_scaling},  {"timestamps", &config_.timestamps},
      {"sack", &config_.selective_acknowledgments}, {"ecn_agreed_to", &config_.ecn_agreed_to},
      {"ecn_asked_for", &config_.ecn_asked_for},    {"cubic", &config_.cubic}};
  if (const auto found = switches.find(step.word); found != switches.end()) {
    if (word != "on" && word != "off") fail(step.word + " is on or off");
    *found->second = word == "on";
    return;
  }
  const std::map<std::string_view, uint32_t*> sizes{
      {"connections", &config_.connections_max},
      {"half_open", &config_.half_open_max},
      {"time_wait", &config_.time_wait_max},
      {"receive_slots_initial", &config_.receive_slots_initial},
      {"receive_slots_max", &config_.receive_slots_max},
      {"send_slots_max", &config_.send_slots_max},
      {"memory_slots", &config_.memory_slots},
      {"peer_isn", &first_isn_}};
  if (!number) fail("\"" + word + "\" is no number");
  const auto value = static_cast<uint32_t>(*number);
  if (const auto found = sizes.find(step.word); found != sizes.end()) {
    *found->second = value;
  } else if (step.word == "mtu") {
    config_.mtu = static_cast<uint16_t>(value);
  } else if (step.word == "isn") {
    wanted_isn_ = value;
  } else if (step.word == "start_s") {
    config_.start_ns = uint64_t{value} * 1'000'000'000;
  } else if (step.word == "tolerance_ms") {
    tolerance_ = Duration::milliseconds(value);
  } else if (step.word == "keepalive_idle_s") {
    config_.keepalive_idle_ns = uint64_t{value} * 1'000'000'000;
  } else if (step.word == "keepalive_interval_s") {
    config_.keepalive_interval_ns = uint64_t{value} * 1'000'000'000;
  } else if (step.word == "keepalive_probes") {
    config_.keepalive_probes_max = static_cast<uint8_t>(value);
  } else {
    fail("nothing is called " + step.word + " in the configuration");
  }
}

// The sequence number that a SYN of the first flow is answered with comes of a clock and a hash:
// it is asked for once, and the clock is then set so that the wanted one comes out.
void Runner::start() {
  const char* error = nullptr;
  if (wanted_isn_) {
    Runner scout(config_.fast_paths != 0);
    scout.config_ = config_;
    scout.first_isn_ = first_isn_;
    SegmentPattern syn;
    syn.flags = flag_syn;
    scout.start();
    scout.inject(syn);
    scout.collect();
    if (scout.seen_.empty()) fail("a SYN is not answered");
    config_.start_ns += isn_clock_ns * (*wanted_isn_ - scout.seen_.front().segment.seq);
  }
  stack_.reset(millrace_stack_create(&config_, &error));
  if (!stack_) fail(std::string("no stack can be made so: ") + error);
  begin_ = now();
  flow().peer_isn = first_isn_;
}

void Runner::act(const Step& step) {
  MillraceStack* stack = stack_.get();
  switch (step.verb) {
    case Verb::config:
    case Verb::expect: return;
    case Verb::flow:
      flow_number_ = step.number;
      if (flows_.contains(flow_number_)) return;
      flow().peer_port = static_cast<uint16_t>(first_peer_port + flow_number_ - 1);
      flow().peer_isn = first_isn_;
      return;
    case Verb::port: flow().stack_port = static_cast<uint16_t>(step.number); return;
    case Verb::isn: {
      const Flow old = flow();
      flow() = Flow{};
      flow().peer_port = old.peer_port;
      flow().stack_port = old.stack_port;
      flow().peer_isn = static_cast<uint32_t>(step.number);
      return;
    }
    case Verb::inject: inject(step.segment); return;
    case Verb::icmp: inject_icmp(step.icmp); return;
    case Verb::drain:
      collect();
      seen_.clear();
      return;
    case Verb::silence:
      advance_to(now() + step.span);
      nothing_waits();
      return;
    case Verb::jump: millrace_stack_jump_to(stack, (now() + step.span).since_origin_ns()); return;
    case Verb::establish: establish(step.segment); return;
    case Verb::listen:
      if (millrace_stack_listen(stack, static_cast<uint16_t>(step.number)) != 0)
        fail("listen is refused");
      return;
    case Verb::connect: connect(static_cast<uint16_t>(step.number)); return;
    case Verb::accept: accept(step.number == 1); return;
    case Verb::write: write(step); return;
    case Verb::read: read(step); return;
    case Verb::shutdown:
      if (millrace_stack_shutdown(stack, socket()) != 0) fail("shutdown is refused");
      return;
    case Verb::close:
      millrace_stack_close(stack, socket());
      flow().socket = 0;
      return;
    case Verb::abort:
      millrace_stack_abort(stack, socket());
      flow().socket = 0;
      return;
    case Verb::option: set_option(step); return;
    case Verb::state: check_state(step); return;
    case Verb::count: check_count(step); return;
    case Verb::info: check_info(step); return;
    case Verb::events: check_events(step); return;
  }
}

// --- what goes in ---

void Runner::inject(const SegmentPattern& pattern) {
  testing::PacketBuilder builder;
  Ipv4Address from = peer_address_;
  if (pattern.from_address) {
    const auto parsed = Ipv4Address::parse(*pattern.from_address);
    if (!parsed) fail("\"" + *pattern.from_address + "\" is no address");
    from = *parsed;
  }
  const uint32_t seq = of_peer(pattern.seq.value_or(SequenceNumber{}));
  builder.ipv4(from, stack_address_)
      .tcp(pattern.from_port.value_or(flow().peer_port),
           pattern.to_port.value_or(flow().stack_port))
      .seq(seq)
      .flags(pattern.flags == 0 ? "" : letters_of(pattern.flags))
      .window(pattern.window ? static_cast<uint16_t>(pattern.window->value) : flow().window);
  if (pattern.ack || (pattern.flags & flag_ack) != 0)
    builder.ack(of_stack(pattern.ack.value_or(SequenceNumber{1, false})));
  add_options(pattern, builder);
  if (pattern.urgent) builder.urgent(*pattern.urgent);
  if (pattern.header_words) builder.data_offset_words(*pattern.header_words);
  if (pattern.congestion_bits) builder.tos(*pattern.congestion_bits);
  if (pattern.bad_checksum) builder.bad_transport_checksum();
  if (pattern.bad_ip_checksum) builder.bad_ip_checksum();
  if (pattern.fragment) builder.fragment(0, true);
  testing::Bytes text(pattern.length.value_or(0));
  const uint32_t first = seq - flow().peer_isn - ((pattern.flags & flag_syn) != 0 ? 0 : 1);
  for (uint32_t i = 0; i < text.size(); ++i) text[i] = octet_at(first + i, pattern.other_text);
  device_in(builder.payload(ByteView(text)).build_datagram());
}

void Runner::add_options(const SegmentPattern& pattern, testing::PacketBuilder& builder) {
  if (pattern.mss) builder.mss(*pattern.mss);
  if (pattern.window_scale) builder.window_scale(*pattern.window_scale);
  if (pattern.sack_permitted) builder.sack_permitted();
  const bool withheld = !pattern.absent.empty();
  if (pattern.timestamps || (flow().timestamps && !withheld)) {
    const TimestampsOption option = pattern.timestamps.value_or(TimestampsOption{});
    const auto clock = static_cast<uint32_t>((now() - begin_).count_ms()) + first_peer_timestamp;
    const auto value_of = [](const std::optional<Comparison>& said, uint32_t usual) {
      return said ? static_cast<uint32_t>(said->value) : usual;
    };
    builder.timestamps(value_of(option.value, clock), value_of(option.echo, flow().last_timestamp));
  }
  if (!pattern.sack.empty()) {
    testing::Bytes option{1, 1, 5, static_cast<uint8_t>(2 + 8 * pattern.sack.size())};
    for (const auto& [begin, end] : pattern.sack) {
      option.resize(option.size() + 8);
      store_be32(&option[option.size() - 8], of_stack(begin));
      store_be32(&option[option.size() - 4], of_stack(end));
    }
    builder.tcp_option(option);
  }
  if (!pattern.raw_options.empty()) builder.tcp_option(pattern.raw_options);
}

// The header of the segment of ours that a router could not pass on, and its first octets.
void Runner::inject_icmp(const IcmpPattern& pattern) {
  const testing::Bytes text(8);
  const testing::Bytes quote = testing::PacketBuilder()
                                   .ipv4(stack_address_, peer_address_)
                                   .tcp(flow().stack_port, flow().peer_port)
                                   .seq(of_stack(pattern.seq))
                                   .flags("A")
                                   .payload(ByteView(text))
                                   .build_datagram();
  device_in(testing::PacketBuilder()
                .ipv4(peer_address_, stack_address_)
                .icmp(pattern.type, pattern.code, pattern.mtu)
                .payload(ByteView(quote))
                .build_datagram());
}

// SYN with these options, whatever SYN-ACK comes, its ACK, and the application takes the
// connection. The SYN is said twice, so that the handshake measures no round trip (Karn's rule).
void Runner::establish(const SegmentPattern& options) {
  if (options.window) flow().window = static_cast<uint16_t>(options.window->value);
  SegmentPattern syn = options;
  syn.flags = flag_syn;
  for (int time = 0; time < 2; ++time) {
    seen_.clear();
    inject(syn);
    collect();
    if (seen_.size() != 1) fail("the SYN is not answered with one segment");
  }
  const WireSegment answer = seen_.front().segment;
  if (answer.flags != (flag_syn | flag_ack))
    fail("the SYN is answered with " + told(seen_.front()));
  seen_.clear();
  flow().stack_isn = answer.seq;
  flow().timestamps = options.timestamps && answer.timestamps;
  SegmentPattern ack;
  ack.flags = flag_ack;
  ack.seq = SequenceNumber{1, false};
  ack.window = options.window;
  if (answer.window_scale && options.window_scale && ack.window)
    ack.window->value >>= std::min<uint8_t>(*options.window_scale, 14);
  if (ack.window) flow().window = static_cast<uint16_t>(ack.window->value);
  inject(ack);
  collect();
  nothing_waits();
  accept(true);
}

// --- what is seen ---

void Runner::collect() {
  std::array<uint8_t, 65'536> datagram;
  uint64_t sent_at_ns = 0;
  for (;;) {
    const int32_t octets =
        millrace_stack_device_out(stack_.get(), datagram.data(), datagram.size(), &sent_at_ns);
    if (octets <= 0) return;
    auto segment = parse_datagram(ByteView(datagram).first(static_cast<size_t>(octets)));
    if (!segment) fail("the stack has sent something that is no segment");
    if (!segment->checksums_hold) fail("the stack has sent a wrong checksum");
    seen_.push_back({std::move(*segment), Instant::from_ns(sent_at_ns)});
  }
}

// Moves on, deadline by deadline, until something is seen.
void Runner::await(Instant latest) {
  while (seen_.empty() && now() < latest) {
    const Instant next =
        Instant::from_ns(millrace_stack_next_deadline(stack_.get())) + Duration::microseconds(1);
    advance_to(std::min(next, latest));
  }
}

void Runner::expect(const Step& step) {
  const When& when = step.when;
  const bool at_once = when.kind == When::Kind::now;
  const Duration slack = at_once || when.latest ? Duration() : tolerance_;
  const Instant earliest = at_once ? now() : instant_of(when, when.earliest - slack);
  const Instant latest =
      at_once ? now() : instant_of(when, when.latest.value_or(when.earliest + slack));
  await(latest);
  if (seen_.empty()) fail("nothing is seen until " + milliseconds(latest - begin_));
  const Seen seen = seen_.front();
  seen_.pop_front();
  if (seen.sent_at > latest || (!at_once && seen.sent_at < earliest))
    fail("it comes at the wrong time: " + told(seen));
  compare(step.segment, seen);
}

void Runner::compare(const SegmentPattern& pattern, const Seen& seen) {
  const WireSegment& segment = seen.segment;
  if ((pattern.flags & flag_syn) != 0) {
    flow().stack_isn = segment.seq;
    if ((pattern.flags & flag_ack) == 0) flow().stack_port = segment.source_port;
  }
  const std::string text = told(seen);
  if (segment.destination_port != flow().peer_port || segment.source_port != flow().stack_port)
    fail("it belongs to another flow: " + text);
  // A push is the sender's own affair, unless it is asked for.
  const auto ignored = static_cast<uint8_t>((pattern.flags & flag_psh) != 0 ? 0 : flag_psh);
  if ((segment.flags & ~ignored) != (pattern.flags & ~ignored)) fail("other flags: " + text);
  if (pattern.seq && segment.seq != of_stack(*pattern.seq)) fail("another seq: " + text);
  if (pattern.ack && segment.ack != of_peer(*pattern.ack)) fail("another ack: " + text);
  if (pattern.window && !pattern.window->holds_for(segment.window))
    fail("win is not " + pattern.window->text() + ": " + text);
  if (pattern.length && segment.text.size() != *pattern.length) fail("another len: " + text);
  if (pattern.urgent && segment.urgent != *pattern.urgent) fail("another urg: " + text);
  if (pattern.congestion_bits && (segment.traffic_class & 3) != *pattern.congestion_bits)
    fail("another ecn: " + text);
  if (pattern.ip_identification && segment.ip_identification != *pattern.ip_identification)
    fail("another ipid: " + text);
  compare_options(pattern, segment, text);
  check_text(segment, text);
  if (segment.timestamps) flow().last_timestamp = segment.timestamps->first;
}

void Runner::compare_options(const SegmentPattern& pattern, const WireSegment& segment,
                             const std::string& told) const {
  if (pattern.mss && segment.mss != pattern.mss) fail("another mss: " + told);
  if (pattern.window_scale && segment.window_scale != pattern.window_scale)
    fail("another wscale: " + told);
  if (pattern.sack_permitted && !segment.sack_permitted) fail("sackok is missing: " + told);
  if (pattern.timestamps) {
    if (!segment.timestamps) fail("ts is missing: " + told);
    const auto& [value, echo] = *segment.timestamps;
    const auto is_wrong = [](const std::optional<Comparison>& wanted, uint32_t number) {
      return wanted && !wanted->holds_for(number);
    };
    if (is_wrong(pattern.timestamps->value, value) || is_wrong(pattern.timestamps->echo, echo))
      fail("another ts: " + told);
  }
  if (!pattern.sack.empty()) {
    std::vector<std::pair<uint32_t, uint32_t>> blocks;
    for (const auto& [begin, end] : pattern.sack) blocks.emplace_back(of_peer(begin), of_peer(end));
    if (blocks != segment.sack) fail("other sack blocks: " + told);
  }
  const std::map<std::string_view, bool> there{{"mss", segment.mss.has_value()},
                                               {"wscale", segment.window_scale.has_value()},
                                               {"sackok", segment.sack_permitted},
                                               {"ts", segment.timestamps.has_value()},
                                               {"sack", !segment.sack.empty()}};
  for (const std::string& name : pattern.absent) {
    if (there.at(name)) fail(name + " should not be there: " + told);
  }
}

// Whatever is said twice must be the same both times: the stream's pattern tells.
void Runner::check_text(const WireSegment& segment, const std::string& told) const {
  if (segment.text.empty()) return;
  const uint32_t first = segment.seq - stack_isn() - 1;
  for (uint32_t i = 0; i < segment.text.size(); ++i) {
    if (segment.text[i] != octet_at(first + i, false))
      fail("the text is not what was written: " + told);
  }
}

// --- the application ---

void Runner::connect(uint16_t port) {
  MillraceAddress remote{};
  remote.family = 4;
  peer_address_.store(remote.octets);
  flow().peer_port = port;
  const MillraceSocket socket = millrace_stack_connect(stack_.get(), &remote, port);
  if (socket <= 0) fail("connect is refused");
  flow().socket = socket;
}

void Runner::accept(bool expected) {
  const MillraceSocket socket = millrace_stack_accept(stack_.get(), flow().stack_port);
  if (!expected) {
    if (socket > 0) fail("there is a connection to accept");
    return;
  }
  if (socket <= 0) fail("there is no connection to accept");
  flow().socket = socket;
}

void Runner::write(const Step& step) {
  std::vector<uint8_t> text(step.number);
  for (size_t i = 0; i < text.size(); ++i) text[i] = octet_at(flow().written + i, false);
  const int32_t taken = millrace_stack_send(stack_.get(), socket(), text.data(), text.size());
  const auto octets = static_cast<uint64_t>(std::max(taken, 0));
  flow().written += octets;
  const Comparison expected =
      step.comparison.value_or(Comparison{Comparison::Relation::equal, step.number});
  if (!expected.holds_for(octets))
    fail("write takes " + std::to_string(taken) + " octets, not " + expected.text());
}

void Runner::read(const Step& step) {
  std::vector<uint8_t> text(std::max<uint64_t>(step.number, 1));
  const int32_t octets = millrace_stack_recv(stack_.get(), socket(), text.data(), text.size());
  const std::map<std::string_view, int32_t> outcomes{
      {"end", 0}, {"nothing", MILLRACE_STACK_WOULD_BLOCK}, {"aborted", MILLRACE_STACK_ABORTED}};
  const auto outcome = outcomes.find(step.word);
  const int64_t expected =
      outcome != outcomes.end() ? outcome->second : static_cast<int64_t>(step.number);
  if (octets != expected)
    fail("read gives " + std::to_string(octets) + ", not " + std::to_string(expected));
  if (octets <= 0) return;
  for (size_t i = 0; i < static_cast<size_t>(octets); ++i) {
    if (text[i] != octet_at(flow().read + i, step.word == "other"))
      fail("octet " + std::to_string(flow().read + i) + " of the stream is wrong");
  }
  flow().read += static_cast<uint64_t>(octets);
}

void Runner::set_option(const Step& step) {
  const MillraceSocketOption option =
      step.word == "nagle" ? MILLRACE_SOCKET_NAGLE : MILLRACE_SOCKET_KEEPALIVE;
  if (millrace_stack_set_option(stack_.get(), socket(), option, static_cast<int>(step.number)) != 0)
    fail("the option is refused");
}

MillraceSocketInfo Runner::info() {
  MillraceSocketInfo info;
  if (millrace_stack_info(stack_.get(), socket(), &info) != 0) fail("the connection is gone");
  return info;
}

void Runner::check_state(const Step& step) {
  const auto named = std::find_if(state_names.begin(), state_names.end(),
                                  [&](const StateName& name) { return name.name == step.word; });
  if (named == state_names.end()) fail("no state is called " + step.word);
  const MillraceSocketState state = info().state;
  const auto is = std::find_if(state_names.begin(), state_names.end(),
                               [&](const StateName& name) { return name.state == state; });
  if (state != named->state) fail("the state is " + std::string(is->name));
}

void Runner::check_count(const Step& step) {
  uint64_t value = 0;
  if (millrace_stack_counter(stack_.get(), step.word.c_str(), &value) != 0)
    fail("nothing counted is called " + step.word);
  if (!step.comparison->holds_for(value))
    fail(step.word + " is " + std::to_string(value) + ", not " + step.comparison->text());
}

void Runner::check_info(const Step& step) {
  const MillraceSocketInfo is = info();
  const std::map<std::string_view, uint64_t> fields{{"iss", is.iss},
                                                    {"snd_una", is.snd_una - is.iss},
                                                    {"snd_nxt", is.snd_nxt - is.iss},
                                                    {"snd_max", is.snd_max - is.iss},
                                                    {"snd_wnd", is.snd_wnd},
                                                    {"rcv_nxt", is.rcv_nxt - flow().peer_isn},
                                                    {"rcv_wnd", is.rcv_wnd},
                                                    {"cwnd", is.cwnd},
                                                    {"ssthresh", is.ssthresh},
                                                    {"mss", is.mss},
                                                    {"srtt_us", is.srtt_us},
                                                    {"rto_us", is.rto_us},
                                                    {"backoff", is.backoff},
                                                    {"retransmits", is.retransmits},
                                                    {"send_shift", is.send_shift},
                                                    {"receive_shift", is.receive_shift},
                                                    {"window_scaling", is.window_scaling},
                                                    {"timestamps", is.timestamps},
                                                    {"sack", is.selective_acknowledgments},
                                                    {"readable", is.readable_octets},
                                                    {"unacknowledged", is.unacknowledged_octets}};
  const auto found = fields.find(step.word);
  if (found == fields.end()) fail("nothing known of a connection is called " + step.word);
  if (!step.comparison->holds_for(found->second))
    fail(step.word + " is " + std::to_string(found->second) + ", not " + step.comparison->text());
}

void Runner::check_events(const Step& step) {
  static const std::map<std::string_view, int32_t> names{{"connected", MILLRACE_SOCKET_CONNECTED},
                                                         {"readable", MILLRACE_SOCKET_READABLE},
                                                         {"peer_ended", MILLRACE_SOCKET_PEER_ENDED},
                                                         {"writable", MILLRACE_SOCKET_WRITABLE},
                                                         {"aborted", MILLRACE_SOCKET_ABORTED}};
  const int32_t events = millrace_stack_poll(stack_.get(), socket());
  std::string told;
  for (const auto& [name, bit] : names) {
    const bool wanted = std::find(step.words.begin(), step.words.end(), name) != step.words.end();
    const bool there = (events & bit) != 0;
    if (wanted != there)
      told += std::string(there ? " there is " : " there is no ") + std::string(name);
  }
  for (const std::string& word : step.words) {
    if (!names.contains(word)) fail("no event is called " + word);
  }
  if (!told.empty()) fail("events:" + told);
}

}  // namespace

std::optional<Fault> run_script(const Script& script, bool fast_paths) {
  Runner runner(fast_paths);
  int line = 0;
  try {
    for (const Step& step : script.steps) {
      line = step.line;
      runner.run(step);
    }
    runner.finish();
  } catch (const Unfulfilled& problem) {
    return Fault{line, problem.what};
  }
  return std::nullopt;
}

}  // namespace millrace::script
