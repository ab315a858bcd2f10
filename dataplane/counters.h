// Counters: one number for every outcome of the data plane that is not plain success, from the one
// list in counters.def. A worker owns a Counters and adds to it without atomics; housekeeping reads
// a copy.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace millrace {

enum class Counter : uint16_t {
#define MILLRACE_COUNTER(name, severity, sentence) name,
#include "dataplane/counters.def"
#undef MILLRACE_COUNTER
};

enum class Severity : uint8_t {
  info,     // traffic, kept for rates
  notice,   // a peer's mistake, or a passing shortage
  warning,  // an operator should look
};

inline constexpr size_t counter_count = 0
#define MILLRACE_COUNTER(name, severity, sentence) +1
#include "dataplane/counters.def"
#undef MILLRACE_COUNTER
    ;

struct CounterFacts {
  std::string_view name;
  Severity severity = Severity::info;
  std::string_view sentence;
};

inline constexpr std::array<CounterFacts, counter_count> counter_facts{{
#define MILLRACE_COUNTER(name, severity, sentence) \
  CounterFacts{#name, Severity::severity, sentence},
#include "dataplane/counters.def"
#undef MILLRACE_COUNTER
}};

constexpr std::string_view name(Counter counter) {
  return counter_facts[static_cast<size_t>(counter)].name;
}
constexpr Severity severity(Counter counter) {
  return counter_facts[static_cast<size_t>(counter)].severity;
}
constexpr std::string_view sentence(Counter counter) {
  return counter_facts[static_cast<size_t>(counter)].sentence;
}

struct Counters {
  std::array<uint64_t, counter_count> values{};

  void add(Counter counter, uint64_t count = 1) { values[static_cast<size_t>(counter)] += count; }
  uint64_t operator[](Counter counter) const { return values[static_cast<size_t>(counter)]; }
};

}  // namespace millrace
