// What an API server sends, for tests: lists, events of watches and refusals in both encodings.
#pragma once

#include <string>
#include <vector>

#include <google/protobuf/util/json_util.h>

#include "controlplane/cluster/decode.h"

namespace millrace::cluster {

inline std::string json_of(const google::protobuf::Message& message) {
  std::string json;
  CHECK(google::protobuf::util::MessageToJsonString(message, &json).ok());
  return json;
}

inline k8s::Service service(const std::string& name, const std::string& version, int port = 80,
                            const std::string& name_space = "shop") {
  k8s::Service service;
  service.mutable_metadata()->set_name(name);
  service.mutable_metadata()->set_namespace_(name_space);
  service.mutable_metadata()->set_resource_version(version);
  service.mutable_spec()->add_ports()->set_port(port);
  return service;
}

inline std::string_view content_type_of(Encoding encoding) {
  return encoding == Encoding::json ? "application/json" : protobuf_content_type;
}

// `body`: the message inside the envelope, or JSON.
inline std::string event(Encoding encoding, const std::string& type,
                         const google::protobuf::Message& object) {
  if (encoding == Encoding::json) {
    return R"({"type":")" + type + R"(","object":)" + json_of(object) + "}\n";
  }
  WatchEvent wire;
  wire.set_type(type);
  wire.mutable_object()->set_raw(encode_message("v1", "Any", object));
  const std::string bytes = wire.SerializeAsString();
  std::string frame;
  for (int shift = 24; shift >= 0; shift -= 8) frame += static_cast<char>(bytes.size() >> shift);
  return frame + bytes;
}

inline std::string bookmark(Encoding encoding, const std::string& version, bool ends_list) {
  k8s::Service object;
  object.mutable_metadata()->set_resource_version(version);
  if (ends_list) {
    (*object.mutable_metadata()->mutable_annotations())["k8s.io/initial-events-end"] = "true";
  }
  return event(encoding, "BOOKMARK", object);
}

inline Status status_of(int code, const std::string& reason, const std::string& message) {
  Status status;
  status.set_status("Failure");
  status.set_code(code);
  status.set_reason(reason);
  status.set_message(message);
  return status;
}

template <typename Object>
std::string list_body(Encoding encoding, const std::string& version,
                      const std::string& continue_token, const std::vector<Object>& objects) {
  ObjectList list;
  list.mutable_metadata()->set_resource_version(version);
  if (!continue_token.empty()) list.mutable_metadata()->set_continue_(continue_token);
  if (encoding == Encoding::protobuf) {
    for (const Object& object : objects) list.add_items(object.SerializeAsString());
    return encode_message("v1", "List", list);
  }
  std::string items;
  for (const Object& object : objects) items += (items.empty() ? "" : ",") + json_of(object);
  return R"({"kind":"List","metadata":)" + json_of(list.metadata()) + R"(,"items":[)" + items +
         "]}";
}

}  // namespace millrace::cluster
