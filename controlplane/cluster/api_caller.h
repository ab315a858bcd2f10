// Short requests to an API server, each with one answer: what those who write to the cluster see of
// it, so that tests can be the server.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/time.h"
#include "controlplane/cluster/decode.h"
#include "controlplane/cluster/http_client.h"

namespace millrace::cluster {

// A request of which nothing is known by then has failed.
constexpr Duration api_time_max = Duration::seconds(30);

struct ApiRequest {
  std::string method = "GET";
  std::string target;
  std::string content_type;
  std::string body;
  Duration time_max = api_time_max;
};

struct ApiAnswer {
  int http_status = 0;  // 0: there was none, see `failure`
  std::optional<Encoding> encoding;
  std::string body;
  std::string failure;

  bool ok() const { return http_status >= 200 && http_status < 300; }
  // "HTTP 403: leases is forbidden: ...", or why there was no answer.
  std::string reason() const;
};

class ApiCaller {
 public:
  // `now`: when the answer was read, which may be long after the request.
  using OnAnswer = std::function<void(const ApiAnswer& answer, Instant now)>;

  virtual ~ApiCaller() = default;
  // `on_answer` is called once, never from here, unless the request is canceled.
  virtual HttpTransferId call(ApiRequest request, OnAnswer on_answer) = 0;
  virtual void cancel(HttpTransferId id) = 0;
};

}  // namespace millrace::cluster
