#include "tests/sim/two_stacks.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "dataplane/nic/sim_port.h"
#include "tests/sim/meddler.h"
#include "tests/sim/near_wrap.h"
#include "tests/sim/scenario.h"
#include "tests/sim/sent_text.h"
#include "tests/sim/talker.h"
#include "tests/sim/timer_watch.h"
#include "tests/support/sim_host.h"

namespace millrace::sim {
namespace {

constexpr Duration shortest_step = Duration::microseconds(20);  // a turn is not free
constexpr uint64_t turns_max = 20'000'000;
constexpr uint64_t turns_between_checks = 64;

constexpr uint16_t server_port = 80;
const std::array<Ipv4Address, 2> addresses = {Ipv4Address::from_octets(10, 0, 0, 1),
                                              Ipv4Address::from_octets(10, 0, 0, 2)};
const SocketAddress service{addresses[server_side], server_port};
const std::array<Ipv6Address, 2> ipv6_addresses = {
    Ipv6Address::from_groups({0x2001, 0xdb8, 0, 0, 0, 0, 0, 1}),
    Ipv6Address::from_groups({0x2001, 0xdb8, 0, 0, 0, 0, 0, 2})};

nic::PortFacts facts_of(size_t side) {
  nic::PortFacts facts;
  facts.name = side == client_side ? "client" : "server";
  facts.mac = MacAddress{{2, 0, 0, 0, 0, static_cast<uint8_t>(side + 1)}};
  return facts;
}

NetConfig net_of(size_t side, bool ipv6 = false) {
  NetConfig net;
  net.addresses.push_back({0, {addresses[side], 24}, {}});
  if (side == server_side) net.listeners.push_back(service);
  if (!ipv6) return net;
  net.ipv6_addresses.push_back({0, {ipv6_addresses[side], 64}, {}});
  if (side == server_side) net.ipv6_listeners.push_back({ipv6_addresses[side], server_port});
  return net;
}

// A wire on which nothing goes wrong. How long it is and what it carries is no fault.
nic::WireFaults calm(const nic::WireFaults& faults) {
  nic::WireFaults calm;
  calm.delay = faults.delay;
  calm.datagram_bytes_max = faults.datagram_bytes_max;
  calm.tells_datagram_bytes_max = faults.tells_datagram_bytes_max;
  calm.untrue_too_long = faults.untrue_too_long;
  return calm;
}

// A host with what it says.
struct Side {
  Side(size_t side, const HostPlan& plan, const tcp::Keys& keys, SimMemory& memory,
       nic::SimPort& at, uint64_t seed, Instant begin, bool ipv6)
      : port(at),
        host(net_of(side, ipv6), plan.limits, keys, memory.arena(), port, begin),
        talker(host.tcp(), side, seed),
        keepalive(plan.limits.keepalive) {
    port.set_completion_delay(plan.completion_delay);
  }
  bool is_due(Instant now) { return host.has_work() || next_event() <= now; }
  Instant next_event() const {
    return std::min({port.next_event(), host.next_deadline(), talker.next_event()});
  }
  bool is_empty() {
    return host.tcp().connection_count() == 0 &&
           host.arena().free_count() == host.arena().capacity();
  }

  nic::SimPort& port;
  SimHost host;
  Talker talker;
  tcp::KeepAlive keepalive;
  uint64_t turns = 0;
  bool is_away = false;
};

// Tells every frame.
class Narrator final : public nic::SimListener {
 public:
  explicit Narrator(Instant begin) : begin_(begin) {}
  void on_frame(size_t wire, Step step, Instant at, ByteView bytes) override {
    std::printf("%11.6f %s %s: %s\n", static_cast<double>((at - begin_).count_us()) / 1e6,
                step == Step::enters ? "->" : "  at", wire == client_side ? "client" : "server",
                told_frame(bytes).c_str());
  }

 private:
  Instant begin_;
};

tcp::Keys draw_keys(Random& random) {
  return tcp::Keys{{random.next(), random.next()}, {random.next(), random.next()}, random.next()};
}

// The port that a client with these keys and limits leaves from first.
uint16_t first_port_of(const HostPlan& plan, const tcp::Keys& keys, Instant begin) {
  SimMemory memory(64);
  nic::SimLink link(facts_of(client_side), memory.arena(), facts_of(server_side), memory.arena(),
                    1);
  SimHost host(net_of(client_side), plan.limits, keys, memory.arena(), link.a(), begin);
  const tcp::ConnId id = host.tcp().connect(addresses[client_side], service, 1, begin);
  return host.tcp().local(id).port;
}

std::array<tcp::Keys, 2> keys_for(const Scenario& scenario, Random& random) {
  std::array<tcp::Keys, 2> keys = {draw_keys(random), draw_keys(random)};
  if (scenario.near_wrap == NearWrap::nothing) return keys;
  const uint16_t port =
      first_port_of(scenario.hosts[client_side], keys[client_side], scenario.begin);
  const SocketAddress client{addresses[client_side], port};
  switch (scenario.near_wrap) {
    case NearWrap::nothing: break;
    case NearWrap::client_sequence:
      keys[client_side].isn =
          key_with_sequence_near_wrap(random, {client, service}, scenario.begin);
      break;
    case NearWrap::server_sequence:
      keys[server_side].isn =
          key_with_sequence_near_wrap(random, {service, client}, scenario.begin);
      break;
    case NearWrap::client_timestamps:
      keys[client_side].isn =
          key_with_timestamps_near_wrap(random, {client, service}, scenario.begin);
      break;
  }
  return keys;
}

class Play {
 public:
  explicit Play(const Scenario& scenario)
      : scenario_(scenario),
        random_(scenario.seed),
        memories_{SimMemory(scenario.hosts[0].slots), SimMemory(scenario.hosts[1].slots)},
        link_(facts_of(0), memories_[0].arena(), facts_of(1), memories_[1].arena(), random_.next()),
        now_(scenario.begin),
        keys_(keys_for(scenario, random_)),
        sides_{Side(0, scenario.hosts[0], keys_[0], memories_[0], link_.a(), random_.next(), now_,
                    scenario.has_ipv6()),
               Side(1, scenario.hosts[1], keys_[1], memories_[1], link_.b(), random_.next(), now_,
                    scenario.has_ipv6())},
        meddler_(scenario.meddler, link_, sight(), random_.next(), now_),
        ports_(scenario.conversations.size(), 0) {
    for (size_t side = 0; side < 2; ++side) {
      sides_[side].port.wire().faults = scenario.faults[side];
      sides_[side].talker.set_ports(&ports_);
      if (scenario.verdict == Verdict::untrusted) sides_[side].talker.trust_nothing();
      for (uint32_t i = 0; i < scenario.conversations.size(); ++i)
        sides_[side].talker.expect(i, scenario.conversations[i][side]);
    }
    if (!scenario.meddler.is_idle()) link_.set_middle(&meddler_);
  }

  // Every frame, on standard output.
  void narrate() { listen(&narrator_); }
  void listen(nic::SimListener* listener) {
    for (Side& side : sides_) side.port.wire().set_listener(listener);
  }

  RunResult run() {
    while (!is_over()) {
      if (++turns_ > turns_max) return failed("the simulation does not end");
      if (now_ - scenario_.begin > scenario_.over_at) return failed(standing());
      apply_changes();
      meddler_.act(now_);
      for (Side& side : sides_) {
        if (!side.is_away && side.is_due(now_)) take_turn(side);
      }
      if (!watch_failure_.empty()) return failed(watch_failure_);
      step();
    }
    const std::string why = judge();
    if (!why.empty()) return failed(why);
    RunResult result = summary();
    result.ok = true;
    return result;
  }

 private:
  // --- time ---

  void take_turn(Side& side) {
    side.host.turn(now_, [this, &side] { side.talker.turn(now_); });
    if (++side.turns % turns_between_checks != 0) return;
    side.host.tcp().check_invariants();
    watch(side);
  }

  void step() {
    Instant next = meddler_.next_event();
    if (next_change_ < scenario_.changes.size())
      next = std::min(next, scenario_.begin + scenario_.changes[next_change_].at);
    for (Side& side : sides_) {
      if (side.is_away) continue;
      next = std::min(next, side.host.has_work() ? now_ : side.next_event());
    }
    now_ = std::max(next, now_ + shortest_step);
  }

  // --- what the scenario asks for ---

  void apply_changes() {
    for (; next_change_ < scenario_.changes.size(); ++next_change_) {
      const Change& change = scenario_.changes[next_change_];
      if (scenario_.begin + change.at > now_) return;
      apply(change);
    }
  }

  void apply(const Change& change) {
    Side& side = sides_[change.side];
    nic::WireFaults& faults = side.port.wire().faults;
    switch (change.kind) {
      case Change::Kind::down: faults.down = true; break;
      case Change::Kind::up: faults.down = false; break;
      case Change::Kind::delay: faults.delay = change.delay; break;
      case Change::Kind::pause: side.is_away = true; break;
      case Change::Kind::resume: side.is_away = is_gone(change.side); break;
      case Change::Kind::vanish:
        side.is_away = true;
        vanished_ = true;
        break;
      case Change::Kind::open: open(change.conversation); break;
      case Change::Kind::calm: become_calm(); break;
    }
  }

  bool is_gone(size_t side) const { return vanished_ && scenario_.vanishes == side; }

  // The host that has vanished stays away: its frames meet nobody.
  void become_calm() {
    meddler_.stop();
    for (size_t side = 0; side < 2; ++side) {
      nic::WireFaults& faults = sides_[side].port.wire().faults;
      faults = calm(faults);
      sides_[side].is_away = is_gone(side);
    }
  }

  tcp::ConnId connect(SimHost& host, uint32_t conversation) {
    if (!scenario_.is_over_ipv6(conversation)) {
      return host.tcp().connect(addresses[client_side], service, conversation + 1, now_);
    }
    NetStack& stack = host.stack();
    const Ipv4Address local = stack.alias_of(ipv6_addresses[client_side]);
    const Ipv4Address remote = stack.alias_of(ipv6_addresses[server_side]);
    return host.tcp().connect(local, {remote, server_port}, conversation + 1, now_);
  }

  void open(uint32_t conversation) {
    Side& client = sides_[client_side];
    if (is_gone(client_side)) return;
    const tcp::ConnId id = connect(client.host, conversation);
    CHECK(id);
    ports_[conversation] = client.host.tcp().local(id).port;
    client.talker.opened(conversation, id, now_);
    if (conversation == 0 && scenario_.near_wrap == NearWrap::client_sequence) {
      const uint32_t iss = client.host.tcp().find_transfer(id)->iss.value();
      if (-iss > near_wrap_octets) watch_failure_ = "initial sequence numbers follow another rule";
    }
  }

  // --- what the meddler sees ---

  Meddler::Sight sight() {
    Meddler::Sight sight;
    sight.by_number = [this](size_t side, uint32_t conversation) {
      const Talk& talk = sides_[side].talker.talks()[conversation];
      return talk.open ? state_of(side, talk.id) : ConnectionState{};
    };
    sight.by_ports = [this](size_t side, uint16_t local, uint16_t remote) {
      const auto number = newest_with_port(ports_, side == client_side ? local : remote);
      if (!number) return ConnectionState{};
      const Talk& talk = sides_[side].talker.talks()[*number];
      return talk.open ? state_of(side, talk.id) : ConnectionState{};
    };
    sight.conversations = [this] { return static_cast<uint32_t>(ports_.size()); };
    sight.is_away = [this](size_t side) { return sides_[side].is_away; };
    return sight;
  }

  ConnectionState state_of(size_t side, tcp::ConnId id) {
    const tcp::Tcp& tcp = sides_[side].host.tcp();
    const tcp::Connection* connection = tcp.find(id);
    const tcp::Transfer* transfer = connection == nullptr ? nullptr : tcp.find_transfer(id);
    if (transfer == nullptr || !tcp::is_synchronized(connection->state)) return {};
    return {connection, transfer, &tcp};
  }

  // --- judging ---

  void watch(Side& side) {
    if (side.host.has_work() || side.host.tcp().is_short_of_memory()) return;
    for (const Talk& talk : side.talker.talks()) {
      if (!talk.open || !watch_failure_.empty()) continue;
      const tcp::Tcp& tcp = side.host.tcp();
      watch_failure_ =
          judge_deadlines(*tcp.find(talk.id), tcp.find_transfer(talk.id), side.keepalive, now_);
      if (!watch_failure_.empty())
        watch_failure_ = "connection " + std::to_string(talk.number) + ": " + watch_failure_;
    }
  }

  bool is_over() {
    if (next_change_ < scenario_.changes.size()) return false;
    for (size_t side = 0; side < 2; ++side) {
      if (!is_gone(side) && !sides_[side].is_empty()) return false;
    }
    return true;
  }

  std::string judge() {
    for (size_t side = 0; side < 2; ++side) {
      if (!sides_[side].talker.failure().empty()) return sides_[side].talker.failure();
      if (!is_gone(side) && sides_[side].host.tcp().armed_timer_count() != 0)
        return "timers are left";
    }
    if (is_told_only_untruths() && count(Counter::tcp_path_mtu_lowered) > 0)
      return "somebody believed in a path MTU that nobody could tell";
    if (!link_.frames_conserved()) return "frames are lost inside the simulation";
    for (uint32_t number = 0; number < ports_.size(); ++number) {
      const std::string why = judge_conversation(number);
      if (!why.empty()) return "connection " + std::to_string(number) + ": " + why;
    }
    return "";
  }

  // Every message about the path MTU is one that must not be believed (T38).
  bool is_told_only_untruths() const {
    return std::none_of(
        scenario_.faults.begin(), scenario_.faults.end(),
        [](const nic::WireFaults& faults) { return faults.tells_datagram_bytes_max; });
  }
  uint64_t count(Counter counter) const {
    return sides_[client_side].host.counters()[counter] +
           sides_[server_side].host.counters()[counter];
  }

  std::string judge_conversation(uint32_t number) const {
    const Talk& up = sides_[client_side].talker.talks()[number];
    const Talk& down = sides_[server_side].talker.talks()[number];
    if (up.done && down.done) return "";
    const bool is_last = !scenario_.vanishes && number + 1 == ports_.size();
    if (scenario_.verdict != Verdict::whole) return is_last ? "no success in a calm network" : "";
    const auto& killed = meddler_.killed();
    if (std::find(killed.begin(), killed.end(), number) != killed.end()) return "";
    // The server has forgotten the handshake before its end, as it must (T10).
    const Counters& counters = sides_[server_side].host.counters();
    const uint64_t forgotten =
        counters[Counter::tcp_handshake_timed_out] + counters[Counter::tcp_gave_up];
    if (!down.stood && up.failed && forgotten > 0) return "";
    // TIME-WAIT lasts as long as the largest gap between two tries: it may end before the last
    // acknowledgment came through, and who repeats his FIN then is told that nobody is there.
    // Everything was said and heard.
    if (is_told(up) && is_told(down)) return "";
    if (up.failed || down.failed) return "was broken off";
    return "never finished";
  }

  static bool is_told(const Talk& talk) {
    return talk.shut && talk.peer_ended && talk.received == talk.plan.octets_to_receive;
  }

  std::string standing() {
    std::string text = "not over after the faults stopped:";
    for (size_t side = 0; side < 2; ++side) {
      SimHost& host = sides_[side].host;
      text += (side == client_side ? " client " : ", server ") +
              std::to_string(host.tcp().connection_count()) + " connections, " +
              std::to_string(host.arena().capacity() - host.arena().free_count()) + " slots";
      for (const Talk& talk : sides_[side].talker.talks()) {
        if (!talk.open) continue;
        const tcp::Connection& c = *sides_[side].host.tcp().find(talk.id);
        text += "\n    " + std::to_string(talk.number) + ": " + tcp::state_name(c.state) +
                ", sent " + std::to_string(talk.sent) + ", received " +
                std::to_string(talk.received) + ", window " + std::to_string(c.snd_wnd);
      }
    }
    return text;
  }

  RunResult summary() const {
    RunResult result;
    result.trace_hash = link_.trace_hash();
    for (const Side& side : sides_) {
      for (const Talk& talk : side.talker.talks()) result.octets_delivered += talk.received;
      result.frames_delivered += side.port.wire().counters().delivered;
      result.retransmits += side.host.counters()[Counter::tcp_segments_retransmitted];
    }
    result.virtual_seconds = static_cast<double>((now_ - scenario_.begin).count_us()) / 1e6;
    return result;
  }
  RunResult failed(const std::string& why) const {
    RunResult result = summary();
    result.failure = "at " + std::to_string((now_ - scenario_.begin).count_ms()) + " ms: " + why +
                     "\n  client:" + told(sides_[client_side].host.counters()) +
                     "\n  server:" + told(sides_[server_side].host.counters()) +
                     "\n  in the middle: " + std::to_string(meddler_.forged()) + " forged, " +
                     std::to_string(meddler_.replayed()) + " replayed, " +
                     std::to_string(meddler_.changed()) + " changed, " +
                     std::to_string(meddler_.killed().size()) + " killed";
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

  const Scenario& scenario_;
  Random random_;
  std::array<SimMemory, 2> memories_;
  nic::SimLink link_;
  Instant now_;
  std::array<tcp::Keys, 2> keys_;
  std::array<Side, 2> sides_;
  Meddler meddler_;
  Narrator narrator_{scenario_.begin};
  std::vector<uint16_t> ports_;  // of the client, by conversation
  size_t next_change_ = 0;
  bool vanished_ = false;
  std::string watch_failure_;
  uint64_t turns_ = 0;
};

}  // namespace

RunResult run_two_stacks(uint64_t seed, Telling telling) {
  const Scenario scenario = draw_scenario(seed);
  const auto play = std::make_unique<Play>(scenario);
  if (telling == Telling::frames) play->narrate();
  RunResult result = play->run();
  if (telling != Telling::result) result.scenario = scenario.told();
  return result;
}

namespace {

uint16_t mtu_towards_client(const Scenario& scenario) {
  const uint16_t mtu = scenario.faults[client_side].datagram_bytes_max;
  return scenario.has_ipv6() ? std::max(mtu, net::ipv6_mtu_min) : mtu;
}

std::string judge_against_honest_ones(Scenario scenario, const SentText& to_hostile) {
  std::array<SentText, 2> to_honest{SentText(mtu_towards_client(scenario)),
                                    SentText(mtu_towards_client(scenario))};
  for (size_t i = 0; i < to_honest.size(); ++i) {
    scenario.meddler = i == 0 ? MeddlerPlan() : honest_acknowledgments();
    const auto honest = std::make_unique<Play>(scenario);
    honest->listen(&to_honest[i]);
    const RunResult result = honest->run();
    if (!result.ok) return result.failure;
  }
  const nic::WireFaults& path = scenario.faults[client_side];
  const bool loses = path.datagram_bytes_max < 1'500 && !path.tells_datagram_bytes_max;
  return to_hostile.judge_against(to_honest, !loses);
}

}  // namespace

RunResult run_hostile_reader(uint64_t seed, Telling telling) {
  const Scenario scenario = draw_transfer(seed);
  SentText to_hostile(mtu_towards_client(scenario));
  const auto hostile = std::make_unique<Play>(scenario);
  hostile->listen(telling == Telling::frames ? nullptr : &to_hostile);
  if (telling == Telling::frames) hostile->narrate();
  RunResult result = hostile->run();
  if (telling != Telling::result) result.scenario = scenario.told();
  if (!result.ok || telling == Telling::frames) return result;
  result.failure = to_hostile.judge_growth();
  // Who divides acknowledgments is served as well as RFC 3465 allows, and thus better than the
  // honest ones, whose acknowledgments all arrive in one turn.
  if (result.failure.empty() && scenario.meddler.divides_acks_octets == 0)
    result.failure = judge_against_honest_ones(scenario, to_hostile);
  result.ok = result.failure.empty();
  return result;
}

}  // namespace millrace::sim
