// make_table: writes a table of N routes as the file that the data plane starts with when there is
// no control plane (its last-good file). The same options give the same bytes.
#include <getopt.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "perf/table/tenant_table.h"
#include "shm/last_good.h"

namespace {

using namespace millrace;

constexpr const char* usage_text =
    "usage: make_table --routes N --backend ADDRESS:PORT --out FILE\n"
    "                  [--routes-per-host N] [--backend-count N]\n"
    "  --routes N            1 to 1000000\n"
    "  --routes-per-host N   1 to 16, default 2: \"/\", \"/api/v1\", \"/api/v2\", ...\n"
    "  --backend A:P         where the requests go\n"
    "  --backend-count N     backends at the ports P to P + N - 1, default 1\n"
    "  --out FILE            last-good.snapshot in the data plane's state folder\n"
    "Hosts are tenant000000.example and so on. What leads where: perf/table/tenant_table.h\n";

[[noreturn]] void refuse(const std::string& what) {
  std::fprintf(stderr, "make_table: %s (--help says more)\n", what.c_str());
  std::exit(2);
}

struct Arguments {
  perf::TenantTable table;
  std::string out;
};

uint32_t number(const char* name, const char* text, uint32_t most) {
  const auto value = parse_decimal(text, most);
  if (!value || *value == 0) {
    refuse(std::string(name) + " must be 1 to " + std::to_string(most) + ", not " + text);
  }
  return static_cast<uint32_t>(*value);
}

Arguments parse(int argc, char** argv) {
  static constexpr std::array<option, 7> names{{{"routes", 1, nullptr, 'r'},
                                                {"routes-per-host", 1, nullptr, 'p'},
                                                {"backend", 1, nullptr, 'b'},
                                                {"backend-count", 1, nullptr, 'c'},
                                                {"out", 1, nullptr, 'o'},
                                                {"help", 0, nullptr, 'h'},
                                                {nullptr, 0, nullptr, 0}}};
  Arguments arguments;
  arguments.table.routes = 0;
  opterr = 0;
  for (int key = 0; (key = getopt_long(argc, argv, "", names.data(), nullptr)) != -1;) {
    perf::TenantTable& table = arguments.table;
    switch (key) {
      case 'r': table.routes = number("--routes", optarg, perf::tenant_routes_max); break;
      case 'p':
        table.routes_per_host =
            number("--routes-per-host", optarg, perf::tenant_routes_per_host_max);
        break;
      case 'b': {
        const auto backend = SocketAddress::parse(optarg);
        if (!backend) refuse(std::string("--backend is not an address and a port: ") + optarg);
        table.backend = *backend;
        break;
      }
      case 'c':
        table.backend_count = number("--backend-count", optarg, perf::tenant_backends_max);
        break;
      case 'o': arguments.out = optarg; break;
      case 'h': std::fputs(usage_text, stdout); std::exit(0);
      default: refuse(std::string("unknown option, or one without its value: ") + argv[optind - 1]);
    }
  }
  if (optind != argc) refuse(std::string("unexpected: ") + argv[optind]);
  if (arguments.table.routes == 0) refuse("--routes is missing");
  if (arguments.table.backend.port == 0) refuse("--backend is missing");
  if (arguments.out.empty()) refuse("--out is missing");
  return arguments;
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  const auto snapshot = perf::build_tenant_table(arguments.table);
  if (!snapshot.ok()) refuse(snapshot.error());
  const Status saved = shm::save_last_good(arguments.out, **snapshot);
  if (!saved.ok()) {
    std::fprintf(stderr, "make_table: %s\n", saved.error().c_str());
    return 1;
  }
  std::printf("routes=%u hosts=%u backends=%u\n", arguments.table.routes,
              arguments.table.host_count(), arguments.table.backend_count);
  return 0;
}
