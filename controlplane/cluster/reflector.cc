#include "controlplane/cluster/reflector.h"

#include <algorithm>
#include <utility>

#include "base/wipe.h"

namespace millrace::cluster {

namespace {

using k8s::Severity;

constexpr int http_ok = 200;
constexpr int http_bad_request = 400;
constexpr int http_unauthorized = 401;
constexpr int http_forbidden = 403;
constexpr int http_gone = 410;
constexpr int http_unprocessable = 422;
constexpr int http_too_many = 429;
constexpr int http_internal_error = 500;
constexpr int http_gateway_timeout = 504;
// A refusal is a Status of a few hundred octets; what follows a long one is not kept.
constexpr size_t refusal_bytes_max = 64 << 10;
// A page of objects of 1.5 MiB each would not be held; then pages are of no use.
constexpr size_t page_bytes_max = 256 << 20;

bool is_gone(const Status& status) {
  return status.code() == http_gone || status.reason() == "Expired" || status.reason() == "Gone";
}

// Who we are, or how much we ask: true of a list as well.
bool is_denied(int http_status) {
  return http_status == http_unauthorized || http_status == http_forbidden ||
         http_status == http_too_many;
}

// Not of the server as a whole: it may not take the resourceVersion (one of another cluster, or
// from before a restored backup; 504 says that it is not there yet), or cannot go on behind it.
bool is_about_the_watch(const Status& status) {
  if (is_denied(status.code())) return false;
  return status.code() <= http_internal_error || status.code() == http_gateway_timeout;
}

}  // namespace

Reflector::Reflector(Resource resource, uint64_t seed, int watch_seconds)
    : resource_(std::move(resource)), watch_seconds_(watch_seconds), random_(seed) {}

std::string Reflector::next_target() {
  if (step_ == Step::list) return list_target(resource_, in_pages_, continue_token_);
  // Spread, so that many watches do not end together.
  const auto seconds = random_.between(watch_seconds_, 2 * watch_seconds_);
  return step_ == Step::watch_list ? watch_list_target(resource_, seconds)
                                   : watch_target(resource_, seconds, resource_version_);
}

void Reflector::begin_list() {
  ++counts_.lists;
  pages_ = 0;
  listed_.clear();
  problems_.clear();
  resource_version_.clear();
}

std::optional<ReflectorRequest> Reflector::start(Instant now) {
  if (is_under_way_ || now < due_) return std::nullopt;
  is_under_way_ = true;
  is_settled_ = false;
  began_ = now;
  http_status_ = 0;
  encoding_.reset();
  decoder_.reset();
  retry_after_.reset();
  drop_page();
  const bool is_list = step_ == Step::list;
  if (step_ != Step::watch && continue_token_.empty()) begin_list();
  if (!is_list) ++counts_.watches;
  due_ = answer_due(now);
  return ReflectorRequest{next_target(), !is_list};
}

// When the answer under way is given up: for its silence, or because it should have ended.
Instant Reflector::answer_due(Instant now) const {
  if (step_ != Step::watch) return std::min(now + list_silence_max, began_ + list_time_max);
  const Duration watch_time_max = Duration::seconds(2 * watch_seconds_) + list_silence_max;
  return std::min(now + watch_silence_max, began_ + watch_time_max);
}

bool Reflector::head(int http_status, std::string_view content_type,
                     std::optional<Duration> retry_after, Instant now) {
  http_status_ = http_status;
  encoding_ = encoding_of(content_type);
  retry_after_ = retry_after;
  due_ = answer_due(now);
  if (http_status == http_ok && !encoding_) {
    fail("the server answers with the content type " + k8s::quote(content_type), now);
    is_settled_ = true;
    return false;
  }
  if (http_status == http_ok && step_ != Step::list) {
    decoder_.emplace(resource_.kind, *encoding_);
    if (step_ == Step::watch && short_watches_ <= 1) failure_.clear();
  }
  return true;
}

bool Reflector::body(std::string_view bytes, Instant now, store::Store* store) {
  if (is_settled_) return false;
  due_ = answer_due(now);
  if (!decoder_) {
    const size_t bytes_max = http_status_ == http_ok ? page_bytes_max : refusal_bytes_max;
    if (page_.size() + bytes.size() <= bytes_max) {
      if (holds_secrets()) {
        append_wiping(&page_, bytes);
      } else {
        page_ += bytes;
      }
      return true;
    }
    if (http_status_ != http_ok) return false;
    fail("a page of a list is longer than " + std::to_string(page_bytes_max >> 20) + " MiB", now);
    is_settled_ = true;
    return false;
  }
  std::vector<DecodedEvent> events;
  const ::millrace::Status fed = decoder_->feed(bytes, &events);
  for (DecodedEvent& event : events) {
    if (!take_event(std::move(event), now, store)) {
      is_settled_ = true;
      return false;
    }
  }
  if (fed) return true;
  // Which event that was is not known: only a new list tells what it said.
  fail(fed.error(), now);
  list_behind_watch(now);
  is_settled_ = true;
  return false;
}

bool Reflector::take_event(DecodedEvent event, Instant now, store::Store* store) {
  ++counts_.events;
  switch (event.type) {
    case WatchEventType::error: take_refusal(event.status, now); return false;
    case WatchEventType::bookmark:
      if (!event.resource_version.empty()) resource_version_ = event.resource_version;
      if (step_ == Step::watch) works();
      if (step_ != Step::watch_list || !event.ends_initial_events) return true;
      finish_list(now, store);
      return step_ == Step::watch;
    case WatchEventType::added:
    case WatchEventType::modified:
    case WatchEventType::deleted:
      if (!event.resource_version.empty()) resource_version_ = event.resource_version;
      take_object(std::move(event), store);
      return true;
  }
  return true;
}

void Reflector::take_object(DecodedEvent event, store::Store* store) {
  if (event.problem) return note(std::move(*event.problem));
  if (step_ == Step::watch) works();
  k8s::Object& object = *event.object;
  if (!resource_.holds(object.key)) return note_stranger(object.key);
  const bool is_deleted = event.type == WatchEventType::deleted;
  if (step_ == Step::watch_list) {
    if (is_deleted) {
      listed_.erase(object.key);
    } else {
      listed_.insert_or_assign(object.key, std::move(object));
    }
  } else if (is_deleted) {
    store->remove(object.key);
  } else {
    store->put(std::move(object));
  }
}

void Reflector::note_stranger(const k8s::ObjectKey& key) {
  note({Severity::error,
        {},
        key.text(),
        "came in answer to a request for " + resource_.text() + "; it is left out"});
}

void Reflector::end(const std::optional<std::string>& failure, Instant now, store::Store* store) {
  if (!is_under_way_) return;
  is_under_way_ = false;
  const WipeAtEnd wiped(&page_, holds_secrets());
  if (std::exchange(is_settled_, false)) return;
  if (http_status_ != 0 && http_status_ != http_ok) {
    return take_refusal(decode_status(http_status_, encoding_, page_), now);
  }
  if (step_ == Step::list) {
    if (!failure) return take_page(now, store);
    fail(*failure, now);
    return list_anew(due_);
  }
  if (step_ == Step::watch_list) {
    // A server that knows nothing of lists at the head of a watch sends no mark at their end.
    if (!failure) can_watch_list_ = false;
    fail(failure ? *failure : "the watch ended before its list was whole", now);
    return list_anew(due_);
  }
  const bool did_work = http_status_ == http_ok && now - began_ >= watch_time_min;
  if (http_status_ == http_ok && !did_work) ++short_watches_;
  if (!failure || did_work) return end_watch(now);
  fail(*failure, now);
  if (now >= relist_due_) list_anew(due_);
}

void Reflector::give_up(Instant now, store::Store* store) {
  const bool is_list = step_ != Step::watch;
  if (step_ == Step::watch_list && http_status_ == http_ok) can_watch_list_ = false;
  const bool drips = is_list && now >= began_ + list_time_max;
  const Duration limit = drips ? list_time_max : is_list ? list_silence_max : watch_silence_max;
  const std::string seconds = std::to_string(limit.count_ms() / 1'000) + " s";
  end(drips ? "the list was not whole within " + seconds : "nothing came for " + seconds, now,
      store);
}

// A watch that did its work for a while ended, in order or not: it is taken up where it was.
void Reflector::end_watch(Instant now) {
  const Duration lasted = now - began_;
  if (lasted >= backoff_last) list_backoff_.reset();
  if (now >= relist_due_) return list_anew(now);
  if (lasted < watch_time_min) {
    if (short_watches_ > 1) return fail("the server ends every watch at once", now);
    due_ = now + patient(backoff_.next(&random_));
    return;
  }
  backoff_.reset();
  works();
  due_ = now + Backoff::jittered(backoff_first, &random_) / 2;
}

void Reflector::take_refusal(const Status& status, Instant now) {
  if (is_gone(status)) {
    ++counts_.gone;
    // The pages of this list are forgotten faster than they are asked for.
    if (step_ == Step::list && !continue_token_.empty()) in_pages_ = false;
    return list_behind_watch(now);
  }
  if (step_ == Step::watch_list &&
      (status.code() == http_bad_request || status.code() == http_unprocessable)) {
    can_watch_list_ = false;
    return list_anew(now);
  }
  if (status.has_details() && status.details().retry_after_seconds() > 0 && !retry_after_) {
    retry_after_ = Duration::seconds(status.details().retry_after_seconds());
  }
  fail((status.code() != 0 ? "HTTP " + std::to_string(status.code()) + ": " : std::string()) +
           k8s::printable(status.message()),
       now);
  if (holds_secrets() && status.code() == http_forbidden) {
    due_ = now + patient(denied_backoff_.next(&random_));
  }
  if (step_ != Step::watch) return list_anew(due_);
  if (is_about_the_watch(status) && ++watch_refusals_ >= watch_refusals_max) {
    return list_behind_watch(now);
  }
  if (now >= relist_due_) list_anew(due_);
}

void Reflector::take_page(Instant now, store::Store* store) {
  Result<DecodedList> page = encoding_ ? decode_list(resource_.kind, *encoding_, page_)
                                       : Result<DecodedList>(Error{"the answer is empty"});
  drop_page();
  if (page && ++pages_ > list_pages_max) page = Error{"the list has no end"};
  if (!page) {
    fail(page.error(), now);
    return list_anew(due_);
  }
  for (k8s::Problem& problem : page->problems) note(std::move(problem));
  for (k8s::Object& object : page->objects) {
    if (resource_.holds(object.key)) {
      listed_.insert_or_assign(object.key, std::move(object));
    } else {
      note_stranger(object.key);
    }
  }
  resource_version_ = page->resource_version;
  continue_token_ = page->continue_token;
  if (continue_token_.empty()) return finish_list(now, store);
  due_ = now;
}

void Reflector::drop_page() {
  if (holds_secrets()) wipe(&page_);
  page_.clear();
  page_.shrink_to_fit();
}

void Reflector::finish_list(Instant now, store::Store* store) {
  if (resource_version_.empty()) {
    fail("the list has no resourceVersion", now);
    return list_anew(due_);
  }
  watch_list_failures_ = 0;
  const size_t held_before = held(*store);
  if (is_doubted(held_before)) {
    ++doubts_;
    ++counts_.shrinks_doubted;
    fail("the server lists " + std::to_string(listed_.size()) + " where " +
             std::to_string(held_before) + " were; they stay until it has said so " +
             std::to_string(shrink_confirmations + 1) + " times",
         now);
    return list_anew(std::max(due_, now + shrink_pause));
  }
  doubts_ = 0;
  accept_removals_ = false;
  has_synced_ = true;
  in_pages_ = true;
  replace_all(store);
  listed_.clear();
  works();
  backoff_.reset();
  step_ = Step::watch;
  due_ = is_under_way_ ? answer_due(now) : now;
  relist_due_ = now + relist_interval + Backoff::jittered(relist_interval / 4, &random_);
}

void Reflector::accept_removals() {
  if (doubts_ == 0) return;
  accept_removals_ = true;
  if (!is_under_way_) due_ = Instant();
}

bool Reflector::is_doubted(size_t held_before) const {
  return has_synced_ && !accept_removals_ && doubts_ < shrink_confirmations &&
         held_before >= shrink_objects_min && listed_.size() * 10 < held_before;
}

void Reflector::replace_all(store::Store* store) {
  if (!resource_.name.empty()) {
    const k8s::ObjectKey key{resource_.kind, resource_.name_space, resource_.name};
    const auto at = listed_.find(key);
    if (at == listed_.end()) {
      store->remove(key);
    } else {
      store->put(std::move(at->second));
    }
    return;
  }
  std::vector<k8s::Object> objects;
  objects.reserve(listed_.size());
  for (auto& [key, object] : listed_) objects.push_back(std::move(object));
  store->replace(resource_.kind, resource_.name_space, std::move(objects));
}

size_t Reflector::held(const store::Store& store) const {
  if (!resource_.name.empty()) return 0;
  size_t count = 0;
  for (auto at = store.objects().lower_bound({resource_.kind, resource_.name_space, ""});
       at != store.objects().end() && resource_.holds(at->first); ++at) {
    ++count;
  }
  return count;
}

void Reflector::list_anew(Instant when) {
  const bool by_watch = can_watch_list_ && watch_list_failures_ < watch_list_failures_max;
  step_ = by_watch ? Step::watch_list : Step::list;
  continue_token_.clear();
  listed_.clear();
  due_ = when;
}

// When the watch, or the list at its head, showed that what we have is of no use.
void Reflector::list_behind_watch(Instant now) {
  if (now - began_ >= backoff_last) list_backoff_.reset();
  list_anew(now + patient(list_backoff_.next(&random_)));
}

// The server has told us something of use, or kept a watch open.
void Reflector::works() {
  failure_.clear();
  denied_backoff_.reset();
  watch_refusals_ = 0;
  short_watches_ = 0;
}

void Reflector::fail(std::string sentence, Instant now) {
  ++counts_.failures;
  if (step_ == Step::watch_list && http_status_ != 0 && !is_denied(http_status_)) {
    ++watch_list_failures_;
  }
  failure_ = std::move(sentence);
  due_ = now + patient(backoff_.next(&random_));
}

// As long as that, or as the server asked for with the answer under way.
Duration Reflector::patient(Duration pause) const {
  return retry_after_ ? std::max(pause, std::min(*retry_after_, retry_after_max)) : pause;
}

void Reflector::note(k8s::Problem problem) {
  const bool is_known = std::find(problems_.begin(), problems_.end(), problem) != problems_.end();
  if (!is_known && problems_.size() < reflector_problems_max) {
    problems_.push_back(std::move(problem));
  }
}

std::vector<k8s::Problem> Reflector::problems() const {
  std::vector<k8s::Problem> problems = problems_;
  if (!failure_.empty()) {
    problems.push_back({has_synced_ ? Severity::warning : Severity::error,
                        {},
                        "",
                        "watching " + resource_.text() + ": " + failure_});
  }
  return problems;
}

}  // namespace millrace::cluster
