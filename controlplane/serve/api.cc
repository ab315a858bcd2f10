#include "controlplane/serve/api.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <utility>

#include "controlplane/answers/json.h"
#include "controlplane/explain/explain.h"
#include "controlplane/manifests/file.h"
#include "controlplane/serve/describe.h"

namespace millrace::serve {

namespace {

HttpResponse good(const google::protobuf::Message& message) {
  return {200, "application/json", answer::to_json(message)};
}

HttpResponse failure(unsigned status, const std::string& sentence) {
  answer::Failure failure;
  failure.set_error(sentence);
  return {status, "application/json", answer::to_json(failure)};
}

template <class Number>
bool parse_number(const std::string& text, Number* number) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *number);
  return error == std::errc() && stop == end;
}

// A query's number within 0 and `most`; `standard` when there is none. False: it is no number.
bool take_number(const HttpRequest& request, const std::string& name, uint32_t standard,
                 uint32_t most, uint32_t* number) {
  *number = standard;
  const auto text = request.argument(name);
  if (text && !parse_number(*text, number)) return false;
  *number = std::min(*number, most);
  return true;
}

}  // namespace

HttpResponse Api::answer(const HttpRequest& request, publish::Moment at) {
  if (const auto probed = probe(request)) return *probed;
  const bool is_get = request.method == "GET";
  const bool is_post = request.method == "POST";
  const std::string& path = request.path;
  if (is_get && path == "/v1/status") return good(status());
  if (is_get && path == "/v1/history") return history(request);
  if (is_get && path == "/v1/version") return version(request);
  if (is_get && path == "/v1/diff") return diff(request);
  if (is_get && path == "/v1/routes") return routes(request);
  if (is_get && path == "/v1/explain") return explain(request);
  if (is_post && path == "/v1/plan") return plan(request);
  if (is_post) return act(request, at);
  return failure(404, "there is no " + request.method + ' ' + k8s::printable(path));
}

bool Api::is_ready(std::string* why) const {
  if (!subject_.source->has_synced()) {
    *why = subject_.source->name() + " has not been read completely";
  } else if (!subject_.rollout->has_published()) {
    *why = "no table has been made yet";
  } else if (!subject_.publisher->is_connected()) {
    *why = "the data plane is not there";
  } else if (!subject_.publisher->data_plane_has_wanted()) {
    *why = "the data plane does not have the newest table yet";
  }
  return why->empty();
}

std::optional<HttpResponse> Api::probe(const HttpRequest& request) const {
  if (request.method != "GET" && request.method != "HEAD") return std::nullopt;
  // That it is answered at all says that the loop turns.
  if (request.path == "/healthz") return HttpResponse{200, "text/plain", "ok\n"};
  if (request.path != "/readyz") return std::nullopt;
  std::string why;
  const bool ready = is_ready(&why);
  return HttpResponse{ready ? 200U : 503U, "text/plain", ready ? "ok\n" : why + '\n'};
}

answer::Status Api::status() const {
  const publish::Rollout& rollout = *subject_.rollout;
  answer::Status status;
  status.mutable_source()->set_name(subject_.source->name());
  status.mutable_source()->set_synced(subject_.source->has_synced());
  status.mutable_source()->set_objects(static_cast<uint32_t>(subject_.objects->size()));
  if (rollout.has_published()) {
    const model::Model& table = rollout.published();
    answer::Status::Published* published = status.mutable_published();
    published->set_version(static_cast<double>(subject_.publisher->wanted_version()));
    published->set_content_hash(rollout.content_hash());
    published->set_hosts(static_cast<uint32_t>(table.hosts.size()));
    published->set_routes(static_cast<uint32_t>(table.route_count()));
    published->set_endpoints(static_cast<uint32_t>(table.endpoint_count()));
  }
  answer::Status::DataPlane* data_plane = status.mutable_data_plane();
  data_plane->set_connected(subject_.publisher->is_connected());
  data_plane->set_up_to_date(subject_.publisher->data_plane_has_wanted());
  data_plane->set_version(static_cast<double>(subject_.publisher->applied_version()));
  data_plane->set_epoch(static_cast<double>(subject_.publisher->applied_epoch()));
  data_plane->set_refusal(subject_.publisher->refusal());
  answer::Status::Hold* hold = status.mutable_hold();
  hold->set_pinned_version(rollout.hold().pinned_version());
  hold->set_pinned_time(rollout.hold().pinned_time());
  hold->set_guard_bad_version(rollout.hold().guard_bad_version());
  hold->set_guard_sentence(rollout.hold().guard_sentence());
  hold->set_frozen(rollout.hold().frozen());
  hold->set_endpoints_frozen(rollout.hold().endpoints_frozen());
  hold->set_frozen_time(rollout.hold().frozen_time());
  hold->set_frozen_version(rollout.hold().frozen_version());
  answer::Status::HeldBack* held = status.mutable_held_back();
  held->set_holding(!rollout.held_back().empty());
  held->set_sentence(rollout.held_back());
  held->set_confirmed(rollout.guard().confirmed());
  held->set_confirmations(rollout.guard().limits().confirmations);
  answer::Status::Waiting* waiting = status.mutable_waiting();
  waiting->set_objects(static_cast<uint32_t>(rollout.waiting().size() + rollout.waiting_more()));
  for (const auto& [key, change] : rollout.waiting()) {
    if (static_cast<size_t>(waiting->causes_size()) >= history::causes_named_max) break;
    *waiting->add_causes() = publish::cause_of(change);
  }
  const bool waits = rollout.holds_routes() || held->holding();
  if (waits && rollout.asked() != nullptr) {
    const answer::Diff diff =
        describe(model::difference(rollout.published(), *rollout.asked()), "", "");
    waiting->set_routes_changed(static_cast<uint32_t>(diff.routes_size()) + diff.routes_more());
    waiting->set_services_changed(static_cast<uint32_t>(diff.services_size()) +
                                  diff.services_more());
  }
  const history::History& kept = rollout.history();
  answer::Status::History* history = status.mutable_history();
  history->set_folder(kept.folder());
  history->set_versions(static_cast<uint32_t>(kept.size()));
  if (kept.size() > 0) {
    history->set_oldest(kept.at(0).number());
    history->set_newest(kept.at(kept.size() - 1).number());
  }
  history->set_bytes(static_cast<double>(kept.bytes()));
  history->set_writing(kept.is_writing());
  std::map<std::pair<k8s::Severity, std::string_view>, uint32_t> counts;
  for (const k8s::Severity severity :
       {k8s::Severity::error, k8s::Severity::warning, k8s::Severity::note}) {
    for (const k8s::Problem& problem : **subject_.problems) {
      if (problem.severity != severity) continue;
      if (severity == k8s::Severity::error) status.set_errors(status.errors() + 1);
      if (severity == k8s::Severity::warning) status.set_warnings(status.warnings() + 1);
      if (severity == k8s::Severity::note) status.set_notes(status.notes() + 1);
      ++counts[{severity, k8s::reason_of(problem)}];
      if (static_cast<size_t>(status.problems_size()) >= problems_listed_max) continue;
      *status.add_problems() = describe(problem);
    }
  }
  for (const auto& [what, problems] : counts) {
    answer::Status::Count* count = status.add_counts();
    count->set_severity(std::string(k8s::to_text(what.first)));
    count->set_reason(std::string(what.second));
    count->set_problems(problems);
  }
  return status;
}

HttpResponse Api::history(const HttpRequest& request) const {
  uint32_t limit = 0;
  if (!take_number(request, "limit", 20, versions_listed_max, &limit)) {
    return failure(400, "limit is no number");
  }
  uint64_t before = UINT64_MAX;
  const auto text = request.argument("before");
  if (text && !parse_number(*text, &before)) return failure(400, "before is no number");
  answer::Versions versions;
  const history::History& history = subject_.rollout->history();
  for (size_t i = history.size(); i-- > 0;) {
    const record::Version& version = history.at(i);
    if (version.number() >= static_cast<double>(before)) continue;
    if (static_cast<uint32_t>(versions.versions_size()) >= limit) {
      versions.set_more(true);
      break;
    }
    *versions.add_versions() = version;
  }
  return good(versions);
}

HttpResponse Api::version(const HttpRequest& request) const {
  uint64_t number = 0;
  if (!parse_number(request.argument("number").value_or(""), &number)) {
    return failure(400, "number is no version number");
  }
  const history::History& history = subject_.rollout->history();
  const record::Version* found = history.find(number);
  if (found == nullptr) {
    return failure(404, "there is no version " + std::to_string(number) + " in the history");
  }
  const auto change = history.change_of(number);
  if (!change) return failure(409, change.error());
  answer::OneVersion one;
  *one.mutable_version() = *found;
  *one.mutable_diff() = describe(*change, std::to_string(static_cast<uint64_t>(found->previous())),
                                 std::to_string(static_cast<uint64_t>(found->number())));
  return good(one);
}

Result<model::Model> Api::table_of(const std::string& name) const {
  const publish::Rollout& rollout = *subject_.rollout;
  if (name == "live") {
    if (!rollout.has_published()) return Error{"nothing is published yet"};
    return rollout.published();
  }
  if (name == "queued") {
    if (rollout.asked() == nullptr) return Error{"not everything has been read yet"};
    return *rollout.asked();
  }
  uint64_t number = 0;
  if (!parse_number(name, &number)) {
    return Error{"\"" + k8s::printable(name) + "\" is no version; one is a number, live or queued"};
  }
  return rollout.history().model_at(number);
}

HttpResponse Api::diff(const HttpRequest& request) const {
  const std::string from = request.argument("from").value_or("");
  const std::string to = request.argument("to").value_or("");
  const Result<model::Model> before = table_of(from);
  if (!before) return failure(404, before.error());
  const Result<model::Model> after = table_of(to);
  if (!after) return failure(404, after.error());
  return good(describe(model::difference(*before, *after), from, to));
}

HttpResponse Api::routes(const HttpRequest& request) const {
  uint32_t offset = 0;
  uint32_t limit = 0;
  if (!take_number(request, "offset", 0, UINT32_MAX, &offset) ||
      !take_number(request, "limit", 1'000, routes_listed_max, &limit)) {
    return failure(400, "offset or limit is no number");
  }
  const std::string name = request.argument("version").value_or("live");
  const auto host = request.argument("host");
  if (name == "live" && subject_.rollout->has_published()) {
    answer::Routes routes = list_routes(subject_.rollout->published(), host, offset, limit);
    routes.set_version(static_cast<double>(subject_.publisher->wanted_version()));
    return good(routes);
  }
  const Result<model::Model> table = table_of(name);
  if (!table) return failure(404, table.error());
  answer::Routes routes = list_routes(*table, host, offset, limit);
  uint64_t number = 0;
  if (parse_number(name, &number)) routes.set_version(static_cast<double>(number));
  return good(routes);
}

HttpResponse Api::explain(const HttpRequest& request) const {
  const auto url = request.argument("url");
  if (!url) return failure(400, "url is missing");
  if (!subject_.rollout->has_published()) return failure(409, "nothing is published yet");
  std::vector<std::string> headers;
  const auto [first, last] = request.query.equal_range("header");
  for (auto at = first; at != last; ++at) headers.push_back(at->second);
  const Result<explain::Request> asked = explain::parse_request(*url, headers);
  if (!asked) return failure(400, k8s::printable(asked.error()));
  answer::Explanation answer =
      describe(explain::explain(subject_.rollout->published(), *subject_.objects, *asked), *asked);
  answer.set_version(static_cast<double>(subject_.publisher->wanted_version()));
  const std::string method = request.argument("method").value_or("GET");
  if (method != "GET" || headers.size() > 0) {
    answer.add_notes(
        "rules of an Ingress look at host and path: no method and no header beside "
        "Host chooses another one");
  }
  return good(answer);
}

// By a child: reading manifests and building a table take as long as they are large.
HttpResponse Api::plan(const HttpRequest& request) const {
  answer::PlanRequest asked;
  if (!answer::from_json(request.body, &asked))
    return failure(400, "the request is no PlanRequest in JSON");
  if (subject_.rollout->asked() == nullptr) return failure(409, "not everything has been read yet");
  HttpResponse later;
  later.by_child = [this, asked = std::move(asked)] {
    return ChildAnswer::Made{200, answer::to_json(make_plan(asked))};
  };
  return later;
}

// The cluster's objects with these files' put over them: what would be, without a trace of it.
answer::Plan Api::make_plan(const answer::PlanRequest& asked) const {
  store::Store objects = *subject_.objects;
  std::vector<k8s::Problem> problems;
  std::set<std::string> names;
  answer::Plan plan;
  for (const auto& file : asked.files()) {
    manifests::ParsedFile content = manifests::parse_file(k8s::printable(file.name()), file.text());
    problems.insert(problems.end(), content.problems.begin(), content.problems.end());
    for (k8s::Object& object : content.objects) {
      names.insert(object.key.text());
      objects.put(std::move(object));
    }
  }
  plan.set_objects(static_cast<uint32_t>(names.size()));
  const model::BuildResult built = model::build(objects, *subject_.options);
  std::set<std::string> known;
  for (const k8s::Problem& problem : **subject_.problems) {
    known.insert(problem.object + problem.sentence);
  }
  for (const k8s::Problem& problem : built.problems) {
    // About these objects, or about others because of them.
    if (names.contains(problem.object) || !known.contains(problem.object + problem.sentence)) {
      problems.push_back(problem);
    }
  }
  for (const k8s::Problem& problem : problems) {
    if (static_cast<size_t>(plan.problems_size()) >= problems_listed_max) break;
    *plan.add_problems() = describe(problem);
  }
  *plan.mutable_diff() =
      describe(model::difference(*subject_.rollout->asked(), built.model), "cluster", "files");
  return plan;
}

HttpResponse Api::act(const HttpRequest& request, publish::Moment at) {
  publish::Rollout& rollout = *subject_.rollout;
  const store::Store& objects = *subject_.objects;
  Result<std::string> done = Error{""};
  if (request.path == "/v1/rollback") {
    uint64_t number = 0;
    if (!parse_number(request.argument("version").value_or(""), &number)) {
      return failure(400, "version is no version number");
    }
    done = rollout.rollback(number, objects, at);
  } else if (request.path == "/v1/release") {
    done = rollout.release(objects, at);
  } else if (request.path == "/v1/freeze") {
    done = rollout.freeze(request.argument("endpoints") == "true", objects, at);
  } else if (request.path == "/v1/unfreeze") {
    done = rollout.unfreeze(objects, at);
  } else if (request.path == "/v1/accept") {
    subject_.source->accept_removals();
    done = rollout.accept(objects, at);
  } else {
    return failure(404, "there is no POST " + k8s::printable(request.path));
  }
  if (!done) return failure(409, done.error());
  answer::Done answer;
  answer.set_sentence(*done);
  answer.set_version(static_cast<double>(subject_.publisher->wanted_version()));
  return good(answer);
}

}  // namespace millrace::serve
