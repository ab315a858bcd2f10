#include "tests/diff/dialogue.h"

#include <algorithm>
#include <cstdio>

#include "tests/diff/generator.h"
#include "tests/diff/known_differences.h"
#include "tests/diff/millrace_peer.h"

namespace millrace::diff {
namespace {

constexpr uint32_t steps_min = 5;
constexpr uint32_t steps_max = 40;
constexpr uint16_t mss_default = 536;  // RFC 9293 section 3.7.1
constexpr uint32_t remotes = 0xfffe;   // of 10.77.0.0/16

Tester draw_tester(Random& random, uint32_t attempt) {
  Tester tester;
  const auto host = static_cast<uint32_t>(random.between(256, remotes));
  tester.address.address = Ipv4Address::from_host_order(10U << 24 | 77U << 16 | host);
  tester.address.port = static_cast<uint16_t>(random.between(1'024, 65'000) + attempt);
  // T54: near the wrap as often as not.
  tester.isn = static_cast<uint32_t>(random.chance(0.5) ? random.next() : 0 - random.below(5'000));
  tester.timestamp =
      static_cast<uint32_t>(random.chance(0.5) ? random.next() : 0 - random.below(50));
  tester.listens = random.chance(0.8);
  return tester;
}

class Dialogue {
 public:
  Dialogue(uint64_t seed, uint32_t attempt, KernelPeer& kernel, bool log)
      : random_(seed),
        log_(log),
        tester_(draw_tester(random_, attempt)),
        millrace_(seed),
        ours_(millrace_, tester_),
        linux_(kernel, tester_),
        generator_(random_, tester_) {}

  DialogueResult hold() {
    Step opening;
    opening.name = tester_.listens ? "listens" : "connects";
    tell(opening);
    const Answer ours = ours_.begin();
    const Answer linux = linux_.begin();
    bool goes_on = judge(opening, ours, linux, "none", "none");
    const auto steps = static_cast<uint32_t>(random_.between(steps_min, steps_max));
    while (goes_on && result_.steps < steps) goes_on = take_step();
    end(ours_);
    end(linux_);
    return std::move(result_);
  }

 private:
  bool take_step() {
    ++result_.steps;
    tester_.timestamp += static_cast<uint32_t>(random_.below(3));
    if (tester_.timestamp == 0) tester_.timestamp = 1;  // Linux takes 0 for a clock that is none
    const Step step = generator_.draw(linux_);
    said_.note(step, ours_);
    // What follows is in no RFC.
    if (said_.fin_contradicted()) return false;
    withheld_before_ = millrace_.challenges_withheld();
    const std::string our_state = ours_.peer().state();
    const std::string linux_state = linux_.peer().state();
    tell(step);
    const Answer ours = ours_.take(step);
    const Answer linux = linux_.take(step);
    return judge(step, ours, linux, our_state, linux_state) && !is_taken_by_one_only(step);
  }

  // A connection begins, perhaps not for the first time.
  void note_opening(const Step& step, const Answer& ours, const std::string& our_state) {
    const bool syn = step.call == Call::none && (step.segment.flags & flag_syn) != 0;
    const bool begins = ours.opening && ours_.isn() != isn_;
    if (!syn || !(begins || our_state == "SYN-SENT")) return;
    isn_ = ours_.isn();
    mss_ = step.segment.mss.value_or(mss_default);
    scaled_ = step.segment.window_scale.has_value();
    const uint8_t shift = std::min(step.segment.window_scale.value_or(0), shift_max);
    said_ = Said(mss_, int64_t{UINT16_MAX} << shift);
  }

  // One of the two drops such a segment, though nothing may be seen of it at once.
  bool is_taken_by_one_only(const Step& step) const {
    if (step.call != Call::none) return false;
    const bool missing =
        ours_.timestamps_agreed() && step.segment.timestamps == TimestampKind::missing;
    // PAWS is not for resets (RFC 7323 section 5.2), in Linux it is before the handshake has ended.
    const bool old_reset = step.segment.timestamps == TimestampKind::old &&
                           (step.segment.flags & flag_rst) != 0 && ours_.acknowledged() == 0;
    return missing || old_reset || has_broken_option(step.segment);
  }

  // Whether the dialogue goes on.
  bool judge(const Step& step, const Answer& ours, const Answer& linux,
             const std::string& our_state, const std::string& linux_state) {
    note_opening(step, ours, our_state);
    const uint32_t fields = differing_fields(ours, linux);
    tell(ours, linux, our_state, linux_state);
    if (fields == 0) return true;
    const Parting parting{
        .step = step,
        .ours = ours,
        .linux = linux,
        .fields = fields,
        .our_state = our_state,
        .linux_state = linux_state,
        .said = said_,
        .mss = mss_,
        .scaled = scaled_,
        .our_challenge_withheld = millrace_.challenges_withheld() > withheld_before_};
    const auto known = known_differences(parting);
    if (!known.empty()) {
      bool goes_on = true;
      for (const KnownDifference* difference : known) {
        ++result_.known[difference->name];
        goes_on &= !difference->ends_dialogue;
      }
      return goes_on;
    }
    result_.parting = "step " + std::to_string(result_.steps) + ", " + text_of(step) +
                      "\n  before:   ours " + our_state + ", Linux " + linux_state +
                      "\n  ours:     " + text_of(ours) + "\n  Linux:    " + text_of(linux) +
                      "\n  differs:  " + names_of_fields(fields);
    return false;
  }

  // Printed at once, so that a step that ends the program is seen.
  void tell(const Step& step) const {
    if (!log_) return;
    std::printf("%u %s\n", result_.steps, text_of(step).c_str());
    std::fflush(stdout);
  }
  void tell(const Answer& ours, const Answer& linux, const std::string& our_state,
            const std::string& linux_state) const {
    if (!log_) return;
    std::printf("    ours  in %s: %s\n    Linux in %s: %s\n", our_state.c_str(),
                text_of(ours).c_str(), linux_state.c_str(), text_of(linux).c_str());
  }

  static void end(Side& side) {
    if (side.has_isn()) side.peer().deliver(write_datagram(side.last_word()));
    side.peer().end();
  }

  Random random_;
  bool log_;
  uint16_t mss_ = mss_default;
  bool scaled_ = false;
  uint32_t isn_ = 0;
  Said said_{mss_default, UINT16_MAX};
  uint64_t withheld_before_ = 0;
  Tester tester_;
  MillracePeer millrace_;
  Side ours_;
  Side linux_;
  Generator generator_;
  DialogueResult result_;
};

}  // namespace

DialogueResult hold_dialogue(uint64_t seed, uint32_t attempt, KernelPeer& kernel, bool log) {
  Dialogue dialogue(seed, attempt, kernel, log);
  return dialogue.hold();
}

}  // namespace millrace::diff
