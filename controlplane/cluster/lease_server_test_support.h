// An API server's Lease, for tests of those who want to hold it.
#pragma once

#include <optional>
#include <string>

#include "base/check.h"
#include "controlplane/cluster/api.pb.h"
#include "controlplane/cluster/fake_api_test_support.h"

namespace millrace::cluster {

// One Lease, with a resourceVersion as a server keeps it.
class LeaseServer {
 public:
  ApiAnswer serve(const ApiRequest& request) {
    if (request.method == "GET") return lease ? shown() : answer_of(404);
    Lease written;
    CHECK(decode_message(Encoding::protobuf, request.body, &written));
    if (request.method == "POST") {
      if (lease) return answer_of(409, "AlreadyExists");
    } else if (!lease) {
      return answer_of(404);
    } else if (written.metadata().resource_version() != lease->metadata().resource_version()) {
      return answer_of(409, "Conflict");
    }
    lease = written;
    lease->mutable_metadata()->set_resource_version(std::to_string(++version_));
    return shown();
  }
  std::optional<Lease> lease;

 private:
  ApiAnswer shown() const {
    return {200, Encoding::protobuf, encode_message("coordination.k8s.io/v1", "Lease", *lease), ""};
  }
  int version_ = 0;
};

}  // namespace millrace::cluster
