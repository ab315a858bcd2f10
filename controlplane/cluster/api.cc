#include "controlplane/cluster/api.h"

#include <utility>

namespace millrace::cluster {

constexpr int http_unauthorized = 401;

std::string ApiAnswer::reason() const {
  if (http_status == 0) return failure;
  const Status status = decode_status(http_status, encoding, body);
  return "HTTP " + std::to_string(http_status) + ": " + k8s::printable(status.message());
}

Result<std::unique_ptr<Api>> Api::create(Credentials credentials) {
  auto client = HttpClient::create();
  if (!client) return Error{client.error()};
  return std::unique_ptr<Api>(new Api(std::move(credentials), std::move(*client)));
}

void Api::turn(Instant now) {
  now_ = now;
  const ::millrace::Status read = credentials_.refresh(now);
  credentials_problem_ = read ? std::string() : read.error();
  client_->turn(now);
}

HttpTransferId Api::start(HttpRequest request, HttpHandler handler) {
  return client_->start(credentials_.identity(), request, std::move(handler));
}

HttpTransferId Api::call(ApiRequest request, OnAnswer on_answer) {
  auto answer = std::make_shared<ApiAnswer>();
  HttpHandler handler;
  handler.head = [this, answer](int status, const std::string& content_type,
                                std::optional<Duration>) {
    answer->http_status = status;
    answer->encoding = encoding_of(content_type);
    if (status == http_unauthorized) refused();
    return true;
  };
  handler.body = [answer](std::string_view bytes) {
    if (answer->body.size() + bytes.size() > answer_bytes_max) return false;
    answer->body += bytes;
    return true;
  };
  handler.end = [this, answer,
                 on_answer = std::move(on_answer)](const std::optional<std::string>& failure) {
    if (failure) {
      answer->http_status = 0;
      answer->failure = *failure;
    }
    on_answer(*answer, now_);
  };
  HttpRequest http;
  http.method = std::move(request.method);
  http.target = std::move(request.target);
  http.accept = accept_list;
  http.content_type = std::move(request.content_type);
  http.body = std::move(request.body);
  http.time_max = request.time_max;
  return start(std::move(http), std::move(handler));
}

}  // namespace millrace::cluster
