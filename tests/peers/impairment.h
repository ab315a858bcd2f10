// What a bad path does to frames, decided by a seed: the n-th frame of a direction meets the same
// fate in every run, whatever the time. Pure: frames come as lengths, times go in and out.
//
//   loss (independent, and in bursts) -> a link of limited rate with a bounded queue -> delay,
//   to some frames more of it than to others, which is reordering
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "base/random.h"
#include "base/time.h"

namespace millrace::peers {

struct Impairments {
  double loss = 0;            // chance that a frame is lost by itself
  double burst_begin = 0;     // chance that a burst of losses begins with a frame
  double burst_frames = 0;    // mean length of such a burst, at least 1
  Duration delay;             // one way
  double reorder = 0;         // chance that a frame is held back
  Duration reorder_delay;     // by so much more
  uint64_t rate_bits = 0;     // a second, Ethernet frames without preamble; 0: no limit
  uint64_t queue_octets = 0;  // that may wait for the link; 0: no limit

  bool loses() const { return loss > 0 || burst_begin > 0; }
};

enum class Fate : uint8_t { passed, held_back, lost, lost_in_burst, queue_full };

// One direction of a path.
class Impairment {
 public:
  Impairment(const Impairments& impairments, uint64_t seed) : what_(impairments), random_(seed) {}

  struct Verdict {
    Fate fate = Fate::passed;
    Instant due;  // when the frame comes out at the far end, unless it is lost
  };
  // spared: frames that are only delayed (address resolution: losing it tests nothing of TCP and
  // costs a second). They take no part in the sequence of fates.
  Verdict judge(uint32_t octets, bool spared, Instant now);

 private:
  bool in_burst();

  Impairments what_;
  Random random_;
  bool burst_ = false;
  Instant link_free_at_;
};

inline Impairment::Verdict Impairment::judge(uint32_t octets, bool spared, Instant now) {
  Verdict verdict;
  Duration delay = what_.delay;
  if (!spared) {
    // All three are drawn for every frame, so that one setting does not shift the others' numbers.
    const bool burst = in_burst();
    const bool lost = random_.chance(what_.loss);
    const bool held_back = random_.chance(what_.reorder);
    if (burst || lost) return {burst ? Fate::lost_in_burst : Fate::lost, now};
    if (held_back) {
      verdict.fate = Fate::held_back;
      delay = delay + what_.reorder_delay;
    }
  }
  Instant leaves = now;
  if (what_.rate_bits > 0) {
    const auto ns_of = [this](uint64_t count) {
      return Duration::nanoseconds(
          static_cast<int64_t>(count * 8 * 1'000'000'000 / what_.rate_bits));
    };
    const Instant begins = std::max(link_free_at_, now);
    if (what_.queue_octets > 0 && begins - now > ns_of(what_.queue_octets)) {
      return {Fate::queue_full, now};
    }
    link_free_at_ = begins + ns_of(octets);
    leaves = link_free_at_;
  }
  verdict.due = leaves + delay;
  return verdict;
}

// Two states, good and bad, with the chances of going from one to the other (Gilbert's model).
inline bool Impairment::in_burst() {
  const bool moves =
      random_.chance(burst_ ? 1 / std::max(what_.burst_frames, 1.0) : what_.burst_begin);
  if (moves) burst_ = !burst_;
  return burst_;
}

}  // namespace millrace::peers
