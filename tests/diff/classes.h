// The classes of differences that are known: each has a name, and its reason in
// docs/differences_from_linux.md.
#pragma once

#include <string>

#include "tests/diff/dialogue.h"

namespace millrace::diff {

// What came before the step that differs.
struct Context {
  Handshake handshake;
  std::string state = "ESTABLISHED";
  int64_t text_end = 1;  // what the stacks have sent
  bool fin = false;
  bool challenge_withheld = false;  // in this step, on our side
  bool end_came_early = false;      // a FIN behind a gap

  void note(const Step& step, const Answer& answer) {
    state = answer.state;
    text_end = answer.text_end;
    fin = answer.fin;
    end_came_early |= step.name == "an end behind a gap";
  }
};

// nullptr: an unknown difference.
const char* class_of(const Context& context, const Step& step, const Answer& ours,
                     const Answer& theirs);

}  // namespace millrace::diff
