#include "tests/diff/answer.h"

#include <array>

namespace millrace::diff {
namespace {

uint32_t when(bool differs, Field field) {
  return differs ? field : 0U;
}

uint32_t differing_resets(const Answer& a, const Answer& b) {
  if (a.reset.has_value() != b.reset.has_value()) return field_reset;
  return when(a.reset != b.reset, field_reset_numbers);
}

uint32_t differing_openings(const Answer& a, const Answer& b) {
  if (a.opening.has_value() != b.opening.has_value()) return field_opening;
  if (!a.opening) return 0;
  Answer::Opening without_echo = *a.opening;
  without_echo.with_echo = b.opening->with_echo;
  return when(without_echo != *b.opening, field_opening) |
         when(a.opening->with_echo != b.opening->with_echo, field_echo);
}

uint32_t differing_acknowledgments(const Answer& a, const Answer& b) {
  if (a.acknowledges != b.acknowledges) return field_acknowledges;
  if (!a.acknowledges) return 0;
  const bool both_bare = a.has_bare && b.has_bare;
  return when(a.ack != b.ack, field_ack) |
         when(both_bare && a.seq_of_bare != b.seq_of_bare, field_bare_seq) |
         when(a.window_open != b.window_open, field_window) |
         when(a.timestamps != b.timestamps, field_timestamps) |
         when(a.blocks != b.blocks, field_blocks);
}

// TIME-WAIT is not the socket's any more in Linux.
bool differing_states(const Answer& a, const Answer& b) {
  const auto is_over = [](const std::string& state) {
    return state == "TIME-WAIT" || state == "CLOSED";
  };
  return a.state != b.state && !(is_over(a.state) && is_over(b.state));
}

}  // namespace

uint32_t differing_fields(const Answer& a, const Answer& b) {
  return differing_resets(a, b) | differing_openings(a, b) | differing_acknowledgments(a, b) |
         when(a.new_to != b.new_to, field_text) | when(a.fin != b.fin, field_fin) |
         when(a.has_connection != b.has_connection, field_connection) |
         when(a.read != b.read, field_read) |
         when(a.ended != b.ended || a.broken != b.broken, field_end) |
         when(a.wrong_text || b.wrong_text, field_wrong_text) |
         when(a.has_connection && b.has_connection && differing_states(a, b), field_state);
}

std::string names_of_fields(uint32_t fields) {
  static constexpr std::array<const char*, 17> names = {
      "reset",      "reset numbers", "opening",        "ecn echo",   "acknowledges", "ack",
      "seq",        "window",        "timestamps",     "blocks",     "text",         "fin",
      "connection", "read",          "end of reading", "wrong text", "state"};
  std::string text;
  for (size_t bit = 0; bit < names.size(); ++bit) {
    if ((fields >> bit & 1) != 0) text += (text.empty() ? "" : ", ") + std::string(names[bit]);
  }
  return text;
}

std::string text_of(const Answer& answer) {
  std::string text;
  if (answer.is_silent()) text += "silence";
  if (answer.reset) {
    text += answer.reset->with_ack ? "RST-ACK seq " : "RST seq ";
    text += std::to_string(answer.reset->seq) + " ack " + std::to_string(answer.reset->ack) + "; ";
  }
  if (answer.opening) {
    const Answer::Opening& opening = *answer.opening;
    text += opening.with_ack ? "SYN-ACK ack " + std::to_string(opening.ack) : "SYN";
    if (opening.with_echo) text += " ECE";
    if (opening.has_mss) text += " mss";
    if (opening.has_window_scale) text += " ws";
    if (opening.sack_permitted) text += " sackok";
    if (opening.timestamps) text += " ts";
    text += "; ";
  }
  if (answer.acknowledges) {
    text += "ACK " + std::to_string(answer.ack) + (answer.window_open ? "" : " window shut");
    if (answer.has_bare) text += " seq " + std::to_string(answer.seq_of_bare);
    if (answer.timestamps) text += " ts";
    for (const Answer::Block& block : answer.blocks) {
      text += " sack " + std::to_string(block.begin) + ".." + std::to_string(block.end);
    }
    text += "; ";
  }
  if (answer.new_to != answer.new_from) {
    text += "text " + std::to_string(answer.new_from) + ".." + std::to_string(answer.new_to);
    text += answer.fin ? " FIN; " : "; ";
  }
  if (answer.repeats) text += "(repeats itself) ";
  if (answer.wrong_text) text += "WRONG TEXT ";
  if (!answer.read.empty()) text += "read " + std::to_string(answer.read.size()) + " octets; ";
  if (answer.ended) text += "end of text; ";
  if (answer.broken) text += "broken; ";
  return text + (answer.has_connection ? "[" + answer.state + "]" : "[none]");
}

}  // namespace millrace::diff
