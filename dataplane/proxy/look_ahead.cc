// Before the ready sessions are served one after the other: for each that seems to bring a request,
// the memory that routing it will read is asked for, so that the waits overlap. A guess from the
// first lines of the text; nothing depends on it.
#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/proxy/proxy.h"
#include "dataplane/route/router.h"

namespace millrace::proxy {
namespace {

// A table with fewer hosts (4 MiB of records) stays near by itself, and looking ahead costs more
// than it saves.
constexpr uint32_t hosts_min = 32'768;
constexpr size_t requests_max = 64;  // a burst
// Where the value of Host is looked for: behind the request line, as clients send it.
constexpr size_t request_line_bytes_max = 512;
constexpr size_t host_bytes_min = 3;
constexpr std::string_view host_field = "host: ";

// Empty when the second line is not Host.
std::string_view guess_host(ByteView text) {
  const std::string_view head = as_text(text.first(std::min(text.size(), request_line_bytes_max)));
  const size_t line_end = head.find('\n');
  if (line_end == std::string_view::npos) return {};
  const std::string_view line = head.substr(line_end + 1);
  if (line.size() < host_field.size() + host_bytes_min || (line[0] | 0x20) != 'h' ||
      line.substr(1, host_field.size() - 1) != host_field.substr(1)) {
    return {};
  }
  const std::string_view value = line.substr(host_field.size());
  const std::string_view whole = value.substr(0, value.find('\r'));
  return whole.substr(0, whole.find(':'));
}

}  // namespace

void Proxy::look_ahead(const Turn& turn) {
  if (turn.snapshot.root().host_count < hosts_min) return;
  std::array<tcp::Ready, requests_max> ready;
  std::array<uint64_t, requests_max> hints;  // written before it is read
  size_t hint_count = 0;
  for (const tcp::Ready& one : std::span(ready).first(tcp_.peek_ready(ready))) {
    constexpr uint8_t not_now = tcp::event_accepted | tcp::event_aborted;
    if ((one.owner & owner_upstream) != 0 || (one.events & not_now) != 0) continue;
    if (one.owner != owner_none && at(one.owner).phase != Phase::request_head) continue;
    const std::string_view host = guess_host(tcp_.readable(one.id));
    if (host.empty()) continue;
    const uint64_t hint = route::host_hint(host);
    route::prefetch_row(turn.snapshot, hint);
    hints[hint_count++] = hint;
  }
  for (size_t i = 0; i < hint_count; ++i) route::prefetch_record(turn.snapshot, hints[i]);
  for (size_t i = 0; i < hint_count; ++i) route::prefetch_slots(turn.snapshot, hints[i]);
}

}  // namespace millrace::proxy
