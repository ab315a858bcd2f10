// Wire scripts: one rule of TCP a file, on virtual time. A script plays the peer of a stack: what
// it puts on the wire, what must come back and when, what the application does meanwhile.
//
//   # T3: a reset counts at exactly RCV.NXT only.
//   listen 80
//   in S mss 1460                 the peer's SYN; sequence numbers count from its initial one
//   out S. ack 1                  the answer, now
//   in . ack 1
//   accept
//   in R seq 5                    in the window, but not at its edge
//   out . ack 1                   a challenge
//   check state ESTABLISHED
//   +0.2 in R seq 1               a fifth of a second later
//   silent 1
//   check state NONE
//
// A line is [+SECONDS] COMMAND ...; README.md lists the commands.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/tcp/segment.h"

namespace millrace::script {

// What a line says of a segment. Numbers count from the sender's initial sequence number.
struct SegmentText {
  std::string flags;
  std::optional<int64_t> seq;
  std::optional<int64_t> ack;
  std::optional<uint32_t> window;
  std::optional<uint32_t> text;  // octets of the pattern
  std::optional<uint32_t> mss;
  std::optional<uint32_t> scale;
  std::optional<uint32_t> urgent;
  std::optional<uint32_t> from_port;
  std::optional<uint32_t> to_port;
  std::optional<uint32_t> time_value;
  std::optional<uint32_t> time_echo;  // none: the last one seen
  bool has_time = false;
  bool sack_ok = false;
  bool no_sack_ok = false;  // expected not to be there
  bool no_time = false;
  bool bad_checksum = false;
  std::vector<std::pair<int64_t, int64_t>> sack;
  std::vector<uint8_t> raw_options;  // instead of all others
};

struct Line {
  int number = 0;
  std::string source;               // as it stands in the file
  std::optional<int64_t> after_ns;  // +SECONDS
  std::string command;
  std::vector<std::string> words;  // behind the command
};

struct Script {
  std::string path;
  std::vector<Line> lines;
};

// Reads a file. Empty when it cannot be, with *error "path:line: what".
std::optional<Script> read_script(const std::string& path, std::string* error);
// The words of an `in` or `out`. Empty, with what is wrong.
std::optional<SegmentText> parse_segment_text(const std::vector<std::string>& words,
                                              std::string* error);
// "1.5" seconds.
std::optional<int64_t> parse_seconds_ns(const std::string& word);

// Runs it. "" when all held, or "path:line: what was expected and what was seen".
std::string run_script(const Script& script, bool fast_paths, bool verbose);

}  // namespace millrace::script
