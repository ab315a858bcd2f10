// From the bytes of an API server's answers to objects: lists, events of a watch, refusals, in JSON
// and in Kubernetes' protobuf. What comes is not trusted: an object that cannot be read, or has no
// name that Kubernetes would give, is a problem by itself and costs no other one.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "controlplane/cluster/api.pb.h"
#include "controlplane/k8s/object.h"
#include "controlplane/k8s/problem.h"

namespace millrace::cluster {

// One event of a watch, or one refusal, is never longer: etcd takes objects of 1.5 MiB, and JSON
// may write an octet in six.
constexpr size_t watch_event_bytes_max = 16 << 20;
// An annotation or label value that is longer counts as absent: those that mean something to us
// are names and numbers, and ten thousand objects are kept.
constexpr size_t metadata_value_bytes_max = 4'096;

enum class Encoding { json, protobuf };
// Nothing when it is neither.
std::optional<Encoding> encoding_of(std::string_view content_type);

struct DecodedList {
  std::string resource_version;
  std::string continue_token;  // empty: this is the last page
  std::vector<k8s::Object> objects;
  std::vector<k8s::Problem> problems;
};

// Error: this is no list at all.
Result<DecodedList> decode_list(k8s::Kind kind, Encoding encoding, std::string_view body);

enum class WatchEventType { added, modified, deleted, bookmark, error };

struct DecodedEvent {
  WatchEventType type = WatchEventType::error;
  std::optional<k8s::Object> object;    // added, modified, deleted
  std::optional<k8s::Problem> problem;  // instead of an object that cannot be read
  std::string resource_version;         // of the object, also of one that is a bookmark
  bool ends_initial_events = false;     // of a bookmark: the list at the head of a watch is whole
  Status status;                        // of an error
};

// Cuts a watch's stream into events, however it is cut into pieces on its way.
class WatchDecoder {
 public:
  WatchDecoder(k8s::Kind kind, Encoding encoding) : kind_(kind), encoding_(encoding) {}
  ~WatchDecoder() { drop_front(buffer_.size()); }
  WatchDecoder(const WatchDecoder&) = delete;
  WatchDecoder& operator=(const WatchDecoder&) = delete;

  // Appends the events that are whole now. Error: this is no stream of events; it cannot be read
  // any further.
  ::millrace::Status feed(std::string_view bytes, std::vector<DecodedEvent>* events);
  bool is_between_events() const { return buffer_.empty(); }

 private:
  ::millrace::Status take_frames(std::vector<DecodedEvent>* events);
  ::millrace::Status take_lines(std::vector<DecodedEvent>* events);
  bool holds_secrets() const { return kind_ == k8s::Kind::secret; }
  void drop_front(size_t bytes);

  k8s::Kind kind_;
  Encoding encoding_;
  std::string buffer_;   // at most one event and what came with its end
  size_t searched_ = 0;  // so much of it holds no end of a line
};

// What the server says of a request that it refuses. Always something: without a readable Status
// the HTTP status and the beginning of the body stand in.
Status decode_status(int http_status, std::optional<Encoding> encoding, std::string_view body);

// One object as the body of an answer.
bool decode_message(Encoding encoding, std::string_view body, google::protobuf::Message* message);

// An object as the body of a request, in protobuf.
std::string encode_message(std::string_view api_version, std::string_view kind,
                           const google::protobuf::Message& message);
constexpr char protobuf_content_type[] = "application/vnd.kubernetes.protobuf";

}  // namespace millrace::cluster
