// An API server for tests of those who write to it: answers by a function, each after a time, or
// never. Nothing happens but in turn(), as with the real one.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "controlplane/cluster/api_caller.h"

namespace millrace::cluster {

class FakeApi : public ApiCaller {
 public:
  struct Asked {
    ApiRequest request;
    OnAnswer on_answer;
    Instant arrives;  // at the server; never: it is lost on its way there
    Instant comes;    // the answer; never: it is lost on its way back
    Instant expires;
    std::optional<ApiAnswer> answer{};
  };
  using Serve = std::function<ApiAnswer(const ApiRequest&)>;
  // Fills in `arrives` and `comes`.
  using Route = std::function<void(Asked*)>;

  explicit FakeApi(Serve serve, Route route = {})
      : serve_(std::move(serve)), route_(std::move(route)) {}

  HttpTransferId call(ApiRequest request, OnAnswer on_answer) override {
    ++calls;
    Asked asked{std::move(request), std::move(on_answer), now_, now_, now_};
    asked.expires = now_ + asked.request.time_max;
    if (route_) route_(&asked);
    asked_.emplace(++last_id_, std::move(asked));
    most_under_way = std::max(most_under_way, asked_.size());
    return last_id_;
  }
  void cancel(HttpTransferId id) override { asked_.erase(id); }
  size_t under_way() const { return asked_.size(); }

  // What the network and the server do until then, whether or not the client looks.
  void work(Instant now) {
    for (auto& [id, asked] : asked_) {
      if (!asked.answer && asked.arrives <= now) asked.answer = serve_(asked.request);
    }
  }
  // The client looks.
  void turn(Instant now) {
    now_ = now;
    work(now);
    while (true) {
      const auto at = std::find_if(asked_.begin(), asked_.end(), [&](const auto& one) {
        return (one.second.answer && one.second.comes <= now) || one.second.expires <= now;
      });
      if (at == asked_.end()) return;
      const Asked asked = std::move(at->second);
      asked_.erase(at);
      ApiAnswer answer;
      answer.failure = "timed out";
      if (asked.answer && asked.comes <= now) answer = *asked.answer;
      asked.on_answer(answer, now);
    }
  }

  size_t calls = 0;
  size_t most_under_way = 0;

 private:
  Serve serve_;
  Route route_;
  std::map<HttpTransferId, Asked> asked_;
  HttpTransferId last_id_ = 0;
  Instant now_;
};

inline ApiAnswer answer_of(int http_status, const std::string& message = "") {
  Status status;
  status.set_message(message);
  return {http_status, Encoding::protobuf, encode_message("v1", "Status", status), ""};
}

}  // namespace millrace::cluster
