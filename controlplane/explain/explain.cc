#include "controlplane/explain/explain.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <iterator>

#include "controlplane/k8s/object.h"

namespace millrace::explain {

namespace {

std::string name_of_host(const std::string& name) {
  return name.empty() ? "the empty host" : "host " + name;
}

const model::Host* find_host(const model::Model& model, std::string_view name) {
  const auto at = std::lower_bound(
      model.hosts.begin(), model.hosts.end(), name,
      [](const model::Host& host, std::string_view wanted) { return host.name < wanted; });
  return at != model.hosts.end() && at->name == name ? &*at : nullptr;
}

// The hosts of the model that cover this one, the most specific first.
std::vector<const model::Host*> covering(const model::Model& model, const std::string& host) {
  std::vector<const model::Host*> found;
  const auto add = [&](std::string_view name) {
    const model::Host* one = find_host(model, name);
    if (one != nullptr) found.push_back(one);
  };
  if (!host.empty() && !host.starts_with("*.")) add(host);
  const size_t dot = host.find('.');
  if (dot != std::string::npos && dot != 0) add('*' + host.substr(dot));
  add("");
  return found;
}

bool matches(const model::Route& route, std::string_view path) {
  return route.type == model::PathType::exact ? route.path == path
                                              : prefix_matches(route.path, path);
}

// Without one slash at its end: an empty element is one too.
size_t prefix_length(std::string_view path) {
  return path.size() - (path.ends_with('/') ? 1 : 0);
}

bool goes_before(const model::Route& left, const model::Route& right) {
  const bool left_exact = left.type == model::PathType::exact;
  const bool right_exact = right.type == model::PathType::exact;
  if (left_exact != right_exact) return left_exact;
  return prefix_length(left.path) > prefix_length(right.path);
}

std::string rule_text(const model::Route& route) {
  return std::string(to_text(route.type)) + " \"" + route.path + '"';
}

std::string created(const store::Store& objects, const model::RouteSource& source) {
  const k8s::Object* object = objects.find({k8s::Kind::ingress, source.name_space, source.ingress});
  if (object == nullptr) return "";
  const k8s::ObjectMeta metadata = object->body.metadata();
  if (!metadata.has_creation_timestamp()) return "";
  return google::protobuf::util::TimeUtil::ToString(metadata.creation_timestamp());
}

// Why `loser`, which asks for the same requests as `winner`, lost.
std::string why_shadowed(const model::Route& loser, const model::Route& winner,
                         const store::Store& objects) {
  const std::string same =
      "asks for the same requests as " + rule_text(winner) + " of " + winner.source.object() + ": ";
  if (loser.path != winner.path)
    return same + "of two that differ in a slash at the end the longer";
  if (loser.type != winner.type) return same + "Prefix goes before ImplementationSpecific";
  if (loser.source.object() == winner.source.object()) return same + "the first one in it counts";
  const std::string mine = created(objects, loser.source);
  const std::string its = created(objects, winner.source);
  if (mine == its) return same + "as old, and its name comes first";
  if (mine.empty()) return same + "created " + its + "; this one does not say when it was created";
  return same + "created " + its + ", this one " + mine;
}

class Search {
 public:
  Search(const model::Model& model, const store::Store& objects, const Request& request)
      : model_(model), objects_(objects), request_(request) {}

  Explanation run() {
    const std::vector<const model::Host*> hosts = covering(model_, request_.host);
    if (!hosts.empty()) search(*hosts.front());
    if (result_.winner.empty() && model_.cluster_default) {
      win("", *model_.cluster_default,
          "no rule takes the request; it is the cluster's default backend");
    } else if (model_.cluster_default) {
      lose("", *model_.cluster_default, "the cluster's default takes only what no rule takes",
           true);
    }
    for (const model::Route& route : model_.shadowed_cluster_defaults) {
      lose("", route,
           "one default backend serves the cluster: " + model_.cluster_default->source.object() +
               " is older or named first",
           true);
    }
    for (size_t i = 1; i < hosts.size(); ++i) pass_over(*hosts[i], *hosts.front());
    judge();
    result_.others = std::move(matching_);
    std::move(rest_.begin(), rest_.end(), std::back_inserter(result_.others));
    return std::move(result_);
  }

 private:
  void win(const std::string& host, const model::Route& route, std::string why) {
    result_.winner.push_back({host, &route, std::move(why)});
  }
  void lose(const std::string& host, const model::Route& route, std::string why, bool would_match) {
    if (matching_.size() + rest_.size() >= others_named_max) {
      ++result_.others_more;
      return;
    }
    (would_match ? matching_ : rest_).push_back({host, &route, std::move(why)});
  }

  // In the one host that counts.
  void search(const model::Host& host) {
    const model::Route* best = nullptr;
    for (const model::Route& route : host.routes) {
      if (!matches(route, request_.path)) continue;
      if (best == nullptr || goes_before(route, *best)) best = &route;
    }
    if (best != nullptr) {
      win(host.name, *best,
          best->type == model::PathType::exact ? "the path is exactly this one"
                                               : "the longest of the paths that match");
    } else if (host.default_route) {
      win(host.name, *host.default_route,
          "no path of " + name_of_host(host.name) + " matches; it is the host's default backend");
    }
    for (const model::ShadowedRoute& shadowed : host.shadowed) {
      if (matches(shadowed.route, request_.path) && shadowed.winner < host.routes.size()) {
        lose(host.name, shadowed.route,
             why_shadowed(shadowed.route, host.routes[shadowed.winner], objects_), true);
      }
    }
    for (const model::Route& route : host.routes) {
      if (&route != best) lose_in(host, route, best);
    }
    if (best != nullptr && host.default_route) {
      lose(host.name, *host.default_route, "the host's default takes only what no path takes",
           true);
    }
    for (const model::Route& route : host.shadowed_defaults) {
      lose(host.name, route,
           "one default backend serves a host: " + host.default_route->source.object() +
               " is older or named first",
           true);
    }
  }

  void lose_in(const model::Host& host, const model::Route& route, const model::Route* best) {
    if (!matches(route, request_.path)) {
      lose(host.name, route,
           route.type == model::PathType::exact ? "the path is not exactly this one"
                                                : "the path does not begin with its elements",
           false);
    } else if (best->type == model::PathType::exact) {
      lose(host.name, route, "matches too, but an Exact path goes before every Prefix", true);
    } else {
      lose(host.name, route, "matches too, but is shorter than " + rule_text(*best), true);
    }
  }

  void pass_over(const model::Host& host, const model::Host& chosen) {
    const std::string why = "would match, but " + name_of_host(chosen.name) +
                            " is more specific, and once a host is chosen no other one is asked";
    for (const model::Route& route : host.routes) {
      if (matches(route, request_.path)) lose(host.name, route, why, true);
    }
    if (host.default_route) lose(host.name, *host.default_route, why, true);
  }

  // What becomes of the request.
  void judge() {
    if (!request_.refusal.empty()) {
      result_.status = 400;
      result_.sentence = "refused before a route is looked for: " + request_.refusal;
      result_.winner.clear();
      return;
    }
    if (result_.winner.empty()) {
      result_.status = 404;
      result_.sentence = "no rule takes it, and there is no default backend";
      return;
    }
    const model::Route& route = *result_.winner.front().route;
    const std::string by = "answered by " + route.source.object();
    if (!route.backend) {
      result_.status = 503;
      result_.sentence = by + ", whose backend cannot be used";
      return;
    }
    const auto service = std::lower_bound(
        model_.services.begin(), model_.services.end(), *route.backend,
        [](const model::Service& one, const model::ServiceKey& key) { return one.key < key; });
    if (service != model_.services.end() && service->key == *route.backend) {
      result_.service = &*service;
    }
    if (result_.service == nullptr || result_.service->endpoints.empty()) {
      result_.status = 503;
      result_.sentence = by + " by Service " + route.backend->text() + ", which has no endpoint";
      return;
    }
    result_.sentence = by + " by Service " + route.backend->text();
    if (request_.has_encoded_slash) note_encoded_slash(*route.backend);
  }

  void note_encoded_slash(const model::ServiceKey& backend) {
    if (backend.policy.encoded_slash == model::EncodedSlash::pass) return;
    if (backend.policy.encoded_slash == model::EncodedSlash::refuse) {
      result_.status = 400;
      result_.sentence =
          "refused: its path has an encoded slash or backslash, and the Ingress says "
          "that none passes";
      return;
    }
    result_.notes.push_back(
        "its path has an encoded slash or backslash: answered 400 unless `paths` of the data "
        "plane's configuration lets them pass");
  }

  const model::Model& model_;
  const store::Store& objects_;
  const Request& request_;
  Explanation result_;
  std::vector<Candidate> matching_;
  std::vector<Candidate> rest_;
};

}  // namespace

bool prefix_matches(std::string_view prefix, std::string_view path) {
  prefix = prefix.substr(0, prefix_length(prefix));
  if (!path.starts_with(prefix)) return false;
  return path.size() == prefix.size() || path[prefix.size()] == '/';
}

Explanation explain(const model::Model& model, const store::Store& objects,
                    const Request& request) {
  return Search(model, objects, request).run();
}

}  // namespace millrace::explain
