#include "controlplane/cluster/status_writer.h"

#include <algorithm>
#include <utility>

#include <google/protobuf/util/json_util.h>

namespace millrace::cluster {

namespace {

// Those that have rested are looked at together, so often at most.
constexpr Duration look_interval = Duration::seconds(1);
constexpr size_t source_count = 3;
constexpr int http_bad_request = 400;
constexpr int http_not_found = 404;
constexpr int http_conflict = 409;
constexpr int http_unprocessable = 422;
constexpr int http_server_error = 500;

bool is_about_the_object(int http_status) {
  return http_status == http_bad_request || http_status == http_conflict ||
         http_status == http_unprocessable;
}

// Nobody knows whether it was carried out, or will be.
bool may_take_effect(int http_status) {
  return http_status == 0 || http_status >= http_server_error;
}

std::string status_text_of(const k8s::Object& object) {
  return text_of(object.body.as<k8s::Ingress>().status().load_balancer());
}

std::string patch_of(const k8s::IngressLoadBalancerStatus& status) {
  if (status.ingress().empty()) return R"({"status":{"loadBalancer":{"ingress":null}}})";
  std::string json;
  const auto printed = google::protobuf::util::MessageToJsonString(status, &json);
  CHECK(printed.ok());
  return R"({"status":{"loadBalancer":)" + json + "}}";
}

}  // namespace

StatusWriter::~StatusWriter() {
  for (const auto& [name, work] : work_) api_->cancel(work.request);
}

void StatusWriter::tell(const store::Report& report, const store::Store& store) {
  if (!options_.writes) return;
  // Who does not lead looks at all when it comes to that.
  const auto look_soon = [&](const IngressName& name) {
    if (may_write_) told_.add(name);
  };
  for (const IngressName& name : report.ceased) {
    served_.erase(name);  // the first report may tell of some that a process before us served
    dropped_.insert(name);
    look_soon(name);
  }
  for (const IngressName& name : report.began) {
    dropped_.erase(name);
    served_.insert(name);
    look_soon(name);
  }
  for (const IngressName& name : report.changed) {
    if (served_.contains(name) || dropped_.contains(name)) look_soon(name);
  }
  for (const IngressName& name : report.ceased) forget_gone(name, store);
  for (const IngressName& name : report.changed) forget_gone(name, store);
  addresses_may_differ_ |= report.nodes_or_services_changed;
  due_ = Instant();
}

// Who does not lead clears nothing, and who is refused comes to it late: what is dropped and gone
// would stay. What we wrote may yet come to stand in another object of that name.
void StatusWriter::forget_gone(const IngressName& name, const store::Store& store) {
  if (!dropped_.contains(name)) return;
  if (store.find({k8s::Kind::ingress, name.first, name.second}) != nullptr) return;
  is_well(name);
  const auto work = work_.find(name);
  const bool is_under_way = work != work_.end() && work->second.request != 0;
  const bool may_show = work != work_.end() && work->second.may_show_until() != Instant();
  if (may_write_ && (is_under_way || may_show)) return;
  dropped_.erase(name);
  if (!is_under_way) forget_work(name);
}

void StatusWriter::forget_work(const IngressName& name) {
  work_.erase(name);
  told_.erase(name);
  again_.erase(name);
  suspects_.erase(name);
}

// Since we led somebody else may have written anything, and nobody told us what to look at.
void StatusWriter::lead(Instant now) {
  leads_since_ = now;
  look_at_all();
}

// Around from where the pass before came to, so that addresses which change sooner than a pass
// takes leave nobody out.
void StatusWriter::look_at_all() {
  looks_at_all_ = true;
  has_wrapped_ = false;
  pass_begin_ = next_served_;
  for (const IngressName& name : dropped_) told_.add(name);
}

void StatusWriter::turn(Instant now, const store::Store& store, bool may_write) {
  if (!options_.writes) return;
  if (may_write != std::exchange(may_write_, may_write)) {
    if (may_write) lead(now);
    due_ = now;
  }
  if (now < due_) return;
  due_ = Instant::never();
  // Who does not lead follows too: what the leader writes now, it may have to clear.
  if (addresses_may_differ_) follow_wanted(store);
  if (!may_write) return;
  // Nothing known: what stands there may be right, and empty surely is not.
  if (wanted_text_.empty()) return;
  rouse_rested(now);
  if (now < held_back_until_) {
    due_ = std::min(held_back_until_, probe(store, now));
    return;
  }
  rouse_suspects(now);
  // Without room for another request it goes on when an answer makes some.
  due_ = look_around(store, now) ? rested_due() : now;
}

void StatusWriter::follow_wanted(const store::Store& store) {
  addresses_may_differ_ = false;
  ++addresses_read_;
  wanted_ = wanted_status(options_, store);
  std::string text = text_of(wanted_);
  if (text == wanted_text_) return;
  wanted_text_ = std::move(text);
  if (!wanted_text_.empty()) {
    std::erase(texts_, wanted_text_);
    texts_.push_front(wanted_text_);
    if (texts_.size() > status_texts_max) texts_.pop_back();
  }
  if (may_write_) look_at_all();
}

void StatusWriter::rouse_rested(Instant now) {
  if (now < rested_due()) return;
  roused_at_ = now;
  while (!resting_.empty() && resting_.begin()->first <= now) {
    const IngressName name = resting_.begin()->second;
    resting_.erase(resting_.begin());
    again_.add(name);
  }
}

Instant StatusWriter::rested_due() const {
  if (resting_.empty()) return Instant::never();
  return std::max(resting_.begin()->first, roused_at_ + look_interval);
}

// Nothing is held back any more, so they may try again, one after the other.
void StatusWriter::rouse_suspects(Instant now) {
  while (!suspects_.empty()) {
    const IngressName name = suspects_.first();
    suspects_.erase(name);
    work_[name].not_before = now;
    again_.add(name);
  }
}

// While all is held back: perhaps it is not the server that those failed at. The newest first,
// since what was told before it may be of the same kind as what failed. Returns when it goes on.
Instant StatusWriter::probe(const store::Store& store, Instant now) {
  for (size_t looks = status_looks_max; now >= probe_due_ && !told_.empty(); --looks) {
    if (looks == 0) return now;
    const size_t before = under_way_;
    const IngressName name = told_.newest();
    if (!look(name, false, store, now)) return Instant::never();
    told_.erase(name);
    if (under_way_ > before) probe_due_ = now + status_probe_interval;
  }
  return told_.empty() ? Instant::never() : probe_due_;
}

// One of each source in turn; who has none, or no place for it, is passed over. False when there
// is more to look at in this very moment.
bool StatusWriter::look_around(const store::Store& store, Instant now) {
  size_t passed_over = 0;
  for (size_t looks = status_looks_max; passed_over < source_count;) {
    if (looks == 0) return false;
    const bool has_looked = look_at_next(static_cast<Source>(next_source_), store, now);
    next_source_ = (next_source_ + 1) % source_count;
    passed_over = has_looked ? 0 : passed_over + 1;
    looks -= has_looked;
  }
  return true;
}

bool StatusWriter::look_at_next(Source source, const store::Store& store, Instant now) {
  const IngressName* next = next_of(source);
  if (next == nullptr) return false;
  const IngressName name = *next;
  if (!look(name, source == Source::again, store, now)) return false;
  done(source, name);
  return true;
}

const IngressName* StatusWriter::next_of(Source source) {
  if (source == Source::told) return told_.empty() ? nullptr : &told_.first();
  if (source == Source::again) return again_.empty() ? nullptr : &again_.first();
  if (!looks_at_all_) return nullptr;
  auto at = served_.lower_bound(next_served_);
  if (at == served_.end() && !std::exchange(has_wrapped_, true)) at = served_.begin();
  if (at == served_.end() || (has_wrapped_ && !(*at < pass_begin_))) {
    looks_at_all_ = false;
    return nullptr;
  }
  next_served_ = *at;
  return &*at;
}

void StatusWriter::done(Source source, const IngressName& name) {
  if (source == Source::told) told_.erase(name);
  if (source == Source::again) again_.erase(name);
  if (source == Source::served) next_served_ = {name.first, name.second + '\0'};
}

// False: it has to be written, and there is no place for it.
bool StatusWriter::look(const IngressName& name, bool is_retry, const store::Store& store,
                        Instant now) {
  const auto work = work_.find(name);
  if (work != work_.end()) {
    // Its answer comes, and then its time.
    if (work->second.request != 0 || now < work->second.not_before) return true;
    if (work->second.has_failed && !is_retry) {
      again_.add(name);
      return true;
    }
  }
  ++looked_at_;
  const k8s::Object* object = store.find({k8s::Kind::ingress, name.first, name.second});
  const std::string text = object == nullptr ? "" : status_text_of(*object);
  const bool is_served = served_.contains(name);
  // What is dropped is cleared while it says ours; else another controller has it already.
  const bool is_right =
      is_served ? text == wanted_text_ : !dropped_.contains(name) || !says_ours(text);
  if (object == nullptr || is_right) {
    settle(name, now);
    return true;
  }
  if (!has_place(is_retry)) return false;
  write(name, !is_served, is_retry, now);
  return true;
}

bool StatusWriter::says_ours(const std::string& text) const {
  return std::find(texts_.begin(), texts_.end(), text) != texts_.end();
}

bool StatusWriter::has_place(bool is_retry) const {
  return under_way_ < status_requests_max && (!is_retry || retries_under_way_ < status_retries_max);
}

// It says what it should: forgotten, unless what we wrote, or the leader before us, may yet come to
// stand there.
void StatusWriter::settle(const IngressName& name, Instant now) {
  is_well(name);
  const auto work = work_.find(name);
  Instant until = work == work_.end() ? Instant() : work->second.lost_until;
  if (dropped_.contains(name)) {
    until = leads_since_ + status_settle_time;
    if (work != work_.end()) until = std::max(until, work->second.may_show_until());
  }
  if (now < until) {
    resting_.emplace(until, name);
    return;
  }
  dropped_.erase(name);
  forget_work(name);
}

void StatusWriter::is_well(const IngressName& name) {
  if (name == failure_of_) failure_.clear();
}

void StatusWriter::write(const IngressName& name, bool clears, bool is_retry, Instant now) {
  ++under_way_;
  retries_under_way_ += is_retry;
  Work& work = work_[name];
  work.is_retry = is_retry;
  work.sent_at = now;
  const std::string target = "/apis/networking.k8s.io/v1/namespaces/" + name.first + "/ingresses/" +
                             name.second + "/status?fieldManager=millrace-controlplane";
  const std::string body = patch_of(clears ? k8s::IngressLoadBalancerStatus() : wanted_);
  work.request = api_->call({"PATCH", target, "application/merge-patch+json", body},
                            [this, name, clears](const ApiAnswer& answer, Instant answered_at) {
                              take(name, answer, clears, answered_at);
                            });
}

void StatusWriter::take(const IngressName& name, const ApiAnswer& answer, bool clears,
                        Instant now) {
  Work& work = work_[name];
  work.request = 0;
  --under_way_;
  retries_under_way_ -= work.is_retry;
  due_ = now;  // there is room for the next one
  if (!answer.ok() && answer.http_status != http_not_found) {
    return take_failure(name, answer, clears, now);
  }
  rest(name, &work, now);
  // Gone, or it is no API server that says so: what stands there is looked at again.
  if (!answer.ok()) return;
  ++written_;
  if (!clears) work.shows_until = now + status_settle_time;
  if (clears && now >= work.lost_until) dropped_.erase(name);
  server_is_well(now);
}

void StatusWriter::take_failure(const IngressName& name, const ApiAnswer& answer, bool clears,
                                Instant now) {
  ++failed_;
  failure_of_ = name;
  failure_ = "status of Ingress " + name.first + '/' + name.second + ": " + answer.reason();
  Work& work = work_[name];
  work.has_failed = true;
  if (!clears && may_take_effect(answer.http_status)) {
    work.lost_until = now + status_settle_time;
  }
  if (is_about_the_object(answer.http_status) || work.sent_at <= well_at_) {
    return rest(name, &work, now);
  }
  work.not_before = Instant::never();
  suspects_.add(name);
  put_namespace_off(name.first);
  hold_back(now);
}

// The watch tells what we wrote in a moment; until then it is not written again. Nor soon when
// somebody else, or the server itself, makes something different of it each time.
void StatusWriter::rest(const IngressName& name, Work* work, Instant now) {
  work->not_before = now + work->pause;
  work->pause = std::min(work->pause * 2, status_retry_last);
  resting_.emplace(work->not_before, name);
}

// So those that failed meanwhile did it by themselves.
void StatusWriter::server_is_well(Instant now) {
  well_at_ = held_back_until_ = now;
  hold_ = status_retry_first;
  while (!suspects_.empty()) {
    const IngressName name = suspects_.first();
    suspects_.erase(name);
    rest(name, &work_[name], now);
  }
}

// The Ingresses of one namespace may fail together, so the pass goes on with the next one, and with
// these behind all others.
void StatusWriter::put_namespace_off(const std::string& name_space) {
  if (!looks_at_all_ || next_served_.first != name_space) return;
  for (auto at = served_.lower_bound(next_served_); at != served_.end(); ++at) {
    if (at->first != name_space) break;
    again_.add(*at);
  }
  next_served_ = {name_space + '\0', ""};
}

void StatusWriter::hold_back(Instant now) {
  if (now < held_back_until_) return;  // by one that failed beside it
  held_back_until_ = now + hold_;
  hold_ = std::min(hold_ * 2, status_hold_last);
}

}  // namespace millrace::cluster
