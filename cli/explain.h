// millrace explain URL: which rule answers a request, which others would have, and why they do not.
#pragma once

#include <string>
#include <vector>

namespace millrace::cli {

struct ExplainOptions {
  std::string folder;
  std::string url;
  std::string method = "GET";
  std::vector<std::string> headers;  // "Name: value"
  bool json = false;
};

// The exit status: 0 when an endpoint answers; 1 when Millrace does itself (400, 404, 503); 2 when
// it is no URL or nobody is there.
int run_explain(const ExplainOptions& options);

}  // namespace millrace::cli
