#include "tests/sim/two_stacks.h"

#include <algorithm>
#include <array>
#include <memory>

#include "dataplane/nic/sim_port.h"
#include "tests/sim/middle.h"
#include "tests/sim/talker.h"
#include "tests/support/fast_paths.h"
#include "tests/support/sim_host.h"

namespace millrace::sim {
namespace {

// The last fifth of a run is without faults. What is left then must be over within this: the
// largest backoff (60 s) twice, a neighbor that has to be found anew (35 s), an orphan's minute;
// and where a peer is gone or was lied to, giving up (180 s) or the keep-alives below, and an
// orphan's two minutes.
constexpr Duration recovery_max = Duration::seconds(240);
constexpr Duration ending_max = Duration::seconds(420);
constexpr tcp::KeepAlive keepalive = {Duration::seconds(30), Duration::seconds(20), 8};
// In FIN-WAIT-2 a closed connection whose peer is not heard for so long is forgotten (T29).
constexpr Duration orphan_outage = Duration::seconds(60);
constexpr double harsh_loss = 0.15;
constexpr Duration shortest_step = Duration::microseconds(20);  // a turn is not free
constexpr int turns_max = 2'000'000;

const Ipv4Address address_of_client = Ipv4Address::from_octets(10, 0, 0, 1);
const Ipv4Address address_of_server = Ipv4Address::from_octets(10, 0, 0, 2);
constexpr uint16_t server_port = 80;

nic::PortFacts facts_of(uint8_t host) {
  nic::PortFacts facts;
  facts.name = host == 1 ? "client" : "server";
  facts.mac = MacAddress{{2, 0, 0, 0, 0, host}};
  return facts;
}

NetConfig net_of(Ipv4Address address, bool listens) {
  NetConfig net;
  net.addresses.push_back({0, {address, 24}, {}});
  if (listens) net.listeners.push_back({address, server_port});
  return net;
}

// Most runs have a few kinds of faults only, or no fault would ever be seen to do anything.
nic::WireFaults draw_faults(Random& random) {
  nic::WireFaults faults;
  faults.delay = Duration::microseconds(static_cast<int64_t>(random.between(20, 40'000)));
  if (random.chance(0.5))
    faults.jitter = Duration::microseconds(static_cast<int64_t>(random.below(5'000)));
  if (random.chance(0.7))
    faults.loss =
        0.3 * static_cast<double>(random.below(1'000)) / 1'000 * (random.chance(0.5) ? 0.1 : 1);
  if (random.chance(0.5))
    faults.duplication = 0.1 * static_cast<double>(random.below(1'000)) / 1'000;
  if (random.chance(0.5))
    faults.corruption = 0.1 * static_cast<double>(random.below(1'000)) / 1'000;
  if (random.chance(0.6)) {
    faults.reordering = 0.2 * static_cast<double>(random.below(1'000)) / 1'000;
    faults.reordering_delay =
        Duration::microseconds(static_cast<int64_t>(random.between(10, 20'000)));
  }
  if (random.chance(0.2)) {
    faults.burst_begin = 0.02 * static_cast<double>(random.below(1'000)) / 1'000;
    faults.burst_end = 1.0 / static_cast<double>(random.between(1, 8));
  }
  if (random.chance(0.2))
    faults.truncation = 0.05 * static_cast<double>(random.below(1'000)) / 1'000;
  if (random.chance(0.3)) faults.bits_per_second = random.between(500'000, 50'000'000);
  if (random.chance(0.3)) faults.in_flight_frames_max = random.between(8, 128);
  return faults;
}

double draw_rate(Random& random, double chance, double rate_max) {
  const double rate = rate_max * static_cast<double>(random.between(1, 1'000)) / 1'000;
  return random.chance(chance) ? rate : 0;
}

MiddleFaults draw_middle(Random& random) {
  MiddleFaults faults;
  if (random.chance(0.15)) {
    faults.mtu_bytes = static_cast<uint16_t>(random.between(552, 1'499));
    faults.tells_mtu = random.chance(0.7);
  }
  faults.strips_sack = random.chance(0.05);
  faults.strips_timestamps = random.chance(0.05);
  faults.strips_scaling = random.chance(0.05);
  faults.forgery = draw_rate(random, 0.3, 0.2);
  faults.echo = draw_rate(random, 0.3, 0.2);
  faults.sack_lie = draw_rate(random, 0.15, 0.3);
  faults.window_lie = draw_rate(random, 0.15, 0.3);
  if (random.chance(0.12)) {
    faults.optimism = draw_rate(random, 0.5, 0.1);
    faults.header_corruption = draw_rate(random, 0.5, 0.1);
  }
  return faults;
}

tcp::Features draw_features(Random& random) {
  tcp::Features features;
  features.selective_acknowledgments = random.chance(0.8);
  features.timestamps = random.chance(0.7);
  features.window_scaling = random.chance(0.8);
  features.congestion_control =
      random.chance(0.8) ? tcp::CongestionControl::cubic : tcp::CongestionControl::new_reno;
  return features;
}

// Something that happens to a wire for a while. wires: 1 towards the client, 2 towards the server.
struct Weather {
  Instant from;
  Instant until;
  uint8_t wires = 3;
  Duration more_delay;  // zero: the wire is down
};

// A whole wire: only its delay stays.
nic::WireFaults calm(const nic::WireFaults& faults) {
  nic::WireFaults calm;
  calm.delay = faults.delay;
  return calm;
}

TalkPlan draw_plan(Random& random) {
  TalkPlan plan;
  plan.octets_to_send = random.chance(0.2) ? 0 : random.below(uint64_t{1} << random.between(1, 18));
  plan.reading_pace = random.chance(0.3) ? 0.05 : 1;
  if (random.chance(0.2))
    plan.reading_pause = Duration::milliseconds(static_cast<int64_t>(random.below(20'000)));
  return plan;
}

class Conversation {
 public:
  Conversation(uint64_t seed, bool prints)
      : random_(seed),
        client_memory_(draw_slots()),
        server_memory_(draw_slots()),
        link_(facts_of(1), client_memory_.arena(), facts_of(2), server_memory_.arena(),
              random_.next()),
        middle_(link_, random_.next()),
        client_seed_(random_.next()),
        now_(draw_start()),
        begin_(now_),
        client_(net_of(address_of_client, false), client_limits_, client_seed_,
                client_memory_.arena(), link_.a(), now_),
        server_(net_of(address_of_server, true), server_limits_, random_.next(),
                server_memory_.arena(), link_.b(), now_),
        client_talk_(client_.tcp(), 0, random_.next()),
        server_talk_(server_.tcp(), 1, random_.next()) {
    const auto completion =
        Duration::microseconds(static_cast<int64_t>(random_.below(3) * random_.below(2'000)));
    link_.a().set_completion_delay(completion);
    link_.b().set_completion_delay(completion);
    wire_faults_ = {draw_faults(random_), draw_faults(random_)};
    middle_.faults = draw_middle(random_);
    // Segments cut for a smaller path take more slots than were reckoned with when they were
    // written: where both sides have little memory and only write, they would refuse each other's
    // text.
    if (client_memory_.arena().capacity() + server_memory_.arena().capacity() < 4'096)
      middle_.faults.mtu_bytes = 0;
    for (const nic::WireFaults& wire : wire_faults_) is_harsh_ |= wire.loss > harsh_loss;
    // A path that swallows large segments in silence is found out by two and four timeouts in a
    // row: nobody can ask for that where every other segment is lost as well.
    if (middle_.faults.mtu_bytes != 0 && !middle_.faults.tells_mtu) {
      for (nic::WireFaults& wire : wire_faults_) {
        wire.loss = std::min(wire.loss, 0.02);
        wire.corruption = std::min(wire.corruption, 0.02);
        wire.burst_begin = 0;
      }
    }
    if (middle_.faults.is_rough()) rough_ = true;
    plan_weather();
    if (random_.chance(0.08)) {
      vanishes_at_ = begin_ + Duration::milliseconds(static_cast<int64_t>(random_.below(20'000)));
      rough_ = true;
    }
    client_talk_.set_options(random_.chance(0.2), rough_ || is_harsh_);
    server_talk_.set_options(random_.chance(0.2), rough_ || is_harsh_);
    server_talk_.set_number_of(&ports_);
    if (prints) middle_.print_from(begin_);
    plan_connections();
  }

  RunResult run() {
    while (!over()) {
      if (++turns_ > turns_max) return failed("the simulation does not end");
      set_wires();
      const Duration rest = rough_ || is_harsh_ ? ending_max : recovery_max;
      if (now_ - begin_ > faults_last_ + rest) return failed(standing());
      open_next();
      client_.turn(now_, [this] { client_talk_.turn(now_); });
      if (!server_is_gone()) server_.turn(now_, [this] { server_talk_.turn(now_); });
      if (turns_ % 64 == 0) {
        client_.tcp().check_invariants();
        server_.tcp().check_invariants();
      }
      step();
    }
    return judge();
  }

 private:
  uint32_t draw_slots() { return random_.chance(0.25) ? 256 : 2'048; }
  // T51, T14: clocks begin near the wraps of 32 bits of milliseconds, and anywhere else.
  Instant draw_start() {
    const uint64_t start_ms = random_.chance(0.3) ? (uint64_t{1} << 32) - random_.below(60'000)
                                                  : random_.below(uint64_t{1} << 40);
    const Instant start = Instant::from_ns(start_ms * 1'000'000 + random_.below(1'000'000));
    return random_.chance(0.2) ? with_numbers_near_wrap(start) : start;
  }
  // T54: later than start by so much that the client's first connection begins at most a few ten
  // thousand numbers before 2^32: initial sequence numbers go by a clock of 4 us (RFC 6528).
  Instant with_numbers_near_wrap(Instant start) {
    SimMemory memory(64);
    nic::SimLink link(facts_of(1), memory.arena(), facts_of(2), memory.arena(), 1);
    SimHost probe(net_of(address_of_client, false), client_limits_, client_seed_, memory.arena(),
                  link.a(), start);
    const tcp::ConnId id =
        probe.tcp().connect(address_of_client, {address_of_server, server_port}, 1, start);
    const uint32_t number = probe.tcp().find(id)->snd_una.value();
    const auto wanted = static_cast<uint32_t>(0 - random_.below(50'000));
    return start + Duration::microseconds(int64_t{wanted - number} * 4);
  }

  // When, if ever, the wires are down or slow. A long outage is the last fault, so that it alone
  // decides whether a connection is given up: 120 s must be survived (T23).
  void plan_weather() {
    const auto seconds = static_cast<int64_t>(random_.chance(0.2) ? random_.between(50, 300)
                                                                  : random_.between(20, 60));
    faults_last_ = Duration::seconds(seconds * 4 / 5);
    const Instant end = begin_ + faults_last_;
    if (random_.chance(0.2)) {
      const auto outage = static_cast<int64_t>(
          random_.between(1, std::min<uint64_t>(120, static_cast<uint64_t>(seconds) * 3 / 5)));
      weather_.push_back({end - Duration::seconds(outage), end, draw_wires(), {}});
      is_harsh_ |= Duration::seconds(outage) > orphan_outage;
    }
    while (random_.chance(0.3)) {
      const Instant from = begin_ + Duration::milliseconds(static_cast<int64_t>(
                                        random_.below(static_cast<uint64_t>(seconds) * 700)));
      const bool is_down = random_.chance(0.5);
      const auto length = static_cast<int64_t>(random_.below(is_down ? 5'000 : 30'000));
      const auto delay = static_cast<int64_t>(random_.between(10, 600));
      weather_.push_back({from, from + Duration::milliseconds(length), draw_wires(),
                          is_down ? Duration() : Duration::milliseconds(delay)});
    }
  }
  uint8_t draw_wires() { return static_cast<uint8_t>(random_.between(1, 3)); }

  void set_wires() {
    if (now_ < next_weather_) return;
    const bool faulty = now_ < begin_ + faults_last_;
    next_weather_ = faulty ? begin_ + faults_last_ : Instant::never();
    std::array<nic::WireFaults, 2> faults = wire_faults_;
    for (uint32_t wire = 0; wire < 2; ++wire) {
      if (!faulty) faults[wire] = calm(faults[wire]);
    }
    if (!faulty) middle_.faults = lasting(middle_.faults);
    for (const Weather& weather : weather_) {
      if (weather.from > now_) next_weather_ = std::min(next_weather_, weather.from);
      if (weather.from > now_ || weather.until <= now_) continue;
      next_weather_ = std::min(next_weather_, weather.until);
      for (uint32_t wire = 0; wire < 2; ++wire) {
        if ((weather.wires >> wire & 1) == 0) continue;
        if (weather.more_delay == Duration()) {
          faults[wire].loss = 1;
        } else {
          faults[wire].delay = faults[wire].delay + weather.more_delay;
        }
      }
    }
    link_.a().wire().faults = faults[0];
    link_.b().wire().faults = faults[1];
  }
  // A path's MTU and what strips options do not go away.
  static MiddleFaults lasting(const MiddleFaults& faults) {
    MiddleFaults rest;
    rest.mtu_bytes = faults.mtu_bytes;
    rest.tells_mtu = faults.tells_mtu;
    rest.strips_sack = faults.strips_sack;
    rest.strips_timestamps = faults.strips_timestamps;
    rest.strips_scaling = faults.strips_scaling;
    return rest;
  }
  bool server_is_gone() const { return vanishes_at_ <= now_; }

  tcp::Limits draw_limits() {
    tcp::Limits limits;
    limits.features = draw_features(random_);
    limits.keepalive = keepalive;
    if (random_.chance(0.1)) limits.repairs = 1;
    limits.connections = 64;
    limits.half_open = 16;
    limits.time_wait = 64;
    limits.fast_paths = testing::fast_paths_wanted();
    return limits;
  }

  void plan_connections() {
    const auto count = static_cast<uint32_t>(random_.between(1, 6));
    for (uint32_t number = 0; number < count; ++number) {
      TalkPlan up = draw_plan(random_);
      TalkPlan down = draw_plan(random_);
      up.octets_to_receive = down.octets_to_send;
      down.octets_to_receive = up.octets_to_send;
      down.waits_for_peer_end = random_.chance(0.3);
      client_talk_.expect(number, up);
      server_talk_.expect(number, down);
    }
    ports_.assign(count, 0);
    count_ = count;
  }

  void open_next() {
    if (opened_ == count_ || now_ < next_open_) return;
    const tcp::ConnId id = client_.tcp().connect(
        address_of_client, {address_of_server, server_port}, opened_ + 1, now_);
    if (!id) return;
    ports_[opened_] = client_.tcp().local(id).port;
    client_talk_.opened(opened_, id);
    ++opened_;
    next_open_ = now_ + Duration::microseconds(static_cast<int64_t>(random_.below(200'000)));
  }

  void step() {
    if (client_.has_work() || (server_.has_work() && !server_is_gone())) {
      now_ = now_ + shortest_step;
      return;
    }
    Instant next = std::min({client_.next_deadline(), link_.a().next_event(),
                             client_talk_.next_event(now_), next_weather_});
    if (!server_is_gone()) {
      next = std::min({next, server_.next_deadline(), link_.b().next_event(),
                       server_talk_.next_event(now_), vanishes_at_});
    }
    if (opened_ < count_) next = std::min(next, next_open_);
    // A slow reader looks again after a while, ready or not.
    if (client_talk_.is_reading_slowly() || server_talk_.is_reading_slowly())
      next = std::min(next, now_ + Duration::milliseconds(10));
    now_ = std::max(next, now_ + shortest_step);
  }

  bool over() const {
    if (opened_ < count_) return false;
    // A connection that failed on one side before it stood on the other has no counterpart there.
    return client_.counters()[Counter::tcp_active_opens] == count_ && gone(client_) &&
           (server_is_gone() || gone(server_));
  }
  static bool gone(const SimHost& host) {
    return const_cast<SimHost&>(host).tcp().connection_count() == 0 &&
           const_cast<SimHost&>(host).arena().free_count() ==
               const_cast<SimHost&>(host).arena().capacity();
  }

  static std::string states(SimHost& host) {
    std::string text;
    for (uint32_t i = 0; i < host.tcp().connection_capacity(); ++i) {
      const auto view = host.tcp().view_at(i);
      if (!view) continue;
      text += std::string("\n    ") + tcp::state_name(view->state) + " port " +
              std::to_string(view->passive ? view->remote.port : view->local.port) + " in flight " +
              std::to_string(view->in_flight) + " send queue " + std::to_string(view->send_queue) +
              " receive queue " + std::to_string(view->receive_queue) + " window " +
              std::to_string(view->congestion_window) + " peer's " +
              std::to_string(view->peer_window) + " ranges " + std::to_string(view->out_of_order);
    }
    return text;
  }
  std::string standing() {
    return "client" + states(client_) + "\n  server" + states(server_) +
           "\n  not over after the faults stopped: client " +
           std::to_string(client_.tcp().connection_count()) + " connections and " +
           std::to_string(client_.arena().capacity() - client_.arena().free_count()) +
           " slots, server " + std::to_string(server_.tcp().connection_count()) + " and " +
           std::to_string(server_.arena().capacity() - server_.arena().free_count());
  }

  RunResult judge() {
    if (server_is_gone() || rough_) return judge_what_is_left();
    if (!client_talk_.failure().empty()) return failed(client_talk_.failure());
    if (!server_talk_.failure().empty()) return failed(server_talk_.failure());
    for (uint32_t number = 0; number < count_; ++number) {
      const Talk& up = client_talk_.talks()[number];
      const Talk& down = server_talk_.talks()[number];
      // A SYN-ACK is repeated for a minute only (T10): a handshake that nobody completed on the
      // passive side by then ends in a reset of the other.
      if (up.failed && !down.was_accepted) continue;
      if ((up.failed || down.failed) && is_harsh_ && somebody_gave_up()) continue;
      if (up.failed || down.failed)
        return failed("connection " + std::to_string(number) + " was broken off");
      if (!up.done || !down.done)
        return failed("connection " + std::to_string(number) + " never finished");
    }
    if (client_.tcp().armed_timer_count() != 0 || server_.tcp().armed_timer_count() != 0)
      return failed("timers are left");
    if (!link_.frames_conserved()) return failed("frames are lost inside the simulation");
    RunResult result = summary();
    result.ok = true;
    return result;
  }

  bool somebody_gave_up() const {
    uint64_t count = 0;
    for (const Counters* counters : {&client_.counters(), &server_.counters()})
      count += (*counters)[Counter::tcp_orphan_timed_out] + (*counters)[Counter::tcp_gave_up];
    return count > 0;
  }
  // Connections may have been broken; nothing of them is left.
  RunResult judge_what_is_left() {
    if (client_.tcp().armed_timer_count() != 0) return failed("timers are left");
    if (!server_is_gone() && server_.tcp().armed_timer_count() != 0)
      return failed("timers are left");
    if (!link_.frames_conserved()) return failed("frames are lost inside the simulation");
    RunResult result = summary();
    result.ok = true;
    return result;
  }

  RunResult summary() {
    RunResult result;
    result.trace_hash = link_.trace_hash();
    for (const Talk& talk : client_talk_.talks()) result.octets_delivered += talk.received;
    for (const Talk& talk : server_talk_.talks()) result.octets_delivered += talk.received;
    result.frames_delivered =
        link_.a().wire().counters().delivered + link_.b().wire().counters().delivered;
    result.retransmits = client_.counters()[Counter::tcp_segments_retransmitted] +
                         server_.counters()[Counter::tcp_segments_retransmitted];
    result.virtual_seconds = static_cast<double>((now_ - begin_).count_us()) / 1e6;
    return result;
  }
  RunResult failed(const std::string& why) {
    RunResult result = summary();
    result.failure = why + "\n  client:" + told(client_limits_.features) +
                     told(client_.counters()) + "\n  server:" + told(server_limits_.features) +
                     told(server_.counters()) + "\n  towards client:" + told(wire_faults_[0]) +
                     "\n  towards server:" + told(wire_faults_[1]) +
                     "\n  middle:" + told(middle_.faults) + "\n  faults until " +
                     std::to_string(faults_last_.count_ms()) + " ms, now " +
                     std::to_string((now_ - begin_).count_ms()) + " ms";
    for (const Weather& weather : weather_) {
      result.failure +=
          "\n  wires " + std::to_string(weather.wires) +
          (weather.more_delay == Duration()
               ? " down"
               : " slower by " + std::to_string(weather.more_delay.count_ms()) + " ms") +
          " from " + std::to_string((weather.from - begin_).count_ms()) + " to " +
          std::to_string((weather.until - begin_).count_ms()) + " ms";
    }
    return result;
  }
  static std::string told(const tcp::Features& features) {
    return std::string(features.selective_acknowledgments ? " sack" : "") +
           (features.timestamps ? " timestamps" : "") +
           (features.window_scaling ? " scaling" : "") +
           (features.congestion_control == tcp::CongestionControl::cubic ? " cubic" : " new_reno");
  }
  static std::string told(const nic::WireFaults& faults) {
    std::string text;
    const auto rate = [&](const char* name, double value) {
      if (value > 0) text += std::string(" ") + name + "=" + std::to_string(value);
    };
    rate("delay_us", static_cast<double>(faults.delay.count_us()));
    rate("jitter_us", static_cast<double>(faults.jitter.count_us()));
    rate("bits_per_second", static_cast<double>(faults.bits_per_second));
    rate("loss", faults.loss);
    rate("burst_begin", faults.burst_begin);
    rate("duplication", faults.duplication);
    rate("corruption", faults.corruption);
    rate("truncation", faults.truncation);
    rate("reordering", faults.reordering);
    return text;
  }
  static std::string told(const MiddleFaults& faults) {
    std::string text;
    if (faults.mtu_bytes != 0)
      text += " mtu=" + std::to_string(faults.mtu_bytes) + (faults.tells_mtu ? "" : " in silence");
    if (faults.strips_sack) text += " strips_sack";
    if (faults.strips_timestamps) text += " strips_timestamps";
    if (faults.strips_scaling) text += " strips_scaling";
    const auto rate = [&](const char* name, double value) {
      if (value > 0) text += std::string(" ") + name + "=" + std::to_string(value);
    };
    rate("forgery", faults.forgery);
    rate("echo", faults.echo);
    rate("sack_lie", faults.sack_lie);
    rate("window_lie", faults.window_lie);
    rate("optimism", faults.optimism);
    rate("header_corruption", faults.header_corruption);
    return text;
  }
  // Every counter that is not plain traffic: where a failed seed begins to explain itself.
  static std::string told(const Counters& counters) {
    std::string text;
    for (size_t i = 0; i < counter_count; ++i) {
      if (counters.values[i] == 0 || counter_facts[i].severity == Severity::info) continue;
      text += " " + std::string(counter_facts[i].name) + "=" + std::to_string(counters.values[i]);
    }
    return text;
  }

  Random random_;
  tcp::Limits client_limits_ = draw_limits();
  tcp::Limits server_limits_ = draw_limits();
  SimMemory client_memory_;
  SimMemory server_memory_;
  nic::SimLink link_;
  Middle middle_;
  uint64_t client_seed_;
  Instant now_;
  Instant begin_;
  SimHost client_;
  SimHost server_;
  Talker client_talk_;
  Talker server_talk_;
  std::vector<uint16_t> ports_;
  uint32_t count_ = 0;
  uint32_t opened_ = 0;
  Instant next_open_;
  std::array<nic::WireFaults, 2> wire_faults_;  // towards the client, towards the server
  std::vector<Weather> weather_;
  Instant next_weather_;
  Duration faults_last_;
  Instant vanishes_at_ = Instant::never();  // the server's power fails
  // A long outage, or so much loss that a connection may be given up, which is allowed then; the
  // peer, if it only waits, learns of that by its keep-alives.
  bool is_harsh_ = false;
  bool rough_ = false;  // something may break connections: judged is only what is left of them
  int turns_ = 0;
};

}  // namespace

RunResult run_two_stacks(uint64_t seed, bool prints) {
  Conversation conversation(seed, prints);
  return conversation.run();
}

}  // namespace millrace::sim
