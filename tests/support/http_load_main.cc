#include <arpa/inet.h>
#include <getopt.h>
#include <sys/prctl.h>

#include <array>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>

#include "tests/support/http_load.h"

namespace {

using millrace::support::HttpLoad;
using millrace::support::LoadOptions;
using millrace::support::LoadRows;

constexpr const char* usage =
    "http_load --target ADDRESS:PORT|[IPV6ADDRESS]:PORT --row 'HOST PATH ANSWER[,ANSWER]'... "
    "[--rows FILE]\n"
    "          [--connections N] [--seconds S] [--requests N] [--rate N] [--warmup S]\n"
    "          [--timeout S] [--close-each] [--control]\n"
    "An ANSWER is the first word of the body of a 200, or the expected status in digits.\n"
    "--rate N asks N times a second whatever the answers do; without it every connection asks\n"
    "again as soon as it was answered. --control reads commands from stdin: 'expect HOST PATH\n"
    "ANSWERS' (answered by 'ok'), 'report' (answered by a line of figures) and 'stop'.\n"
    "Exit status: 0 when nothing failed and every answer was right, else 1.\n";

[[noreturn]] void refuse(const std::string& why) {
  std::fprintf(stderr, "http_load: %s\n", why.c_str());
  std::exit(2);
}

double positive(const char* name, const char* text) {
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (end == text || *end != '\0' || !std::isfinite(value) || value < 0) {
    refuse(std::string("--") + name + ": not a number: " + text);
  }
  return value;
}

// "10.0.0.1:80" or "[2001:db8::1]:80".
void set_target(LoadOptions& options, const std::string& text) {
  const size_t colon = text.rfind(':');
  unsigned port = 0;
  if (colon == std::string::npos || std::sscanf(text.c_str() + colon + 1, "%u", &port) != 1 ||
      port == 0 || port > 65535) {
    refuse("--target: not ADDRESS:PORT: " + text);
  }
  auto* ipv4 = reinterpret_cast<sockaddr_in*>(&options.target);
  auto* ipv6 = reinterpret_cast<sockaddr_in6*>(&options.target);
  const bool bracketed = colon >= 2 && text.front() == '[' && text[colon - 1] == ']';
  if (bracketed && inet_pton(AF_INET6, text.substr(1, colon - 2).c_str(), &ipv6->sin6_addr) == 1) {
    ipv6->sin6_family = AF_INET6;
    ipv6->sin6_port = htons(static_cast<uint16_t>(port));
    options.target_bytes = sizeof *ipv6;
  } else if (inet_pton(AF_INET, text.substr(0, colon).c_str(), &ipv4->sin_addr) == 1) {
    ipv4->sin_family = AF_INET;
    ipv4->sin_port = htons(static_cast<uint16_t>(port));
    options.target_bytes = sizeof *ipv4;
  } else {
    refuse("--target: not ADDRESS:PORT: " + text);
  }
}

void add_row(LoadRows& rows, const std::string& line) {
  if (!rows.set(line)) refuse("not 'HOST PATH ANSWER[,ANSWER]': " + line);
}

void add_file(LoadRows& rows, const char* path) {
  std::ifstream file(path);
  if (!file) refuse(std::string("--rows: cannot read ") + path);
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line[0] != '#') add_row(rows, line);
  }
}

HttpLoad* running = nullptr;

}  // namespace

int main(int argc, char** argv) {
  static constexpr std::array<option, 13> names{{{"target", 1, nullptr, 't'},
                                                 {"row", 1, nullptr, 'r'},
                                                 {"rows", 1, nullptr, 'f'},
                                                 {"connections", 1, nullptr, 'c'},
                                                 {"seconds", 1, nullptr, 's'},
                                                 {"requests", 1, nullptr, 'n'},
                                                 {"rate", 1, nullptr, 'q'},
                                                 {"warmup", 1, nullptr, 'w'},
                                                 {"timeout", 1, nullptr, 'o'},
                                                 {"close-each", 0, nullptr, 'e'},
                                                 {"control", 0, nullptr, 'x'},
                                                 {"help", 0, nullptr, 'h'},
                                                 {nullptr, 0, nullptr, 0}}};
  LoadOptions options;
  std::vector<std::string> row_lines;
  std::vector<const char*> row_files;
  int which = 0;
  for (int key = 0; (key = getopt_long(argc, argv, "", names.data(), &which)) != -1;) {
    switch (key) {
      case 't': set_target(options, optarg); break;
      case 'r': row_lines.emplace_back(optarg); break;
      case 'f': row_files.push_back(optarg); break;
      case 'c': options.connections = static_cast<uint32_t>(positive("connections", optarg)); break;
      case 's': options.seconds = positive("seconds", optarg); break;
      case 'n': options.requests = static_cast<uint64_t>(positive("requests", optarg)); break;
      case 'q': options.rate = positive("rate", optarg); break;
      case 'w': options.warmup_seconds = positive("warmup", optarg); break;
      case 'o': options.timeout_seconds = positive("timeout", optarg); break;
      case 'e': options.close_each = true; break;
      case 'x': options.control = true; break;
      case 'h': std::fputs(usage, stdout); return 0;
      default: std::fputs(usage, stderr); return 2;
    }
  }
  if (optind != argc) refuse(std::string("what is this? ") + argv[optind]);
  LoadRows rows(options.close_each);
  for (const char* path : row_files) add_file(rows, path);
  for (const std::string& line : row_lines) add_row(rows, line);
  if (options.target_bytes == 0) refuse("--target ADDRESS:PORT is missing");
  if (rows.rows().empty()) refuse("no --row and no --rows: nothing to ask for");
  if (options.connections == 0) refuse("--connections 0: nobody to ask");

  // A fixed rate needs sleeps that end when they should, not 50 us later.
  prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
  HttpLoad load(options, std::move(rows));
  running = &load;
  for (const int number : {SIGINT, SIGTERM}) std::signal(number, [](int) { running->stop(); });
  load.run();
  return load.report().failed == 0 && load.report().wrong_backend == 0 ? 0 : 1;
}
