#include "controlplane/cluster/status_writer.h"

#include <algorithm>
#include <utility>

#include <google/protobuf/util/json_util.h>

#include "base/address.h"
#include "base/ipv6_address.h"

namespace millrace::cluster {

namespace {

using k8s::Kind;

// How often everything is compared while something is under way or waits.
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

void StatusWriter::serve(std::set<IngressName> served, Instant now) {
  for (const IngressName& name : served_) {
    if (!served.contains(name)) dropped_.insert(name);
  }
  for (const IngressName& name : served) dropped_.erase(name);
  served_ = std::move(served);
  has_news_ = true;
  in_pass_ = false;
  due_ = now;
}

void StatusWriter::turn(Instant now, const store::Store& store, bool may_write) {
  if (!options_.writes || now < due_) return;
  if (!may_write) {
    if (std::exchange(has_news_, false)) forget_gone(store);
    return;
  }
  if (!in_pass_) {
    in_pass_ = true;
    has_news_ = false;
    next_served_ = {};
    wanted_ = wanted_status(options_, store);
    // Nothing known: what stands there may be right, and empty surely is not.
    if (wanted_.ingress().empty()) return end_pass(now);
  }
  if (now < held_back_until_) {
    due_ = held_back_until_;
    return;
  }
  due_ = Instant::never();  // until an answer makes room
  if (write_served(store, now) && write_dropped(store, now)) end_pass(now);
}

// False when no more can be under way now; so are the others that are called write.
bool StatusWriter::write_served(const store::Store& store, Instant now) {
  for (auto at = served_.lower_bound(next_served_); at != served_.end(); ++at) {
    next_served_ = *at;
    if (!write(*at, wanted_, store, now)) return false;
  }
  return true;
}

bool StatusWriter::write_dropped(const store::Store& store, Instant now) {
  const k8s::IngressLoadBalancerStatus none;
  const std::string ours = text_of(wanted_);
  for (auto at = dropped_.begin(); at != dropped_.end();) {
    const k8s::Object* object = store.find({Kind::ingress, at->first, at->second});
    if (object == nullptr ||
        text_of(object->body.as<k8s::Ingress>().status().load_balancer()) != ours) {
      at = dropped_.erase(at);  // gone, or another controller's already
    } else if (write(*at, none, store, now)) {
      ++at;
    } else {
      return false;
    }
  }
  return true;
}

void StatusWriter::end_pass(Instant now) {
  in_pass_ = false;
  std::erase_if(work_, [&](const auto& one) {
    return one.second.request == 0 && !served_.contains(one.first) && !dropped_.contains(one.first);
  });
  // Without work the next pass comes when serve() says that something changed.
  due_ = work_.empty() ? Instant::never() : now + look_interval;
}

// Who does not lead clears nothing, so what is dropped and gone would stay for ever.
void StatusWriter::forget_gone(const store::Store& store) {
  std::erase_if(dropped_, [&](const IngressName& name) {
    return store.find({Kind::ingress, name.first, name.second}) == nullptr;
  });
}

bool StatusWriter::write(const IngressName& name, const k8s::IngressLoadBalancerStatus& wanted,
                         const store::Store& store, Instant now) {
  const k8s::Object* object = store.find({Kind::ingress, name.first, name.second});
  const auto waiting = work_.find(name);
  const bool is_right =
      object == nullptr ||
      text_of(object->body.as<k8s::Ingress>().status().load_balancer()) == text_of(wanted);
  if (is_right) {
    const bool rests = waiting != work_.end() && waiting->second.request == 0;
    if (rests && (object == nullptr || now >= waiting->second.not_before)) work_.erase(waiting);
    return true;
  }
  if (waiting != work_.end() &&
      (waiting->second.request != 0 || now < waiting->second.not_before)) {
    return true;
  }
  if (under_way_ == status_requests_max) return false;
  ++under_way_;
  Work& work = work_[name];
  const std::string target = "/apis/networking.k8s.io/v1/namespaces/" + name.first + "/ingresses/" +
                             name.second + "/status?fieldManager=millrace-controlplane";
  const bool clears = wanted.ingress().empty();
  work.request = api_->call({"PATCH", target, "application/merge-patch+json", patch_of(wanted)},
                            [this, name, clears](const ApiAnswer& answer, Instant answered_at) {
                              take(name, answer, clears, answered_at);
                            });
  return true;
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
  work = Work{};  // not its fault
  hold_back(now);
}

void StatusWriter::hold_back(Instant now) {
  if (now < held_back_until_) return;  // by one that failed beside it
  held_back_until_ = now + hold_;
  hold_ = std::min(hold_ * 2, status_hold_last);
}

}  // namespace millrace::cluster
