// script FILE...: runs wire scripts, each with the stack's fast paths and without; --verbose prints
// every line and every segment. Exits 0 when all hold, 1 with a message for each that does not.
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "tests/script/script.h"

int main(int argc, char** argv) {
  bool verbose = false;
  std::vector<std::string> files;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--verbose") == 0) {
      verbose = true;
    } else if (argv[i][0] == '-') {
      std::fprintf(stderr, "script: \"%s\" is no option; usage: script [--verbose] FILE...\n",
                   argv[i]);
      return 2;
    } else {
      files.emplace_back(argv[i]);
    }
  }
  if (files.empty()) {
    std::fprintf(stderr, "script: no file; usage: script [--verbose] FILE...\n");
    return 2;
  }
  int failed = 0;
  for (const std::string& file : files) {
    std::string error;
    const auto script = millrace::script::read_script(file, &error);
    if (!script) {
      std::fprintf(stderr, "script: %s\n", error.c_str());
      return 2;
    }
    for (const bool fast_paths : {true, false}) {
      const std::string wrong =
          millrace::script::run_script(*script, fast_paths, verbose && fast_paths);
      if (wrong.empty()) continue;
      std::printf("FAILED%s %s\n", fast_paths ? "" : " (fast paths off)", wrong.c_str());
      ++failed;
      break;
    }
  }
  std::printf("%zu scripts, %d failed\n", files.size(), failed);
  return failed == 0 ? 0 : 1;
}
