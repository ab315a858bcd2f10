#include "tests/sim/scenario.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "tests/support/fast_paths.h"

namespace millrace::sim {
namespace {

// What is left after the faults must be over within this: the largest backoff (60 s) twice, a
// neighbor that has to be found anew (35 s), an orphan's minute.
constexpr Duration recovery_max = Duration::seconds(240);
// After that, of what may break: an application's patience, an orphan's longest life.
constexpr Duration ending_max = Duration::seconds(900);
// Longer than giving up takes (180 s, and a backoff of 60 s).
constexpr Duration patience = Duration::seconds(250);
// A retransmission that is on its way out after 180 s, or an orphan that has stood still for 120 s,
// needs one try in a calm network before that: faults may last so long where all must end well.
constexpr int64_t faults_seconds_max = 58;
constexpr uint32_t ack_pieces_max = 200;  // of the text of one turn, 64 segments
constexpr Duration long_pause = Duration::seconds(60);
constexpr int64_t faults_seconds_max_without_orphans = 110;
constexpr int64_t pause_seconds_max = 40;
// A host that was away makes a round trip look as long; the search for a path MTU that nobody tells
// takes four timeouts, 15 times the first, which must fit into the 180 s.
constexpr int64_t pause_seconds_max_with_hidden_mtu = 5;

Duration microseconds_below(Random& random, uint64_t bound) {
  return Duration::microseconds(static_cast<int64_t>(random.below(bound)));
}
Duration seconds_between(Random& random, int64_t low, int64_t high) {
  const auto low_ms = static_cast<uint64_t>(low) * 1'000;
  const auto high_ms = static_cast<uint64_t>(high) * 1'000;
  return Duration::milliseconds(static_cast<int64_t>(random.between(low_ms, high_ms)));
}
Duration part_of(Random& random, Duration whole) {
  return Duration::nanoseconds(
      static_cast<int64_t>(random.below(static_cast<uint64_t>(whole.count_ns()))));
}
double up_to(Random& random, double most) {
  return most * static_cast<double>(random.below(1'001)) / 1'000;
}

// T51, T14: clocks begin near the wraps of 32 bits of milliseconds, and anywhere else.
Instant draw_begin(Random& random) {
  const uint64_t start_ms = random.chance(0.3) ? (uint64_t{1} << 32) - random.below(60'000)
                                               : random.below(uint64_t{1} << 40);
  return Instant::from_ns(start_ms * 1'000'000 + random.below(1'000'000));
}

Verdict draw_verdict(Random& random) {
  if (random.chance(0.75)) return Verdict::whole;
  return random.chance(0.75) ? Verdict::may_break : Verdict::untrusted;
}

// --- hosts ---

tcp::Limits draw_limits(Random& random, Verdict verdict) {
  tcp::Limits limits;
  limits.connections = 64;
  limits.half_open = 16;
  limits.time_wait = 64;
  limits.fast_paths = testing::fast_paths_wanted();
  limits.features.window_scaling = random.chance(0.8);
  limits.features.timestamps = random.chance(0.75);
  limits.features.selective_acknowledgments = random.chance(0.75);
  limits.features.ecn_agreed_to = random.chance(0.8);
  limits.features.ecn_asked_for = random.chance(0.6);
  limits.features.congestion_control =
      random.chance(0.5) ? tcp::CongestionControl::new_reno : tcp::CongestionControl::cubic;
  if (random.chance(0.2)) limits.repairs = 1;
  if (random.chance(0.2))
    limits.receive_slots_initial = static_cast<uint32_t>(random.between(4, 16));
  if (random.chance(0.2)) limits.send_slots_max = static_cast<uint32_t>(random.between(4, 32));
  limits.keepalive.idle = seconds_between(random, 3, 30);
  limits.keepalive.interval = seconds_between(random, 1, 5);
  limits.keepalive.probes_max = static_cast<uint8_t>(random.between(3, 9));
  // Where all must end well, probes go on for longer than the faults.
  if (verdict == Verdict::whole) limits.keepalive.interval = Duration::seconds(20);
  if (verdict == Verdict::whole) limits.keepalive.probes_max = 9;
  return limits;
}

HostPlan draw_host(Random& random, Verdict verdict) {
  HostPlan host;
  host.limits = draw_limits(random, verdict);
  host.slots = random.chance(0.25) ? 256 : 2'048;
  host.completion_delay =
      Duration::microseconds(static_cast<int64_t>(random.below(3) * random.below(2'000)));
  return host;
}

// --- wires ---

void draw_losses(Random& random, nic::WireFaults* faults) {
  if (random.chance(0.6)) faults->loss = up_to(random, random.chance(0.5) ? 0.3 : 0.03);
  if (!random.chance(0.2)) return;
  faults->burst_begin = up_to(random, 0.02);
  faults->burst_end = 0.02 + up_to(random, 0.3);
  faults->burst_loss = random.chance(0.5) ? 1 : 0.5 + up_to(random, 0.5);
}

void draw_damage(Random& random, Verdict verdict, nic::WireFaults* faults) {
  if (random.chance(0.4)) faults->duplication = up_to(random, 0.1);
  if (random.chance(0.4)) faults->corruption = up_to(random, 0.1);
  if (random.chance(0.3)) faults->truncation = up_to(random, 0.05);
  if (random.chance(0.3)) faults->mended_corruption = up_to(random, 0.05);
  if (verdict != Verdict::untrusted) return;
  faults->mends = nic::WireFaults::Mends::any;
  faults->mended_corruption = 0.001 + up_to(random, 0.1);
}

nic::WireFaults draw_faults(Random& random, Verdict verdict) {
  nic::WireFaults faults;
  faults.delay = Duration::microseconds(static_cast<int64_t>(random.between(20, 40'000)));
  if (random.chance(0.5)) faults.jitter = microseconds_below(random, 5'000);
  draw_losses(random, &faults);
  draw_damage(random, verdict, &faults);
  if (random.chance(0.5)) {
    faults.reordering = up_to(random, 0.2);
    faults.reordering_delay = microseconds_below(random, 20'000);
  }
  if (random.chance(0.25)) faults.bits_per_second = random.between(500'000, 50'000'000);
  if (random.chance(0.25)) faults.in_flight_frames_max = random.between(8, 128);
  if (random.chance(0.15)) {
    faults.datagram_bytes_max = static_cast<uint16_t>(random.between(600, 1'499));
    faults.tells_datagram_bytes_max = random.chance(0.6);
  }
  return faults;
}

bool hides_mtu(const nic::WireFaults& faults) {
  return faults.datagram_bytes_max < 1'500 && !faults.tells_datagram_bytes_max;
}
bool hides_mtu(const Scenario& scenario) {
  return hides_mtu(scenario.faults[0]) || hides_mtu(scenario.faults[1]);
}

// --- what happens when ---

class Timeline {
 public:
  Timeline(Random& random, Scenario& scenario) : random_(random), scenario_(scenario) {}

  void draw() {
    if (random_.chance(0.3)) draw_outage();
    if (random_.chance(0.3)) draw_delay_steps();
    if (random_.chance(0.15)) draw_pause();
    if (scenario_.vanishes) {
      add(part_of(random_, scenario_.calm_at), Change::Kind::vanish, *scenario_.vanishes);
    }
    add(scenario_.calm_at, Change::Kind::calm, 0);
  }
  void add(Duration at, Change::Kind kind, size_t side, Duration delay = {}) {
    scenario_.changes.push_back({at, kind, side, delay, 0});
  }

 private:
  // Both ways, or a one-way partition. It may last 120 s where that is too long for a stack to
  // wait.
  void draw_outage() {
    const Duration begin = part_of(random_, scenario_.calm_at);
    const Duration end =
        begin + std::min(scenario_.calm_at - begin, seconds_between(random_, 0, 120));
    const uint64_t ways = random_.between(1, 3);
    for (size_t side = 0; side < 2; ++side) {
      if ((ways & (1U << side)) == 0) continue;
      add(begin, Change::Kind::down, side);
      add(end, Change::Kind::up, side);
    }
  }
  // T22: 10 to 500 ms, say.
  void draw_delay_steps() {
    for (uint64_t left = random_.between(1, 4); left > 0; --left) {
      add(part_of(random_, scenario_.calm_at), Change::Kind::delay, random_.below(2),
          microseconds_below(random_, 600'000));
    }
  }
  void draw_pause() {
    const Duration begin = part_of(random_, scenario_.calm_at);
    const bool must_be_short = scenario_.verdict == Verdict::whole && hides_mtu(scenario_);
    const int64_t most = must_be_short ? pause_seconds_max_with_hidden_mtu : pause_seconds_max;
    const Duration end =
        begin + std::min(scenario_.calm_at - begin, seconds_between(random_, 0, most));
    const size_t side = random_.below(2);
    add(begin, Change::Kind::pause, side);
    add(end, Change::Kind::resume, side);
  }

  Random& random_;
  Scenario& scenario_;
};

// --- who says what ---

TalkPlan draw_talk(Random& random, const Scenario& scenario, bool closes_late) {
  TalkPlan plan;
  plan.octets_to_send = random.chance(0.2) ? 0 : random.below(uint64_t{1} << random.between(1, 18));
  if (random.chance(0.3)) {
    plan.reading_gap = microseconds_below(random, 200'000);
    plan.reading_octets_max = random.between(2'000, 40'000);
  }
  if (random.chance(0.2)) plan.reading_pause = seconds_between(random, 0, 20);
  if (random.chance(0.03)) plan.reading_pause = seconds_between(random, 20, 150);
  // Some spread their text over the run.
  if (random.chance(0.4) && plan.octets_to_send > 0) {
    const uint64_t pieces = random.between(1, std::min<uint64_t>(plan.octets_to_send, 40));
    plan.writing_octets_max = plan.octets_to_send / pieces + 1;
    plan.writing_gap = part_of(random, scenario.calm_at) / static_cast<int64_t>(pieces);
  }
  plan.closes_late = closes_late || random.chance(0.2);
  plan.nagle = random.chance(0.3);
  plan.keepalive = random.chance(0.2);
  if (scenario.verdict != Verdict::whole || scenario.meddler.kills) plan.patience = patience;
  return plan;
}

void add_conversation(Random& random, Scenario& scenario, Duration opens_at, bool closes_late) {
  TalkPlan up = draw_talk(random, scenario, closes_late);
  TalkPlan down = draw_talk(random, scenario, closes_late);
  up.octets_to_receive = down.octets_to_send;
  down.octets_to_receive = up.octets_to_send;
  down.waits_for_peer_end = random.chance(0.3);
  Change change;
  change.at = opens_at;
  change.kind = Change::Kind::open;
  change.conversation = static_cast<uint32_t>(scenario.conversations.size());
  scenario.changes.push_back(change);
  // An orphan does not wait longer than two minutes for a reader (T29).
  if (std::max(up.reading_pause, down.reading_pause) > long_pause)
    up.closes_late = down.closes_late = true;
  scenario.conversations.push_back({up, down});
}

// The last fifth of a run is without faults; it lasts as much longer as recovery takes, and as the
// slowest conversation.
Duration draw_end(const Scenario& scenario) {
  const bool may_end_badly = scenario.verdict != Verdict::whole || scenario.meddler.kills;
  Duration slowness;
  for (const auto& talks : scenario.conversations) {
    const Duration pauses = talks[client_side].reading_pause + talks[server_side].reading_pause;
    const bool writes_slowly =
        talks[client_side].writing_gap > Duration() || talks[server_side].writing_gap > Duration();
    slowness = std::max(slowness, pauses + (writes_slowly ? scenario.calm_at * 2 : Duration()));
  }
  return scenario.calm_at + scenario.calm_at / 4 + slowness +
         (may_end_badly ? ending_max : recovery_max);
}

// --- who stands in the middle ---

void draw_hostility(Random& random, Verdict verdict, MeddlerPlan* plan) {
  plan->hostile_side = random.below(2);
  plan->hostility = 0.02 + up_to(random, 0.8);
  plan->shrinks_windows = random.chance(0.4);
  plan->lies_in_sack = random.chance(0.5);
  plan->acknowledges_unsent = random.chance(0.3);
  if (random.chance(0.3))
    plan->divides_acks_octets = static_cast<uint32_t>(random.between(1, 3'000));
  plan->repeats_acks = random.chance(0.3);
  plan->acknowledges_unreceived = verdict != Verdict::whole && random.chance(0.5);
}

MeddlerPlan draw_meddler(Random& random, Verdict verdict) {
  MeddlerPlan plan;
  plan.replays = random.chance(0.25);
  plan.forges = random.chance(0.3);
  plan.kills = random.chance(0.1);
  const bool acts = plan.replays || plan.forges || plan.kills;
  if (acts) plan.gap = Duration::milliseconds(static_cast<int64_t>(random.between(20, 2'000)));
  if (random.chance(0.25)) draw_hostility(random, verdict, &plan);
  if (random.chance(0.1)) {
    plan.strips_sack = random.chance(0.5);
    plan.strips_timestamps = random.chance(0.5);
    plan.strips_scaling = random.chance(0.5);
  }
  if (random.chance(0.3)) plan.marks_congestion = random.chance(0.2) ? 1 : up_to(random, 0.5);
  plan.bleaches = random.chance(0.05);
  return plan;
}

NearWrap draw_near_wrap(Random& random) {
  if (!random.chance(0.3)) return NearWrap::nothing;
  return static_cast<NearWrap>(random.between(1, 3));
}

// From a stream of their own, so that they do not shift what else the seed decides.
void draw_untrue_mtus(uint64_t seed, Scenario* scenario) {
  Random random(seed ^ 0x756e74727565);
  if (!random.chance(0.3)) return;
  for (nic::WireFaults& faults : scenario->faults) faults.untrue_too_long = up_to(random, 0.3);
}

// Towards the reader, who sends nothing long.
void draw_transfer_mtu(uint64_t seed, Scenario* scenario) {
  Random random(seed ^ 0x6d7475);
  nic::WireFaults& faults = scenario->faults[client_side];
  if (!random.chance(0.3)) return;
  faults.datagram_bytes_max = static_cast<uint16_t>(random.between(600, 1'499));
  faults.tells_datagram_bytes_max = random.chance(0.6);
}

}  // namespace

Scenario draw_scenario(uint64_t seed) {
  Random random(seed ^ 0x7363656e);
  Scenario scenario;
  scenario.seed = seed;
  scenario.verdict = draw_verdict(random);
  scenario.begin = draw_begin(random);
  const bool whole = scenario.verdict == Verdict::whole;
  const bool closes_late = random.chance(0.25);
  const int64_t most = !whole        ? 300
                       : closes_late ? faults_seconds_max_without_orphans
                                     : faults_seconds_max;
  scenario.calm_at = seconds_between(random, 2, most);
  if (!whole && random.chance(0.3)) scenario.vanishes = random.below(2);
  for (size_t side = 0; side < 2; ++side) {
    scenario.hosts[side] = draw_host(random, scenario.verdict);
    scenario.faults[side] = draw_faults(random, scenario.verdict);
  }
  scenario.meddler = draw_meddler(random, scenario.verdict);
  // Whoever lies about what has arrived makes round trips look long, and the search for a path MTU
  // that nobody tells takes four timeouts: together more than the 180 s after which all is given
  // up.
  if (whole && hides_mtu(scenario)) scenario.meddler.lies_in_sack = false;
  scenario.near_wrap = draw_near_wrap(random);
  Timeline(random, scenario).draw();
  const uint64_t count = random.between(1, 6);
  add_conversation(random, scenario, Duration(), closes_late);
  for (uint64_t i = 1; i < count; ++i) {
    const Duration latest = random.chance(0.5) ? Duration::seconds(1) : scenario.calm_at;
    add_conversation(random, scenario, part_of(random, latest), closes_late);
  }
  // When all is calm a fresh connection works.
  if (!scenario.vanishes)
    add_conversation(random, scenario, scenario.calm_at + Duration::milliseconds(10), closes_late);
  scenario.over_at = draw_end(scenario);
  std::stable_sort(scenario.changes.begin(), scenario.changes.end(),
                   [](const Change& a, const Change& b) { return a.at < b.at; });
  if (seed % 3 == 0 && scenario.near_wrap == NearWrap::nothing) {
    scenario.family = seed % 9 == 0 ? Scenario::Family::both : Scenario::Family::ipv6;
  }
  draw_untrue_mtus(seed, &scenario);
  return scenario;
}

MeddlerPlan honest_acknowledgments() {
  MeddlerPlan plan;
  plan.hostile_side = client_side;
  plan.hostility = 1;
  plan.divides_acks_octets = 1'400;
  plan.ack_pieces_max = ack_pieces_max;
  return plan;
}

Scenario draw_transfer(uint64_t seed) {
  Random random(seed ^ 0x7472616e);
  Scenario scenario;
  scenario.seed = seed;
  scenario.begin = draw_begin(random);
  scenario.calm_at = Duration::seconds(60);
  scenario.over_at = scenario.calm_at + recovery_max;
  for (size_t side = 0; side < 2; ++side) {
    scenario.hosts[side].limits = draw_limits(random, scenario.verdict);
    scenario.hosts[side].limits.receive_slots_initial = 48;
    scenario.hosts[side].limits.send_slots_max = 512;
    scenario.faults[side].delay =
        Duration::microseconds(static_cast<int64_t>(random.between(500, 50'000)));
  }
  MeddlerPlan& meddler = scenario.meddler;
  meddler.hostile_side = client_side;
  meddler.hostility = random.chance(0.5) ? 1 : 0.1 + up_to(random, 0.9);
  const uint64_t tricks = random.between(1, 7);
  if ((tricks & 1) != 0)
    meddler.divides_acks_octets = static_cast<uint32_t>(random.between(50, 1'000));
  meddler.ack_pieces_max = ack_pieces_max;
  meddler.repeats_acks = (tricks & 2) != 0;
  meddler.acknowledges_unsent = (tricks & 4) != 0;
  TalkPlan reader;
  TalkPlan writer;
  writer.octets_to_send = reader.octets_to_receive = random.between(200'000, 3'000'000);
  for (const auto& [at, kind] :
       {std::pair{Duration(), Change::Kind::open}, {scenario.calm_at, Change::Kind::calm}}) {
    Change change;
    change.at = at;
    change.kind = kind;
    scenario.changes.push_back(change);
  }
  scenario.conversations.push_back({reader, writer});
  if (seed % 3 == 0) scenario.family = Scenario::Family::ipv6;
  draw_transfer_mtu(seed, &scenario);
  draw_untrue_mtus(seed, &scenario);
  return scenario;
}

// --- for people ---

namespace {

std::string told(const nic::WireFaults& faults) {
  char text[400];
  std::snprintf(text, sizeof text,
                "delay %lld us + %lld, %llu bit/s, loss %.3f, bursts %.3f/%.3f of %.2f, dup %.3f, "
                "corrupt %.3f, mended %.3f, cut %.3f, reorder %.3f by %lld us, queue %zu, "
                "datagrams to %u%s, untrue %.3f",
                static_cast<long long>(faults.delay.count_us()),
                static_cast<long long>(faults.jitter.count_us()),
                static_cast<unsigned long long>(faults.bits_per_second), faults.loss,
                faults.burst_begin, faults.burst_end, faults.burst_loss, faults.duplication,
                faults.corruption, faults.mended_corruption, faults.truncation, faults.reordering,
                static_cast<long long>(faults.reordering_delay.count_us()),
                faults.in_flight_frames_max, faults.datagram_bytes_max,
                faults.tells_datagram_bytes_max ? " (told)" : "", faults.untrue_too_long);
  return text;
}

std::string told(const HostPlan& host) {
  const tcp::Features& features = host.limits.features;
  std::string text = std::to_string(host.slots) + " slots";
  if (features.window_scaling) text += ", scaling";
  if (features.timestamps) text += ", timestamps";
  if (features.selective_acknowledgments) text += ", SACK";
  if (features.ecn_agreed_to) text += ", agrees to ECN";
  if (features.ecn_asked_for) text += ", asks for ECN";
  text += features.congestion_control == tcp::CongestionControl::cubic ? ", CUBIC" : ", NewReno";
  text += ", window of " + std::to_string(host.limits.receive_slots_initial) + " slots, queue of " +
          std::to_string(host.limits.send_slots_max);
  if (host.limits.repairs != 0) text += ", " + std::to_string(host.limits.repairs) + " repairs";
  return text;
}

std::string told(const Change& change) {
  static constexpr std::array<const char*, 8> names = {"down",   "up",     "delay", "pause",
                                                       "resume", "vanish", "open",  "calm"};
  std::string text = std::to_string(change.at.count_ms()) + " ms ";
  text += names[static_cast<size_t>(change.kind)];
  if (change.kind == Change::Kind::open) return text + " " + std::to_string(change.conversation);
  if (change.kind == Change::Kind::calm) return text;
  text += change.side == client_side ? " client" : " server";
  if (change.kind == Change::Kind::delay)
    text += " " + std::to_string(change.delay.count_us()) + " us";
  return text;
}

std::string told(const TalkPlan& plan) {
  std::string text = std::to_string(plan.octets_to_send) + " octets";
  if (plan.waits_for_peer_end) text += " after the other's end";
  if (plan.writing_gap > Duration())
    text += ", every " + std::to_string(plan.writing_gap.count_ms()) + " ms " +
            std::to_string(plan.writing_octets_max);
  if (plan.reading_gap > Duration())
    text += ", reads " + std::to_string(plan.reading_octets_max) + " every " +
            std::to_string(plan.reading_gap.count_ms()) + " ms";
  if (plan.reading_pause > Duration())
    text += ", pauses " + std::to_string(plan.reading_pause.count_ms()) + " ms";
  if (plan.closes_late) text += ", closes late";
  if (plan.nagle) text += ", Nagle";
  if (plan.keepalive) text += ", keep-alive";
  return text;
}

std::string told(const MeddlerPlan& plan) {
  std::string text;
  if (plan.replays) text += " replays";
  if (plan.forges) text += " forges";
  if (plan.kills) text += " kills";
  if (plan.strips_sack) text += " strips-SACK";
  if (plan.strips_timestamps) text += " strips-timestamps";
  if (plan.strips_scaling) text += " strips-scaling";
  if (plan.marks_congestion > 0) text += " marks " + std::to_string(plan.marks_congestion);
  if (plan.bleaches) text += " bleaches";
  if (plan.gap > Duration()) text += " every " + std::to_string(plan.gap.count_ms()) + " ms";
  if (!plan.hostile_side) return text;
  text += *plan.hostile_side == client_side ? " hostile client" : " hostile server";
  if (plan.shrinks_windows) text += " shrinks-windows";
  if (plan.lies_in_sack) text += " lies-in-SACK";
  if (plan.acknowledges_unsent) text += " acknowledges-unsent";
  if (plan.divides_acks_octets != 0) text += " divides-ACKs";
  if (plan.repeats_acks) text += " repeats-ACKs";
  if (plan.acknowledges_unreceived) text += " acknowledges-unreceived";
  return text;
}

}  // namespace

std::string Scenario::told() const {
  static constexpr std::array<const char*, 3> verdicts = {"whole", "may break", "untrusted"};
  static constexpr std::array<const char*, 3> families = {"", ", over IPv6",
                                                          ", over IPv6 and IPv4"};
  static constexpr std::array<const char*, 4> wraps = {"", ", client's sequence near its wrap",
                                                       ", server's sequence near its wrap",
                                                       ", client's timestamps near their wrap"};
  std::string text = std::string(verdicts[static_cast<size_t>(verdict)]) + ", calm at " +
                     std::to_string(calm_at.count_ms()) + " ms" +
                     wraps[static_cast<size_t>(near_wrap)] + families[static_cast<size_t>(family)];
  for (size_t side = 0; side < 2; ++side) {
    const std::string name = side == client_side ? "client" : "server";
    text += "\n  " + name + ": " + sim::told(hosts[side]);
    text += "\n  towards the " + name + ": " + sim::told(faults[side]);
  }
  text += "\n  in the middle:" + sim::told(meddler);
  for (size_t i = 0; i < conversations.size(); ++i) {
    text += "\n  conversation " + std::to_string(i) + ": client " +
            sim::told(conversations[i][client_side]) + "; server " +
            sim::told(conversations[i][server_side]);
  }
  for (const Change& change : changes) text += "\n  " + sim::told(change);
  return text;
}

}  // namespace millrace::sim
