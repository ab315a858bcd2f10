#include "tests/diff/step.h"

namespace millrace::diff {
namespace {

std::string place(const char* from, int32_t offset) {
  if (offset == 0) return from;
  return from + std::string(offset > 0 ? "+" : "") + std::to_string(offset);
}

const char* name_of(SeqFrom from) {
  switch (from) {
    case SeqFrom::isn: return "isn";
    case SeqFrom::next: return "next";
    case SeqFrom::edge: return "edge";
  }
  return "?";
}

const char* name_of(AckFrom from) {
  switch (from) {
    case AckFrom::zero: return "0";
    case AckFrom::una: return "una";
    case AckFrom::max: return "max";
  }
  return "?";
}

const char* name_of(TimestampKind kind) {
  switch (kind) {
    case TimestampKind::as_agreed: return "";
    case TimestampKind::missing: return " no-ts";
    case TimestampKind::old: return " old-ts";
    case TimestampKind::unasked: return " ts";
  }
  return "?";
}

std::string options_text(const SegmentStep& segment) {
  std::string text;
  if (segment.mss) text += " mss " + std::to_string(*segment.mss);
  if (segment.window_scale) text += " ws " + std::to_string(*segment.window_scale);
  if (segment.sack_permitted) text += " sackok";
  for (const StepBlock& block : segment.sack) {
    text += " sack una+" + std::to_string(block.begin) + ".." + std::to_string(block.end);
  }
  if (!segment.odd_options.empty()) {
    text += " option";
    for (const uint8_t octet : segment.odd_options) text += " " + std::to_string(octet);
  }
  return text;
}

}  // namespace

bool has_broken_option(const SegmentStep& segment) {
  const Octets& options = segment.odd_options;
  return options.size() == 2 && options[0] == unknown_option;
}

std::string text_of(const Step& step) {
  switch (step.call) {
    case Call::read: return "read()";
    case Call::write: return "write(" + std::to_string(step.write_octets) + ")";
    case Call::shutdown: return "shutdown()";
    case Call::close: return "close()";
    case Call::abort: return "abort()";
    case Call::none: break;
  }
  const SegmentStep& segment = step.segment;
  std::string text = step.name + ": " + flag_letters(segment.flags) + " seq " +
                     place(name_of(segment.seq_from), segment.seq_offset);
  text += " ack " + place(name_of(segment.ack_from), segment.ack_offset);
  if (segment.text_octets > 0) {
    text += " text " + std::to_string(segment.text_octets);
    if (segment.text_variant != 0) text += " (other octets)";
  }
  text += " win " + std::to_string(segment.window);
  if (segment.urgent != 0) text += " urg " + std::to_string(segment.urgent);
  return text + name_of(segment.timestamps) + options_text(segment);
}

}  // namespace millrace::diff
