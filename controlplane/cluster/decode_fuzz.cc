// Any bytes as an answer of an API server, in both encodings: lists, and watch streams cut where
// the bytes say. No crash, the same events however a stream is cut, every line fit for a log.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "controlplane/cluster/decode.h"

namespace millrace::cluster {
namespace {

void check_line(const std::string& text) {
  for (char c : text) CHECK(c >= 0x20 && c < 0x7f);
}

void check_object(const k8s::Object& object) {
  CHECK(k8s::is_dns_subdomain(object.key.name));
  CHECK(object.body);
}

std::string summary(const std::vector<DecodedEvent>& events) {
  std::string text;
  for (const DecodedEvent& event : events) {
    text += std::to_string(static_cast<int>(event.type)) + event.resource_version + '\n';
    if (event.object) check_object(*event.object);
    if (event.object) text += event.object->key.text();
    if (event.problem) check_line(event.problem->text());
  }
  return text;
}

void watch(k8s::Kind kind, Encoding encoding, std::string_view bytes, size_t step) {
  WatchDecoder whole(kind, encoding);
  WatchDecoder cut(kind, encoding);
  std::vector<DecodedEvent> events;
  std::vector<DecodedEvent> pieces;
  const bool is_read = whole.feed(bytes, &events).ok();
  bool is_read_in_pieces = true;
  while (!bytes.empty() && is_read_in_pieces) {
    is_read_in_pieces = cut.feed(bytes.substr(0, step), &pieces).ok();
    bytes.remove_prefix(std::min(step, bytes.size()));
  }
  CHECK(is_read == is_read_in_pieces);
  CHECK(summary(events) == summary(pieces));
}

void list(k8s::Kind kind, Encoding encoding, std::string_view bytes) {
  const auto list = decode_list(kind, encoding, bytes);
  if (!list) return check_line(list.error());
  for (const k8s::Object& object : list->objects) check_object(object);
  for (const k8s::Problem& problem : list->problems) check_line(problem.text());
}

}  // namespace
}  // namespace millrace::cluster

// The first octet says what it is to be, the second how a stream is cut.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace millrace;
  if (size < 2) return 0;
  const auto kind = static_cast<k8s::Kind>(data[0] % k8s::kind_count);
  const auto encoding =
      (data[0] & 0x40) != 0 ? cluster::Encoding::json : cluster::Encoding::protobuf;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  if ((data[0] & 0x80) != 0) {
    cluster::watch(kind, encoding, bytes, size_t{data[1]} + 1);
  } else {
    cluster::list(kind, encoding, bytes);
    cluster::decode_status(500, encoding, bytes);
  }
  return 0;
}
