#include "controlplane/publish/rollout.h"

#include <algorithm>
#include <ctime>
#include <set>
#include <utility>

#include "controlplane/publish/held_routes.h"

namespace millrace::publish {

using k8s::Severity;

std::string rfc3339(uint64_t unix_ms) {
  const auto seconds = static_cast<time_t>(unix_ms / 1'000);
  tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[40];
  const size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + length, sizeof text - length, ".%03uZ",
                static_cast<unsigned>(unix_ms % 1'000));
  return text;
}

// What others wrote is made printable: a message of ours holds UTF-8 and nothing else.
record::Cause cause_of(const store::Change& change) {
  record::Cause cause;
  cause.set_kind(std::string(k8s::to_text(change.key.kind)));
  cause.set_name_space(k8s::printable(change.key.name_space));
  cause.set_name(k8s::printable(change.key.name));
  cause.set_change(std::string(store::to_text(change.kind)));
  cause.set_resource_version(k8s::printable(change.resource_version));
  cause.set_field_manager(k8s::printable(change.field_manager));
  if (!change.place.file.empty()) cause.set_place(k8s::printable(change.place.text()));
  return cause;
}

const char* Rollout::to_text(Trigger trigger) {
  switch (trigger) {
    case Trigger::objects: return "objects";
    case Trigger::rollback: return "rollback";
    case Trigger::release: return "release";
    case Trigger::unfreeze: return "unfreeze";
    case Trigger::accept: return "accept";
    case Trigger::guard: return "guard";
  }
  return "";
}

Rollout::Rollout(Publisher* publisher, std::unique_ptr<history::History> history,
                 const ShrinkLimits& limits)
    : publisher_(publisher), history_(std::move(history)), guard_(limits) {
  std::optional<history::History::Table> newest = history_->newest_table();
  if (newest) {
    resumed_ = true;
    hash_ = history::ContentHash(newest->model);
    auto slots = compile::SlotTable::from(newest->slots);
    publisher_->resume(newest->number, std::move(newest->model),
                       slots ? std::move(*slots) : compile::SlotTable());
  } else {
    hash_ = history::ContentHash(model::Model());
    // Only the number: what the table was is not known.
    publisher_->number_after(history_->newest_number());
  }
  recorded_ = history_->newest_number();
  Result<record::Hold> hold = history_->read_hold();
  Result<model::Model> held = hold ? history::from_message(hold->table()) : Error{hold.error()};
  if (hold && held) {
    hold_ = std::move(*hold);
    held_ = std::move(*held);
  } else if (!resumed_) {
    say(Severity::error,
        "what was pinned or frozen cannot be read: " + (hold ? held.error() : hold.error()));
  } else {
    // Somebody held something; the safe reading is that nothing is to move.
    hold_.set_frozen(true);
    hold_.set_frozen_version(static_cast<double>(recorded_));
    held_ = published();
    say(Severity::error,
        "what was pinned or frozen cannot be read: " + (hold ? held.error() : hold.error()) +
            "; version " + std::to_string(recorded_) + " is frozen until `millrace unfreeze`");
  }
  for (std::string& complaint : history_->take_complaints()) {
    say(Severity::warning, "history: " + std::move(complaint));
  }
}

std::vector<k8s::Problem> Rollout::offer(model::Model asked,
                                         const std::vector<store::Change>& changes,
                                         const store::Store& objects, Moment at) {
  own_asked_ = std::move(asked);
  return offer_live(own_asked_, nullptr, changes, objects, at);
}

std::vector<k8s::Problem> Rollout::offer_live(const model::Model& asked,
                                              const model::ModelDelta* delta,
                                              const std::vector<store::Change>& changes,
                                              const store::Store& objects, Moment at) {
  asked_ = &asked;
  note(changes);
  if (delta == nullptr || !settle_live(*delta, objects, at)) {
    settle(Trigger::objects, objects, at);
  }
  return problems_;
}

// The usual case: nothing is held, and what is published is what was asked for. False: look at
// everything.
bool Rollout::settle_live(const model::ModelDelta& delta, const store::Store& objects, Moment at) {
  static_cast<void>(objects);
  if (!in_step_ || holds_routes() || !has_published()) return false;
  if (guard_.check(size_of(published()), size_of(*asked_), at.now)) return false;
  problems_.clear();
  guard_.reset();
  held_back_.clear();
  in_step_ = publish_change(Trigger::objects, delta, at);
  if (in_step_) {
    waiting_.clear();  // what made no difference is no cause
    waiting_more_ = 0;
  }
  return true;
}

std::optional<std::vector<k8s::Problem>> Rollout::turn(const store::Store& objects, Moment at) {
  if (at.now < guard_.due()) return std::nullopt;
  settle(Trigger::objects, objects, at);
  return problems_;
}

void Rollout::note(const std::vector<store::Change>& changes) {
  for (const store::Change& change : changes) {
    const auto known = waiting_.find(change.key);
    if (known != waiting_.end()) {
      const bool is_new_still = known->second.kind == store::ChangeKind::added &&
                                change.kind == store::ChangeKind::updated;
      known->second = change;
      if (is_new_still) known->second.kind = store::ChangeKind::added;
    } else if (waiting_.size() < causes_waiting_max) {
      waiting_.emplace(change.key, change);
    } else {
      ++waiting_more_;
    }
  }
}

model::Model Rollout::table_wanted(const store::Store& objects) {
  if (!holds_routes()) return *asked_;
  if (hold_.frozen() && hold_.endpoints_frozen()) return held_;
  return with_current_endpoints(held_, *asked_, objects, &problems_);
}

bool Rollout::guard_holds(const model::Model& table, Moment at) {
  const bool has_table = has_published() || resumed_;
  const auto why =
      has_table ? guard_.check(size_of(published()), size_of(table), at.now) : std::nullopt;
  if (!why) {
    held_back_.clear();
    return false;
  }
  held_back_ = *why;
  problems_.push_back({Severity::error, {}, "", held_back_});
  return true;
}

void Rollout::settle(Trigger trigger, const store::Store& objects, Moment at) {
  problems_.clear();
  tell_of_guard();
  if (!asked_) return;
  model::Model table = table_wanted(objects);
  in_step_ = false;
  if (trigger == Trigger::objects && guard_holds(table, at)) {
    // A process that has just started wants what was published before it, not nothing.
    if (!has_published()) publish(trigger, published(), objects, at);
    return;
  }
  guard_.reset();
  held_back_.clear();
  if (!publish(trigger, std::move(table), objects, at) || holds_routes()) return;
  in_step_ = true;
  waiting_.clear();  // what made no difference is no cause
  waiting_more_ = 0;
}

// False when the table cannot be built.
bool Rollout::publish(Trigger trigger, model::Model table, const store::Store& objects, Moment at) {
  const model::ModelDelta change = model::difference(published(), table);
  if (has_published() && change.empty()) return true;
  if (resumed_ && !has_published()) keep_related(change, objects);
  if (has_published()) return publish_change(trigger, change, at);
  return conclude(trigger, publisher_->want(std::move(table)), change, at);
}

bool Rollout::publish_change(Trigger trigger, const model::ModelDelta& change, Moment at) {
  if (change.empty()) return true;
  return conclude(trigger, publisher_->want_change(change), change, at);
}

bool Rollout::conclude(Trigger trigger, const Result<std::vector<k8s::Problem>>& refused,
                       const model::ModelDelta& change, Moment at) {
  if (!refused) {
    problems_.push_back({Severity::error,
                         {},
                         "",
                         "the table cannot be built and stays as it is: " + refused.error()});
    return false;
  }
  problems_.insert(problems_.end(), refused->begin(), refused->end());
  hash_.apply(change);
  if (publisher_->wanted_version() != recorded_) record(trigger, change, at);
  return true;
}

// After a restart every object is new to the store. Those that the difference speaks of stay.
void Rollout::keep_related(const model::ModelDelta& change, const store::Store& objects) {
  std::set<std::pair<std::string, std::string>> ingresses;
  std::set<std::pair<std::string, std::string>> services;
  const auto take = [&](const model::Route& route) {
    ingresses.emplace(route.source.name_space, route.source.ingress);
  };
  const auto take_host = [&](const std::optional<model::Host>& host) {
    if (!host) return;
    for (const model::Route& route : host->routes) take(route);
    for (const model::ShadowedRoute& shadowed : host->shadowed) take(shadowed.route);
    if (host->default_route) take(*host->default_route);
    for (const model::Route& route : host->shadowed_defaults) take(route);
  };
  for (const model::HostChange& host : change.hosts) {
    take_host(host.before);
    take_host(host.after);
  }
  if (change.cluster_default && change.cluster_default->second.route) {
    take(*change.cluster_default->second.route);
  }
  for (const model::ServiceChange& service : change.services) {
    // With one side only it is a rule that began or ceased to name it.
    if (!service.before || !service.after) continue;
    services.emplace(service.key.name_space, service.key.service);
  }
  std::erase_if(waiting_, [&](const auto& one) {
    const k8s::ObjectKey& key = one.first;
    if (key.kind == k8s::Kind::ingress) return !ingresses.contains({key.name_space, key.name});
    if (key.kind == k8s::Kind::service) return !services.contains({key.name_space, key.name});
    const k8s::Object* slice = objects.find(key);
    if (key.kind != k8s::Kind::endpoint_slice || slice == nullptr) return true;
    const auto& labels = k8s::metadata_of(*slice->body).labels();
    const auto label = labels.find("kubernetes.io/service-name");
    return label == labels.end() || !services.contains({key.name_space, label->second});
  });
  waiting_more_ = 0;
}

void Rollout::record(Trigger trigger, const model::ModelDelta& change, Moment at) {
  const model::Model& table = published();
  record::Version version;
  recorded_ = publisher_->wanted_version();
  version.set_number(static_cast<double>(recorded_));
  version.set_content_hash(hash_.text());
  version.set_time(rfc3339(at.unix_ms));
  version.set_trigger(to_text(trigger));
  if (hold_.pinned_version() != 0) version.set_rolled_back_to(hold_.pinned_version());
  version.set_hosts(static_cast<uint32_t>(table.hosts.size()));
  version.set_routes(static_cast<uint32_t>(table.route_count()));
  version.set_endpoints(static_cast<uint32_t>(table.endpoint_count()));
  version.set_hosts_changed(static_cast<uint32_t>(change.hosts.size()));
  version.set_services_changed(static_cast<uint32_t>(change.services.size()));
  take_causes(&version);
  history_->append(std::move(version), change, table, publisher_->wanted_slots());
  for (std::string& complaint : history_->take_complaints()) {
    say(Severity::error, std::move(complaint));
  }
}

// What waits and is in this version: all of it, or, while routes are held, what endpoints come
// from.
void Rollout::take_causes(record::Version* version) {
  const bool all = !holds_routes();
  uint64_t more = all ? std::exchange(waiting_more_, 0) : 0;
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    const store::Change& change = at->second;
    const bool is_of_endpoints =
        change.key.kind == k8s::Kind::service || change.key.kind == k8s::Kind::endpoint_slice;
    if (!all && !is_of_endpoints) {
      ++at;
      continue;
    }
    if (static_cast<size_t>(version->causes_size()) < history::causes_named_max) {
      *version->add_causes() = cause_of(change);
    } else {
      ++more;
    }
    at = waiting_.erase(at);
  }
  version->set_causes_more(static_cast<uint32_t>(std::min<uint64_t>(more, UINT32_MAX)));
}

void Rollout::follow_number() {
  const uint64_t number = publisher_->wanted_version();
  if (number == 0 || number == recorded_) return;
  say(Severity::note, "version " + std::to_string(recorded_) + " is version " +
                          std::to_string(number) +
                          " from now on: the data plane has had others up to there");
  recorded_ = number;
  history_->renumber(number);
  for (std::string& complaint : history_->take_complaints()) {
    say(Severity::error, std::move(complaint));
  }
}

// ---- the operator
// ----------------------------------------------------------------------------------

// Empty, or what the answer must add.
std::string Rollout::keep_hold() {
  if (!holds_routes()) held_ = {};
  *hold_.mutable_table() = history::to_message(held_, nullptr);
  if (!holds_routes()) hold_.Clear();
  const Status kept = history_->write_hold(hold_);
  if (kept) return "";
  say(Severity::error, "what is held cannot be kept for a restart: " + kept.error());
  return "; it cannot be kept for a restart: " + kept.error();
}

Result<std::string> Rollout::rollback(uint64_t version, const store::Store& objects, Moment at) {
  Result<model::Model> table = history_->model_at(version);
  if (!table) return Error{table.error()};
  held_ = std::move(*table);
  // By the number that it has now.
  const double number = history_->find(version)->number();
  hold_.set_pinned_version(number);
  hold_.set_pinned_time(rfc3339(at.unix_ms));
  hold_.clear_guard_bad_version();
  hold_.clear_guard_sentence();
  hold_.clear_guard_causes();
  const std::string kept = keep_hold();
  settle(Trigger::rollback, objects, at);
  std::string text = "the routes of version " + std::to_string(static_cast<uint64_t>(number)) +
                     " are pinned until `millrace release`";
  text += asked_ ? ", published as version " + std::to_string(publisher_->wanted_version())
                 : "; they go out when everything has been listed";
  say(Severity::note, "rollback: " + text);
  return text + kept;
}

Result<std::string> Rollout::release(const store::Store& objects, Moment at) {
  if (hold_.pinned_version() == 0) return Error{"nothing is pinned"};
  hold_.clear_pinned_version();
  hold_.clear_pinned_time();
  hold_.clear_guard_bad_version();
  hold_.clear_guard_sentence();
  hold_.clear_guard_causes();
  // Still frozen: what is published stays.
  if (hold_.frozen()) held_ = published();
  const std::string kept = keep_hold();
  settle(Trigger::release, objects, at);
  std::string text = hold_.frozen()
                         ? "released; still frozen"
                         : "released; version " + std::to_string(publisher_->wanted_version()) +
                               " follows the objects again";
  say(Severity::note, text);
  return text + kept;
}

void Rollout::guard_went_back(const GuardAct& act, const store::Store& objects, Moment at) {
  Result<model::Model> table = history_->model_at(act.back_to_version);
  // A number that ours had once is, in the data plane, another one's table.
  if (table &&
      history_->find(act.back_to_version)->number() != static_cast<double>(act.back_to_version)) {
    table = Error{"it is of another history"};
  }
  const std::string what = "the data plane went back from version " +
                           std::to_string(act.bad_version) + " to version " +
                           std::to_string(act.back_to_version) + ": " + act.sentence;
  if (!table) {
    say(Severity::error,
        what + "; its routes cannot be pinned (" + table.error() +
            "), so the next change of any object is published with the routes that "
            "failed");
    return;
  }
  publisher_->went_back(act.back_to_version);
  held_ = std::move(*table);
  hold_.set_pinned_version(history_->find(act.back_to_version)->number());
  hold_.set_pinned_time(rfc3339(at.unix_ms));
  hold_.set_guard_bad_version(static_cast<double>(act.bad_version));
  hold_.set_guard_sentence(act.sentence);
  hold_.clear_guard_causes();
  if (const auto* bad = history_->find(act.bad_version)) {
    for (const record::Cause& cause : bad->causes()) *hold_.add_guard_causes() = cause;
  }
  const std::string kept = keep_hold();
  settle(Trigger::guard, objects, at);
  say(Severity::error, what + "; the routes of version " + std::to_string(act.back_to_version) +
                           " are pinned until `millrace release`" + kept);
}

// Said of every object whose change was in that version, so that their authors hear of it.
void Rollout::tell_of_guard() {
  if (hold_.guard_bad_version() == 0) return;
  const std::string sentence =
      "version " + std::to_string(static_cast<uint64_t>(hold_.guard_bad_version())) +
      " was taken back: " + hold_.guard_sentence() + "; the routes of version " +
      std::to_string(static_cast<uint64_t>(hold_.pinned_version())) +
      " answer until `millrace release`";
  for (const record::Cause& cause : hold_.guard_causes()) {
    std::string object = cause.kind() + ' ';
    if (!cause.name_space().empty()) object += cause.name_space() + '/';
    problems_.push_back({Severity::error, {}, object + cause.name(), sentence});
  }
  if (hold_.guard_causes().empty()) problems_.push_back({Severity::error, {}, "", sentence});
}

Result<std::string> Rollout::freeze(bool endpoints, const store::Store& objects, Moment at) {
  if (!has_published()) return Error{"nothing is published yet that could be frozen"};
  if (!holds_routes() || endpoints) held_ = published();
  hold_.set_frozen(true);
  hold_.set_endpoints_frozen(endpoints);
  hold_.set_frozen_time(rfc3339(at.unix_ms));
  hold_.set_frozen_version(static_cast<double>(publisher_->wanted_version()));
  const std::string kept = keep_hold();
  settle(Trigger::objects, objects, at);
  std::string text = "version " + std::to_string(publisher_->wanted_version()) + " is frozen, " +
                     (endpoints ? "endpoints too" : "endpoints go on following the cluster") +
                     "; changes wait until `millrace unfreeze`";
  say(Severity::note, text);
  return text + kept;
}

Result<std::string> Rollout::unfreeze(const store::Store& objects, Moment at) {
  if (!hold_.frozen()) return Error{"nothing is frozen"};
  hold_.clear_frozen();
  hold_.clear_endpoints_frozen();
  hold_.clear_frozen_time();
  hold_.clear_frozen_version();
  const std::string kept = keep_hold();
  settle(Trigger::unfreeze, objects, at);
  std::string text = "no longer frozen; ";
  text += holds_routes() ? "still pinned"
                         : "version " + std::to_string(publisher_->wanted_version()) +
                               " follows the objects again";
  say(Severity::note, text);
  return text + kept;
}

std::string Rollout::accept(const store::Store& objects, Moment at) {
  const bool was_held = guard_.is_holding();
  guard_.accept(at.now);
  if (was_held) settle(Trigger::accept, objects, at);
  return was_held ? "accepted; published as version " + std::to_string(publisher_->wanted_version())
                  : "nothing is held back; what comes within " +
                        std::to_string(accept_time.count_ms() / 1'000) + " s is taken as it is";
}

void Rollout::say(Severity severity, std::string sentence) {
  events_.push_back({severity, std::move(sentence)});
}

std::vector<Event> Rollout::take_events() {
  return std::exchange(events_, {});
}

}  // namespace millrace::publish
