#include "controlplane/cluster/cluster_source.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/wipe.h"
#include "controlplane/cluster/secret_places.h"

namespace millrace::cluster {

namespace {

using k8s::Kind;

constexpr int http_unauthorized = 401;

}  // namespace

ClusterSource::ClusterSource(Api* api, const ClusterOptions& options, uint64_t seed)
    : api_(api), options_(options), random_(seed) {
  add({Kind::ingress_class, "", ""});
  std::vector<std::string> namespaces = options_.namespaces;
  if (namespaces.empty()) namespaces.emplace_back();
  for (const std::string& name_space : namespaces) {
    for (Kind kind : {Kind::ingress, Kind::service, Kind::endpoint_slice}) {
      add({kind, name_space, ""});
    }
  }
  if (options_.watches_nodes) add({Kind::node, "", ""});
  if (options_.watches_namespaces) add({Kind::name_space, "", ""});
}

ClusterSource::~ClusterSource() {
  for (const auto& watch : watches_) api_->cancel(watch->transfer);
}

void ClusterSource::add(Resource resource) {
  watches_.push_back(
      std::make_unique<Watch>(std::move(resource), random_.next(), options_.watch_seconds));
}

Instant ClusterSource::due(Instant) const {
  Instant due = api_->due();
  const bool secrets_wait = secrets_beginning() >= secret_starts_max;
  for (const auto& watch : watches_) {
    // A head that comes, or an end, lets it begin.
    if (secrets_wait && watch->is_secret() && watch->transfer == 0) continue;
    due = std::min(due, watch->reflector.due());
  }
  return due;
}

size_t ClusterSource::secrets_beginning() const {
  return static_cast<size_t>(std::count_if(watches_.begin(), watches_.end(), [](const auto& one) {
    return one->is_secret() && one->is_beginning;
  }));
}

void ClusterSource::turn(Instant now, store::Store* store) {
  now_ = now;
  store_ = store;
  api_->turn(now);
  if (!secrets_.empty()) wipe_dead_stack();  // of what has read and decrypted them
  size_t beginning = secrets_beginning();
  for (const auto& watch : watches_) {
    if (watch->reflector.is_silent(now)) {
      api_->cancel(std::exchange(watch->transfer, 0));
      if (watch->is_secret()) beginning -= watch->is_beginning;
      watch->is_beginning = false;
      watch->reflector.give_up(now, store);
    }
    if (watch->is_secret() && beginning >= secret_starts_max) continue;
    if (const auto request = watch->reflector.start(now)) {
      start(watch.get(), *request);
      beginning += watch->is_secret();
    }
  }
  store_ = nullptr;
  count_news();
}

void ClusterSource::count_news() {
  for (const auto& [name, watch] : secrets_) {
    const bool is_known = watch->reflector.has_synced();
    const std::string& failure = watch->reflector.failure();
    if (is_known == watch->was_known && (is_known || failure == watch->was_failure)) continue;
    watch->was_known = is_known;
    watch->was_failure = failure;
    ++secrets_news_;
  }
}

void ClusterSource::start(Watch* watch, const ReflectorRequest& request) {
  HttpRequest http;
  http.target = request.target;
  http.accept = request.is_watch ? accept_watch : accept_list;
  http.time_max = Duration();  // the reflector says when it has been silent for too long
  HttpHandler handler;
  handler.head = [this, watch](int status, const std::string& content_type,
                               std::optional<Duration> retry_after) {
    watch->is_beginning = false;
    if (status == http_unauthorized) api_->refused();
    return watch->reflector.head(status, content_type, retry_after, now_);
  };
  handler.body = [this, watch](std::string_view bytes) {
    return watch->reflector.body(bytes, now_, store_);
  };
  handler.end = [this, watch](const std::optional<std::string>& failure) {
    watch->transfer = 0;
    watch->is_beginning = false;
    watch->reflector.end(failure, now_, store_);
  };
  watch->is_beginning = true;
  watch->transfer = api_->start(std::move(http), std::move(handler));
}

bool ClusterSource::has_synced() const {
  return std::all_of(watches_.begin(), watches_.end(), [](const auto& watch) {
    return watch->reflector.resource().kind == Kind::secret || watch->reflector.has_synced();
  });
}

std::vector<k8s::Problem> ClusterSource::problems() const {
  std::vector<k8s::Problem> problems;
  if (!api_->credentials_problem().empty()) {
    problems.push_back({k8s::Severity::warning, {}, "", api_->credentials_problem()});
  }
  for (const auto& watch : watches_) {
    for (k8s::Problem& problem : watch->reflector.problems()) {
      problems.push_back(std::move(problem));
    }
  }
  if (!secrets_left_out_.empty()) {
    problems.push_back({k8s::Severity::warning,
                        {},
                        "",
                        "Ingresses name more than " + std::to_string(secrets_max) + " Secrets; " +
                            std::to_string(secrets_left_out_.size()) +
                            " of them are not looked at"});
  }
  return problems;
}

void ClusterSource::accept_removals() {
  for (const auto& watch : watches_) watch->reflector.accept_removals();
}

std::string ClusterSource::name() const {
  return "cluster " + api_->server() + " (" + api_->source() + ")";
}

void ClusterSource::watch_secrets(const store::SecretNames& names, store::Store* store) {
  if (!options_.watch_secrets) return;
  store::SecretNames held;
  for (const auto& [name, watch] : secrets_) held.insert(name);
  const store::SecretNames places = share_places(names, held, secrets_max);
  std::erase_if(watches_, [&](const auto& watch) {
    const Resource& resource = watch->reflector.resource();
    if (!watch->is_secret() || places.contains({resource.name_space, resource.name})) return false;
    api_->cancel(watch->transfer);
    store->remove({Kind::secret, resource.name_space, resource.name});
    secrets_.erase({resource.name_space, resource.name});
    return true;
  });
  for (const auto& name : places) {
    if (secrets_.contains(name)) continue;
    add({Kind::secret, name.first, name.second});
    secrets_.emplace(name, watches_.back().get());
  }
  store::SecretNames left_out;
  std::set_difference(names.begin(), names.end(), places.begin(), places.end(),
                      std::inserter(left_out, left_out.end()));
  if (left_out != secrets_left_out_) ++secrets_news_;
  secrets_left_out_ = std::move(left_out);
}

std::optional<std::string> ClusterSource::why_unknown(const std::string& name_space,
                                                      const std::string& secret) const {
  const auto at = secrets_.find({name_space, secret});
  if (at == secrets_.end()) {
    return secrets_left_out_.contains({name_space, secret})
               ? "Ingresses name more than " + std::to_string(secrets_max) +
                     " Secrets, and this namespace has its share of them"
               : std::string();
  }
  if (at->second->reflector.has_synced()) return std::nullopt;
  return at->second->reflector.failure();
}

Reflector::Counts ClusterSource::counts() const {
  Reflector::Counts sum;
  for (const auto& watch : watches_) {
    const Reflector::Counts& one = watch->reflector.counts();
    sum.lists += one.lists;
    sum.watches += one.watches;
    sum.events += one.events;
    sum.gone += one.gone;
    sum.failures += one.failures;
    sum.shrinks_doubted += one.shrinks_doubted;
  }
  return sum;
}

}  // namespace millrace::cluster
