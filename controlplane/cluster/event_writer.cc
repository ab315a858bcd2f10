#include "controlplane/cluster/event_writer.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <utility>

#include "base/hash.h"

namespace millrace::cluster {

namespace {

using k8s::Severity;

constexpr char reporting_controller[] = "millrace.dev/ingress-controller";
constexpr int http_unauthorized = 401;
constexpr int http_conflict = 409;
constexpr int http_too_many = 429;
constexpr int http_server_error = 500;

// It may well be taken later; other Events would fail as it did.
bool is_busy(int http_status) {
  return http_status == 0 || http_status == http_unauthorized || http_status == http_too_many ||
         http_status >= http_server_error;
}

// "Ingress shop/cart" back into a key.
std::optional<k8s::ObjectKey> key_of(const std::string& text) {
  const size_t space = text.find(' ');
  if (space == std::string::npos) return std::nullopt;
  for (size_t i = 0; i < k8s::kind_count; ++i) {
    const auto kind = static_cast<k8s::Kind>(i);
    if (text.compare(0, space, to_text(kind)) != 0) continue;
    const std::string name = text.substr(space + 1);
    const size_t slash = name.find('/');
    if (slash == std::string::npos) return k8s::ObjectKey{kind, "", name};
    return k8s::ObjectKey{kind, name.substr(0, slash), name.substr(slash + 1)};
  }
  return std::nullopt;
}

// Cut between characters of UTF-8: a string field of protobuf holds no halves.
std::string note_of(const std::string& sentence) {
  if (sentence.size() <= event_note_bytes_max) return sentence;
  size_t end = event_note_bytes_max - 3;
  while (end > 0 && (static_cast<uint8_t>(sentence[end]) & 0xc0) == 0x80) --end;
  return sentence.substr(0, end) + "...";
}

std::string hex(uint64_t number) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
  return text;
}

}  // namespace

EventWriter::EventWriter(ApiCaller* api, std::string instance, WallClock wall_clock,
                         EventScope scope)
    : api_(api),
      instance_(std::move(instance)),
      wall_clock_(std::move(wall_clock)),
      scope_(scope) {}

EventWriter::~EventWriter() {
  for (const auto& [name, request] : under_way_) api_->cancel(request);
}

void EventWriter::tell(const std::vector<k8s::Problem>& problems, const store::Store& store,
                       Instant now) {
  forget_old(now);
  for (const Severity severity : {Severity::error, Severity::warning, Severity::note}) {
    for (const k8s::Problem& problem : problems) {
      if (problem.severity == severity) say(problem, store, now);
    }
  }
}

void EventWriter::say(const k8s::Problem& problem, const store::Store& store, Instant now) {
  const std::optional<k8s::ObjectKey> key = key_of(problem.object);
  const k8s::Object* object = key ? store.find(*key) : nullptr;
  if (object == nullptr || key->is_derived()) return;  // a cluster knows nothing of a derived one
  if (key->name_space.empty() && scope_ == EventScope::objects_of_namespaces) return;
  const std::string uid = object->body.uid();
  const std::string what = uid + '\n' + std::string(reason_of(problem)) + '\n' + problem.sentence;
  // 253 characters at most: a name of ours is 17 longer than the object's.
  std::string name = key->name.substr(0, k8s::name_bytes_max - 17);
  while (!name.empty() && (name.back() == '.' || name.back() == '-')) name.pop_back();
  name += '.' + hex(hash_finish(hash_text(what)));
  if (said_.contains(name)) return;
  const bool is_note = problem.severity == Severity::note;
  if (!has_room(is_note, uid)) {
    ++left_out_;
    return;
  }
  const Instant again_at = now + (is_note ? note_again_after : event_again_after);
  first_again_at_ = std::min(first_again_at_, again_at);
  said_.emplace(name, Said{again_at, uid, is_note});
  ++said_of_[{uid, is_note}];
  notes_said_ += is_note;
  const std::string name_space = key->name_space.empty() ? "default" : key->name_space;
  queue_of(is_note).push_back(
      {name_space, encode_message("events.k8s.io/v1", "Event", event_of(problem, *object, name)),
       name, is_note});
}

bool EventWriter::has_room(bool is_note, const std::string& uid) const {
  const Queue& queue = is_note ? notes_waiting_ : waiting_;
  const auto said = said_of_.find({uid, is_note});
  return queue.size() < events_waiting_max && said_.size() < events_remembered_max &&
         (!is_note || notes_said_ < notes_remembered_max) &&
         (said == said_of_.end() || said->second < events_of_object_max);
}

void EventWriter::forget_old(Instant now) {
  if (now <= first_again_at_) return;
  first_again_at_ = Instant::never();
  for (auto at = said_.begin(); at != said_.end();) {
    const auto said = at++;
    if (now > said->second.again_at) {
      forget(said);
    } else {
      first_again_at_ = std::min(first_again_at_, said->second.again_at);
    }
  }
}

void EventWriter::forget(std::map<std::string, Said>::iterator said) {
  const auto count = said_of_.find({said->second.uid, said->second.is_note});
  if (--count->second == 0) said_of_.erase(count);
  notes_said_ -= said->second.is_note;
  said_.erase(said);
}

Event EventWriter::event_of(const k8s::Problem& problem, const k8s::Object& object,
                            std::string name) const {
  Event event;
  event.mutable_metadata()->set_name(std::move(name));
  event.mutable_metadata()->set_namespace_(object.key.name_space.empty() ? "default"
                                                                         : object.key.name_space);
  *event.mutable_event_time() = wall_clock_();
  event.set_reporting_controller(reporting_controller);
  event.set_reporting_instance(instance_);
  event.set_action("Routing");
  event.set_reason(std::string(reason_of(problem)));
  event.set_note(note_of(problem.sentence));
  event.set_type(problem.severity == Severity::note ? "Normal" : "Warning");
  ObjectReference* regarding = event.mutable_regarding();
  regarding->set_api_version(std::string(api_version_of(object.key.kind)));
  regarding->set_kind(std::string(to_text(object.key.kind)));
  regarding->set_namespace_(object.key.name_space);
  regarding->set_name(object.key.name);
  regarding->set_uid(object.body.uid());
  regarding->set_resource_version(object.body.resource_version());
  return event;
}

Instant EventWriter::due() const {
  if (waiting_.empty() && notes_waiting_.empty()) return Instant::never();
  if (under_way_.size() == event_requests_max) return Instant::never();
  return std::max(held_back_until_, tokens_ > 0 ? Instant() : refilled_ + event_interval);
}

// What we would have said is forgotten, so that we say it if we become the leader.
void EventWriter::drop_waiting(Queue* queue) {
  for (const Waiting& one : *queue) {
    if (const auto said = said_.find(one.identity); said != said_.end()) forget(said);
  }
  queue->clear();
}

void EventWriter::turn(Instant now, bool may_write) {
  while (refilled_ + event_interval <= now && tokens_ < event_burst) {
    ++tokens_;
    refilled_ = tokens_ == event_burst ? now : refilled_ + event_interval;
  }
  if (tokens_ == event_burst) refilled_ = now;
  if (!may_write) {
    drop_waiting(&waiting_);
    drop_waiting(&notes_waiting_);
    return;
  }
  while (tokens_ > 0 && under_way_.size() < event_requests_max && now >= held_back_until_) {
    Queue& queue = queue_of(waiting_.empty());
    if (queue.empty()) return;
    Waiting one = std::move(queue.front());
    queue.pop_front();
    --tokens_;
    const std::string target = "/apis/events.k8s.io/v1/namespaces/" + one.name_space + "/events";
    ApiRequest request{"POST", target, protobuf_content_type, one.body};
    const std::string identity = one.identity;
    under_way_[identity] =
        api_->call(std::move(request),
                   [this, asked = std::move(one)](const ApiAnswer& answer, Instant answered_at) {
                     take(answer, asked, answered_at);
                   });
  }
}

void EventWriter::take(const ApiAnswer& answer, const Waiting& asked, Instant now) {
  under_way_.erase(asked.identity);
  if (answer.ok() || answer.http_status == http_conflict) {
    if (answer.ok()) ++written_;
    failure_.clear();
    hold_ = event_hold_first;
    return;
  }
  ++failed_;
  failure_ = "Event: " + answer.reason();
  if (is_busy(answer.http_status) && asked.tries < event_tries_max) {
    Queue& queue = queue_of(asked.is_note);
    queue.push_front(asked);
    ++queue.front().tries;
    if (now < held_back_until_) return;  // by one that failed beside it
    held_back_until_ = now + hold_;
    hold_ = std::min(hold_ * 2, event_hold_last);
    return;
  }
  // Said again when the problem is told the next time, no sooner than a minute from now.
  const auto said = said_.find(asked.identity);
  if (said == said_.end()) return;
  said->second.again_at = now + Duration::seconds(60);
  first_again_at_ = std::min(first_again_at_, said->second.again_at);
}

}  // namespace millrace::cluster
