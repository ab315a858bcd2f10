#include "controlplane/answers/json.h"

#include <google/protobuf/util/json_util.h>

namespace millrace::answer {

std::string to_json(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!status.ok()) return "{\"error\": \"the answer holds text that is not UTF-8\"}\n";
  return text + '\n';
}

bool from_json(const std::string& text, google::protobuf::Message* message) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  return google::protobuf::util::JsonStringToMessage(text, message, options).ok();
}

}  // namespace millrace::answer
