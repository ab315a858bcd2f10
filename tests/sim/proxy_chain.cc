#include "tests/sim/proxy_chain.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "tests/support/proxy_world.h"

namespace millrace::sim {
namespace {

using proxy_world::ClientConnection;
using proxy_world::Message;
using proxy_world::OriginReply;
using proxy_world::OriginRequest;
using proxy_world::ProxyWorld;

constexpr uint32_t origin_count = 2;
// A reset that the wire loses is not said again: a client that only waits gives up by itself, as
// real ones do. Longer than every timeout of the proxy.
constexpr Duration client_patience = Duration::seconds(150);
// Every question is answered or given up within this after the faults: patience, once for the
// connection that is there and once for the one that takes its place.
constexpr Duration ending_max = Duration::seconds(400);
// A neighbor whose ARP answer was damaged is asked again after half a minute.
constexpr Duration neighbor_found_max = Duration::seconds(40);
constexpr uint32_t waiting_max = 3;  // questions of one client that wait for their answers

// What a wire or all of them do from an instant on.
struct Weather {
  Duration at;
  size_t port = 0;
  bool down = false;
  Duration delay;  // zero: as it was
};

// Over what clients come. Origins are IPv4: that is what endpoints of a snapshot are.
enum class Family : uint8_t { ipv4, ipv6, both };

struct Plan {
  proxy_world::Options options;
  Family family = Family::ipv4;
  std::vector<nic::WireFaults> wires;  // towards the worker, the clients, the origins
  std::vector<Weather> weather;        // in order
  Duration calm_at;
  bool is_gentle = false;  // nothing that a stack does not hide from HTTP: all must succeed
  uint32_t clients = 1;
  uint32_t questions_each = 1;
};

constexpr std::array<const char*, 2 + origin_count> port_names = {"the worker", "the clients",
                                                                  "origin 0", "origin 1"};

// --- drawing ---

Duration milliseconds_below(Random& random, uint64_t bound) {
  return Duration::milliseconds(static_cast<int64_t>(random.below(bound)));
}
double up_to(Random& random, double most) {
  return most * static_cast<double>(random.below(1'001)) / 1'000;
}

tcp::Features draw_features(Random& random) {
  tcp::Features features;
  features.window_scaling = random.chance(0.8);
  features.timestamps = random.chance(0.75);
  features.selective_acknowledgments = random.chance(0.75);
  if (random.chance(0.5)) features.congestion_control = tcp::CongestionControl::new_reno;
  return features;
}

proxy_world::Options draw_options(Random& random, uint64_t seed) {
  proxy_world::Options options;
  options.seed = seed;
  options.origins = origin_count;
  options.arena_slots = random.chance(0.3) ? 1'024 : 4'096;
  options.limits.features = draw_features(random);
  options.client_limits.features = draw_features(random);
  options.origin_limits.features = draw_features(random);
  if (random.chance(0.3)) options.client_limits.receive_slots_initial = 6;
  if (random.chance(0.3)) options.origin_limits.receive_slots_initial = 6;
  if (random.chance(0.3)) options.limits.send_slots_max = 8;
  return options;
}

nic::WireFaults draw_wire(Random& random, bool is_gentle) {
  nic::WireFaults faults;
  faults.delay = Duration::microseconds(static_cast<int64_t>(random.between(20, 10'000)));
  if (random.chance(0.3))
    faults.jitter = Duration::microseconds(static_cast<int64_t>(random.below(1'000)));
  if (random.chance(0.6)) faults.loss = up_to(random, is_gentle ? 0.02 : 0.2);
  if (random.chance(0.3)) faults.duplication = up_to(random, 0.05);
  if (random.chance(0.3)) faults.corruption = up_to(random, is_gentle ? 0.01 : 0.05);
  if (random.chance(0.2)) faults.truncation = up_to(random, is_gentle ? 0.01 : 0.05);
  if (random.chance(0.3)) faults.mended_corruption = up_to(random, 0.02);
  if (random.chance(0.4)) {
    faults.reordering = up_to(random, 0.1);
    faults.reordering_delay = Duration::microseconds(static_cast<int64_t>(random.below(5'000)));
  }
  if (!is_gentle && random.chance(0.2)) {
    faults.burst_begin = up_to(random, 0.01);
    faults.burst_end = 0.05 + up_to(random, 0.3);
  }
  if (random.chance(0.1)) {
    faults.datagram_bytes_max = static_cast<uint16_t>(random.between(600, 1'499));
    faults.tells_datagram_bytes_max = true;
  }
  return faults;
}

void draw_weather(Random& random, Plan& plan) {
  const auto calm_ms = static_cast<uint64_t>(plan.calm_at.count_ms());
  for (uint64_t left = random.below(4); left > 0; --left) {
    const size_t port = random.below(port_names.size());
    const Duration begin = milliseconds_below(random, calm_ms);
    if (random.chance(0.5)) {
      plan.weather.push_back({begin, port, false, milliseconds_below(random, 400)});
      continue;
    }
    const Duration end =
        begin + std::min(plan.calm_at - begin, milliseconds_below(random, 120'000));
    plan.weather.push_back({begin, port, true, {}});
    plan.weather.push_back({end, port, false, {}});
  }
  std::stable_sort(plan.weather.begin(), plan.weather.end(),
                   [](const Weather& a, const Weather& b) { return a.at < b.at; });
}

// From a stream of their own, so that they do not shift what else the seed decides. What a router
// does not tell takes seconds to find out: that is for the rough.
void draw_path_mtus(uint64_t seed, Plan* plan) {
  Random random(seed ^ 0x6d7475);
  const bool is_lied_to = random.chance(0.3);
  for (nic::WireFaults& faults : plan->wires) {
    if (random.chance(0.1)) {
      faults.datagram_bytes_max = static_cast<uint16_t>(random.between(600, 1'499));
      faults.tells_datagram_bytes_max = plan->is_gentle || random.chance(0.5);
    }
    if (is_lied_to) faults.untrue_too_long = up_to(random, 0.3);
  }
}

Plan draw_plan(uint64_t seed) {
  Random random(seed ^ 0x70726f7879);
  Plan plan;
  plan.options = draw_options(random, random.next());
  plan.is_gentle = random.chance(0.3);
  plan.calm_at = Duration::milliseconds(static_cast<int64_t>(random.between(2'000, 120'000)));
  for (size_t i = 0; i < port_names.size(); ++i)
    plan.wires.push_back(draw_wire(random, plan.is_gentle));
  if (!plan.is_gentle) draw_weather(random, plan);
  plan.clients = static_cast<uint32_t>(random.between(1, 8));
  plan.questions_each = static_cast<uint32_t>(random.between(2, 10));
  if (seed % 3 == 0) plan.family = seed % 9 == 0 ? Family::both : Family::ipv6;
  plan.options.ipv6 = plan.family != Family::ipv4;
  draw_path_mtus(seed, &plan);
  return plan;
}

std::string told(const Plan& plan) {
  static constexpr std::array<const char*, 3> families = {"", " over IPv6", " over both"};
  std::string text = plan.is_gentle ? "gentle" : "rough";
  text += families[static_cast<size_t>(plan.family)];
  text += ", calm at " + std::to_string(plan.calm_at.count_ms()) + " ms, " +
          std::to_string(plan.clients) + " clients with " + std::to_string(plan.questions_each) +
          " questions each, " + std::to_string(plan.options.arena_slots) + " slots";
  for (size_t i = 0; i < plan.wires.size(); ++i) {
    const nic::WireFaults& faults = plan.wires[i];
    text += std::string("\n  towards ") + port_names[i] + ": delay " +
            std::to_string(faults.delay.count_us()) + " us, loss " + std::to_string(faults.loss) +
            ", bursts " + std::to_string(faults.burst_begin) + ", corruption " +
            std::to_string(faults.corruption) + ", mended " +
            std::to_string(faults.mended_corruption) + ", cut " +
            std::to_string(faults.truncation) + ", datagrams to " +
            std::to_string(faults.datagram_bytes_max) +
            (faults.tells_datagram_bytes_max ? " (told)" : "") + ", untrue " +
            std::to_string(faults.untrue_too_long);
  }
  for (const Weather& weather : plan.weather) {
    text += "\n  " + std::to_string(weather.at.count_ms()) + " ms towards " +
            port_names[weather.port] +
            (weather.down ? " down" : " up, delay us " + std::to_string(weather.delay.count_us()));
  }
  return text;
}

// --- questions and answers: both follow from the tag alone ---

Random random_of(std::string_view tag) {
  return Random(hash_text(tag, 0x1234));
}

std::string answer_body(const std::string& tag) {
  Random random = random_of("answer " + tag);
  const size_t bytes = random.chance(0.2) ? random.below(60'000) : random.below(2'000);
  return tag + " " + proxy_world::pattern(bytes, random.next());
}

bool is_post(const std::string& tag) {
  return random_of("method " + tag).chance(0.5);
}

std::string question_body(const std::string& tag) {
  if (!is_post(tag)) return "";
  Random random = random_of("question " + tag);
  return proxy_world::pattern(random.chance(0.2) ? random.below(60'000) : random.below(3'000),
                              random.next());
}

std::string question(const std::string& tag) {
  Random random = random_of("framing " + tag);
  const std::string body = question_body(tag);
  std::string text =
      (is_post(tag) ? "POST /" : "GET /") + tag + " HTTP/1.1\r\nHost: shop.example\r\n";
  if (!is_post(tag)) return text + "\r\n";
  if (random.chance(0.5))
    return text + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  return text + "Transfer-Encoding: chunked\r\n\r\n" +
         proxy_world::chunked(body, random.between(1, 4'000));
}

std::string tag_of(const Message& request) {
  const std::string line = request.first_line();
  const size_t at = line.find('/') + 1;
  return line.substr(at, line.find(' ', at) - at);
}

// --- one client, which asks one thing after the other, a few at a time ---

struct Asker {
  ClientConnection* connection = nullptr;
  std::vector<std::string> asked;  // on this connection, in order
  size_t answered = 0;
  uint32_t left = 0;
  size_t octets_judged = 0;  // received.size() when it was judged last
  Instant moved_at;
  Instant asks_at;
};

class Chain {
 public:
  explicit Chain(const Plan& plan)
      : plan_(plan),
        random_(plan.options.seed ^ 0xc4a1),
        world_(plan.options),
        begin_(world_.now()) {
    for (size_t i = 0; i < plan.wires.size(); ++i) wire(i).faults = plan.wires[i];
    std::vector<proxy_world::Endpoint> endpoints;
    for (uint32_t i = 0; i < origin_count; ++i) {
      endpoints.push_back({i, proxy_world::origin_port, true});
      world_.origin(i).on_request = [this](const OriginRequest& request) {
        return answer(request);
      };
    }
    world_.install({{"shop.example", endpoints}});
  }

  RunResult run() {
    add_askers(plan_.clients, plan_.questions_each, plan_.calm_at);
    const Duration limit = plan_.calm_at + plan_.calm_at / 4 + ending_max;
    if (!world_.run_until([this] { return has_failed() || (is_over() && is_calm_); }, limit))
      return result("not over after the faults stopped" + standing());
    if (has_failed()) return result(failure_);
    if (plan_.is_gentle && unanswered_ > 0 && !has_missed_a_neighbor())
      return result(std::to_string(unanswered_) + " questions without an answer");
    const std::string why = ask_in_the_calm();
    if (!why.empty()) return result(why);
    for (const auto& [tag, times] : posts_arrived_) {
      if (times > 1) return result(tag + " was posted " + std::to_string(times) + " times");
    }
    if (is_told_only_untruths() && count_everywhere(Counter::tcp_path_mtu_lowered) > 0)
      return result("somebody believed in a path MTU that nobody could tell");
    return result(world_.settle());
  }

 private:
  nic::SimWire& wire(size_t port) { return world_.network().port(port).wire(); }
  bool has_failed() const { return !failure_.empty(); }
  Duration elapsed() const { return world_.now() - begin_; }

  void add_askers(uint32_t count, uint32_t questions, Duration over) {
    askers_.clear();
    questions_spread_ = Duration::nanoseconds(over.count_ns() / questions);
    for (uint32_t i = 0; i < count; ++i) {
      Asker asker;
      asker.left = questions;
      asker.asks_at = world_.now() + milliseconds_below(random_, 1'000);
      askers_.push_back(asker);
    }
  }

  // When the faults are over and neighbors are known again, everything works at the first try.
  std::string ask_in_the_calm() {
    world_.run_for(neighbor_found_max);
    const uint64_t unanswered_before = unanswered_;
    // Connections that the outage has left half open are found out by those who use them.
    add_askers(2, 3, Duration::seconds(1));
    if (!world_.run_until([this] { return has_failed() || is_over(); }, ending_max))
      return "not answered in a calm network" + standing();
    if (has_failed()) return failure_;
    if (unanswered_ == unanswered_before || hides_path_mtu()) return "";
    return "an error in a calm network";
  }

  // Calm or not, the search for such an MTU takes four timeouts, which the proxy's are shorter
  // than.
  bool hides_path_mtu() const {
    return std::any_of(plan_.wires.begin(), plan_.wires.end(), [](const nic::WireFaults& faults) {
      return faults.datagram_bytes_max < 1'500 && !faults.tells_datagram_bytes_max;
    });
  }

  // Three requests for an address in a row were lost, or their answers: IP may call a neighbor
  // absent then (RFC 1122 section 3.2.2.1: destination unreachable), and TCP cannot hide it.
  bool has_missed_a_neighbor() { return count_everywhere(Counter::net_neighbor_failed) > 0; }

  // Every message about the path MTU is one that must not be believed (T38).
  bool is_told_only_untruths() const {
    return std::none_of(plan_.wires.begin(), plan_.wires.end(), [](const nic::WireFaults& faults) {
      return faults.tells_datagram_bytes_max;
    });
  }

  uint64_t count_everywhere(Counter counter) {
    uint64_t sum = world_.count(counter) + world_.clients().counters()[counter];
    for (uint32_t i = 0; i < origin_count; ++i) sum += world_.origin(i).host().counters()[counter];
    return sum;
  }

  bool is_over() {
    apply_weather();
    bool over = true;
    for (Asker& asker : askers_) over = go_on(asker) && over;
    return over;
  }

  void apply_weather() {
    for (; next_weather_ < plan_.weather.size(); ++next_weather_) {
      const Weather& weather = plan_.weather[next_weather_];
      if (weather.at > elapsed()) break;
      nic::WireFaults& faults = wire(weather.port).faults;
      faults.down = weather.down;
      if (weather.delay > Duration()) faults.delay = weather.delay;
    }
    if (is_calm_ || elapsed() < plan_.calm_at) return;
    is_calm_ = true;
    for (size_t i = 0; i < plan_.wires.size(); ++i) {
      nic::WireFaults calm;
      calm.delay = wire(i).faults.delay;
      calm.datagram_bytes_max = wire(i).faults.datagram_bytes_max;
      calm.tells_datagram_bytes_max = wire(i).faults.tells_datagram_bytes_max;
      calm.untrue_too_long = wire(i).faults.untrue_too_long;
      wire(i).faults = calm;
    }
  }

  // --- origins ---

  OriginReply answer(const OriginRequest& request) {
    const std::string tag = tag_of(request.message);
    if (request.message.body != question_body(tag)) failure_ = "the body of " + tag + " is wrong";
    if (is_post(tag)) ++posts_arrived_[tag];
    Random random = random_of("mood " + tag);
    const std::string body = answer_body(tag);
    OriginReply reply;
    if (random.chance(0.3)) reply.delay = milliseconds_below(random, 50);
    switch (random.below(4)) {
      case 0: reply.bytes = proxy_world::ok(body); break;
      case 1:
        reply.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
                      proxy_world::chunked(body, random.between(1, 5'000));
        break;
      case 2:
        reply.bytes = proxy_world::ok(body, "Connection: close\r\n");
        reply.then = OriginReply::Then::end;
        break;
      default: reply.bytes = "HTTP/1.1 103 Early Hints\r\n\r\n" + proxy_world::ok(body); break;
    }
    return reply;
  }

  // --- clients ---

  // True when this client has had all its answers, or has given up.
  bool go_on(Asker& asker) {
    if (asker.connection != nullptr) {
      judge(asker);
      drop_if_dead(asker);
    }
    const size_t waiting = asker.asked.size() - asker.answered;
    if (asker.left == 0 && waiting == 0) {
      if (asker.connection != nullptr) world_.close(*asker.connection);
      return true;
    }
    if (asker.left == 0 || world_.now() < asker.asks_at || waiting >= waiting_max) return false;
    ask(asker);
    return false;
  }

  ClientConnection& connect() {
    const bool is_even = connections_++ % 2 == 0;
    const bool over_ipv6 =
        plan_.family == Family::ipv6 || (plan_.family == Family::both && is_even);
    return over_ipv6 ? world_.connect_over_ipv6() : world_.connect();
  }

  void ask(Asker& asker) {
    if (asker.connection == nullptr) asker.connection = &connect();
    const std::string tag = "t" + std::to_string(next_tag_++);
    asker.connection->send(question(tag));
    if (asker.asked.size() == asker.answered) asker.moved_at = world_.now();
    asker.asked.push_back(tag);
    --asker.left;
    asker.asks_at = world_.now() + Duration::nanoseconds(static_cast<int64_t>(random_.below(
                                       static_cast<uint64_t>(questions_spread_.count_ns() + 1))));
  }

  void drop_if_dead(Asker& asker) {
    ClientConnection& c = *asker.connection;
    const bool waits = asker.asked.size() > asker.answered;
    const bool gives_up = waits && world_.now() - asker.moved_at > client_patience;
    if (!c.broken && !c.ended && !gives_up) return;
    unanswered_ += asker.asked.size() - asker.answered;
    world_.close(c);
    asker.connection = nullptr;
    asker.asked.clear();
    asker.answered = 0;
    asker.octets_judged = 0;
  }

  void judge(Asker& asker) {
    std::string& stream = asker.connection->received;
    if (stream.size() == asker.octets_judged) return;
    asker.moved_at = world_.now();
    while (!stream.empty() && !has_failed()) {
      const Message message = read_message(stream, proxy_world::Kind::response, false);
      if (!message.whole) break;
      stream.erase(0, message.bytes);
      octets_ += message.bytes;
      if (message.status() >= 200) judge_answer(asker, message);
    }
    asker.octets_judged = stream.size();
  }

  void judge_answer(Asker& asker, const Message& message) {
    if (asker.answered == asker.asked.size()) {
      failure_ = "an answer that nobody asked for: " + message.head;
      return;
    }
    const std::string& tag = asker.asked[asker.answered++];
    const int status = message.status();
    // What the proxy says by itself when an origin fails, or a client's question is too slow.
    if (status == 408 || (status >= 502 && status <= 504)) {
      ++unanswered_;
    } else if (status != 200) {
      failure_ = tag + " was answered " + message.first_line();
    } else if (message.body != answer_body(tag)) {
      failure_ = "another answer instead of that to " + tag + ": " + message.head;
    }
  }

  // --- for people ---

  std::string standing() {
    std::string text = ": sessions " + std::to_string(world_.worker().proxy().session_count()) +
                       ", worker's connections " +
                       std::to_string(world_.worker().tcp().connection_count());
    for (const Asker& asker : askers_) {
      text += "\n  left " + std::to_string(asker.left) + ", asked " +
              std::to_string(asker.asked.size()) + ", answered " + std::to_string(asker.answered);
    }
    return text;
  }

  RunResult result(const std::string& failure) {
    RunResult result;
    result.ok = failure.empty();
    if (!result.ok) result.failure = failure + world_.counters_told();
    result.trace_hash = world_.network().trace_hash();
    result.octets_delivered = octets_;
    for (size_t i = 0; i < plan_.wires.size(); ++i)
      result.frames_delivered += wire(i).counters().delivered;
    result.retransmits = world_.count(Counter::tcp_segments_retransmitted);
    result.virtual_seconds = static_cast<double>(elapsed().count_us()) / 1e6;
    return result;
  }

  const Plan& plan_;
  Random random_;
  ProxyWorld world_;
  Instant begin_;
  size_t next_weather_ = 0;
  bool is_calm_ = false;
  std::vector<Asker> askers_;
  Duration questions_spread_;
  uint64_t next_tag_ = 0;
  uint64_t connections_ = 0;
  std::map<std::string, uint32_t> posts_arrived_;
  uint64_t unanswered_ = 0;
  uint64_t octets_ = 0;
  std::string failure_;
};

}  // namespace

RunResult run_proxy_chain(uint64_t seed, Telling telling) {
  const Plan plan = draw_plan(seed);
  const auto chain = std::make_unique<Chain>(plan);
  RunResult result = chain->run();
  if (telling != Telling::result) result.scenario = told(plan);
  return result;
}

}  // namespace millrace::sim
