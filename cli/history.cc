#include "cli/history.h"

#include <cstdio>

#include "cli/api_client.h"
#include "cli/diff.h"
#include "cli/text.h"
#include "controlplane/answers/answers.pb.h"

namespace millrace::cli {

namespace {

std::string row(const record::Version& version) {
  std::string cause;
  if (version.rolled_back_to() != 0) {
    cause = format("routes of %.0f", version.rolled_back_to());
    if (version.causes_size() > 0) cause += "; ";
  }
  if (version.causes_size() > 0) cause += cause_text(version.causes(0));
  const uint64_t more =
      static_cast<uint64_t>(std::max(version.causes_size() - 1, 0)) + version.causes_more();
  if (more > 0) cause += format(" and %llu more", static_cast<unsigned long long>(more));
  return format("%-8.0f %-24s %-9s %6u %7u %9u %-16s ", version.number(), version.time().c_str(),
                version.trigger().c_str(), version.hosts(), version.routes(), version.endpoints(),
                version.content_hash().c_str()) +
         cause + (version.restorable() ? "\n" : " (cannot be restored)\n");
}

int list(const HistoryOptions& options) {
  answer::Versions versions;
  const int code =
      ask({options.folder, "GET", "/v1/history", {{"limit", std::to_string(options.limit)}}},
          options.json, &versions);
  if (code != exit_fine || options.json) return code;
  std::printf("%-8s %-24s %-9s %6s %7s %9s %-16s CAUSE\n", "VERSION", "TIME", "BY", "HOSTS",
              "ROUTES", "ENDPOINTS", "HASH");
  for (const record::Version& version : versions.versions()) {
    std::fputs(row(version).c_str(), stdout);
  }
  if (versions.more()) std::puts("(older ones: --limit)");
  return exit_fine;
}

int show(const HistoryOptions& options) {
  answer::OneVersion one;
  const int code =
      ask({options.folder, "GET", "/v1/version", {{"number", std::to_string(options.version)}}},
          options.json, &one);
  if (code != exit_fine || options.json) return code;
  const record::Version& version = one.version();
  std::printf("version %.0f of %s, hash %s, by %s\n", version.number(), version.time().c_str(),
              version.content_hash().c_str(), version.trigger().c_str());
  std::printf("%u hosts, %u routes, %u endpoints\n", version.hosts(), version.routes(),
              version.endpoints());
  if (version.rolled_back_to() != 0) {
    std::printf("with the routes of version %.0f\n", version.rolled_back_to());
  }
  for (double number : version.earlier_numbers()) std::printf("was version %.0f before\n", number);
  for (const record::Cause& cause : version.causes()) {
    std::printf("cause: %s\n", cause_text(cause).c_str());
  }
  if (version.causes_more() > 0) std::printf("and %u more\n", version.causes_more());
  std::fputs(diff_text(one.diff()).c_str(), stdout);
  return exit_fine;
}

}  // namespace

int run_history(const HistoryOptions& options) {
  return options.version == 0 ? list(options) : show(options);
}

}  // namespace millrace::cli
