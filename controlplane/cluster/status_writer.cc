#include "controlplane/cluster/status_writer.h"

#include <algorithm>
#include <utility>

#include <google/protobuf/util/json_util.h>

#include "base/address.h"
#include "base/ipv6_address.h"

namespace millrace::cluster {

namespace {

using k8s::Kind;

// Those that have rested are looked at together, so often at most.
constexpr Duration look_interval = Duration::seconds(1);
constexpr int http_bad_request = 400;
constexpr int http_not_found = 404;
constexpr int http_conflict = 409;
constexpr int http_unprocessable = 422;

bool is_about_the_object(int http_status) {
  return http_status == http_bad_request || http_status == http_conflict ||
         http_status == http_unprocessable;
}

bool is_ip_address(const std::string& text) {
  return Ipv4Address::parse(text).has_value() || Ipv6Address::parse(text).has_value();
}

void add(const std::string& address, k8s::IngressLoadBalancerStatus* status) {
  if (is_ip_address(address)) {
    status->add_ingress()->set_ip(address);
  } else if (!address.empty()) {
    status->add_ingress()->set_hostname(address);
  }
}

void add_service(const std::string& name, const store::Store& store,
                 k8s::IngressLoadBalancerStatus* status) {
  const size_t slash = name.find('/');
  const k8s::Object* object =
      store.find({Kind::service, name.substr(0, slash), name.substr(slash + 1)});
  if (object == nullptr) return;
  const auto service = object->body.as<k8s::Service>();
  for (const auto& one : service.status().load_balancer().ingress()) {
    add(one.ip().empty() ? one.hostname() : one.ip(), status);
  }
}

void add_nodes(const store::Store& store, k8s::IngressLoadBalancerStatus* status) {
  std::set<std::string> addresses;  // sorted: the same for whoever is the leader
  for (auto at = store.objects().lower_bound({Kind::node, "", ""});
       at != store.objects().end() && at->first.kind == Kind::node; ++at) {
    const auto node = at->second.body.as<k8s::Node>();
    const auto& conditions = node.status().conditions();
    const bool is_ready = std::any_of(conditions.begin(), conditions.end(), [](const auto& one) {
      return one.type() == "Ready" && one.status() == "True";
    });
    if (!is_ready || node.spec().unschedulable()) continue;
    for (const auto& address : node.status().addresses()) {
      if (address.type() == "InternalIP") addresses.insert(address.address());
    }
  }
  for (const std::string& address : addresses) add(address, status);
}

std::string text_of(const k8s::IngressLoadBalancerStatus& status) {
  std::string text;
  for (const auto& one : status.ingress()) text += one.ip() + '|' + one.hostname() + '\n';
  return text;
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

k8s::IngressLoadBalancerStatus wanted_status(const StatusOptions& options,
                                             const store::Store& store) {
  k8s::IngressLoadBalancerStatus status;
  if (!options.addresses.empty()) {
    for (const std::string& address : options.addresses) add(address, &status);
  } else if (!options.publish_service.empty()) {
    add_service(options.publish_service, store, &status);
  } else if (options.from_nodes) {
    add_nodes(store, &status);
  }
  return status;
}

StatusWriter::~StatusWriter() {
  for (const auto& [name, work] : work_) api_->cancel(work.request);
}

void StatusWriter::tell(const store::Report& report, const store::Store& store) {
  if (!options_.writes) return;
  for (const IngressName& name : report.ceased) {
    if (served_.erase(name) == 0) continue;
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
  has_news_ = true;
  due_ = Instant();
}

// Who does not lead clears nothing, and who is refused comes to it late: what is dropped and gone
// would stay.
void StatusWriter::forget_gone(const IngressName& name, const store::Store& store) {
  if (!dropped_.contains(name)) return;
  if (store.find({Kind::ingress, name.first, name.second}) != nullptr) return;
  dropped_.erase(name);
  look_.erase(name);
}

// Who does not lead looks at all when it comes to that.
void StatusWriter::look_soon(const IngressName& name) {
  const bool comes_anyway = looks_at_all_ && served_.contains(name) && !(name < next_served_);
  if (may_write_ && !comes_anyway) look_.insert(name);
}

void StatusWriter::look_at_all() {
  looks_at_all_ = true;
  next_served_ = {};
  look_ = dropped_;
}

void StatusWriter::turn(Instant now, const store::Store& store, bool may_write) {
  if (!options_.writes) return;
  if (may_write != std::exchange(may_write_, may_write)) {
    // Since we led somebody else may have written anything, and nobody told us what to look at.
    look_at_all();
    has_news_ = true;
    due_ = now;
  }
  if (now < due_) return;
  due_ = Instant::never();
  if (!may_write) {
    look_.clear();
    return;
  }
  if (now >= rested_due_ || has_news_) follow_wanted(store);
  // Nothing known: what stands there may be right, and empty surely is not.
  if (wanted_text_.empty()) return;
  if (now < held_back_until_) {
    due_ = held_back_until_;
    return;
  }
  rouse_rested(now);
  size_t looks = status_looks_max;
  // Without room for another request it goes on when an answer makes some.
  if (!look_at_served(store, now, &looks) || !look_at_named(store, now, &looks)) return;
  due_ = looks_at_all_ || !look_.empty() ? now : rested_due_;
}

void StatusWriter::follow_wanted(const store::Store& store) {
  has_news_ = false;
  wanted_ = wanted_status(options_, store);
  std::string text = text_of(wanted_);
  if (text == wanted_text_) return;
  wanted_text_ = std::move(text);
  look_at_all();
}

void StatusWriter::rouse_rested(Instant now) {
  if (now < rested_due_) return;
  Instant first = Instant::never();
  for (const auto& [name, work] : work_) {
    if (work.request != 0) continue;
    if (now >= work.not_before) look_.insert(name);
    first = std::min(first, work.not_before);
  }
  rested_due_ = first == Instant::never() ? first : std::max(first, now + look_interval);
}

// False when no more can be under way now; so are the others that look.
bool StatusWriter::look_at_served(const store::Store& store, Instant now, size_t* looks) {
  if (!looks_at_all_) return true;
  for (auto at = served_.lower_bound(next_served_); at != served_.end(); ++at) {
    next_served_ = *at;
    if (*looks == 0) return true;
    if (!look(*at, store, now)) return false;
    --*looks;
  }
  looks_at_all_ = false;
  return true;
}

bool StatusWriter::look_at_named(const store::Store& store, Instant now, size_t* looks) {
  for (; !look_.empty() && *looks > 0; --*looks) {
    auto at = look_.lower_bound(next_look_);
    if (at == look_.end()) at = look_.begin();
    next_look_ = *at;
    if (!look(*at, store, now)) return false;
    look_.erase(at);
  }
  return true;
}

bool StatusWriter::look(const IngressName& name, const store::Store& store, Instant now) {
  const auto work = work_.find(name);
  // Its answer comes, and then its time.
  if (work != work_.end() && (work->second.request != 0 || now < work->second.not_before)) {
    return true;
  }
  ++looked_at_;
  const k8s::Object* object = store.find({Kind::ingress, name.first, name.second});
  const bool is_served = served_.contains(name);
  const bool says_ours = object != nullptr && status_text_of(*object) == wanted_text_;
  // What is dropped is cleared while it says ours; else another controller has it already.
  const bool is_right = is_served ? says_ours : !says_ours || !dropped_.contains(name);
  if (object == nullptr || is_right) {
    dropped_.erase(name);
    if (work != work_.end()) work_.erase(work);
    return true;
  }
  if (under_way_ == status_requests_max) return false;
  write(name, is_served ? wanted_ : k8s::IngressLoadBalancerStatus());
  return true;
}

void StatusWriter::write(const IngressName& name, const k8s::IngressLoadBalancerStatus& wanted) {
  ++under_way_;
  Work& work = work_[name];
  const std::string target = "/apis/networking.k8s.io/v1/namespaces/" + name.first + "/ingresses/" +
                             name.second + "/status?fieldManager=millrace-controlplane";
  const bool clears = wanted.ingress().empty();
  work.request = api_->call({"PATCH", target, "application/merge-patch+json", patch_of(wanted)},
                            [this, name, clears](const ApiAnswer& answer, Instant answered_at) {
                              take(name, answer, clears, answered_at);
                            });
}

void StatusWriter::take(const IngressName& name, const ApiAnswer& answer, bool clears,
                        Instant now) {
  --under_way_;
  due_ = now;  // there is room for the next one
  Work& work = work_[name];
  work.request = 0;
  // The watch tells what we wrote in a moment; until then it is not written again. Nor soon when
  // somebody else, or the server itself, makes something different of it each time.
  work.not_before = now + work.pause;
  work.pause = std::min(work.pause * 2, status_retry_last);
  rested_due_ = std::min(rested_due_, work.not_before);
  if (answer.ok() || answer.http_status == http_not_found) {
    if (answer.ok()) ++written_;
    if (clears) dropped_.erase(name);
    failure_.clear();
    hold_ = status_retry_first;
    return;
  }
  ++failed_;
  failure_ = "status of Ingress " + name.first + '/' + name.second + ": " + answer.reason();
  if (is_about_the_object(answer.http_status)) return;
  work_.erase(name);  // not its fault
  look_.insert(name);
  hold_back(now);
}

void StatusWriter::hold_back(Instant now) {
  if (now < held_back_until_) return;  // by one that failed beside it
  held_back_until_ = now + hold_;
  hold_ = std::min(hold_ * 2, status_hold_last);
}

}  // namespace millrace::cluster
