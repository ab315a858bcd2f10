#include "cli/hold.h"

#include <cstdio>

#include "cli/api_client.h"
#include "controlplane/answers/answers.pb.h"

namespace millrace::cli {

int run_hold(const HoldOptions& options) {
  answer::Done done;
  const int code =
      ask({options.folder, "POST", "/v1/" + options.verb, options.arguments}, options.json, &done);
  if (code == exit_fine && !options.json) std::puts(done.sentence().c_str());
  return code;
}

}  // namespace millrace::cli
