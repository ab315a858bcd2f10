// What DNS says of the names that somebody wants, asked again when it is no longer true. Time is an
// argument, but for the waiting of one question (DnsClient).
//
// A name that was answered once keeps its addresses until DNS gives others: a failure takes nothing
// away.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "controlplane/names/dns_client.h"

namespace millrace::names {

constexpr size_t names_max = 1'000;           // those beyond are not asked for
constexpr size_t addresses_of_name_max = 64;  // the lowest ones count
// An answer is believed for its time to live, within these.
constexpr Duration answer_time_min = Duration::seconds(5);
constexpr Duration answer_time_max = Duration::seconds(3'600);
// One of more records is believed so long at least: reading it takes the more time the longer it is
// (25 ms for 4,000), and its owner would say how often.
constexpr size_t records_small_max = 128;
constexpr Duration large_answer_time_min = Duration::seconds(300);
constexpr size_t questions_a_turn = 64;
// After a failure; each one in a row doubles it.
constexpr Duration retry_pause_min = Duration::seconds(1);
constexpr Duration retry_pause_max = Duration::seconds(60);

struct KnownName {
  std::vector<Ipv4Address> addresses;  // in their order, each once
  std::string failure;                 // of the newest question; empty: it was answered
  bool is_answered = false;            // DNS gave addresses once, or said that there are none

  bool operator==(const KnownName&) const = default;
};

class NameBook {
 public:
  explicit NameBook(const DnsOptions& options) : dns_(options) {}

  // These and no others from now on, asked for at the next turn(). Of more than names_max those
  // stay that have a place.
  void want(const std::set<std::string>& names);
  const KnownName* find(const std::string& name) const;  // null: it is not asked for
  // No name waits for its first answer; that DNS cannot be asked is none.
  bool is_settled() const { return unanswered_ == 0; }

  int fd() const { return dns_.fd(); }
  Instant due(Instant now) const;
  // Names of which find() says something else than before.
  std::vector<std::string> turn(Instant now);

 private:
  struct Entry {
    KnownName known;
    uint64_t question = 0;  // under way; 0: none
    Duration pause = retry_pause_min;
    Instant ask_at;
  };
  using Entries = std::map<std::string, Entry>;

  void ask(Instant now);
  bool take(const DnsAnswer& answer, Entries::iterator at, Instant now);
  void ask_later(Entries::iterator at, Instant when);
  void forget(Entries::iterator at);

  DnsClient dns_;
  Entries entries_;
  std::set<std::pair<Instant, std::string>> queue_;  // those that are not being asked for
  std::map<uint64_t, std::string> asked_;            // by question
  uint64_t last_question_ = 0;
  size_t unanswered_ = 0;  // entries
};

}  // namespace millrace::names
