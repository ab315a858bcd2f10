#include "controlplane/names/name_book.h"

#include <algorithm>

namespace millrace::names {

void NameBook::want(const std::set<std::string>& names) {
  for (auto at = entries_.begin(); at != entries_.end();) {
    const auto entry = at++;
    if (!names.contains(entry->first)) forget(entry);
  }
  for (const std::string& name : names) {
    if (entries_.size() >= names_max) return;
    const auto [at, is_new] = entries_.try_emplace(name);
    if (!is_new) continue;
    ++unanswered_;
    ask_later(at, Instant());
  }
}

void NameBook::forget(Entries::iterator at) {
  unanswered_ -= !at->second.known.is_answered;
  queue_.erase({at->second.ask_at, at->first});
  entries_.erase(at);
}

const KnownName* NameBook::find(const std::string& name) const {
  const auto at = entries_.find(name);
  return at == entries_.end() ? nullptr : &at->second.known;
}

void NameBook::ask_later(Entries::iterator at, Instant when) {
  at->second.ask_at = when;
  queue_.emplace(when, at->first);
}

Instant NameBook::due(Instant now) const {
  const bool may_ask = !queue_.empty() && dns_.has_room();
  return std::min(dns_.due(now), may_ask ? queue_.begin()->first : Instant::never());
}

std::vector<std::string> NameBook::turn(Instant now) {
  std::vector<std::string> news;
  for (const DnsAnswer& answer : dns_.turn()) {
    const auto asked = asked_.find(answer.question);
    const std::string name = std::move(asked->second);
    asked_.erase(asked);
    const auto at = entries_.find(name);
    // One that was forgotten meanwhile, and perhaps wanted again.
    if (at == entries_.end() || at->second.question != answer.question) continue;
    if (take(answer, at, now)) news.push_back(name);
  }
  ask(now);
  return news;
}

void NameBook::ask(Instant now) {
  for (size_t left = questions_a_turn;
       left > 0 && !queue_.empty() && queue_.begin()->first <= now && dns_.has_room(); --left) {
    const std::string name = queue_.begin()->second;
    queue_.erase(queue_.begin());
    const uint64_t question = ++last_question_;
    entries_.at(name).question = question;
    asked_.emplace(question, name);
    dns_.ask(question, name);
  }
}

// True when something else is known than before.
bool NameBook::take(const DnsAnswer& answer, Entries::iterator at, Instant now) {
  Entry& entry = at->second;
  entry.question = 0;
  KnownName known{entry.known.addresses, answer.failure,
                  entry.known.is_answered || answer.is_of_server};
  if (answer.failure.empty()) {
    known.addresses = answer.addresses;
    std::sort(known.addresses.begin(), known.addresses.end());
    known.addresses.erase(std::unique(known.addresses.begin(), known.addresses.end()),
                          known.addresses.end());
    if (known.addresses.size() > addresses_of_name_max) {
      known.addresses.resize(addresses_of_name_max);
    }
    entry.pause = retry_pause_min;
    const Duration time_min =
        answer.records > records_small_max ? large_answer_time_min : answer_time_min;
    ask_later(at, now + std::clamp(answer.time_to_live, time_min, answer_time_max));
  } else {
    ask_later(at, now + entry.pause);
    entry.pause = std::min(entry.pause * 2, retry_pause_max);
  }
  unanswered_ -= known.is_answered && !entry.known.is_answered;
  if (known == entry.known) return false;
  entry.known = std::move(known);
  return true;
}

}  // namespace millrace::names
