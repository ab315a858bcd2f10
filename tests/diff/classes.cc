#include "tests/diff/classes.h"

namespace millrace::diff {
namespace {

bool is_text_or_end(const Step& step) {
  return step.kind == Step::Kind::segment && (step.octets > 0 || (step.flags & tcp::flag_fin) != 0);
}

// Only the acknowledgment itself is missing on our side; nothing else differs.
bool only_unanswered(const Answer& ours, const Answer& theirs) {
  return !ours.any && theirs.acknowledges && !theirs.reset && ours.state == theirs.state &&
         ours.text_end == theirs.text_end && ours.fin == theirs.fin;
}

bool only_sack_differs(Answer ours, const Answer& theirs) {
  ours.sack = theirs.sack;
  return ours == theirs;
}

}  // namespace

const char* class_of(const Context& context, const Step& step, const Answer& ours,
                     const Answer& theirs) {
  const bool peer_ended = context.state == "CLOSE-WAIT" || context.state == "LAST-ACK" ||
                          context.state == "CLOSING" || context.state == "TIME-WAIT";
  if (peer_ended && is_text_or_end(step)) return "text_behind_the_end";
  if (context.end_came_early && is_text_or_end(step)) return "text_behind_an_early_end";
  if (step.name == "an end behind a gap" && only_sack_differs(ours, theirs))
    return "end_behind_a_gap_not_in_sack";
  if (context.handshake.timestamps && step.kind == Step::Kind::segment && !step.bears_timestamp)
    return "missing_timestamp";
  if (context.challenge_withheld && only_unanswered(ours, theirs)) return "challenge_limit";
  const bool ours_is_further = ours.state == "FIN-WAIT-2" && theirs.state == "FIN-WAIT-1";
  if (ours_is_further) return "acknowledgment_in_an_old_segment";
  const bool sends = step.kind == Step::Kind::write || step.kind == Step::Kind::shutdown ||
                     step.kind == Step::Kind::close;
  if ((sends || ours.text_end != context.text_end || ours.fin != context.fin) &&
      ours.sack.empty() && only_sack_differs(ours, theirs))
    return "sack_on_bare_acknowledgments_only";
  if ((step.flags & tcp::flag_fin) != 0 && step.kind == Step::Kind::segment &&
      only_sack_differs(ours, theirs))
    return "duplicate_reported_with_the_end";
  Answer other_window = ours;
  other_window.text_end = theirs.text_end;
  other_window.fin = theirs.fin;
  if (ours.text_end != theirs.text_end && other_window == theirs) return "congestion_window";
  return nullptr;
}

}  // namespace millrace::diff
