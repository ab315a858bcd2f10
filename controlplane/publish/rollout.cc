#include "controlplane/publish/rollout.h"

#include <algorithm>
#include <ctime>
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
                 const ShrinkLimits& limits, bool reads_labels)
    : publisher_(publisher),
      history_(std::move(history)),
      guard_(limits),
      reads_labels_(reads_labels) {
  std::optional<history::History::Table> newest = history_->newest_table();
  if (newest) {
    resumed_ = true;
    hash_ = history::ContentHash(newest->model);
    published_size_ = size_of(newest->model);
    served_.replace(newest->model);
    served_.begin_journal();  // what the first table does not serve any more is told of
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
  // What was asked for first may have been published by a process before this one.
  const bool is_known = asked_ != nullptr || !resumed_;
  if (is_known) note(changes, model::difference(own_asked_, asked), objects);
  if (!is_known) note_all(changes);
  own_asked_ = std::move(asked);
  asked_ = &own_asked_;
  asked_size_ = size_of(own_asked_);
  settle(Trigger::objects, objects, at);
  return problems_;
}

std::vector<k8s::Problem> Rollout::offer_live(const model::Model& asked,
                                              const model::ModelDelta* delta,
                                              const std::vector<store::Change>& changes,
                                              const store::Store& objects, Moment at) {
  asked_ = &asked;
  if (delta != nullptr) {
    asked_size_.apply(*delta);
    note(changes, *delta, objects);
    if (settle_live(*delta, objects, at) || wait_held(*delta, changes, objects, at)) {
      return problems_;
    }
  } else {
    asked_size_ = size_of(asked);
    if (resumed_) note_all(changes);
    if (!resumed_) note(changes, model::difference({}, asked), objects);
  }
  settle(Trigger::objects, objects, at);
  return problems_;
}

// The usual case: nothing is held, and what is published is what was asked for. False: look at
// everything.
bool Rollout::settle_live(const model::ModelDelta& delta, const store::Store& objects, Moment at) {
  if (!in_step_ || holds_routes() || !has_published()) return false;
  if (guard_.would_hold(published_size_, asked_size_, at.now)) return false;
  problems_.clear();
  guard_.reset();
  held_back_.clear();
  in_step_ = publish_change(Trigger::objects, delta, objects, at);
  if (in_step_) {
    waiting_.clear();  // what made no difference is no cause
    waiting_more_ = 0;
  }
  return true;
}

// While something is held, endpoints follow at once, and everything else (what waits, what is wrong
// with it) is looked at at most once in settle_interval, because that takes all of both tables.
// False: look at everything now.
bool Rollout::wait_held(const model::ModelDelta& delta, const std::vector<store::Change>& changes,
                        const store::Store& objects, Moment at) {
  const bool is_held_back =
      !held_back_.empty() && guard_.would_hold(published_size_, asked_size_, at.now);
  if (!has_published() || (!holds_routes() && !is_held_back)) return false;
  const bool is_frozen = hold_.frozen() && hold_.endpoints_frozen();
  if (holds_routes() && !is_frozen && held_back_.empty()) {
    const model::ModelDelta moved = endpoints_change(published(), *asked_, delta, changes, objects);
    TableSize size = published_size_;
    size.apply(moved);
    if (guard_.would_hold(published_size_, size, at.now)) return false;
    // Of what is known the present view is newer; an error may be new, and come with each change.
    std::vector<k8s::Problem> known = std::exchange(problems_, {});
    const bool is_made = publish_change(Trigger::objects, moved, objects, at);
    std::vector<k8s::Problem> found = std::exchange(problems_, std::move(known));
    for (k8s::Problem& problem : found) {
      if (is_made || std::find(problems_.begin(), problems_.end(), problem) != problems_.end()) {
        continue;
      }
      problems_.push_back(std::move(problem));
    }
  }
  if (at.now >= settled_at_ + settle_interval) return false;
  settle_due_ = settled_at_ + settle_interval;
  return true;
}

std::optional<std::vector<k8s::Problem>> Rollout::turn(const store::Store& objects, Moment at) {
  if (at.now >= file_due_) begin_history_file();
  if (at.now < due()) return std::nullopt;
  settle(Trigger::objects, objects, at);
  return problems_;
}

// Of what changed, that which changed what is asked for. While routes are held, other endpoints may
// be wanted than those asked for; what was none of theirs goes when everything is looked at.
void Rollout::note(const std::vector<store::Change>& changes, const model::ModelDelta& delta,
                   const store::Store& objects) {
  const Causes causes(delta, Changed::just_now, reads_labels_);
  for (const store::Change& change : changes) {
    const bool is_of_endpoints =
        change.key.kind == k8s::Kind::service || change.key.kind == k8s::Kind::endpoint_slice;
    if ((holds_routes() && is_of_endpoints) || causes.contains(change.key, objects)) note(change);
  }
}

void Rollout::note_all(const std::vector<store::Change>& changes) {
  for (const store::Change& change : changes) note(change);
}

void Rollout::note(const store::Change& change) {
  const auto known = waiting_.find(change.key);
  if (known != waiting_.end()) {
    const bool is_new_still =
        known->second.kind == store::ChangeKind::added && change.kind == store::ChangeKind::updated;
    known->second = change;
    if (is_new_still) known->second.kind = store::ChangeKind::added;
  } else if (waiting_.size() < causes_waiting_max) {
    waiting_.emplace(change.key, change);
  } else {
    ++waiting_more_;
  }
}

// What waits is what the tables differ in.
void Rollout::keep_causes(Changed changed, const store::Store& objects) {
  const Causes causes(model::difference(published(), *asked_), changed, reads_labels_);
  std::erase_if(waiting_, [&](const auto& one) { return !causes.contains(one.first, objects); });
  if (waiting_.empty()) waiting_more_ = 0;
}

bool Rollout::guard_holds(TableSize table, Moment at) {
  const bool has_table = has_published() || resumed_;
  const auto why = has_table ? guard_.check(published_size_, table, at.now) : std::nullopt;
  if (!why) {
    held_back_.clear();
    return false;
  }
  held_back_ = *why;
  problems_.push_back({Severity::error, {}, "", held_back_});
  add_table_problems();  // of what goes on being published
  return true;
}

void Rollout::settle(Trigger trigger, const store::Store& objects, Moment at) {
  problems_.clear();
  settled_at_ = at.now;
  settle_due_ = Instant::never();
  tell_of_guard();
  publisher_->set_deliberate(is_pinned_by_operator());
  if (!asked_) {
    rollback_waits_ |= trigger == Trigger::rollback;
    return;
  }
  // It goes out with the first table.
  if (rollback_waits_ && is_pinned_by_operator()) trigger = Trigger::rollback;
  // After a restart every object is new to the store.
  if (resumed_ && !has_published()) keep_causes(Changed::perhaps, objects);
  in_step_ = false;
  if (holds_routes()) {
    if (hold_.frozen() && hold_.endpoints_frozen()) {
      settle_table(trigger, held_, objects, at);
    } else {
      settle_table(trigger, with_current_endpoints(held_, *asked_, objects, &problems_), objects,
                   at);
    }
    if (has_published()) keep_causes(Changed::just_now, objects);
    return;
  }
  if (!settle_table(trigger, *asked_, objects, at)) return;
  in_step_ = true;
  waiting_.clear();  // what made no difference is no cause
  waiting_more_ = 0;
}

// False when the guard holds it back, or it cannot be built.
bool Rollout::settle_table(Trigger trigger, const model::Model& table, const store::Store& objects,
                           Moment at) {
  const TableSize size = holds_routes() ? size_of(table) : asked_size_;
  if (trigger == Trigger::objects && guard_holds(size, at)) {
    // A process that has just started wants what was published before it, not nothing.
    if (!has_published()) publish(trigger, published(), objects, at);
    return false;
  }
  guard_.reset();
  held_back_.clear();
  return publish(trigger, table, objects, at);
}

// False when the table cannot be built.
bool Rollout::publish(Trigger trigger, const model::Model& table, const store::Store& objects,
                      Moment at) {
  const model::ModelDelta change = model::difference(published(), table);
  const uint64_t newest = recorded_;
  if (!has_published()) {
    if (!conclude(trigger, publisher_->want(table), change, objects, at)) return false;
  } else if (!publish_change(trigger, change, objects, at)) {
    return false;
  }
  if (trigger == Trigger::rollback && recorded_ == newest) {
    // A table that is there already becomes the operator's choice: the data plane is to know.
    publisher_->want_anew();
    record(trigger, change, objects, at);
  }
  rollback_waits_ = false;
  return true;
}

bool Rollout::publish_change(Trigger trigger, const model::ModelDelta& change,
                             const store::Store& objects, Moment at) {
  if (change.empty()) {
    add_table_problems();
    return true;
  }
  return conclude(trigger, publisher_->want_change(change), change, objects, at);
}

bool Rollout::conclude(Trigger trigger, const Result<std::vector<k8s::Problem>>& refused,
                       const model::ModelDelta& change, const store::Store& objects, Moment at) {
  if (!refused) {
    problems_.push_back({Severity::error,
                         {},
                         "",
                         "the table cannot be built and stays as it is: " + refused.error()});
    add_table_problems();
    return false;
  }
  problems_.insert(problems_.end(), refused->begin(), refused->end());
  hash_.apply(change);
  published_size_.apply(change);
  served_.apply(change);
  if (publisher_->wanted_version() != recorded_) record(trigger, change, objects, at);
  return true;
}

// What the format refuses of what is published.
void Rollout::add_table_problems() {
  for (k8s::Problem& problem : publisher_->problems()) problems_.push_back(std::move(problem));
}

void Rollout::record(Trigger trigger, const model::ModelDelta& change, const store::Store& objects,
                     Moment at) {
  const model::Model& table = published();
  record::Version version;
  recorded_ = publisher_->wanted_version();
  version.set_number(static_cast<double>(recorded_));
  version.set_content_hash(hash_.text());
  version.set_time(rfc3339(at.unix_ms));
  version.set_trigger(to_text(trigger));
  if (hold_.pinned_version() != 0) version.set_rolled_back_to(hold_.pinned_version());
  version.set_hosts(static_cast<uint32_t>(table.hosts.size()));
  version.set_routes(static_cast<uint32_t>(published_size_.routes));
  version.set_endpoints(static_cast<uint32_t>(published_size_.endpoints));
  version.set_hosts_changed(static_cast<uint32_t>(change.hosts.size()));
  version.set_services_changed(static_cast<uint32_t>(change.services.size()));
  take_causes(change, objects, &version);
  history_->append(std::move(version), change, table, publisher_->wanted_slots());
  file_due_ = history_->wants_file() ? at.now + history_quiet_time : Instant::never();
  say_complaints();
}

// A whole table is written while no change waits for it.
void Rollout::begin_history_file() {
  file_due_ = Instant::never();
  history_->begin_file(published(), publisher_->wanted_slots());
  say_complaints();
}

void Rollout::say_complaints() {
  for (std::string& complaint : history_->take_complaints()) {
    say(Severity::error, std::move(complaint));
  }
}

// What waits and is in this version: all of it, or, while routes are held, what its endpoints come
// from.
void Rollout::take_causes(const model::ModelDelta& change, const store::Store& objects,
                          record::Version* version) {
  const bool all = !holds_routes();
  const Causes causes(all ? model::ModelDelta() : change, Changed::just_now, reads_labels_);
  uint64_t more = all ? std::exchange(waiting_more_, 0) : 0;
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    const k8s::Kind kind = at->first.kind;
    const bool is_of_endpoints = kind == k8s::Kind::service || kind == k8s::Kind::endpoint_slice;
    if (!all && !(is_of_endpoints && causes.contains(at->first, objects))) {
      ++at;
      continue;
    }
    if (static_cast<size_t>(version->causes_size()) < history::causes_named_max) {
      *version->add_causes() = cause_of(at->second);
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

void Rollout::say(Severity severity, std::string sentence) {
  events_.push_back({severity, std::move(sentence)});
}

std::vector<Event> Rollout::take_events() {
  return std::exchange(events_, {});
}

}  // namespace millrace::publish
