#include "perf/load/figures.h"

#include <array>
#include <cstdio>
#include <ctime>
#include <utility>

namespace millrace::load {
namespace {

constexpr std::array<const char*, static_cast<size_t>(LoadError::count)> error_names = {
#define MILLRACE_LOAD_ERROR_NAME(name, sentence) #name,
    MILLRACE_LOAD_ERRORS(MILLRACE_LOAD_ERROR_NAME)
#undef MILLRACE_LOAD_ERROR_NAME
};

// Writes an object's members one after another.
class Object {
 public:
  explicit Object(std::string& out) : out_(out) { out_ += '{'; }
  Object(const Object&) = delete;
  ~Object() { out_ += '}'; }

  void add(const char* name, uint64_t value) { out_ += key(name) + std::to_string(value); }
  void add(const char* name, double value) {
    char text[48];
    std::snprintf(text, sizeof text, "%.6g", value);
    // More than six digits of a rate are wanted where they are there.
    if (value >= 1e5) std::snprintf(text, sizeof text, "%.1f", value);
    out_ += key(name) + text;
  }
  // For a member that is written by itself.
  void open(const char* name) { out_ += key(name); }

 private:
  std::string key(const char* name) {
    std::string text = first_ ? "\"" : ",\"";
    first_ = false;
    return text + name + "\":";
  }
  std::string& out_;
  bool first_ = true;
};

void add_latency(Object& parent, const char* name, const Histogram& histogram, std::string& out) {
  parent.open(name);
  Object object(out);
  object.add("count", histogram.count());
  object.add("mean", histogram.mean_ns());
  constexpr std::array<std::pair<const char*, double>, 5> percentiles = {
      {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"p9999", 0.9999}}};
  for (const auto& [label, fraction] : percentiles) {
    object.add(label, histogram.percentile_ns(fraction));
  }
  object.add("max", histogram.max_ns());
}

void add_buckets(Object& parent, const Histogram& histogram, std::string& out) {
  parent.open("histogram");
  out += '[';
  bool first = true;
  for (uint32_t index = 0; index < Histogram::bucket_count; ++index) {
    if (histogram.bucket(index) == 0) continue;
    if (!first) out += ',';
    first = false;
    out += '[' + std::to_string(Histogram::bucket_upper_ns(index)) + ',' +
           std::to_string(histogram.bucket(index)) + ']';
  }
  out += ']';
}

void add_errors(Object& parent, const Figures& figures, std::string& out) {
  parent.open("errors");
  Object object(out);
  for (size_t i = 0; i < error_names.size(); ++i) {
    if (figures.errors[i] > 0) object.add(error_names[i], figures.errors[i]);
  }
  for (size_t status = 0; status < status_end; ++status) {
    if (figures.statuses[status] == 0) continue;
    object.add(("status_" + std::to_string(status)).c_str(), figures.statuses[status]);
  }
}

double seconds(uint64_t ns) {
  return static_cast<double>(ns) / 1e9;
}

}  // namespace

uint64_t Figures::errors_total() const {
  uint64_t total = 0;
  for (uint64_t count : errors) total += count;
  for (uint64_t count : statuses) total += count;
  return total;
}

uint64_t process_cpu_ns() {
  timespec at{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
  return static_cast<uint64_t>(at.tv_sec) * 1'000'000'000U + static_cast<uint64_t>(at.tv_nsec);
}

std::string to_json(const Figures& figures, const Gauges& begin, const Gauges& now) {
  std::string out;
  {
    const auto window_ns = static_cast<uint64_t>((now.at - begin.at).count_ns());
    const double window_s = window_ns == 0 ? 1e-9 : seconds(window_ns);
    Object object(out);
    object.add("requests", figures.requests);
    object.add("responses_ok", figures.responses_ok);
    object.add("slow_responses_ok", figures.slow_responses_ok);
    add_errors(object, figures, out);
    object.add("late_sends", figures.late_sends);
    object.add("unsent", now.unsent);
    object.add("window_s", window_s);
    object.add("requests_per_second", static_cast<double>(figures.responses_ok) / window_s);
    object.add("offered_per_second", now.offered_per_second);
    object.add("connections_open", now.connections_open);
    object.add("new_connections", figures.new_connections);
    object.add("closed_by_peer", figures.closed_by_peer);
    object.add("retransmits", figures.retransmits);
    object.add("out_of_order", figures.out_of_order);
    object.add("bad_frames", figures.bad_frames);
    object.add("other_frames", figures.other_frames);
    object.add("frames_received", now.port.received_frames - begin.port.received_frames);
    object.add("frames_sent", now.port.transmitted_frames - begin.port.transmitted_frames);
    object.add("bytes_received", now.port.received_bytes - begin.port.received_bytes);
    object.add("bytes_sent", now.port.transmitted_bytes - begin.port.transmitted_bytes);
    object.add("frames_dropped",
               now.port.receive_dropped_frames - begin.port.receive_dropped_frames +
                   now.port.transmit_dropped_frames - begin.port.transmit_dropped_frames);
    object.add("busy_fraction", seconds(figures.busy_ns) / window_s);
    object.add("cpu_s", seconds(now.cpu_ns - begin.cpu_ns));
    add_latency(object, "latency_ns", figures.latency, out);
    add_latency(object, "connect_latency_ns", figures.connect_latency, out);
    object.open("backend");
    {
      Object backend(out);
      backend.add("requests", figures.backend_requests);
      backend.add("connections", figures.backend_connections);
      backend.add("responses", figures.backend_responses);
      backend.add("malformed", figures.backend_malformed);
      backend.add("refused", figures.backend_refused);
    }
    object.open("reflect");
    { Object(out).add("frames", figures.reflected_frames); }
    add_buckets(object, figures.latency, out);
  }
  return out;
}

}  // namespace millrace::load
