#include "tests/diff/talk_steps.h"

#include <span>

namespace millrace::diff {
namespace {

constexpr int32_t text_octets_max = 1'400;

class TalkSteps {
 public:
  TalkSteps(Random& random, int32_t in_flight) : random_(random), in_flight_(in_flight) {}

  void in_order() {
    name("in order");
    segment().text_octets = text_length();
    if (random_.chance(0.3)) segment().flags |= flag_psh;
    if (random_.chance(0.03)) segment().flags |= flag_fin;
    sometimes_acknowledge_less();
  }
  void out_of_order() {
    name("out of order");
    segment().seq_offset = static_cast<int32_t>(random_.between(1, 3'000));
    segment().text_octets = text_length();
    sometimes_other_octets();
    if (random_.chance(0.05)) segment().flags |= flag_fin;
  }
  void fills_gap() {
    name("fills a gap");
    segment().text_octets = static_cast<uint16_t>(random_.between(1, 1'400));
    sometimes_other_octets();
  }
  void duplicate() {
    name("duplicate");
    const auto length = static_cast<int32_t>(random_.between(1, text_octets_max));
    segment().seq_offset = -static_cast<int32_t>(random_.between(length, length + 200));
    segment().text_octets = static_cast<uint16_t>(length);
  }
  void overlap() {
    name("overlap");
    const auto before = static_cast<int32_t>(random_.between(1, 700));
    segment().seq_offset = -before;
    segment().text_octets = static_cast<uint16_t>(before + random_.between(1, 600));
    sometimes_other_octets();
  }
  void before_window() {
    name("before the window");
    segment().seq_offset = -static_cast<int32_t>(random_.between(1, 200'000));
    if (random_.chance(0.5)) segment().text_octets = static_cast<uint16_t>(random_.between(1, 10));
  }
  void beyond_window() {
    name("beyond the window");
    segment().seq_from = SeqFrom::edge;
    segment().seq_offset = static_cast<int32_t>(random_.below(200'000));
    if (random_.chance(0.7)) segment().text_octets = text_length();
    if (random_.chance(0.1)) segment().flags |= flag_fin;
  }
  void across_edge() {
    name("across the edge");
    segment().seq_from = SeqFrom::edge;
    const auto before = static_cast<int32_t>(random_.between(1, 700));
    segment().seq_offset = -before;
    segment().text_octets = static_cast<uint16_t>(before + random_.below(600));
  }
  void bare_ack() {
    name("bare ACK");
    if (in_flight_ > 0 && random_.chance(0.3)) {
      segment().ack_from = AckFrom::una;
      segment().ack_offset = static_cast<int32_t>(random_.below(static_cast<uint64_t>(in_flight_)));
    }
  }
  void old_ack() {
    name("old ACK");
    segment().ack_from = AckFrom::una;
    static constexpr uint32_t distances[] = {1, 100, 60'000, 200'000, 1U << 30};
    segment().ack_offset = -static_cast<int32_t>(random_.between(1, distances[random_.below(5)]));
    sometimes_text();
  }
  void too_new_ack() {
    name("too new ACK");
    segment().ack_offset = static_cast<int32_t>(random_.between(1, 100'000));
    sometimes_text();
  }
  void window_change() {
    name("window");
    static constexpr uint16_t windows[] = {0, 1, 100, 1'000, 20'000, 65'535};
    segment().window = windows[random_.below(std::size(windows))];
    if (random_.chance(0.3)) segment().ack_from = AckFrom::una;
    sometimes_text();
  }
  void reset() {
    name("RST");
    segment().flags = random_.chance(0.5) ? flag_rst : flag_rst | flag_ack;
    if (segment().flags == flag_rst) segment().ack_from = AckFrom::zero;
    switch (random_.below(6)) {
      case 0: segment().seq_offset = 0; break;
      case 1: segment().seq_offset = static_cast<int32_t>(random_.between(1, 2'000)); break;
      case 2: segment().seq_offset = -static_cast<int32_t>(random_.between(1, 2'000)); break;
      case 3: segment().seq_from = SeqFrom::edge; break;
      case 4:
        segment().seq_from = SeqFrom::edge;
        segment().seq_offset = -1;
        break;
      default:
        segment().seq_from = SeqFrom::edge;
        segment().seq_offset = static_cast<int32_t>(random_.between(1, 100'000));
    }
    if (random_.chance(0.1)) segment().text_octets = 20;
  }
  void syn() {
    name("SYN in a connection");
    segment().flags = random_.chance(0.7) ? flag_syn : flag_syn | flag_ack;
    if (segment().flags == flag_syn) segment().ack_from = AckFrom::zero;
    if (random_.chance(0.5))
      segment().seq_offset = static_cast<int32_t>(random_.below(200'000)) - 100'000;
    if (random_.chance(0.2)) segment().seq_from = SeqFrom::isn;
    segment().mss = 1'460;
  }
  void fin() {
    name("FIN");
    segment().flags |= flag_fin;
    const uint64_t where = random_.below(10);
    if (where == 0) segment().seq_offset = static_cast<int32_t>(random_.between(1, 2'000));
    if (where == 1) segment().seq_offset = -static_cast<int32_t>(random_.between(1, 2'000));
    sometimes_text();
  }
  void urgent() {
    name("URG");
    segment().flags |= flag_urg;
    segment().text_octets = static_cast<uint16_t>(random_.between(0, 100));
    const uint16_t length = segment().text_octets;
    const uint16_t pointers[] = {0, 1, length, static_cast<uint16_t>(length + 1), 65'535};
    segment().urgent = pointers[random_.below(std::size(pointers))];
  }
  void without_ack() {
    name("without ACK");
    static constexpr uint8_t flag_sets[] = {0, flag_psh, flag_fin, flag_urg | flag_psh | flag_fin};
    segment().flags = flag_sets[random_.below(std::size(flag_sets))];
    segment().ack_from = AckFrom::zero;
    segment().text_octets = random_.chance(0.7) ? text_length() : 0;
  }
  void old_timestamp() {
    name("PAWS");
    const uint64_t kind = random_.below(3);
    segment().timestamps = kind == 0   ? TimestampKind::missing
                           : kind == 1 ? TimestampKind::old
                                       : TimestampKind::unasked;
    segment().text_octets = random_.chance(0.6) ? text_length() : 0;
    if (random_.chance(0.1)) segment().flags = flag_rst | flag_ack;
    if (random_.chance(0.1)) segment().flags |= flag_fin;
  }
  void selective() {
    name("SACK");
    segment().ack_from = AckFrom::una;
    const auto count = random_.between(1, 3);
    for (uint64_t i = 0; i < count; ++i) {
      StepBlock block;
      block.begin = static_cast<int32_t>(random_.below(static_cast<uint64_t>(in_flight_) + 1));
      block.end = block.begin + static_cast<int32_t>(random_.between(1, 1'500));
      if (random_.chance(0.15)) block.begin -= 100'000;
      if (random_.chance(0.15)) block.end += 100'000;
      if (random_.chance(0.1)) std::swap(block.begin, block.end);
      segment().sack.push_back(block);
    }
  }
  void congestion_bits() {
    name("ECN bits");
    segment().flags |= random_.chance(0.5) ? flag_ece : flag_cwr;
    sometimes_text();
  }
  void keepalive() {
    name("keepalive");
    segment().seq_offset = -1;
    segment().text_octets = static_cast<uint16_t>(random_.below(2));
  }
  void odd_options() {
    name("odd options");
    segment().odd_options = draw_odd_options(random_);
    sometimes_text();
  }
  void all_flags() {
    name("many flags");
    segment().flags = static_cast<uint8_t>(random_.below(256));
    if ((segment().flags & flag_ack) == 0) segment().ack_from = AckFrom::zero;
    sometimes_text();
  }

  Step take() { return step_; }

 private:
  SegmentStep& segment() { return step_.segment; }
  void name(const char* text) { step_.name = text; }
  uint16_t text_length() {
    return static_cast<uint16_t>(random_.chance(0.5) ? random_.between(1, 20)
                                                     : random_.between(1, text_octets_max));
  }
  void sometimes_text() {
    if (random_.chance(0.4)) segment().text_octets = text_length();
  }
  void sometimes_other_octets() {
    if (random_.chance(0.3)) segment().text_variant = 1;
  }
  void sometimes_acknowledge_less() {
    if (random_.chance(0.2)) segment().ack_from = AckFrom::una;
  }

  Random& random_;
  int32_t in_flight_;
  Step step_;
};

struct Kind {
  uint32_t weight;
  void (TalkSteps::*draw)();
};
constexpr Kind kinds[] = {
    {20, &TalkSteps::in_order},     {12, &TalkSteps::out_of_order},
    {8, &TalkSteps::fills_gap},     {6, &TalkSteps::duplicate},
    {6, &TalkSteps::overlap},       {4, &TalkSteps::before_window},
    {4, &TalkSteps::beyond_window}, {4, &TalkSteps::across_edge},
    {14, &TalkSteps::bare_ack},     {4, &TalkSteps::old_ack},
    {4, &TalkSteps::too_new_ack},   {5, &TalkSteps::window_change},
    {4, &TalkSteps::reset},         {4, &TalkSteps::syn},
    {4, &TalkSteps::fin},           {3, &TalkSteps::urgent},
    {3, &TalkSteps::without_ack},   {4, &TalkSteps::old_timestamp},
    {5, &TalkSteps::selective},     {2, &TalkSteps::congestion_bits},
    {3, &TalkSteps::keepalive},     {3, &TalkSteps::odd_options},
    {1, &TalkSteps::all_flags},
};

}  // namespace

Step draw_talk_step(Random& random, int32_t in_flight) {
  uint32_t total = 0;
  for (const Kind& kind : kinds) total += kind.weight;
  auto drawn = static_cast<uint32_t>(random.below(total));
  TalkSteps steps(random, in_flight);
  for (const Kind& kind : kinds) {
    if (drawn < kind.weight) {
      (steps.*kind.draw)();
      break;
    }
    drawn -= kind.weight;
  }
  return steps.take();
}

Octets draw_odd_options(Random& random) {
  switch (random.below(8)) {
    case 0: return {253, 4, 0xf9, 0x89};              // an experiment (RFC 6994)
    case 1: return {34, 2};                           // Fast Open, asks for a cookie
    case 2: return {34, 10, 1, 2, 3, 4, 5, 6, 7, 8};  // Fast Open, with a cookie
    case 3: return {28, 4, 0x80, 0x10};               // user timeout (RFC 5482)
    case 4: return {1, 1, 1, 1, 0, 9, 9, 9};          // behind the end of the list
    case 5: return {unknown_option, 0};               // length 0
    case 6: return {unknown_option, 1};               // length 1
    default:
      return {unknown_option,
              static_cast<uint8_t>(random.between(13, 255))};  // overruns the header
  }
}

}  // namespace millrace::diff
