// The API server as the rest of this room sees it: requests with our credentials, and for short
// ones the whole answer at once.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "controlplane/cluster/api_caller.h"
#include "controlplane/cluster/credentials.h"
#include "controlplane/cluster/decode.h"
#include "controlplane/cluster/http_client.h"

namespace millrace::cluster {

// Protobuf first: ten thousand Ingresses are read in about a tenth of the time that JSON takes.
constexpr char accept_list[] = "application/vnd.kubernetes.protobuf, application/json;q=0.5";
constexpr char accept_watch[] =
    "application/vnd.kubernetes.protobuf;stream=watch, application/json;stream=watch;q=0.5";
constexpr size_t answer_bytes_max = 4 << 20;

class Api : public ApiCaller {
 public:
  static Result<std::unique_ptr<Api>> create(Credentials credentials);

  int fd() const { return client_->fd(); }
  Instant due() const { return client_->due(); }
  void turn(Instant now);

  // Neither from `head` nor from `body` of a handler.
  HttpTransferId start(HttpRequest request, HttpHandler handler);
  void cancel(HttpTransferId id) override { client_->cancel(id); }
  HttpTransferId call(ApiRequest request, OnAnswer on_answer) override;

  // A 401 was answered: what is on disk may be newer than what we sent.
  void refused() { credentials_.look_at_once(); }

  const std::string& server() const { return credentials_.identity().server; }
  const std::string& source() const { return credentials_.source(); }
  // Why the credentials could not be read again the last time; empty: they could.
  const std::string& credentials_problem() const { return credentials_problem_; }

 private:
  Api(Credentials credentials, std::unique_ptr<HttpClient> client)
      : credentials_(std::move(credentials)), client_(std::move(client)) {}

  Credentials credentials_;
  std::unique_ptr<HttpClient> client_;
  std::string credentials_problem_;
  Instant now_;  // of the turn
};

}  // namespace millrace::cluster
