// Where we and Linux are known to part: each class has a name, and stands with its reason in
// docs/differences_from_linux.md.
#pragma once

#include <string>
#include <vector>

#include "tests/diff/answer.h"
#include "tests/diff/said.h"
#include "tests/diff/step.h"

namespace millrace::diff {

// One step, and all that the classes may ask.
struct Parting {
  const Step& step;
  const Answer& ours;
  const Answer& linux;
  uint32_t fields = 0;  // Field, what differs
  // Before the step; the names of RFC 9293, or "none".
  std::string our_state;
  std::string linux_state;
  const Said& said;
  uint16_t mss = 536;                   // what the tester's SYN has offered
  bool scaled = false;                  // it has offered window scaling
  bool our_challenge_withheld = false;  // in this step, by the limit of RFC 5961 section 7
};

struct KnownDifference {
  const char* name;
  // The fields whose difference the class explains in this step; 0 when it does not apply.
  uint32_t (*explains)(const Parting& parting);
  // Afterwards the two connections are not in the same state: nothing more can be compared.
  bool ends_dialogue;
};

// Classes that together explain everything that differs; empty when something is left unexplained.
std::vector<const KnownDifference*> known_differences(const Parting& parting);

}  // namespace millrace::diff
