// Which rule answers a request, which others would have, and why they do not: the router's rules
// (dataplane/route) once more, slowly and with reasons, on a model.
//
//   host  precise, else wildcard (exactly one first label), else the empty host; no fall-through
//   path  Exact, else the longest Prefix by elements, else the host's default backend
//   else  the cluster's default backend, else 404
#pragma once

#include <string>
#include <vector>

#include "controlplane/explain/request.h"
#include "controlplane/model/model.h"
#include "controlplane/store/store.h"

namespace millrace::explain {

constexpr size_t others_named_max = 200;

struct Candidate {
  std::string host;
  const model::Route* route = nullptr;  // of the model
  std::string why;                      // it wins, or does not
};

struct Explanation {
  unsigned status = 0;  // 0: an endpoint answers; otherwise what is answered here
  std::string sentence;
  std::vector<Candidate> winner;  // one or none
  // Those that match as well first, then those of the host that do not.
  std::vector<Candidate> others;
  size_t others_more = 0;
  const model::Service* service = nullptr;  // the winner's
  std::vector<std::string> notes;
};

// `objects`: for the ages of Ingresses; those of the model as far as they are still there.
Explanation explain(const model::Model& model, const store::Store& objects, const Request& request);

// Whether a Prefix path takes this request's path: element by element.
bool prefix_matches(std::string_view prefix, std::string_view path);

}  // namespace millrace::explain
