#include "controlplane/cluster/reflector.h"

#include <algorithm>
#include <utility>

namespace millrace::cluster {

namespace {

using k8s::Severity;

constexpr int http_ok = 200;
constexpr int http_bad_request = 400;
constexpr int http_gone = 410;
constexpr int http_unprocessable = 422;
// A refusal is a Status of a few hundred octets; what follows a long one is not kept.
constexpr size_t refusal_bytes_max = 64 << 10;
// A page of objects of 1.5 MiB each would not be held; then pages are of no use.
constexpr size_t page_bytes_max = 256 << 20;

std::string group_path(k8s::Kind kind) {
  const std::string version(api_version_of(kind));
  return version.find('/') == std::string::npos ? "/api/" + version : "/apis/" + version;
}

// Names hold letters, digits, '-' and '.', a continue token is base64: '=' and '/' need escaping.
std::string escape(std::string_view text) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string escaped;
  for (char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      escaped += c;
    } else {
      escaped += '%';
      escaped += digits[static_cast<uint8_t>(c) >> 4];
      escaped += digits[static_cast<uint8_t>(c) & 15];
    }
  }
  return escaped;
}

bool is_gone(const Status& status) {
  return status.code() == http_gone || status.reason() == "Expired" || status.reason() == "Gone";
}


}  // namespace

std::string_view plural_of(k8s::Kind kind) {
  switch (kind) {
    case k8s::Kind::ingress: return "ingresses";
    case k8s::Kind::ingress_class: return "ingressclasses";
    case k8s::Kind::service: return "services";
    case k8s::Kind::endpoint_slice: return "endpointslices";
    case k8s::Kind::secret: return "secrets";
    case k8s::Kind::node: return "nodes";
    case k8s::Kind::name_space: return "namespaces";
  }
  return "";
}

std::string resource_path(k8s::Kind kind, const std::string& name_space) {
  std::string path = group_path(kind) + '/';
  if (!name_space.empty()) path += "namespaces/" + name_space + '/';
  return path + std::string(plural_of(kind));
}

std::string Resource::text() const {
  std::string text(to_text(kind));
  if (!name.empty()) return text + ' ' + name_space + '/' + name;
  if (!is_namespaced(kind)) return text;
  return text + (name_space.empty() ? " of all namespaces" : " of namespace " + name_space);
}

Reflector::Reflector(Resource resource, uint64_t seed, int watch_seconds)
    : resource_(std::move(resource)), watch_seconds_(watch_seconds), random_(seed) {}

std::string Reflector::list_target() const {
  std::string target = resource_path(resource_.kind, resource_.name_space);
  char separator = '?';
  const auto add = [&](const std::string& parameter) {
    target += separator + parameter;
    separator = '&';
  };
  if (!resource_.name.empty()) add("fieldSelector=" + escape("metadata.name=" + resource_.name));
  if (in_pages_) add("limit=" + std::to_string(list_page_objects));
  if (!continue_token_.empty()) add("continue=" + escape(continue_token_));
  return target;
}

std::string Reflector::watch_target() {
  std::string target = resource_path(resource_.kind, resource_.name_space) + "?watch=1";
  if (!resource_.name.empty()) {
    target += "&fieldSelector=" + escape("metadata.name=" + resource_.name);
  }
  // Spread, so that many watches do not end together.
  const auto seconds = random_.between(watch_seconds_, 2 * watch_seconds_);
  target += "&allowWatchBookmarks=true&timeoutSeconds=" + std::to_string(seconds);
  if (step_ == Step::watch_list) {
    return target + "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=";
  }
  return target + "&resourceVersion=" + escape(resource_version_);
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
  page_.clear();
  const bool is_list = step_ == Step::list;
  if (step_ != Step::watch && continue_token_.empty()) {
    ++counts_.lists;
    listed_.clear();
    problems_.clear();
  }
  if (!is_list) ++counts_.watches;
  due_ = now + (step_ == Step::watch ? watch_silence_max : list_silence_max);
  return ReflectorRequest{is_list ? list_target() : watch_target(), !is_list};
}

bool Reflector::head(int http_status, std::string_view content_type,
                     std::optional<Duration> retry_after, Instant now) {
  http_status_ = http_status;
  encoding_ = encoding_of(content_type);
  retry_after_ = retry_after;
  if (http_status == http_ok && !encoding_) {
    fail("the server answers with the content type " + k8s::quote(content_type), now);
    is_settled_ = true;
    return false;
  }
  if (http_status == http_ok && step_ != Step::list) {
    decoder_.emplace(resource_.kind, *encoding_);
    if (step_ == Step::watch) failure_.clear();
  }
  return true;
}

bool Reflector::body(std::string_view bytes, Instant now, store::Store* store) {
  if (is_settled_) return false;
  due_ = now + (step_ == Step::watch ? watch_silence_max : list_silence_max);
  if (!decoder_) {
    const size_t bytes_max = http_status_ == http_ok ? page_bytes_max : refusal_bytes_max;
    if (page_.size() + bytes.size() <= bytes_max) {
      page_ += bytes;
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
  list_anew(due_);
  is_settled_ = true;
  return false;
}

bool Reflector::take_event(DecodedEvent event, Instant now, store::Store* store) {
  ++counts_.events;
  switch (event.type) {
    case WatchEventType::error:
      take_refusal(event.status, now);
      return false;
    case WatchEventType::bookmark:
      if (!event.resource_version.empty()) resource_version_ = event.resource_version;
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
  k8s::Object& object = *event.object;
  if (!belongs_here(object.key)) {
    return note({Severity::error,
                 {},
                 object.key.text(),
                 "came in answer to a request for " + resource_.text() + "; it is left out"});
  }
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

bool Reflector::belongs_here(const k8s::ObjectKey& key) const {
  return (resource_.name_space.empty() || key.name_space == resource_.name_space) &&
         (resource_.name.empty() || key.name == resource_.name);
}

void Reflector::end(const std::optional<std::string>& failure, Instant now, store::Store* store) {
  if (!is_under_way_) return;
  is_under_way_ = false;
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
  if (failure && now - began_ < watch_time_min) {
    fail(*failure, now);
  } else {
    end_watch(now);
  }
}

void Reflector::give_up(Instant now, store::Store* store) {
  const bool is_list = step_ != Step::watch;
  if (step_ == Step::watch_list && http_status_ == http_ok) can_watch_list_ = false;
  const Duration silence = is_list ? list_silence_max : watch_silence_max;
  end("nothing came for " + std::to_string(silence.count_ms() / 1000) + " s", now, store);
}

// A watch that did its work for a while ended, in order or not: it is taken up where it was.
void Reflector::end_watch(Instant now) {
  if (now - began_ >= watch_time_min) pause_ = backoff_first;
  if (now >= relist_due_) return list_anew(now);
  due_ = now + (now - began_ >= watch_time_min ? next_pause() / 2 : next_pause());
  if (now - began_ >= watch_time_min) pause_ = backoff_first;
}

void Reflector::take_refusal(const Status& status, Instant now) {
  if (is_gone(status)) {
    ++counts_.gone;
    // The pages of this list are forgotten faster than they are asked for.
    if (step_ == Step::list && !continue_token_.empty()) in_pages_ = false;
    return list_anew(now + next_pause());
  }
  const bool is_unknown =
      status.code() == http_bad_request || status.code() == http_unprocessable;
  if (step_ == Step::watch_list && is_unknown) {
    can_watch_list_ = false;
    return list_anew(now);
  }
  if (status.has_details() && status.details().retry_after_seconds() > 0 && !retry_after_) {
    retry_after_ = Duration::seconds(status.details().retry_after_seconds());
  }
  fail((status.code() != 0 ? "HTTP " + std::to_string(status.code()) + ": " : std::string()) +
           k8s::printable(status.message()),
       now);
  if (step_ != Step::watch) list_anew(due_);
}

void Reflector::take_page(Instant now, store::Store* store) {
  Result<DecodedList> page = encoding_ ? decode_list(resource_.kind, *encoding_, page_)
                                       : Result<DecodedList>(Error{"the answer is empty"});
  page_.clear();
  page_.shrink_to_fit();
  if (!page) {
    fail(page.error(), now);
    return list_anew(due_);
  }
  for (k8s::Problem& problem : page->problems) note(std::move(problem));
  for (k8s::Object& object : page->objects) {
    DecodedEvent event;
    event.type = WatchEventType::added;
    event.object = std::move(object);
    if (belongs_here(event.object->key)) {
      listed_.insert_or_assign(event.object->key, std::move(*event.object));
    }
  }
  resource_version_ = page->resource_version;
  continue_token_ = page->continue_token;
  if (continue_token_.empty()) return finish_list(now, store);
  due_ = now;
}

void Reflector::finish_list(Instant now, store::Store* store) {
  const size_t held_before = held(*store);
  if (is_doubted(held_before)) {
    ++doubts_;
    ++counts_.shrinks_doubted;
    fail("the server lists " + std::to_string(listed_.size()) + " where " +
             std::to_string(held_before) + " were; they stay until it has said so " +
             std::to_string(shrink_confirmations + 1) + " times",
         now);
    return list_anew(due_);
  }
  doubts_ = 0;
  accept_removals_ = false;
  has_synced_ = true;
  replace_all(store);
  listed_.clear();
  succeed();
  step_ = Step::watch;
  due_ = is_under_way_ && decoder_ ? now + watch_silence_max : now;
  const auto interval = static_cast<uint64_t>(relist_interval.count_ns());
  relist_due_ = now + Duration::nanoseconds(
                          static_cast<int64_t>(random_.between(interval, interval + interval / 4)));
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
       at != store.objects().end() && at->first.kind == resource_.kind &&
       belongs_here(at->first);
       ++at) {
    ++count;
  }
  return count;
}

void Reflector::list_anew(Instant when) {
  step_ = can_watch_list_ ? Step::watch_list : Step::list;
  continue_token_.clear();
  listed_.clear();
  due_ = when;
}

void Reflector::fail(std::string sentence, Instant now) {
  ++counts_.failures;
  failure_ = std::move(sentence);
  due_ = now + next_pause();
}

void Reflector::succeed() {
  failure_.clear();
  pause_ = backoff_first;
}

// Between half and all of it, so that many watches and many nodes do not come back in step.
Duration Reflector::next_pause() {
  const auto pause_ns = static_cast<uint64_t>(pause_.count_ns());
  const Duration pause =
      Duration::nanoseconds(static_cast<int64_t>(random_.between(pause_ns / 2, pause_ns)));
  pause_ = std::min(pause_ * 2, backoff_last);
  return retry_after_ ? std::max(pause, *retry_after_) : pause;
}

void Reflector::note(k8s::Problem problem) {
  if (problems_.size() < reflector_problems_max) problems_.push_back(std::move(problem));
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
