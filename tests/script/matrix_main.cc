// State times event: puts a stack into each state, says one segment, and compares what it answers
// and what it is then with a table that was made from the RFC.
//
//   segment_matrix TABLE DIFFERENCES
//
// DIFFERENCES names the cells in which the stack is known to do otherwise, with what it does and
// why. A cell that differs and is not named fails, and so does one that is named and does not.
#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/script/script.h"
#include "tests/script/wire.h"
#include "tests/stack_api/millrace_stack.h"
#include "tests/support/fast_paths.h"
#include "tests/support/packet_builder.h"

namespace millrace::script {
namespace {

constexpr uint16_t peer_port = 40'000;
constexpr uint32_t peer_isn = 1'000;
constexpr uint64_t answer_within_ns = 60'000'000;  // a delayed acknowledgment included
const Ipv4Address stack_address = Ipv4Address::from_octets(192, 0, 2, 1);
const Ipv4Address peer_address = Ipv4Address::from_octets(192, 0, 2, 2);

constexpr std::array<const char*, 5> places{"before", "at", "inside", "last", "beyond"};
constexpr std::array<const char*, 19> events{"none", "+",   "S",   "A",   "A+",  "SA", "F",
                                             "FA",   "FA+", "SF",  "SFA", "R",   "RA", "SR",
                                             "SRA",  "FR",  "FRA", "SFR", "SFRA"};

struct Destroy {
  void operator()(MillraceStack* stack) const { millrace_stack_destroy(stack); }
};

// One stack in one state, and the peer's knowledge of it.
class Scene {
 public:
  // state: as in the table. closed: the application has let go of it.
  Scene(const std::string& state, bool closed) : state_(state) {
    MillraceStackConfig config;
    millrace_stack_config_default(&config);
    config.listen_ports[config.listen_count++] = 80;
    config.memory_slots = 256;
    config.connections_max = config.half_open_max = config.time_wait_max = 4;
    config.receive_slots_initial = config.receive_slots_max = 4;
    config.fast_paths = testing::fast_paths_wanted();
    stack_.reset(millrace_stack_create(&config, nullptr));
    bring_about();
    if (closed) {
      millrace_stack_close(stack_.get(), socket_);
      socket_ = 0;
      look();
    }
  }

  // What the table says of it: the answer and, if another one, the state.
  std::string outcome_of(const std::string& event, size_t place);

 private:
  void bring_about();
  void establish();
  void say(uint8_t flags, uint32_t seq, uint32_t ack, size_t octets = 0);
  std::vector<WireSegment> look();
  std::string state_now();
  std::string told(const WireSegment& answer, uint32_t seq, uint32_t length) const;
  uint32_t place_of(size_t place) const {
    const std::array<uint32_t, 5> at{rcv_nxt_ - 10, rcv_nxt_, rcv_nxt_ + 100, edge_ - 1, edge_};
    return at[place];
  }
  uint64_t gauge(const char* name) {
    uint64_t value = 0;
    millrace_stack_counter(stack_.get(), name, &value);
    return value;
  }

  std::string state_;
  std::unique_ptr<MillraceStack, Destroy> stack_;
  MillraceSocket socket_ = 0;
  uint16_t from_port_ = peer_port;
  uint16_t to_port_ = 80;
  uint32_t snd_nxt_ = 5'000;           // of the stack
  uint32_t rcv_nxt_ = peer_isn;        // of the stack
  uint32_t edge_ = peer_isn + 10'000;  // what it has promised
};

void Scene::say(uint8_t flags, uint32_t seq, uint32_t ack, size_t octets) {
  const testing::Bytes text(octets, 'x');
  const testing::Bytes datagram = testing::PacketBuilder()
                                      .ipv4(peer_address, stack_address)
                                      .tcp(from_port_, to_port_)
                                      .seq(seq)
                                      .ack((flags & 0x10) != 0 ? ack : 0)
                                      .flags(flags == 0 ? "" : letters_of(flags))
                                      .payload(ByteView(text))
                                      .build_datagram();
  millrace_stack_device_in(stack_.get(), datagram.data(), datagram.size());
}

std::vector<WireSegment> Scene::look() {
  std::vector<WireSegment> seen;
  std::array<uint8_t, 2'048> datagram;
  for (;;) {
    const int32_t octets =
        millrace_stack_device_out(stack_.get(), datagram.data(), datagram.size(), nullptr);
    if (octets <= 0) return seen;
    const auto segment = parse_datagram(ByteView(datagram).first(static_cast<size_t>(octets)));
    if (!segment) continue;
    if (socket_ != 0 && state_ != "SYN-SENT" && (segment->flags & 0x14) == 0x10)
      edge_ = segment->ack + segment->window;
    seen.push_back(*segment);
  }
}

void Scene::establish() {
  say(0x02, peer_isn, 0);
  const WireSegment answer = look().at(0);
  snd_nxt_ = answer.seq + 1;
  rcv_nxt_ = answer.ack;
  edge_ = answer.ack + answer.window;
  if (state_ == "SYN-RECEIVED") return;
  say(0x10, rcv_nxt_, snd_nxt_);
  socket_ = millrace_stack_accept(stack_.get(), 80);
}

void Scene::bring_about() {
  if (state_ == "CLOSED") to_port_ = 81;
  if (state_ == "CLOSED" || state_ == "LISTEN") return;
  if (state_ == "SYN-SENT") {
    MillraceAddress remote{};
    remote.family = 4;
    peer_address.store(remote.octets);
    from_port_ = 9'000;
    socket_ = millrace_stack_connect(stack_.get(), &remote, from_port_);
    const WireSegment syn = look().at(0);
    to_port_ = syn.source_port;
    snd_nxt_ = syn.seq + 1;
    return;
  }
  establish();
  const bool peer_ends_first = state_ == "CLOSE-WAIT" || state_ == "LAST-ACK";
  if (peer_ends_first) say(0x11, rcv_nxt_++, snd_nxt_);
  if (state_ == "FIN-WAIT-1" || state_ == "FIN-WAIT-2" || state_ == "CLOSING" ||
      state_ == "LAST-ACK" || state_ == "TIME-WAIT") {
    look();
    millrace_stack_shutdown(stack_.get(), socket_);
    ++snd_nxt_;
  }
  look();
  if (state_ == "FIN-WAIT-2") say(0x10, rcv_nxt_, snd_nxt_);
  if (state_ == "CLOSING") say(0x11, rcv_nxt_++, snd_nxt_ - 1);
  if (state_ == "TIME-WAIT") say(0x11, rcv_nxt_++, snd_nxt_);
  look();
}

std::string Scene::state_now() {
  if (socket_ == 0) {
    if (gauge("half_open") > 0) return "SYN-RECEIVED";
    if (gauge("time_wait") > 0) return "TIME-WAIT";
    socket_ = millrace_stack_accept(stack_.get(), 80);
    if (socket_ <= 0) return state_ == "CLOSED" ? "CLOSED" : "LISTEN";
  }
  if ((millrace_stack_poll(stack_.get(), socket_) & MILLRACE_SOCKET_ABORTED) != 0) return "RESET";
  MillraceSocketInfo info;
  millrace_stack_info(stack_.get(), socket_, &info);
  static const std::array<const char*, 11> names{
      "CLOSED",     "LISTEN",     "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1",
      "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING",  "LAST-ACK",     "TIME-WAIT"};
  return names[info.state];
}

std::string Scene::told(const WireSegment& answer, uint32_t seq, uint32_t length) const {
  const bool opening = state_ == "LISTEN" || state_ == "SYN-SENT" || state_ == "TIME-WAIT";
  if (answer.flags == 0x12 && answer.ack == seq + 1 && opening) return "SYNACK";
  if (answer.flags == 0x04 && answer.seq == snd_nxt_) return "RST";
  if (answer.flags == 0x14 && answer.seq == 0 && answer.ack == seq + length) return "RSTACK";
  const uint32_t nxt = state_ == "SYN-SENT" ? seq + 1 : rcv_nxt_;
  if (answer.flags == 0x10 && answer.seq == snd_nxt_ && answer.ack - nxt < 3)
    return answer.ack == nxt ? "ACK" : "ACK+" + std::to_string(answer.ack - nxt);
  return "(" + text_of(answer, snd_nxt_, rcv_nxt_) + ")";
}

std::string Scene::outcome_of(const std::string& event, size_t place) {
  const bool has_text = event.back() == '+';
  const std::string letters =
      event == "none" ? "" : event.substr(0, event.size() - (has_text ? 1 : 0));
  const uint8_t flags = letters.empty() ? 0 : *flags_of(letters);
  const uint32_t length = (has_text ? 1U : 0U) + ((flags & 0x02) != 0 ? 1U : 0U) + (flags & 0x01U);
  const uint32_t seq = place_of(place);
  say(flags, seq, snd_nxt_, has_text ? 1 : 0);
  millrace_stack_advance_to(stack_.get(), millrace_stack_now(stack_.get()) + answer_within_ns);
  std::string outcome;
  for (const WireSegment& answer : look())
    outcome += (outcome.empty() ? "" : ",") + told(answer, seq, length);
  const std::string state = state_now();
  if (state != state_) outcome += ">" + state;
  return outcome.empty() ? "-" : outcome;
}

// --- the table ---

using CellName = std::string;  // "ESTABLISHED SA inside"

struct Table {
  std::map<CellName, std::string> cells;
  std::vector<std::string> states;  // in order
};

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream stream(line.substr(0, line.find('#')));
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

[[noreturn]] void bad_input(const char* file, int line, const std::string& what) {
  std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
  std::exit(2);
}

// A line is a state, events, and five outcomes.
Table read_table(const char* file) {
  Table table;
  std::ifstream stream(file);
  if (!stream) bad_input(file, 0, "cannot be read");
  const std::set<std::string> known(events.begin(), events.end());
  int number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    const std::vector<std::string> words = words_of(line);
    if (words.empty()) continue;
    if (words.size() < 7) bad_input(file, number, "a state, flags and five outcomes are wanted");
    if (table.states.empty() || table.states.back() != words[0]) table.states.push_back(words[0]);
    for (size_t i = 1; i + 5 < words.size(); ++i) {
      if (!known.contains(words[i])) bad_input(file, number, "no event is called " + words[i]);
      for (size_t place = 0; place < places.size(); ++place) {
        const CellName name = words[0] + " " + words[i] + " " + places[place];
        if (!table.cells.emplace(name, words[words.size() - 5 + place]).second)
          bad_input(file, number, name + " stands there twice");
      }
    }
  }
  for (const std::string& state : table.states) {
    for (const char* event : events) {
      if (!table.cells.contains(state + " " + event + " at"))
        bad_input(file, number, "nothing is said of " + state + " " + event);
    }
  }
  return table;
}

std::vector<std::string> parts_of(const std::string& word, char separator) {
  std::istringstream stream(word);
  std::vector<std::string> parts;
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

// A line is states, events with commas, places in one word with commas, and the
// outcome; behind # the reason.
std::map<CellName, std::string> read_differences(const char* file) {
  std::map<CellName, std::string> differences;
  std::ifstream stream(file);
  if (!stream) bad_input(file, 0, "cannot be read");
  int number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    const std::vector<std::string> words = words_of(line);
    if (words.empty()) continue;
    if (words.size() != 4)
      bad_input(file, number, "a state, events, places and an outcome are wanted");
    for (const std::string& state : parts_of(words[0], ','))
      for (const std::string& event : parts_of(words[1], ','))
        for (const std::string& place : parts_of(words[2], ','))
          differences[state + " " + event + " " + place] = words[3];
  }
  return differences;
}

bool is_one_of(const std::string& outcome, const std::string& alternatives) {
  const std::vector<std::string> parts = parts_of(alternatives, '|');
  return std::find(parts.begin(), parts.end(), outcome) != parts.end();
}

// TIME-WAIT without its application is a record of its own, and a state of its own among the
// differences; the table does not know it.
struct Variant {
  std::string state;
  bool closed = false;
  std::string shown() const { return closed ? state + "(closed)" : state; }
};

class Comparer {
 public:
  Comparer(Table table, std::map<CellName, std::string> differences)
      : table_(std::move(table)), differences_(std::move(differences)) {}

  // How many cells are not as they should be.
  int run() {
    for (const std::string& state : table_.states) compare({state, false});
    compare({"TIME-WAIT", true});
    for (const auto& [name, outcome] : differences_) {
      if (met_.contains(name)) continue;
      ++wrong_;
      std::printf("%s: named as a difference, and is none\n", name.c_str());
    }
    std::printf("segment_matrix: %d cells, %zu known differences, %d wrong\n", cells_,
                differences_.size(), wrong_);
    return wrong_;
  }

 private:
  void compare(const Variant& variant) {
    for (const char* event : events) {
      for (size_t place = 0; place < places.size(); ++place) {
        const std::string rest = std::string(" ") + event + " " + places[place];
        Scene scene(variant.state, variant.closed);
        judge(variant.shown() + rest, scene.outcome_of(event, place),
              table_.cells.at(variant.state + rest));
      }
    }
  }
  void judge(const CellName& name, const std::string& outcome, const std::string& expected) {
    ++cells_;
    const bool right = is_one_of(outcome, expected);
    const auto known = differences_.find(name);
    if (known != differences_.end() && !right) met_.insert(name);
    if (right || (known != differences_.end() && outcome == known->second)) return;
    ++wrong_;
    std::printf("%s: %s, where %s is expected\n", name.c_str(), outcome.c_str(), expected.c_str());
  }

  Table table_;
  std::map<CellName, std::string> differences_;
  std::set<CellName> met_;
  int cells_ = 0;
  int wrong_ = 0;
};

}  // namespace
}  // namespace millrace::script

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: segment_matrix TABLE DIFFERENCES\n");
    return 2;
  }
  using namespace millrace::script;
  return Comparer(read_table(argv[1]), read_differences(argv[2])).run() == 0 ? 0 : 1;
}
