#include "cli/traffic.h"

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <map>
#include <thread>
#include <utility>

#include "cli/text.h"

namespace millrace::cli {
namespace {

using shm::TrafficKind;
using shm::TrafficReading;

constexpr int exit_nobody_there = 2;

uint64_t errors(const TrafficReading& row) {
  return row.answers[5] + row.broken_off;
}

uint64_t sort_value(const TrafficReading& row, TrafficSort sort) {
  switch (sort) {
    case TrafficSort::requests: return row.requests();
    case TrafficSort::errors: return errors(row);
    case TrafficSort::p99: return row.quantile_us(0.99);
  }
  return 0;
}

// A table's time: "1.02 ms"; what lies beyond the last bucket is "> 67 s".
std::string time_text(const TrafficReading& row, double share) {
  const uint64_t us = row.quantile_us(share);
  if (us == 0) return "-";
  if (us == UINT64_MAX) return "> 67 s";
  if (us < 1'000) return format("%" PRIu64 " us", us);
  if (us < 1'000'000) return format("%.1f ms", static_cast<double>(us) / 1e3);
  return format("%.1f s", static_cast<double>(us) / 1e6);
}

const char* title(TrafficKind kind) {
  switch (kind) {
    case TrafficKind::route: return "ROUTE";
    case TrafficKind::service: return "SERVICE";
    default: return "STATUS";
  }
}

std::string table_head(TrafficKind kind, bool rate) {
  return format("%-48s %10s%s %7s %9s %9s %9s %9s %8s %8s %8s %10s %10s\n", title(kind), "REQUESTS",
                rate ? "       /S" : "", "1XX", "2XX", "3XX", "4XX", "5XX", "OURS", "BROKEN",
                "NONE", "P50", "P99");
}

std::string table_row(const TrafficReading& row, uint32_t over_seconds) {
  const std::string rate =
      over_seconds == 0 ? "" : format(" %8.1f", static_cast<double>(row.requests()) / over_seconds);
  return format("%-48s %10" PRIu64 "%s %7" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64
                " %9" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %10s %10s\n",
                row.name.c_str(), row.requests(), rate.c_str(), row.answers[1], row.answers[2],
                row.answers[3], row.answers[4], row.answers[5], row.ours, row.broken_off,
                row.answers[0], time_text(row, 0.5).c_str(), time_text(row, 0.99).c_str());
}

std::string json_name(const std::string& name) {
  std::string text;
  for (const char c : name) {
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text;
}

std::string json_time(const TrafficReading& row, double share) {
  const uint64_t us = row.quantile_us(share);
  return us == 0 || us == UINT64_MAX ? "null" : std::to_string(us);
}

std::string json_row(const TrafficReading& row) {
  std::string text =
      "{\"name\":\"" + json_name(row.name) + "\"" +
      format(",\"requests\":%" PRIu64 ",\"unanswered\":%" PRIu64 ",\"1xx\":%" PRIu64
             ",\"2xx\":%" PRIu64 ",\"3xx\":%" PRIu64 ",\"4xx\":%" PRIu64 ",\"5xx\":%" PRIu64
             ",\"ours\":%" PRIu64 ",\"broken_off\":%" PRIu64 ",\"retries\":%" PRIu64,
             row.requests(), row.answers[0], row.answers[1], row.answers[2], row.answers[3],
             row.answers[4], row.answers[5], row.ours, row.broken_off, row.retries) +
      format(",\"request_body_bytes\":%" PRIu64 ",\"response_body_bytes\":%" PRIu64
             ",\"time_us_sum\":%" PRIu64 ",\"time_count\":%" PRIu64,
             row.request_octets, row.response_octets, row.time_us_sum, row.times_count());
  for (const auto& [name, share] :
       {std::pair{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}}) {
    text += format(",\"%s_us\":", name) + json_time(row, share);
  }
  // Pairs of a bucket's end and what is in it; the last bucket has no end.
  text += ",\"times_us\":[";
  bool first = true;
  for (uint32_t bucket = 0; bucket < shm::traffic_bucket_count; ++bucket) {
    if (row.times[bucket] == 0) continue;
    const uint64_t end = shm::traffic_bucket_end_us(bucket);
    text += (first ? "[" : ",[") + (end == UINT64_MAX ? "null" : std::to_string(end)) + "," +
            std::to_string(row.times[bucket]) + "]";
    first = false;
  }
  return text + "]}";
}

// Of that kind, what is asked for.
std::vector<TrafficReading> chosen(const std::vector<TrafficReading>& rows, TrafficKind kind,
                                   const TrafficOptions& options) {
  std::vector<TrafficReading> found;
  for (const TrafficReading& row : rows) {
    if (row.kind == kind && (options.all || row.requests() > 0)) found.push_back(row);
  }
  std::stable_sort(found.begin(), found.end(), [&](const auto& a, const auto& b) {
    const uint64_t of_a = sort_value(a, options.sort);
    const uint64_t of_b = sort_value(b, options.sort);
    return of_a != of_b ? of_a > of_b : a.name < b.name;
  });
  if (found.size() > options.limit) found.resize(options.limit);
  return found;
}

std::string table_of(const std::vector<TrafficReading>& rows, TrafficKind kind,
                     const TrafficOptions& options) {
  std::string text = table_head(kind, options.over_seconds > 0);
  for (const TrafficReading& row : rows) text += table_row(row, options.over_seconds);
  return text;
}

std::string json_of(const std::vector<TrafficReading>& rows) {
  std::string text;
  for (const TrafficReading& row : rows) text += (text.empty() ? "\n" : ",\n") + json_row(row);
  return "[" + text + "]";
}

}  // namespace

std::vector<TrafficReading> traffic_between(const std::vector<TrafficReading>& before,
                                            std::vector<TrafficReading> after) {
  std::map<std::pair<uint32_t, uint32_t>, const TrafficReading*> known;
  for (const TrafficReading& row : before) known[{row.row, row.generation}] = &row;
  for (TrafficReading& row : after) {
    const auto found = known.find({row.row, row.generation});
    if (found != known.end()) row.subtract(*found->second);
  }
  return after;
}

std::string traffic_text(std::vector<TrafficReading> rows, const TrafficOptions& options) {
  std::string text;
  if (options.json) text = "{\"over_seconds\":" + std::to_string(options.over_seconds);
  const struct {
    bool wanted;
    TrafficKind kind;
    const char* key;
  } parts[] = {{options.routes, TrafficKind::route, "routes"},
               {options.services, TrafficKind::service, "services"},
               {options.statuses, TrafficKind::status_class, "statuses"}};
  for (const auto& [wanted, kind, key] : parts) {
    if (!wanted) continue;
    const auto found = chosen(rows, kind, options);
    if (!options.json && !text.empty()) text += "\n";
    text +=
        options.json ? format(",\"%s\":", key) + json_of(found) : table_of(found, kind, options);
  }
  return options.json ? text + "}\n" : text;
}

int run_traffic(const TrafficOptions& options) {
  const auto reader = shm::TrafficReader::open(options.folder + "/traffic");
  if (!reader.ok()) {
    std::fprintf(stderr, "millrace: %s\n", reader.error().c_str());
    return exit_nobody_there;
  }
  auto rows = (*reader)->read();
  if (options.over_seconds > 0) {
    std::this_thread::sleep_for(std::chrono::seconds(options.over_seconds));
    rows = traffic_between(rows, (*reader)->read());
  }
  const std::string text = traffic_text(std::move(rows), options);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

}  // namespace millrace::cli
