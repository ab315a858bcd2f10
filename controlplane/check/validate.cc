#include "controlplane/check/validate.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include "controlplane/certificates/tls_book.h"
#include "controlplane/check/report.h"
#include "controlplane/compile/compile.h"
#include "controlplane/manifests/file.h"
#include "controlplane/manifests/folder.h"
#include "controlplane/model/dump.h"
#include "controlplane/model/ingress_class.h"
#include "controlplane/store/store.h"

namespace millrace::check {

namespace {

namespace fs = std::filesystem;

Result<File> read_one(const std::string& path) {
  std::ostringstream text;
  if (path == "-") {
    text << std::cin.rdbuf();
    return File{"(standard input)", text.str()};
  }
  std::error_code error;
  const uintmax_t bytes = fs::file_size(path, error);
  if (error) return Error{path + ": " + error.message()};
  if (bytes > manifests::file_bytes_max) {
    return Error{path + ": larger than " + std::to_string(manifests::file_bytes_max) + " bytes"};
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{path + ": cannot be opened"};
  if (bytes > 0) text << file.rdbuf();
  if (!text) return Error{path + ": cannot be read"};
  return File{path, text.str()};
}

Result<std::vector<std::string>> manifests_below(const std::string& folder) {
  std::vector<std::string> found;
  std::error_code error;
  fs::recursive_directory_iterator at(folder, error);
  for (const fs::recursive_directory_iterator end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename();
    if (name.starts_with('.')) {
      if (at->is_directory()) at.disable_recursion_pending();
    } else if (manifests::is_manifest_name(name) && at->is_regular_file()) {
      found.push_back(at->path());
    }
  }
  if (error) return Error{folder + ": " + error.message()};
  std::sort(found.begin(), found.end());
  return found;
}

// Every object of the files, once; a key that stands twice is a warning.
store::Store gather(const std::vector<File>& files, std::vector<k8s::Problem>* problems) {
  store::Store objects;
  std::map<k8s::ObjectKey, k8s::Place> places;
  for (const File& file : files) {
    manifests::ParsedFile content = manifests::parse_file(k8s::printable(file.name), file.text);
    problems->insert(problems->end(), content.problems.begin(), content.problems.end());
    for (k8s::Object& object : content.objects) {
      const auto [known, is_new] = places.emplace(object.key, object.place);
      if (is_new) {
        objects.put(std::move(object));
      } else {
        problems->push_back(
            {k8s::Severity::warning, object.place, object.key.text(),
             "is defined in " + known->second.text() + " already; this one is not used"});
      }
    }
  }
  return objects;
}

bool is_about_missing_backend(const k8s::Problem& problem) {
  return problem.reason == k8s::Reason::backend_missing ||
         problem.reason == k8s::Reason::endpoints_missing;
}

// Files hold no Secrets that are read.
std::vector<k8s::Problem> problems_of_tls(const store::Store& objects,
                                          const model::Options& options) {
  const model::IngressClasses classes(objects, options);
  certificates::View view;
  view.is_ours = [&](const k8s::Object& object, const k8s::Ingress& ingress) {
    k8s::ProblemList said_elsewhere;
    return classes.is_ours(object, ingress, &said_elsewhere);
  };
  certificates::TlsBook book(false);
  book.rebuild(objects, view);
  return book.problems();
}

}  // namespace

Result<std::vector<File>> read_files(const std::vector<std::string>& paths) {
  std::vector<File> files;
  for (const std::string& path : paths) {
    std::error_code error;
    std::vector<std::string> names = {path};
    if (path != "-" && fs::is_directory(path, error)) {
      auto below = manifests_below(path);
      if (!below) return Error{below.error()};
      names = std::move(*below);
    }
    for (const std::string& name : names) {
      auto file = read_one(name);
      if (!file) return Error{file.error()};
      files.push_back(std::move(*file));
    }
  }
  return files;
}

answer::Validation validate(const std::vector<File>& files, const ValidateOptions& options,
                            std::string* text) {
  std::vector<k8s::Problem> problems;
  const store::Store objects = gather(files, &problems);
  const model::BuildResult built = model::build(objects, options.model);
  problems.insert(problems.end(), built.problems.begin(), built.problems.end());
  const auto compiled = compile::compile(built.model, compile::SlotTable(), 1);
  if (!compiled) {
    problems.push_back({k8s::Severity::error, {}, "", compiled.error()});
  } else {
    problems.insert(problems.end(), compiled->problems.begin(), compiled->problems.end());
  }
  for (k8s::Problem& problem : problems_of_tls(objects, options.model)) {
    problems.push_back(std::move(problem));
  }
  if (options.is_partial) std::erase_if(problems, is_about_missing_backend);
  answer::Validation answer;
  answer.set_objects(static_cast<uint32_t>(objects.size()));
  for (const k8s::Problem& problem : problems) {
    if (problem.severity == k8s::Severity::error) answer.set_errors(answer.errors() + 1);
    if (problem.severity == k8s::Severity::warning) answer.set_warnings(answer.warnings() + 1);
    if (problem.severity == k8s::Severity::note) answer.set_notes(answer.notes() + 1);
    answer::Problem* one = answer.add_problems();
    one->set_severity(std::string(k8s::to_text(problem.severity)));
    if (!problem.place.file.empty()) one->set_place(problem.place.text());
    one->set_object(problem.object);
    one->set_sentence(problem.sentence);
    one->set_reason(std::string(k8s::reason_of(problem)));
  }
  answer.set_valid(answer.errors() == 0 && (!options.is_strict || answer.warnings() == 0));
  if (text != nullptr) *text = model::dump(built.model) + summary(built) + '\n';
  return answer;
}

}  // namespace millrace::check
