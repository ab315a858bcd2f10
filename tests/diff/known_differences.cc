#include "tests/diff/known_differences.h"

#include <algorithm>
#include <span>

#include "dataplane/tcp/connection.h"

namespace millrace::diff {
namespace {

constexpr uint32_t field_answered = field_acknowledges | field_ack | field_bare_seq | field_window |
                                    field_timestamps | field_blocks;

bool is_segment(const Parting& p) {
  return p.step.call == Call::none;
}
bool says(const Parting& p, uint8_t flag) {
  return is_segment(p) && (p.step.segment.flags & flag) != 0;
}
bool is_bare(const Parting& p) {
  return p.step.segment.text_octets == 0 && (p.step.segment.flags & (flag_syn | flag_fin)) == 0;
}
// The peer's FIN was taken before this step.
bool peer_has_ended(const Parting& p) {
  static constexpr const char* states[] = {"CLOSE-WAIT", "LAST-ACK", "CLOSING", "TIME-WAIT"};
  return std::find(std::begin(states), std::end(states), p.our_state) != std::end(states);
}
bool none_or_listening(const Parting& p) {
  return p.our_state == "none";
}

// --- answers that only one of us gives ---

bool only_we_acknowledge(const Parting& p) {
  return p.ours.acknowledges && !p.linux.acknowledges;
}
bool only_linux_acknowledges(const Parting& p) {
  return !p.ours.acknowledges && p.linux.acknowledges;
}

uint32_t acknowledgment_delayed(const Parting& p) {
  return p.ours.owed_before && only_we_acknowledge(p) ? field_acknowledges : 0U;
}

uint32_t challenge_limited(const Parting& p) {
  return p.our_challenge_withheld && only_linux_acknowledges(p) ? field_acknowledges : 0U;
}

uint32_t without_ack_to_listener(const Parting& p) {
  const bool applies = is_segment(p) && !says(p, flag_ack) && !says(p, flag_rst) && p.ours.reset &&
                       p.linux.is_silent();
  return applies ? field_reset : 0U;
}

uint32_t without_ack_in_connection(const Parting& p) {
  const bool is_record = p.our_state == "none" && p.linux_state == "none";
  const bool applies = is_segment(p) && !says(p, flag_ack) &&
                       (only_we_acknowledge(p) || (is_record && only_linux_acknowledges(p)));
  return applies ? field_acknowledges : 0U;
}

// Linux keeps what the application has closed as a TIME-WAIT record, from FIN-WAIT-2 on.
uint32_t orphan_as_time_wait(const Parting& p) {
  const bool is_orphan = p.our_state.rfind("FIN-WAIT", 0) == 0 && !p.ours.has_connection;
  return is_segment(p) && is_orphan ? field_answered | field_reset | field_opening | field_text
                                    : 0U;
}

uint32_t time_wait_answers(const Parting& p) {
  const bool is_record = p.our_state == "none" && p.step.segment.timestamps == TimestampKind::old;
  const bool applies = is_segment(p) && (p.our_state == "TIME-WAIT" || is_record);
  return applies ? field_acknowledges : 0U;
}

// In a simultaneous open.
uint32_t syn_again_in_syn_received(const Parting& p) {
  const bool applies = says(p, flag_syn) && p.linux_state == "SYN-RECEIVED" && p.ours.opening &&
                       p.linux.acknowledges;
  return applies ? field_opening | field_acknowledges : 0U;
}

uint32_t window_beyond_announced(const Parting& p) {
  const bool applies = is_segment(p) && p.step.segment.seq_from == SeqFrom::edge && !p.scaled;
  return applies ? field_answered | field_state : 0U;
}

uint32_t edge_taken(const Parting& p) {
  const bool applies = is_segment(p) && p.step.segment.seq_from == SeqFrom::edge &&
                       p.step.segment.seq_offset == 0 && (is_bare(p) || says(p, flag_rst));
  return applies ? field_acknowledges : 0U;
}

// A SYN-ACK that knows our initial number counts more with us than the bare SYN before it, which
// anybody could have sent.
uint32_t simultaneous_open_replaced(const Parting& p) {
  const bool applies = says(p, flag_syn) && says(p, flag_ack) && p.our_state == "SYN-RECEIVED" &&
                       p.ours.state == "ESTABLISHED";
  return applies ? field_ack | field_state | field_answered : 0U;
}

uint32_t missing_timestamp(const Parting& p) {
  const bool applies = is_segment(p) && p.step.segment.timestamps == TimestampKind::missing;
  return applies ? ~0U : 0U;
}

// From before our first octet, or older than the largest window: we refuse it. Linux takes text
// with it in its fast path, and counts its SYN as an octet.
uint32_t too_old_ack_taken(const Parting& p) {
  const int64_t age = -int64_t{p.step.segment.ack_offset};
  const bool is_too_old = age > std::min<int64_t>(p.said.window_max(), p.said.acknowledged());
  if (!is_segment(p) || !says(p, flag_ack) || !is_too_old) return 0;
  const bool we_refuse = p.ours.acknowledges || p.our_challenge_withheld;
  const bool linux_takes = p.step.segment.text_octets > 0
                               ? p.linux.acknowledges && p.linux.ack > p.ours.ack
                               : age == p.said.acknowledged() + 1 && !p.linux.acknowledges;
  return we_refuse && linux_takes ? field_answered | field_state : 0U;
}

// How much was acknowledged is counted up to a bound; beyond it only the window tells what is old.
uint32_t age_by_window_alone(const Parting& p) {
  const int64_t age = -int64_t{p.step.segment.ack_offset};
  const int64_t acknowledged = p.said.acknowledged();
  const bool applies = is_segment(p) && says(p, flag_ack) &&
                       acknowledged >= tcp::Connection::acknowledged_octets_max &&
                       age > acknowledged && age <= p.said.window_max();
  return applies && only_linux_acknowledges(p) ? field_acknowledges : 0U;
}

uint32_t syn_received_checks(const Parting& p) {
  const bool applies = is_segment(p) && none_or_listening(p) && p.linux.reset && !p.ours.reset;
  return applies ? field_reset | field_acknowledges : 0U;
}

uint32_t syn_received_old_segment(const Parting& p) {
  const bool is_old = p.step.segment.seq_offset < 0 || says(p, flag_syn);
  const bool applies = is_segment(p) && none_or_listening(p) && is_old;
  return applies ? field_connection | field_acknowledges | field_state : 0U;
}

// A simultaneous open: the acknowledgment does not cover our SYN.
uint32_t syn_received_ack_unchecked(const Parting& p) {
  const bool applies = is_segment(p) && p.linux_state == "SYN-RECEIVED" && p.ours.reset;
  return applies ? ~0U : 0U;
}

// --- what is taken, and what leaves ---

uint32_t across_edge_trimmed(const Parting& p) {
  const SegmentStep& segment = p.step.segment;
  const bool applies = is_segment(p) && segment.seq_from == SeqFrom::edge &&
                       segment.seq_offset < 0 && segment.seq_offset + segment.text_octets > 0;
  return applies ? field_answered : 0U;
}

uint32_t text_behind_fin(const Parting& p) {
  const bool applies = is_segment(p) && peer_has_ended(p) && p.step.segment.text_octets > 0;
  return applies ? field_reset | field_answered | field_state : 0U;
}

uint32_t old_segment_acknowledges(const Parting& p) {
  return p.said.ack_in_doubt() ? field_answered | field_reset | field_text | field_fin | field_state
                               : 0U;
}

uint32_t broken_option(const Parting& p) {
  // Ours may send what it has owed from before, but nothing new.
  const bool we_drop = !p.ours.has_bare && p.ours.new_to == p.ours.new_from;
  return is_segment(p) && has_broken_option(p.step.segment) && we_drop ? ~0U : 0U;
}

uint32_t record_until_closed(const Parting& p) {
  const bool is_over = p.our_state == "CLOSED" || p.our_state == "TIME-WAIT";
  const bool applies = says(p, flag_syn) && is_over && p.linux.opening && !p.ours.opening;
  return applies ? field_reset | field_opening | field_text | field_acknowledges : 0U;
}

uint32_t reading_after_reset(const Parting& p) {
  const bool applies = p.step.call == Call::read && p.ours.broken && p.linux.broken;
  return applies ? field_read : 0U;
}

uint32_t overlap_with_other_octets(const Parting& p) {
  const bool applies = p.said.other_octets() && p.ours.read.size() == p.linux.read.size();
  return applies ? field_read : 0U;
}

uint32_t small_mss(const Parting& p) {
  return p.mss < 536 && p.ours.new_to > p.linux.new_to ? field_text | field_fin | field_acknowledges
                                                       : 0U;
}

// How many packets may leave is counted by Linux, octets by us.
uint32_t initial_window_in_packets(const Parting& p) {
  const bool applies = p.said.packets_in_flight() >= 8 && p.ours.new_to != p.linux.new_to;
  return applies ? field_text | field_fin | field_acknowledges | field_state : 0U;
}

uint32_t fin_beyond_window(const Parting& p) {
  const bool applies = p.ours.fin && !p.linux.fin && p.ours.new_to == p.linux.new_to + 1;
  return applies ? field_text | field_fin | field_acknowledges : 0U;
}

uint32_t window_update_rule(const Parting& p) {
  return p.said.window_depends_on_rule() ? field_text | field_fin | field_acknowledges |
                                               field_bare_seq | field_reset_numbers | field_state
                                         : 0U;
}

// Linux cuts smaller segments after a small window, and counts them.
uint32_t small_window_cuts(const Parting& p) {
  const bool is_open = p.said.window() == UINT16_MAX;
  const bool applies = is_open && p.said.window_min() < 2 * p.mss && p.ours.new_to > p.linux.new_to;
  return applies ? field_text | field_fin | field_acknowledges | field_state : 0U;
}

// Blocks begin a repair; how much may leave during it depends on the clock.
uint32_t repair_pace(const Parting& p) {
  return p.said.selective() && p.ours.new_to != p.linux.new_to
             ? field_text | field_fin | field_acknowledges | field_state
             : 0U;
}

// The window takes a part of what waits: RFC 9293 section 3.8.6.2.1 says when the part may leave.
uint32_t sender_silly_window(const Parting& p) {
  const bool is_small = p.said.window() > 0 && p.said.window() < UINT16_MAX;
  const bool applies = is_small && p.linux.new_to != p.ours.new_to;
  return applies ? field_text | field_acknowledges | field_fin : 0U;
}

// RFC 5961 section 3.2: only RCV.NXT. Linux: the end of the highest block that waits as well.
uint32_t reset_behind_blocks(const Parting& p) {
  const bool applies = says(p, flag_rst) && p.linux.state == "CLOSED" && p.ours.state != "CLOSED";
  return applies ? field_state | field_acknowledges : 0U;
}

uint32_t reset_as_last_word(const Parting& p) {
  const bool applies = p.our_state == "CLOSED" && p.ours.ended && p.linux.broken;
  return applies ? field_end : 0U;
}

// --- how it is said ---

uint32_t seq_within_scale(const Parting& p) {
  if (p.said.window() == UINT16_MAX) return 0;
  const bool reset_applies =
      p.ours.reset && p.linux.reset && p.ours.reset->ack == p.linux.reset->ack;
  return (p.ours.seq_of_bare < p.linux.seq_of_bare ? field_bare_seq : 0U) |
         (reset_applies ? field_reset_numbers : 0U);
}

// The peer's second SYN does not ask for ECN any more.
uint32_t ecn_given_up(const Parting& p) {
  const bool applies = says(p, flag_syn) && !says(p, flag_ece) && p.ours.opening &&
                       p.linux.opening && p.linux.opening->with_echo && !p.ours.opening->with_echo;
  return applies ? field_echo : 0U;
}

uint32_t simultaneous_open_options(const Parting& p) {
  if (!p.ours.opening || !p.linux.opening || p.linux_state != "SYN-SENT") return 0;
  Answer::Opening ours = *p.ours.opening;
  ours.timestamps |= p.linux.opening->timestamps;
  ours.sack_permitted |= p.linux.opening->sack_permitted;
  ours.has_window_scale |= p.linux.opening->has_window_scale;
  return ours == *p.linux.opening ? field_opening : 0U;
}

uint32_t no_timestamp_in_syn_received(const Parting& p) {
  const bool applies = none_or_listening(p) && p.ours.timestamps && !p.linux.timestamps;
  return applies ? field_timestamps : 0U;
}

// Both resets are taken by the peer: ours stands at SND.NXT and acknowledges, Linux repeats
// SEG.ACK.
uint32_t reset_form(const Parting& p) {
  const bool applies =
      p.ours.reset && p.linux.reset && p.ours.reset->with_ack && !p.linux.reset->with_ack;
  return applies ? field_reset_numbers : 0U;
}

uint32_t no_blocks_with_text(const Parting& p) {
  const bool applies = p.ours.blocks.empty() && !p.ours.has_bare && p.ours.new_to > p.ours.new_from;
  return applies ? field_blocks : 0U;
}

uint32_t blocks_behind_fin(const Parting& p) {
  const bool fin = peer_has_ended(p) || says(p, flag_fin);
  return fin && p.linux.blocks.empty() ? field_blocks : 0U;
}

using Blocks = std::vector<Answer::Block>;

// What the list says of text that waits: without a report of what came twice (RFC 2883 section 4),
// which stands first and is acknowledged, or lies in a block behind it.
Blocks without_duplicate(const Answer& answer) {
  Blocks blocks = answer.blocks;
  if (blocks.empty()) return blocks;
  const Answer::Block first = blocks.front();
  const bool is_inside = std::any_of(blocks.begin() + 1, blocks.end(), [&](const auto& other) {
    return other.begin <= first.begin && first.end <= other.end;
  });
  if (is_inside) blocks.erase(blocks.begin());
  while (!blocks.empty() && blocks.front().end <= answer.ack) blocks.erase(blocks.begin());
  return blocks;
}

// Without the number of a FIN that waits.
Blocks without_fin(Blocks blocks, std::optional<int32_t> fin_at) {
  if (!fin_at) return blocks;
  for (Answer::Block& block : blocks) {
    if (block.end == *fin_at + 1) --block.end;
  }
  std::erase_if(blocks, [](const Answer::Block& block) { return block.begin == block.end; });
  return blocks;
}

// The same block first, and behind it nothing of Linux's that is none of ours, unless ours had no
// room for more. Linux remembers four blocks at most, so that one of its may be a part of ours.
bool tells_the_same(const Blocks& ours, const Blocks& linux) {
  if (ours.empty() || linux.empty()) return ours.empty() && linux.empty();
  const auto is_part_of = [](const Answer::Block& part, const Answer::Block& whole) {
    return whole.begin <= part.begin && part.end <= whole.end;
  };
  const bool all_known = std::all_of(linux.begin(), linux.end(), [&](const auto& block) {
    return std::any_of(ours.begin(), ours.end(),
                       [&](const auto& whole) { return is_part_of(block, whole); });
  });
  return is_part_of(linux.front(), ours.front()) && (all_known || ours.size() >= 2);
}

uint32_t fin_in_blocks(const Parting& p) {
  const Blocks ours = without_fin(p.ours.blocks, p.said.fin_at());
  const Blocks linux = without_fin(p.linux.blocks, p.said.fin_at());
  return ours == linux ? field_blocks : 0U;
}

uint32_t duplicate_reported(const Parting& p) {
  const Blocks ours = without_duplicate(p.ours);
  const Blocks linux = without_duplicate(p.linux);
  const bool we_report = ours.size() < p.ours.blocks.size();
  const bool linux_reports = linux.size() < p.linux.blocks.size();
  // Text that begins before the window is reported by us too, always, and by both in the same way.
  const bool is_before = is_segment(p) && p.step.segment.text_octets > 0 &&
                         p.step.segment.seq_from == SeqFrom::next &&
                         p.step.segment.seq_offset < 0 && p.ours.has_bare;
  if (is_before && linux_reports) {
    if (!we_report) return 0;
    Answer::Block first = p.ours.blocks.front();
    if (says(p, flag_fin) && p.linux.blocks.front().end == first.end + 1) ++first.end;
    if (first != p.linux.blocks.front()) return 0;
  }
  const bool same =
      tells_the_same(without_fin(ours, p.said.fin_at()), without_fin(linux, p.said.fin_at()));
  return same ? field_blocks : 0U;
}

constexpr KnownDifference classes[] = {
    {"acknowledgment_delayed", acknowledgment_delayed, false},
    {"broken_option", broken_option, true},
    {"missing_timestamp", missing_timestamp, true},
    {"orphan_as_time_wait", orphan_as_time_wait, true},
    {"time_wait_answers", time_wait_answers, false},
    {"syn_again_in_syn_received", syn_again_in_syn_received, false},
    {"without_ack_to_listener", without_ack_to_listener, false},
    {"without_ack_in_connection", without_ack_in_connection, false},
    {"edge_taken", edge_taken, false},
    {"simultaneous_open_replaced", simultaneous_open_replaced, true},
    {"window_beyond_announced", window_beyond_announced, true},
    {"too_old_ack_taken", too_old_ack_taken, true},
    {"age_by_window_alone", age_by_window_alone, false},
    {"challenge_limited", challenge_limited, false},
    {"syn_received_checks", syn_received_checks, true},
    {"syn_received_old_segment", syn_received_old_segment, true},
    {"syn_received_ack_unchecked", syn_received_ack_unchecked, true},
    {"across_edge_trimmed", across_edge_trimmed, true},
    {"text_behind_fin", text_behind_fin, true},
    {"old_segment_acknowledges", old_segment_acknowledges, true},
    {"record_until_closed", record_until_closed, true},
    {"reading_after_reset", reading_after_reset, false},
    {"overlap_with_other_octets", overlap_with_other_octets, false},
    {"small_mss", small_mss, true},
    {"initial_window_in_packets", initial_window_in_packets, true},
    {"fin_beyond_window", fin_beyond_window, true},
    {"window_update_rule", window_update_rule, true},
    {"repair_pace", repair_pace, true},
    {"small_window_cuts", small_window_cuts, true},
    {"reset_behind_blocks", reset_behind_blocks, true},
    {"sender_silly_window", sender_silly_window, true},
    {"reset_as_last_word", reset_as_last_word, false},
    {"seq_within_scale", seq_within_scale, false},
    {"ecn_given_up", ecn_given_up, false},
    {"simultaneous_open_options", simultaneous_open_options, false},
    {"no_timestamp_in_syn_received", no_timestamp_in_syn_received, false},
    {"reset_form", reset_form, false},
    {"no_blocks_with_text", no_blocks_with_text, false},
    {"blocks_behind_fin", blocks_behind_fin, false},
    {"fin_in_blocks", fin_in_blocks, false},
    {"duplicate_reported", duplicate_reported, false},
};

}  // namespace

std::vector<const KnownDifference*> known_differences(const Parting& parting) {
  std::vector<const KnownDifference*> found;
  uint32_t left = parting.fields;
  for (const KnownDifference& known : classes) {
    const uint32_t explained = known.explains(parting) & left;
    if (explained == 0) continue;
    left &= ~explained;
    found.push_back(&known);
  }
  if (left != 0) found.clear();
  return found;
}

}  // namespace millrace::diff
