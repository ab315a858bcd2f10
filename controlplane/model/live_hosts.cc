#include "controlplane/model/live_hosts.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "controlplane/model/object_fetch.h"

namespace millrace::model {

namespace {

// A host of a few paths takes a microsecond.
constexpr size_t hosts_a_thread = 512;

void fetch_host(const LiveHost& host, size_t step) {
  if (step == 0) return fetch(&host, sizeof host);
  host.rules.fetch(step - 1);
}

const Host* find_host(const std::vector<Host>& hosts, const std::string& name) {
  const auto at = std::lower_bound(
      hosts.begin(), hosts.end(), name,
      [](const Host& host, const std::string& wanted) { return host.name < wanted; });
  return at == hosts.end() || at->name != name ? nullptr : &*at;
}

// Most hosts have nothing to say.
void say(const std::string& name, std::vector<k8s::Problem> said, ProblemBook* problems) {
  if (said.empty() && problems->empty()) return;
  problems->set({ProblemOrigin::Kind::host, name}, std::move(said));
}

}  // namespace

void LiveHosts::reserve(size_t hosts) {
  hosts_.reserve(hosts);
  dirty_.reserve(hosts);
}

LiveHost* LiveHosts::find_or_make(const std::string& name) {
  auto at = hosts_.find(name);
  if (at == hosts_.end()) {
    auto host = std::make_unique<LiveHost>();
    host->name = name;
    at = hosts_.insert(std::move(host)).first;
  }
  return at->get();
}

void LiveHosts::touch(LiveHost* host) {
  if (!std::exchange(host->is_dirty, true)) dirty_.push_back(host);
}

void LiveHosts::sort_dirty() {
  const auto by_name = [](const LiveHost* left, const LiveHost* right) {
    return left->name < right->name;
  };
  if (std::is_sorted(dirty_.begin(), dirty_.end(), by_name)) return;
  std::sort(dirty_.begin(), dirty_.end(), by_name);
}

std::vector<HostChange> LiveHosts::settle(const std::vector<Host>& before, ProblemBook* problems) {
  sort_dirty();
  std::vector<HostChange> changes;
  changes.reserve(dirty_.size());
  for (LiveHost* host : dirty_) {
    host->is_dirty = false;
    std::vector<k8s::Problem> said;
    HostChange change{host->name, std::nullopt, std::nullopt};
    if (host->mentions > 0) change.after = host->rules.settle(host->name, &said);
    say(host->name, std::move(said), problems);
    const Host* const old_one = find_host(before, host->name);
    if (host->mentions == 0) hosts_.erase(hosts_.find(change.name));
    if (old_one == nullptr ? !change.after : change.after && *change.after == *old_one) continue;
    if (old_one != nullptr) change.before = *old_one;
    changes.push_back(std::move(change));
  }
  dirty_.clear();
  return changes;
}

std::vector<Host> LiveHosts::settle_all(Threads threads, ProblemBook* problems) {
  sort_dirty();
  std::vector<Host> settled(dirty_.size());
  std::vector<std::vector<k8s::Problem>> said(dirty_.size());
  for_ranges(dirty_.size(), hosts_a_thread, threads, [&](size_t first, size_t end) {
    for (size_t i = first; i < end; ++i) {
      fetch_ahead(dirty_, i, end, 1 + HostRules::fetch_steps, fetch_host);
      LiveHost& host = *dirty_[i];
      CHECK(host.mentions > 0);
      host.is_dirty = false;
      settled[i] = host.rules.settle(host.name, &said[i]);
    }
  });
  for (size_t i = 0; i < dirty_.size(); ++i) say(dirty_[i]->name, std::move(said[i]), problems);
  dirty_.clear();
  return settled;
}

}  // namespace millrace::model
