// A wire script: what a peer and an application do to the stack, line by line on virtual time, and
// what must be seen. The language is described in README.md; this is a script as a value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"

namespace millrace::script {

// A number that must be so, or on one side of a bound.
struct Comparison {
  enum class Relation : uint8_t { equal, not_equal, less, at_most, more, at_least };
  Relation relation = Relation::equal;
  uint64_t value = 0;

  bool holds_for(uint64_t number) const;
  std::string text() const;
};

// A sequence number: relative to an initial sequence number, or as it is on the wire ("@7").
struct SequenceNumber {
  int64_t value = 0;
  bool absolute = false;
};

// TSval and TSecr as written; a missing number is anything, in what goes in: the peer's clock, and
// the echo of what the stack said last.
struct TimestampsOption {
  std::optional<Comparison> value;
  std::optional<Comparison> echo;
};

// A segment as a script names it. Going in, what is not named has the value of an ordinary segment;
// coming out, what is not named is free.
struct SegmentPattern {
  uint8_t flags = 0;
  std::optional<SequenceNumber> seq;
  std::optional<SequenceNumber> ack;
  std::optional<Comparison> window;
  std::optional<uint16_t> mss;
  std::optional<uint8_t> window_scale;
  bool sack_permitted = false;
  std::optional<TimestampsOption> timestamps;
  std::vector<std::pair<SequenceNumber, SequenceNumber>> sack;
  std::optional<uint32_t> length;          // of text, which follows the stream's pattern
  std::optional<uint16_t> urgent;          // pointer
  std::optional<uint8_t> congestion_bits;  // the two low bits of the traffic class
  std::optional<uint16_t> ip_identification;
  std::vector<std::string> absent;  // options that must not be there
  // Only going in.
  bool other_text = false;              // not the stream's pattern, but one of another letter case
  std::vector<uint8_t> raw_options;     // behind all others, as they are
  std::optional<uint8_t> header_words;  // data offset
  std::optional<uint16_t> from_port;
  std::optional<uint16_t> to_port;
  std::optional<std::string> from_address;
  bool bad_checksum = false;
  bool bad_ip_checksum = false;
  bool fragment = false;
};

// An ICMP error that quotes a segment of ours.
struct IcmpPattern {
  uint8_t type = 3;
  uint8_t code = 0;
  uint16_t mtu = 0;
  SequenceNumber seq;
};

// When a line happens: at once, a span after the line before, or a span after the script's start;
// for what is awaited, within a range.
struct When {
  enum class Kind : uint8_t { now, after, at };
  Kind kind = Kind::now;
  Duration earliest;
  std::optional<Duration> latest;  // none: earliest, within the tolerance
};

enum class Verb : uint8_t {
  config,     // word: name; arguments
  flow,       // number: which peer port is spoken of from here on
  port,       // number: which port of the stack is spoken to from here on
  isn,        // number: the peer's next initial sequence number
  inject,     // segment
  icmp,       // icmp
  expect,     // segment
  drain,      // whatever has left is of no interest
  silence,    // span
  jump,       // span: the clock steps
  establish,  // segment: options of the peer's SYN
  listen,     // number
  connect,    // number
  accept,     // comparison: 1 there is one, 0 there is none
  write,      // number; comparison: how many octets are taken
  read,       // word: "" (number octets), "other", "end", "nothing", "aborted"
  shutdown,
  close,
  abort,
  option,  // word: name; number: on
  state,   // word: name
  count,   // word: counter or gauge; comparison
  info,    // word: field; comparison
  events,  // words
};

struct Step {
  int line = 0;
  When when;
  bool turn_goes_on = false;  // "&": the next line happens before the stack sends
  Verb verb = Verb::config;
  std::string word;
  std::vector<std::string> words;
  uint64_t number = 0;
  SequenceNumber sequence;
  std::optional<Comparison> comparison;
  Duration span;
  SegmentPattern segment;
  IcmpPattern icmp;
};

struct Script {
  std::string file;
  std::vector<Step> steps;
};

// What is wrong with a script or with what was seen: "FILE:LINE: what".
struct Fault {
  int line = 0;
  std::string what;
};

// One letter a flag: F S R P A U E C, "." for none. nullopt for any other letter.
std::optional<uint8_t> flags_of(std::string_view letters);
std::string letters_of(uint8_t flags);

// Parses a whole script, or says which line is wrong and why.
std::optional<Script> parse_script(std::string_view file, std::string_view text, Fault* fault);

}  // namespace millrace::script
