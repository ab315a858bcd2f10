// The control plane's JSON API over its Unix socket, by libcurl.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "controlplane/answers/json.h"

namespace millrace::cli {

constexpr int exit_fine = 0;
constexpr int exit_no = 1;       // the answer is no; each verb's header says when
constexpr int exit_bad_use = 2;  // or nobody is there to ask

struct ApiQuestion {
  std::string folder;  // of the sockets
  std::string method = "GET";
  std::string path;
  std::vector<std::pair<std::string, std::string>> query{};
  std::string body{};
};

struct ApiAnswer {
  unsigned status = 0;  // 0: nobody answered
  std::string body;     // or why nobody did
};

ApiAnswer ask(const ApiQuestion& question);

// Asks and reads. `message` is filled when the answer is one; otherwise what is wrong has been said
// and the exit status is the result. With `json` the answer is printed as it came, also a refusal.
int ask(const ApiQuestion& question, bool json, google::protobuf::Message* message);

}  // namespace millrace::cli
