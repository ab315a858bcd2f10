// Runs wire scripts: wire_script FILE... Each prints "ok" or the line that was not fulfilled.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/script/runner.h"
#include "tests/support/fast_paths.h"

namespace {

using millrace::script::Fault;

std::string line_of(const std::string& text, int number) {
  size_t at = 0;
  for (int i = 1; i < number && at != std::string::npos; ++i) {
    at = text.find('\n', at);
    if (at != std::string::npos) ++at;
  }
  if (at == std::string::npos) return {};
  return text.substr(at, text.find('\n', at) - at);
}

// 0: fulfilled; 1: not; 2: no script.
int run_file(const char* file) {
  std::ifstream stream(file);
  if (!stream) {
    std::fprintf(stderr, "wire_script: cannot read %s\n", file);
    return 2;
  }
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  Fault fault;
  const auto script = millrace::script::parse_script(file, text, &fault);
  if (!script) {
    std::fprintf(stderr, "%s:%d: %s\n", file, fault.line, fault.what.c_str());
    return 2;
  }
  if (const auto unfulfilled =
          millrace::script::run_script(*script, millrace::testing::fast_paths_wanted())) {
    std::printf("%s:%d: %s\n    the line: %s\n", file, unfulfilled->line, unfulfilled->what.c_str(),
                line_of(text, unfulfilled->line).c_str());
    return 1;
  }
  std::printf("%s: ok\n", file);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: wire_script FILE...\n");
    return 2;
  }
  int worst = 0;
  for (int i = 1; i < argc; ++i) worst = std::max(worst, run_file(argv[i]));
  return worst;
}
