// Services of type ExternalName and what DNS says of their names, as derived EndpointSlices in the
// store (k8s/external_name.h): one for each of these Services, also while there is nothing in it.
#pragma once

#include <compare>
#include <map>
#include <set>
#include <string>

#include "base/time.h"
#include "controlplane/names/name_book.h"
#include "controlplane/store/store.h"

namespace millrace::names {

// Those beyond are not looked at until they change while there is room.
constexpr size_t external_services_max = 10'000;

class ExternalNames {
 public:
  explicit ExternalNames(const DnsOptions& options) : book_(options) {}

  // Before the store's changes are taken: looks at the Services among them, and at no others.
  void follow(store::Store* objects);
  // What DNS has answered goes into the store. True when that changed it.
  bool turn(Instant now, store::Store* objects);

  // No Service waits for the first answer about its name.
  bool is_settled() const { return book_.is_settled(); }
  int fd() const { return book_.fd(); }
  Instant due(Instant now) const { return book_.due(now); }

 private:
  struct ServiceName {
    std::string name_space;
    std::string name;

    auto operator<=>(const ServiceName&) const = default;
  };

  bool put_slice(const ServiceName& service, const std::string& dns_name, store::Store* objects);

  NameBook book_;
  std::map<ServiceName, std::string> services_;  // -> the name to ask for; empty: it has none
  std::map<std::string, std::set<ServiceName>> users_;  // of each name
};

}  // namespace millrace::names
