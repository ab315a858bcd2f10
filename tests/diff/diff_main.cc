// diff --dialogues N --from S [--verbose]: plays N random dialogues to our stack and to the
// kernel's and compares the answers step by step. The first difference ends a dialogue: it is of a
// class that is known (docs/differences_from_linux.md), which is counted, or it is printed and the
// exit code is 1. 77 where the kernel's side cannot be made.
#include <cstdio>
#include <cstring>
#include <map>
#include <string>

#include "base/address.h"
#include "tests/diff/classes.h"
#include "tests/diff/dialogue.h"

namespace {

using namespace millrace;
using namespace millrace::diff;

constexpr int skipped = 77;
constexpr int steps_max = 14;

struct Tally {
  uint64_t same = 0;
  uint64_t steps = 0;
  uint64_t unknown = 0;
  std::map<std::string, uint64_t> classes;
};

void run_dialogue(uint64_t seed, Endpoint& ours, Endpoint& theirs, bool verbose, Tally* tally) {
  Drawer drawer(seed);
  Player our_player(ours, seed, drawer.handshake());
  Player their_player(theirs, seed, drawer.handshake());
  std::string our_syn_ack;
  std::string their_syn_ack;
  const bool we_stand = our_player.shake_hands(&our_syn_ack);
  const bool they_stand = their_player.shake_hands(&their_syn_ack);
  if (our_syn_ack != their_syn_ack || we_stand != they_stand) {
    std::printf("dialogue %llu FAILED: the handshake\n  ours:  %s\n  Linux: %s\n",
                static_cast<unsigned long long>(seed), our_syn_ack.c_str(), their_syn_ack.c_str());
    ++tally->unknown;
    return;
  }
  std::string told;
  Context context;
  context.handshake = drawer.handshake();
  for (int i = 0; i < steps_max; ++i) {
    const Step step = drawer.next();
    const int64_t withheld_before = ours.challenges_withheld();
    const Answer our_answer = our_player.play(step);
    context.challenge_withheld = ours.challenges_withheld() != withheld_before;
    Answer their_answer = their_player.play(step);
    if (our_answer.any && !their_answer.any) their_player.wait_for_more(&their_answer);
    ++tally->steps;
    told += "    " + step.told() + "\n      ours:  " + our_answer.told() +
            "\n      Linux: " + their_answer.told() + "\n";
    if (our_answer == their_answer) {
      drawer.heard(our_answer);
      context.note(step, our_answer);
      if (our_answer.state == "CLOSED" || our_answer.state == "NONE") break;
      continue;
    }
    const char* name = class_of(context, step, our_answer, their_answer);
    if (name != nullptr) {
      ++tally->classes[name];
      if (verbose)
        std::printf("dialogue %llu: %s\n%s", static_cast<unsigned long long>(seed), name,
                    told.c_str());
      return;
    }
    ++tally->unknown;
    std::printf(
        "dialogue %llu FAILED: the answers differ\n%s  replay: tests/diff/run --dialogues 1 --from "
        "%llu\n",
        static_cast<unsigned long long>(seed), told.c_str(), static_cast<unsigned long long>(seed));
    return;
  }
  ++tally->same;
}

uint64_t number_or_exit(const char* text) {
  const auto number = parse_decimal(text == nullptr ? "" : text, UINT64_MAX);
  if (!number) {
    std::fprintf(stderr, "diff: \"%s\" is not a number\n", text == nullptr ? "" : text);
    std::exit(2);
  }
  return *number;
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t dialogues = 500;
  uint64_t from = 1;
  bool verbose = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--dialogues") == 0) {
      dialogues = number_or_exit(argv[++i]);
    } else if (std::strcmp(argv[i], "--from") == 0) {
      from = number_or_exit(argv[++i]);
    } else if (std::strcmp(argv[i], "--verbose") == 0) {
      verbose = true;
    } else {
      std::fprintf(stderr, "usage: diff --dialogues N --from S [--verbose]\n");
      return 2;
    }
  }
  std::string error;
  const auto theirs = make_linux(&error);
  if (theirs == nullptr) {
    std::printf("skipped: %s\n", error.c_str());
    return skipped;
  }
  const auto ours = make_millrace();
  Tally tally;
  for (uint64_t seed = from; seed < from + dialogues; ++seed)
    run_dialogue(seed, *ours, *theirs, verbose, &tally);
  for (const auto& [name, count] : tally.classes)
    std::printf("%8llu %s\n", static_cast<unsigned long long>(count), name.c_str());
  std::printf(
      "%llu dialogues, %llu steps: %llu the same to the end, %llu unknown differences\n",
      static_cast<unsigned long long>(dialogues), static_cast<unsigned long long>(tally.steps),
      static_cast<unsigned long long>(tally.same), static_cast<unsigned long long>(tally.unknown));
  return tally.unknown == 0 ? 0 : 1;
}
