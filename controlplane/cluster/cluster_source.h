// A live cluster as a source of objects: one reflector for each kind (and namespace, when only some
// are watched), all over one API server.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "controlplane/cluster/api.h"
#include "controlplane/cluster/reflector.h"
#include "controlplane/store/source.h"

namespace millrace::cluster {

// TLS Secrets that Ingresses name, each watched by itself. What is beyond is not looked at; places
// are shared out by namespace (secret_places.h).
constexpr size_t secrets_max = 1'000;
// So many of their watches begin at a time. libcurl opens a connection for each transfer that finds
// all others full (a server allows about a hundred streams on one), and with a thousand at once
// that would be nine hundred.
constexpr size_t secret_starts_max = 4;

struct ClusterOptions {
  // Only these; empty: all. Kinds without namespaces are watched as they are.
  std::vector<std::string> namespaces;
  // Whether Secrets are looked at. The rights to read them are given or not given with each.
  bool watch_secrets = false;
  // A watch is asked to end after this, and up to twice as much.
  int watch_seconds = watch_seconds_usual;
  // Kinds that only some need, each with rights of its own: Node for the status that is made of
  // nodes, Namespace for a policy that looks at its labels.
  bool watches_nodes = false;
  bool watches_namespaces = false;
};

class ClusterSource : public store::Source {
 public:
  // `api` must outlive it.
  ClusterSource(Api* api, const ClusterOptions& options, uint64_t seed);
  ~ClusterSource() override;

  int fd() const override { return api_->fd(); }
  Instant due(Instant now) const override;
  void turn(Instant now, store::Store* store) override;
  bool has_synced() const override;
  std::vector<k8s::Problem> problems() const override;
  void accept_removals() override;
  std::string name() const override;

  void watch_secrets(const store::SecretNames& names, store::Store* store) override;
  uint64_t secrets_news() const override { return secrets_news_; }
  std::optional<std::string> why_unknown(const std::string& name_space,
                                         const std::string& secret) const override;

  // Over all reflectors.
  Reflector::Counts counts() const;

 private:
  struct Watch {
    Watch(Resource resource, uint64_t seed, int watch_seconds)
        : reflector(std::move(resource), seed, watch_seconds) {}
    Reflector reflector;
    HttpTransferId transfer = 0;  // 0: none under way
    bool is_beginning = false;    // asked, and no head has come
    // What why_unknown() says of a Secret, as of the last turn.
    bool was_known = false;
    std::string was_failure;

    bool is_secret() const { return reflector.resource().kind == k8s::Kind::secret; }
  };

  void add(Resource resource);
  void start(Watch* watch, const ReflectorRequest& request);
  size_t secrets_beginning() const;
  void count_news();

  Api* api_;
  const ClusterOptions options_;
  Random random_;
  std::vector<std::unique_ptr<Watch>> watches_;
  std::map<std::pair<std::string, std::string>, Watch*> secrets_;  // those of Secrets
  store::SecretNames secrets_left_out_;                            // for whom there is no place
  uint64_t secrets_news_ = 0;
  // While turn() runs, for the handlers.
  Instant now_;
  store::Store* store_ = nullptr;
};

}  // namespace millrace::cluster
