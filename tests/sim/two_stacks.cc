#include "tests/sim/two_stacks.h"

#include <algorithm>
#include <memory>

#include "dataplane/nic/sim_port.h"
#include "tests/sim/talker.h"
#include "tests/support/fast_paths.h"
#include "tests/support/sim_host.h"

namespace millrace::sim {
namespace {

constexpr Duration faults_last = Duration::seconds(40);
// What is left after the faults must be over within this: the largest backoff (60 s) twice, a
// neighbor that has to be found anew (35 s), an orphan's minute.
constexpr Duration recovery_max = Duration::seconds(240);
constexpr Duration shortest_step = Duration::microseconds(20);  // a turn is not free
constexpr int turns_max = 20'000'000;

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
  if (random.chance(0.3)) faults.bits_per_second = random.between(500'000, 50'000'000);
  if (random.chance(0.3)) faults.in_flight_frames_max = random.between(8, 128);
  return faults;
}

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
  explicit Conversation(uint64_t seed)
      : random_(seed),
        client_memory_(draw_slots()),
        server_memory_(draw_slots()),
        link_(facts_of(1), client_memory_.arena(), facts_of(2), server_memory_.arena(),
              random_.next()),
        now_(draw_start()),
        begin_(now_),
        client_(net_of(address_of_client, false), limits_, random_.next(), client_memory_.arena(),
                link_.a(), now_),
        server_(net_of(address_of_server, true), limits_, random_.next(), server_memory_.arena(),
                link_.b(), now_),
        client_talk_(client_.tcp(), 0, random_.next()),
        server_talk_(server_.tcp(), 1, random_.next()) {
    const auto completion =
        Duration::microseconds(static_cast<int64_t>(random_.below(3) * random_.below(2'000)));
    link_.a().set_completion_delay(completion);
    link_.b().set_completion_delay(completion);
    link_.a().wire().faults = draw_faults(random_);
    link_.b().wire().faults = draw_faults(random_);
    server_talk_.set_number_of(&ports_);
    plan_connections();
  }

  RunResult run() {
    bool faulty = true;
    while (!over()) {
      if (++turns_ > turns_max) return failed("the simulation does not end");
      if (faulty && now_ - begin_ > faults_last) {
        faulty = false;
        link_.a().wire().faults = calm(link_.a().wire().faults);
        link_.b().wire().faults = calm(link_.b().wire().faults);
      }
      if (now_ - begin_ > faults_last + recovery_max) return failed(standing());
      open_next();
      client_.turn(now_, [this] { client_talk_.turn(now_); });
      server_.turn(now_, [this] { server_talk_.turn(now_); });
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
    return Instant::from_ns(start_ms * 1'000'000 + random_.below(1'000'000));
  }

  static tcp::Limits draw_limits() {
    tcp::Limits limits;
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
    if (client_.has_work() || server_.has_work()) {
      now_ = now_ + shortest_step;
      return;
    }
    Instant next = std::min({client_.next_deadline(), server_.next_deadline(), link_.next_event(),
                             client_talk_.next_event(), server_talk_.next_event()});
    if (opened_ < count_) next = std::min(next, next_open_);
    // A slow reader looks again after a while, ready or not.
    next = std::min(next, now_ + Duration::milliseconds(10));
    now_ = std::max(next, now_ + shortest_step);
  }

  bool over() const {
    if (opened_ < count_) return false;
    // A connection that failed on one side before it stood on the other has no counterpart there.
    return client_.counters()[Counter::tcp_active_opens] == count_ && gone(client_) &&
           gone(server_);
  }
  static bool gone(const SimHost& host) {
    return const_cast<SimHost&>(host).tcp().connection_count() == 0 &&
           const_cast<SimHost&>(host).arena().free_count() ==
               const_cast<SimHost&>(host).arena().capacity();
  }

  std::string standing() {
    return "not over after the faults stopped: client " +
           std::to_string(client_.tcp().connection_count()) + " connections and " +
           std::to_string(client_.arena().capacity() - client_.arena().free_count()) +
           " slots, server " + std::to_string(server_.tcp().connection_count()) + " and " +
           std::to_string(server_.arena().capacity() - server_.arena().free_count());
  }

  RunResult judge() {
    if (!client_talk_.failure().empty()) return failed(client_talk_.failure());
    if (!server_talk_.failure().empty()) return failed(server_talk_.failure());
    for (uint32_t number = 0; number < count_; ++number) {
      const Talk& up = client_talk_.talks()[number];
      const Talk& down = server_talk_.talks()[number];
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
    result.failure =
        why + "\n  client:" + told(client_.counters()) + "\n  server:" + told(server_.counters());
    return result;
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
  tcp::Limits limits_ = draw_limits();
  SimMemory client_memory_;
  SimMemory server_memory_;
  nic::SimLink link_;
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
  int turns_ = 0;
};

}  // namespace

RunResult run_two_stacks(uint64_t seed) {
  Conversation conversation(seed);
  return conversation.run();
}

}  // namespace millrace::sim
