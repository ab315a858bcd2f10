// The JSON API on the control plane's Unix socket: what `millrace` asks, and what curl may ask.
//
//   GET  /v1/status                          GET  /v1/history?limit=N&before=V
//   GET  /v1/version?number=V                GET  /v1/diff?from=A&to=B
//   GET  /v1/routes?version=V&host=H&offset=N&limit=N
//   GET  /v1/explain?url=U&header=N:v        POST /v1/plan           (answer::PlanRequest)
//   POST /v1/rollback?version=V              POST /v1/release
//   POST /v1/freeze?endpoints=true           POST /v1/unfreeze       POST /v1/accept
//
// Answers are the messages of answers.proto; an error is answer::Failure with status 400 (a wrong
// question), 404 (no such thing) or 409 (not in this state).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "controlplane/answers/answers.pb.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/model/build.h"
#include "controlplane/publish/rollout.h"
#include "controlplane/serve/http_server.h"
#include "controlplane/store/source.h"

namespace millrace::serve {

constexpr size_t plan_bytes_max = 8U << 20;  // of manifests, in one request
constexpr uint32_t versions_listed_max = 1'000;
constexpr uint32_t routes_listed_max = 10'000;
constexpr size_t problems_listed_max = 1'000;

// What is asked about. All of it outlives the Api, whose calls come between two steps of the loop.
struct Subject {
  publish::Rollout* rollout = nullptr;
  const publish::Publisher* publisher = nullptr;
  const store::Store* objects = nullptr;
  store::Source* source = nullptr;
  const model::Options* options = nullptr;
  const k8s::SharedProblems* problems = nullptr;  // all that are true now; points to some
};

class Api {
 public:
  explicit Api(const Subject& subject) : subject_(subject) {}

  HttpResponse answer(const HttpRequest& request, publish::Moment at);

  // /healthz, /readyz: for probes on both sockets. Nothing for any other path.
  std::optional<HttpResponse> probe(const HttpRequest& request) const;
  bool is_ready(std::string* why) const;
  answer::Status status() const;

 private:
  HttpResponse history(const HttpRequest& request) const;
  HttpResponse version(const HttpRequest& request) const;
  HttpResponse diff(const HttpRequest& request) const;
  HttpResponse routes(const HttpRequest& request) const;
  HttpResponse explain(const HttpRequest& request) const;
  HttpResponse plan(const HttpRequest& request) const;
  answer::Plan make_plan(const answer::PlanRequest& asked) const;
  HttpResponse act(const HttpRequest& request, publish::Moment at);
  Result<model::Model> table_of(const std::string& name) const;

  Subject subject_;
};

}  // namespace millrace::serve
