// The parser of wire scripts: a line is a list of words, and each verb knows what may follow it.
#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <map>

#include "tests/script/script.h"

namespace millrace::script {
namespace {

constexpr std::string_view flag_letters = "FSRPAUEC";

// Thrown by the parser alone, and caught by parse_script.
struct BadLine {
  std::string what;
};

[[noreturn]] void bad(const std::string& what) {
  throw BadLine{what};
}

std::string quoted(std::string_view word) {
  return "\"" + std::string(word) + "\"";
}

std::optional<uint64_t> decimal(std::string_view word, uint64_t maximum) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size() || value > maximum)
    return std::nullopt;
  return value;
}

// "40ms", "1.5s", "25d": a number and its unit.
Duration duration_of(std::string_view word) {
  static const std::map<std::string_view, double> units{
      {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"min", 60e9}, {"h", 3'600e9}, {"d", 86'400e9}};
  const size_t digits = word.find_first_not_of("0123456789.");
  if (digits == 0 || digits == std::string_view::npos) bad(quoted(word) + " is no span of time");
  const auto unit = units.find(word.substr(digits));
  if (unit == units.end()) bad(quoted(word) + " ends with no unit of time (us ms s min h d)");
  double number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + digits, number);
  if (error != std::errc() || end != word.data() + digits)
    bad(quoted(word) + " is no span of time");
  return Duration::nanoseconds(static_cast<int64_t>(number * unit->second));
}

class Words {
 public:
  explicit Words(std::vector<std::string> words) : words_(std::move(words)) {}

  bool empty() const { return at_ == words_.size(); }
  const std::string& peek() const { return words_[at_]; }
  std::string take(const char* what) {
    if (empty()) bad(std::string("the line ends where ") + what + " should stand");
    return words_[at_++];
  }
  bool take_if(std::string_view word) {
    if (empty() || peek() != word) return false;
    ++at_;
    return true;
  }
  uint64_t number(const char* what, uint64_t maximum) {
    const std::string word = take(what);
    const auto value = decimal(word, maximum);
    if (!value)
      bad(quoted(word) + " is no number up to " + std::to_string(maximum) + " (" + what + ")");
    return *value;
  }
  SequenceNumber sequence(const char* what) { return sequence_of(take(what)); }
  Comparison comparison(const char* what);
  Duration span(const char* what) { return duration_of(take(what)); }

  static SequenceNumber sequence_of(std::string_view word);

 private:
  std::vector<std::string> words_;
  size_t at_ = 0;
};

SequenceNumber Words::sequence_of(std::string_view word) {
  SequenceNumber number;
  std::string_view rest = word;
  number.absolute = rest.starts_with('@');
  if (number.absolute) rest.remove_prefix(1);
  const bool negative = rest.starts_with('-');
  if (negative) rest.remove_prefix(1);
  const auto value = decimal(rest, uint64_t{1} << 32);
  if (!value || (number.absolute && negative)) bad(quoted(word) + " is no sequence number");
  number.value = negative ? -static_cast<int64_t>(*value) : static_cast<int64_t>(*value);
  return number;
}

Comparison Words::comparison(const char* what) {
  using Relation = Comparison::Relation;
  static const std::array<std::pair<std::string_view, Relation>, 5> signs{
      {{">=", Relation::at_least},
       {"<=", Relation::at_most},
       {"!=", Relation::not_equal},
       {">", Relation::more},
       {"<", Relation::less}}};
  const std::string word = take(what);
  Comparison comparison;
  std::string_view rest = word;
  for (const auto& [sign, relation] : signs) {
    if (!rest.starts_with(sign)) continue;
    comparison.relation = relation;
    rest.remove_prefix(sign.size());
    break;
  }
  const auto value = decimal(rest, UINT64_MAX);
  if (!value) bad(quoted(word) + " is no number (" + what + ")");
  comparison.value = *value;
  return comparison;
}

std::vector<uint8_t> octets_of(const std::string& word) {
  std::vector<uint8_t> octets;
  if (word.size() % 2 != 0) bad(quoted(word) + " has half an octet");
  for (size_t i = 0; i < word.size(); i += 2) {
    unsigned octet = 0;
    const auto [end, error] = std::from_chars(word.data() + i, word.data() + i + 2, octet, 16);
    if (error != std::errc() || end != word.data() + i + 2)
      bad(quoted(word) + " is not hexadecimal");
    octets.push_back(static_cast<uint8_t>(octet));
  }
  return octets;
}

std::optional<Comparison> timestamp_of(Words& words, const char* what) {
  if (words.take_if("*")) return std::nullopt;
  return words.comparison(what);
}

using FieldParser = std::function<void(Words&, SegmentPattern&)>;

// Fields that may stand in what goes in and in what comes out.
const std::map<std::string_view, FieldParser>& common_fields() {
  static const std::map<std::string_view, FieldParser> fields{
      {"seq", [](Words& w, SegmentPattern& s) { s.seq = w.sequence("a sequence number"); }},
      {"ack", [](Words& w, SegmentPattern& s) { s.ack = w.sequence("an acknowledgment"); }},
      {"win", [](Words& w, SegmentPattern& s) { s.window = w.comparison("a window"); }},
      {"mss", [](Words& w, SegmentPattern& s) { s.mss = w.number("an MSS", 65'535); }},
      {"wscale", [](Words& w, SegmentPattern& s) { s.window_scale = w.number("a shift", 255); }},
      {"sackok", [](Words&, SegmentPattern& s) { s.sack_permitted = true; }},
      {"ts",
       [](Words& w, SegmentPattern& s) {
         s.timestamps.emplace();
         s.timestamps->value = timestamp_of(w, "a timestamp");
         s.timestamps->echo = timestamp_of(w, "an echoed timestamp");
       }},
      {"sack",
       [](Words& w, SegmentPattern& s) {
         const std::string word = w.take("a block BEGIN:END");
         const size_t colon = word.find(':');
         if (colon == std::string::npos) bad(quoted(word) + " is no block BEGIN:END");
         s.sack.emplace_back(Words::sequence_of(std::string_view(word).substr(0, colon)),
                             Words::sequence_of(std::string_view(word).substr(colon + 1)));
       }},
      {"len", [](Words& w, SegmentPattern& s) { s.length = w.number("a length", 65'000); }},
      {"urg", [](Words& w, SegmentPattern& s) { s.urgent = w.number("a pointer", 65'535); }},
      {"ecn", [](Words& w, SegmentPattern& s) { s.congestion_bits = w.number("two bits", 3); }},
  };
  return fields;
}

const std::map<std::string_view, FieldParser>& inject_fields() {
  static const std::map<std::string_view, FieldParser> fields{
      {"other", [](Words&, SegmentPattern& s) { s.other_text = true; }},
      {"opt",
       [](Words& w, SegmentPattern& s) {
         s.raw_options = octets_of(w.take("octets in hexadecimal"));
       }},
      {"doff", [](Words& w, SegmentPattern& s) { s.header_words = w.number("words", 15); }},
      {"from", [](Words& w, SegmentPattern& s) { s.from_port = w.number("a port", 65'535); }},
      {"to", [](Words& w, SegmentPattern& s) { s.to_port = w.number("a port", 65'535); }},
      {"host", [](Words& w, SegmentPattern& s) { s.from_address = w.take("an address"); }},
      {"badsum", [](Words&, SegmentPattern& s) { s.bad_checksum = true; }},
      {"badipsum", [](Words&, SegmentPattern& s) { s.bad_ip_checksum = true; }},
      {"fragment", [](Words&, SegmentPattern& s) { s.fragment = true; }},
      {"nots", [](Words&, SegmentPattern& s) { s.absent.emplace_back("ts"); }},
  };
  return fields;
}

const std::map<std::string_view, FieldParser>& expect_fields() {
  static const std::map<std::string_view, FieldParser> fields{
      {"ipid",
       [](Words& w, SegmentPattern& s) { s.ip_identification = w.number("a number", 65'535); }},
      {"no",
       [](Words& w, SegmentPattern& s) {
         const std::string name = w.take("an option's name");
         if (name != "mss" && name != "wscale" && name != "sackok" && name != "ts" &&
             name != "sack")
           bad("no option is called " + quoted(name));
         s.absent.push_back(name);
       }},
  };
  return fields;
}

void take_fields(Words& words, SegmentPattern& segment,
                 const std::map<std::string_view, FieldParser>& more_fields) {
  while (!words.empty() && words.peek() != "&") {
    const std::string name = words.take("a field");
    const auto common = common_fields().find(name);
    if (common != common_fields().end()) {
      common->second(words, segment);
      continue;
    }
    const auto other = more_fields.find(name);
    if (other == more_fields.end()) bad("no field is called " + quoted(name));
    other->second(words, segment);
  }
}

void take_segment(Words& words, SegmentPattern& segment,
                  const std::map<std::string_view, FieldParser>& more_fields) {
  const std::string letters = words.take("the flags");
  const auto flags = flags_of(letters);
  if (!flags) bad(quoted(letters) + " are no flags (letters of FSRPAUEC, or a dot)");
  segment.flags = *flags;
  take_fields(words, segment, more_fields);
}

void take_icmp(Words& words, IcmpPattern& icmp) {
  icmp.type = static_cast<uint8_t>(words.number("a type", 255));
  icmp.code = static_cast<uint8_t>(words.number("a code", 255));
  if (words.take_if("mtu")) icmp.mtu = static_cast<uint16_t>(words.number("an MTU", 65'535));
  if (!words.take_if("seq")) bad("an ICMP error quotes a segment: seq is missing");
  icmp.seq = words.sequence("a sequence number");
}

void take_read(Words& words, Step& step) {
  const std::string word = words.take("a number of octets, end, nothing or aborted");
  if (word == "end" || word == "nothing" || word == "aborted") {
    step.word = word;
    return;
  }
  const auto number = decimal(word, 1 << 20);
  if (!number) bad(quoted(word) + " is no number of octets");
  step.number = *number;
  if (words.take_if("other")) step.word = "other";
}

void take_rest(Words& words, std::vector<std::string>& rest) {
  while (!words.empty() && words.peek() != "&") rest.push_back(words.take("a word"));
}

using VerbParser = std::function<void(Words&, Step&)>;
struct VerbFacts {
  Verb verb;
  VerbParser parse;
};

void no_argument(Words&, Step&) {}

const std::map<std::string_view, VerbFacts>& verbs() {
  static const std::map<std::string_view, VerbFacts> table{
      {"config",
       {Verb::config,
        [](Words& w, Step& s) {
          s.word = w.take("a name");
          take_rest(w, s.words);
          if (s.words.size() != 1) bad("config takes a name and one value");
        }}},
      {"flow", {Verb::flow, [](Words& w, Step& s) { s.number = w.number("a number", 999); }}},
      {"port", {Verb::port, [](Words& w, Step& s) { s.number = w.number("a port", 65'535); }}},
      {"isn", {Verb::isn, [](Words& w, Step& s) { s.number = w.number("a number", UINT32_MAX); }}},
      {"in",
       {Verb::inject, [](Words& w, Step& s) { take_segment(w, s.segment, inject_fields()); }}},
      {"icmp", {Verb::icmp, [](Words& w, Step& s) { take_icmp(w, s.icmp); }}},
      {"out",
       {Verb::expect, [](Words& w, Step& s) { take_segment(w, s.segment, expect_fields()); }}},
      {"drain", {Verb::drain, no_argument}},
      {"silence", {Verb::silence, [](Words& w, Step& s) { s.span = w.span("a span of time"); }}},
      {"jump",
       {Verb::jump,
        [](Words& w, Step& s) {
          const std::string word = w.take("a span of time");
          const bool back = word[0] == '-';
          s.span = duration_of(std::string_view(word).substr(back ? 1 : 0)) * (back ? -1 : 1);
        }}},
      {"establish",
       {Verb::establish, [](Words& w, Step& s) { take_fields(w, s.segment, inject_fields()); }}},
      {"listen", {Verb::listen, [](Words& w, Step& s) { s.number = w.number("a port", 65'535); }}},
      {"connect",
       {Verb::connect, [](Words& w, Step& s) { s.number = w.number("a port", 65'535); }}},
      {"accept",
       {Verb::accept, [](Words& w, Step& s) { s.number = w.take_if("nothing") ? 0 : 1; }}},
      {"write",
       {Verb::write,
        [](Words& w, Step& s) {
          s.number = w.number("a number of octets", 1 << 24);
          if (w.take_if("takes")) s.comparison = w.comparison("how many it takes");
        }}},
      {"read", {Verb::read, take_read}},
      {"shutdown", {Verb::shutdown, no_argument}},
      {"close", {Verb::close, no_argument}},
      {"abort", {Verb::abort, no_argument}},
      {"option",
       {Verb::option,
        [](Words& w, Step& s) {
          s.word = w.take("nagle or keepalive");
          if (s.word != "nagle" && s.word != "keepalive")
            bad("no option is called " + quoted(s.word));
          s.number = w.take_if("off") ? 0 : 1;
          if (s.number == 1 && !w.take_if("on")) bad("an option is on or off");
        }}},
      {"state", {Verb::state, [](Words& w, Step& s) { s.word = w.take("a state"); }}},
      {"count",
       {Verb::count,
        [](Words& w, Step& s) {
          s.word = w.take("a counter or gauge");
          s.comparison = w.comparison("its value");
        }}},
      {"info",
       {Verb::info,
        [](Words& w, Step& s) {
          s.word = w.take("a field");
          s.comparison = w.comparison("its value");
        }}},
      {"events", {Verb::events, [](Words& w, Step& s) { take_rest(w, s.words); }}},
  };
  return table;
}

// "+40ms", "+40ms..60ms", "@1.5s": when the line happens.
When take_when(Words& words) {
  When when;
  const std::string& word = words.peek();
  if (word[0] != '+' && word[0] != '@') return when;
  when.kind = word[0] == '+' ? When::Kind::after : When::Kind::at;
  const std::string rest = words.take("a time").substr(1);
  const size_t dots = rest.find("..");
  when.earliest = duration_of(std::string_view(rest).substr(0, dots));
  if (dots != std::string::npos) {
    when.latest = duration_of(std::string_view(rest).substr(dots + 2));
    if (*when.latest < when.earliest) bad("the range ends before it begins");
  }
  return when;
}

std::vector<std::string> words_of(std::string_view line) {
  line = line.substr(0, line.find('#'));
  std::vector<std::string> words;
  for (size_t at = 0;;) {
    at = line.find_first_not_of(" \t\r", at);
    if (at == std::string_view::npos) return words;
    const size_t end = std::min(line.find_first_of(" \t\r", at), line.size());
    words.emplace_back(line.substr(at, end - at));
    at = end;
  }
}

Step step_of(Words& words) {
  Step step;
  step.when = take_when(words);
  const std::string name = words.take("a verb");
  const auto found = verbs().find(name);
  if (found == verbs().end()) bad("no verb is called " + quoted(name));
  step.verb = found->second.verb;
  found->second.parse(words, step);
  step.turn_goes_on = words.take_if("&");
  if (!words.empty()) bad(quoted(words.peek()) + " is one word too many");
  if (step.when.latest && step.verb != Verb::expect) bad("only out takes a range of time");
  return step;
}

}  // namespace

bool Comparison::holds_for(uint64_t number) const {
  switch (relation) {
    case Relation::equal: return number == value;
    case Relation::not_equal: return number != value;
    case Relation::less: return number < value;
    case Relation::at_most: return number <= value;
    case Relation::more: return number > value;
    case Relation::at_least: return number >= value;
  }
  return false;
}

std::string Comparison::text() const {
  static constexpr std::array<const char*, 6> signs{"", "!=", "<", "<=", ">", ">="};
  return signs[static_cast<size_t>(relation)] + std::to_string(value);
}

std::optional<uint8_t> flags_of(std::string_view letters) {
  if (letters == ".") return uint8_t{0};
  unsigned flags = 0;
  for (const char letter : letters) {
    const size_t bit = flag_letters.find(letter);
    if (bit == std::string_view::npos) return std::nullopt;
    flags |= 1U << bit;
  }
  return static_cast<uint8_t>(flags);
}

std::string letters_of(uint8_t flags) {
  std::string letters;
  for (size_t bit = 0; bit < flag_letters.size(); ++bit) {
    if ((flags >> bit & 1) != 0) letters += flag_letters[bit];
  }
  return letters.empty() ? "." : letters;
}

std::optional<Script> parse_script(std::string_view file, std::string_view text, Fault* fault) {
  Script script;
  script.file = file;
  int number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    ++number;
    std::vector<std::string> words = words_of(text.substr(at, end - at));
    at = end + 1;
    if (words.empty()) continue;
    try {
      Words line(std::move(words));
      script.steps.push_back(step_of(line));
      script.steps.back().line = number;
    } catch (const BadLine& problem) {
      *fault = {number, problem.what};
      return std::nullopt;
    }
  }
  if (script.steps.empty()) {
    *fault = {number, "the script says nothing"};
    return std::nullopt;
  }
  return script;
}

}  // namespace millrace::script
