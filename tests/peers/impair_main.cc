// A bad path between two interfaces: what comes in at one goes out at the other, except for what is
// lost, and later. The same seed loses the same frames.
//
// Says "ready" once both ends are open. Until SIGTERM; then a line of figures for each direction.
#include <getopt.h>
#include <poll.h>
#include <sys/prctl.h>
#include <time.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/peers/delay_line.h"
#include "tests/peers/impairment.h"
#include "tests/peers/packet_end.h"

namespace millrace::peers {
namespace {

constexpr const char* usage =
    "impair --a INTERFACE --b INTERFACE --seed N [--loss PERCENT] [--burst PERCENT,FRAMES]\n"
    "       [--delay MS] [--reorder PERCENT,MS] [--rate MBIT] [--queue KB]\n"
    "Each direction is impaired so, by numbers of its own that follow from the seed. --delay is "
    "one\n"
    "way. --queue is what may wait for a link of --rate. Frames that are not IPv4 are only "
    "delayed.\n";

// 100 ms of 1 Gbit/s in full frames, twice.
constexpr uint32_t frames_under_way_max = 16'384;
constexpr uint16_t ethertype_ipv4 = 0x0800;

volatile sig_atomic_t stopped = 0;

[[noreturn]] void refuse(const std::string& why) {
  std::fprintf(stderr, "impair: %s\n", why.c_str());
  std::exit(2);
}

Instant clock_now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return Instant::from_ns(static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 +
                          static_cast<uint64_t>(time.tv_nsec));
}

struct Figures {
  uint64_t received = 0;
  uint64_t octets = 0;
  uint64_t sent = 0;
  uint64_t lost = 0;
  uint64_t lost_in_bursts = 0;
  uint64_t held_back = 0;
  uint64_t queue_full = 0;
  uint64_t no_room = 0;      // too many under way
  uint64_t not_taken = 0;    // by the interface
  uint64_t late_us_max = 0;  // behind its time, at worst
};

class Direction {
 public:
  Direction(const Impairments& impairments, uint64_t seed, PacketEnd& in, PacketEnd& out)
      : impairment_(impairments, seed), in_(in), out_(out), line_(frames_under_way_max) {}

  // True if there may be more.
  bool receive(Instant now) {
    const std::vector<ByteView>& frames = in_.receive();
    for (const ByteView frame : frames) take(frame, now);
    return frames.size() == PacketEnd::burst_max;
  }

  void send(Instant now) {
    while (line_.next_due() <= now) {
      const Duration late = now - line_.next_due();
      figures_.late_us_max = std::max(figures_.late_us_max, static_cast<uint64_t>(late.count_us()));
      const std::vector<ByteView>& frames = line_.take_due(now, PacketEnd::burst_max);
      const size_t taken = out_.send(frames);
      figures_.sent += taken;
      figures_.not_taken += frames.size() - taken;
      line_.give_back();
    }
  }
  Instant next_due() const { return line_.next_due(); }

  void report(const char* name) {
    std::printf(
        "%s received=%lu octets=%lu sent=%lu lost=%lu lost_in_bursts=%lu held_back=%lu "
        "queue_full=%lu no_room=%lu not_taken=%lu missed=%lu too_long=%lu late_us_max=%lu\n",
        name, figures_.received, figures_.octets, figures_.sent, figures_.lost,
        figures_.lost_in_bursts, figures_.held_back, figures_.queue_full, figures_.no_room,
        figures_.not_taken, in_.missed(), in_.too_long(), figures_.late_us_max);
  }

 private:
  void take(ByteView frame, Instant now) {
    ++figures_.received;
    figures_.octets += frame.size();
    if (line_.full()) {
      ++figures_.no_room;
      return;
    }
    const bool spared = frame.size() < 14 || load_be16(&frame[12]) != ethertype_ipv4;
    const Impairment::Verdict verdict =
        impairment_.judge(static_cast<uint32_t>(frame.size()), spared, now);
    switch (verdict.fate) {
      case Fate::lost: ++figures_.lost; return;
      case Fate::lost_in_burst: ++figures_.lost_in_bursts; return;
      case Fate::queue_full: ++figures_.queue_full; return;
      case Fate::held_back: ++figures_.held_back; break;
      case Fate::passed: break;
    }
    line_.put(frame, verdict.due);
  }

  Impairment impairment_;
  PacketEnd& in_;
  PacketEnd& out_;
  DelayLine line_;
  Figures figures_;
};

double number(const char* option, const std::string& text, double most) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(value) || value < 0 || value > most) {
    refuse(std::string("--") + option + ": not a number from 0 to " + std::to_string(most) + ": " +
           text);
  }
  return value;
}

// "X,Y"
std::array<double, 2> pair(const char* option, const std::string& text, double first_most,
                           double second_most) {
  const size_t comma = text.find(',');
  if (comma == std::string::npos)
    refuse(std::string("--") + option + ": needs two numbers: " + text);
  return {number(option, text.substr(0, comma), first_most),
          number(option, text.substr(comma + 1), second_most)};
}

Duration milliseconds(double count) {
  return Duration::nanoseconds(static_cast<int64_t>(count * 1e6));
}

struct Options {
  std::string a;
  std::string b;
  bool seeded = false;
  uint64_t seed = 0;
  Impairments impairments;
};

constexpr double percent = 0.01;
constexpr double delay_ms_max = 10'000;

void read_option(int key, const std::string& text, Options& options) {
  Impairments& what = options.impairments;
  switch (key) {
    case 'a': options.a = text; break;
    case 'b': options.b = text; break;
    case 's':
      options.seed = static_cast<uint64_t>(number("seed", text, 1e15));
      options.seeded = true;
      break;
    case 'l': what.loss = number("loss", text, 100) * percent; break;
    case 'u': {
      const auto [chance, frames] = pair("burst", text, 100, 1e6);
      what.burst_begin = chance * percent;
      what.burst_frames = frames;
      break;
    }
    case 'd': what.delay = milliseconds(number("delay", text, delay_ms_max)); break;
    case 'o': {
      const auto [chance, more] = pair("reorder", text, 100, delay_ms_max);
      what.reorder = chance * percent;
      what.reorder_delay = milliseconds(more);
      break;
    }
    case 'r': what.rate_bits = static_cast<uint64_t>(number("rate", text, 1e6) * 1e6); break;
    case 'q': what.queue_octets = static_cast<uint64_t>(number("queue", text, 1e6) * 1e3); break;
    case 'h': std::fputs(usage, stdout); std::exit(0);
    default: std::exit(2);  // getopt has said why
  }
}

Options read_options(int count, char** words) {
  static constexpr std::array<option, 11> names{{{"a", 1, nullptr, 'a'},
                                                 {"b", 1, nullptr, 'b'},
                                                 {"seed", 1, nullptr, 's'},
                                                 {"loss", 1, nullptr, 'l'},
                                                 {"burst", 1, nullptr, 'u'},
                                                 {"delay", 1, nullptr, 'd'},
                                                 {"reorder", 1, nullptr, 'o'},
                                                 {"rate", 1, nullptr, 'r'},
                                                 {"queue", 1, nullptr, 'q'},
                                                 {"help", 0, nullptr, 'h'},
                                                 {nullptr, 0, nullptr, 0}}};
  Options options;
  for (int key = 0; (key = getopt_long(count, words, "", names.data(), nullptr)) != -1;) {
    read_option(key, optarg != nullptr ? optarg : "", options);
  }
  if (optind != count) refuse(std::string("what is this? ") + words[optind]);
  if (options.a.empty() || options.b.empty()) refuse("--a and --b are needed");
  if (!options.seeded) refuse("--seed is needed: there is no other chance here");
  return options;
}

PacketEnd open_end(const std::string& interface) {
  Result<PacketEnd> end = PacketEnd::open(interface);
  if (!end) refuse(end.error());
  return std::move(*end);
}

void sleep_until(Instant due, const PacketEnd& a, const PacketEnd& b) {
  std::array<pollfd, 2> ends{{{a.fd(), POLLIN, 0}, {b.fd(), POLLIN, 0}}};
  // At most 100 ms, so that a signal that came just before is noticed.
  const Duration longest = Duration::milliseconds(100);
  const Instant now = clock_now();
  if (due <= now) return;
  const Duration span = due - now < longest ? due - now : longest;
  const timespec timeout{span.count_ns() / 1'000'000'000, span.count_ns() % 1'000'000'000};
  ppoll(ends.data(), ends.size(), &timeout, nullptr);
}

void relay(const Options& options) {
  PacketEnd a = open_end(options.a);
  PacketEnd b = open_end(options.b);
  Direction forth(options.impairments, options.seed * 2, a, b);
  Direction back(options.impairments, options.seed * 2 + 1, b, a);
  std::puts("ready");
  std::fflush(stdout);
  while (stopped == 0) {
    const Instant now = clock_now();
    const bool more_forth = forth.receive(now);
    const bool more_back = back.receive(now);
    forth.send(now);
    back.send(now);
    if (!more_forth && !more_back) {
      sleep_until(std::min(forth.next_due(), back.next_due()), a, b);
    }
  }
  forth.report("a_to_b");
  back.report("b_to_a");
}

}  // namespace
}  // namespace millrace::peers

int main(int argc, char** argv) {
  using namespace millrace::peers;
  const Options options = read_options(argc, argv);
  // Frames leave when they are due, not 50 us later.
  prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
  for (const int signal : {SIGTERM, SIGINT}) {
    struct sigaction action {};
    action.sa_handler = [](int) { stopped = 1; };
    sigaction(signal, &action, nullptr);
  }
  relay(options);
  return 0;
}
