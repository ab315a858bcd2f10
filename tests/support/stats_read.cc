// Prints the stats page of a running data plane: stats_read --pid PID [NAME...]
// One line `name=value` for each counter (all of them when none is named), after applied_epoch and
// applied_version. Exit status 1 when the process has no page or a name is not on it.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "shm/stats_page.h"

namespace {

using millrace::shm::StatsReader;
using millrace::shm::StatsReading;

// The page is a memfd of the process: the first descriptor that maps as one.
std::unique_ptr<StatsReader> find_page(const std::string& folder) {
  DIR* entries = opendir(folder.c_str());
  if (entries == nullptr) return nullptr;
  std::unique_ptr<StatsReader> found;
  while (const dirent* entry = readdir(entries)) {
    const std::string path = folder + "/" + entry->d_name;
    char target[256] = {};
    if (readlink(path.c_str(), target, sizeof target - 1) <= 0) continue;
    if (std::strncmp(target, "/memfd:", 7) != 0) continue;
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    auto page = StatsReader::map(fd);
    close(fd);
    if (page) {
      found = std::move(*page);
      break;
    }
  }
  closedir(entries);
  return found;
}

void print(const char* name, uint64_t value) {
  std::printf("%s=%llu\n", name, static_cast<unsigned long long>(value));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || std::strcmp(argv[1], "--pid") != 0) {
    std::fputs("stats_read --pid PID [NAME...]\n", stderr);
    return 2;
  }
  const std::unique_ptr<StatsReader> page = find_page("/proc/" + std::string(argv[2]) + "/fd");
  if (page == nullptr) {
    std::fprintf(stderr, "stats_read: process %s has no stats page\n", argv[2]);
    return 1;
  }
  const StatsReading reading = page->read();
  if (argc == 3) {
    print("applied_epoch", reading.applied_epoch);
    print("applied_version", reading.applied_version);
    for (const auto& counter : reading.counters) print(counter.name.c_str(), counter.sum);
    return 0;
  }
  int missing = 0;
  for (int i = 3; i < argc; ++i) {
    bool found = false;
    for (const auto& counter : reading.counters) {
      if (counter.name != argv[i]) continue;
      print(argv[i], counter.sum);
      found = true;
    }
    if (found) continue;
    std::fprintf(stderr, "stats_read: no counter %s\n", argv[i]);
    missing = 1;
  }
  return missing;
}
