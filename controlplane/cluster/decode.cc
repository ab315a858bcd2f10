#include "controlplane/cluster/decode.h"

#include <algorithm>
#include <memory>
#include <utility>

#include <google/protobuf/util/json_util.h>

#include "base/wipe.h"
#include "controlplane/certificates/certificate.h"
#include "controlplane/cluster/json_split.h"

namespace millrace::cluster {

namespace {

using google::protobuf::Message;
using k8s::Kind;
using k8s::Severity;

constexpr std::string_view envelope_magic("k8s\0", 4);
constexpr char initial_events_end[] = "k8s.io/initial-events-end";
constexpr size_t frame_header_bytes = 4;

Message* message_of(k8s::AnyObject* object) {
  return std::visit([](auto& body) -> Message* { return &body; }, *object);
}

k8s::ObjectMeta* mutable_metadata_of(k8s::AnyObject* object) {
  return std::visit([](auto& body) { return body.mutable_metadata(); }, *object);
}

bool parse_json(std::string_view text, Message* message) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  return google::protobuf::util::JsonStringToMessage(
             google::protobuf::StringPiece(text.data(), text.size()), message, options)
      .ok();
}

bool parse_wire(std::string_view bytes, Message* message) {
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

// The object inside the envelope. False when there is none. `holds_secrets`: nothing of it stays
// anywhere but in `inside`.
bool open_envelope(std::string_view bytes, bool holds_secrets, std::string* inside) {
  Unknown unknown;
  const WipeAtEnd wiped(unknown.mutable_raw(), holds_secrets);
  if (!bytes.starts_with(envelope_magic) ||
      !parse_wire(bytes.substr(envelope_magic.size()), &unknown) ||
      !unknown.content_encoding().empty()) {
    return false;
  }
  inside->swap(*unknown.mutable_raw());
  return true;
}

// JSON writes the fields of an inlined message in its parent's place.
void put_inlined_in_place(k8s::AnyObject* object) {
  auto* ingress = std::get_if<k8s::Ingress>(object);
  if (ingress == nullptr) return;
  for (k8s::IngressRule& rule : *ingress->mutable_spec()->mutable_rules()) {
    if (!rule.has_http_in_json()) continue;
    *rule.mutable_value()->mutable_http() = std::move(*rule.mutable_http_in_json());
    rule.clear_http_in_json();
  }
}

void drop_long_values(google::protobuf::Map<std::string, std::string>* values) {
  for (auto at = values->begin(); at != values->end();) {
    at = at->second.size() > metadata_value_bytes_max ? values->erase(at) : std::next(at);
  }
}

// Private keys do not stay in this process's memory for longer than it takes to look at them. An
// Ingress may name any Secret of its namespace: of one that is not of TLS nothing is kept at all.
void keep_public_part(k8s::AnyObject* object) {
  auto* secret = std::get_if<k8s::Secret>(object);
  if (secret == nullptr) return;
  const bool is_tls = secret->type() == "kubernetes.io/tls";
  auto& data = *secret->mutable_data();
  const auto certificate = data.find("tls.crt");
  const auto key = data.find("tls.key");
  secret->set_key_in_certificate(is_tls && certificate != data.end() &&
                                 certificates::holds_private_key(certificate->second));
  if (is_tls && certificate != data.end()) {
    std::string alone = certificates::certificates_alone(certificate->second);
    alone.swap(certificate->second);
    wipe(&alone);
  }
  secret->set_key_state(
      key == data.end() || !is_tls
          ? k8s::Secret::KEY_MISSING
          : certificates::check_key(certificate == data.end() ? "" : certificate->second,
                                    key->second));
  for (auto& [name, value] : data) {
    if (!is_tls || name != "tls.crt") wipe(&value);
  }
}

// kubectl keeps a copy of what it applied in an annotation: of a Secret with its keys, of others
// another time what stands there anyway.
void drop_copies(k8s::AnyObject* object, k8s::ObjectMeta* metadata) {
  if (std::holds_alternative<k8s::Secret>(*object)) {
    for (auto& [name, value] : *metadata->mutable_annotations()) wipe(&value);
    metadata->clear_annotations();
  }
  metadata->mutable_annotations()->erase("kubectl.kubernetes.io/last-applied-configuration");
}

// What is kept of an object that has been read. The problem when it has no proper name.
std::optional<k8s::Problem> settle(Kind kind, k8s::AnyObject body, k8s::Object* object) {
  put_inlined_in_place(&body);
  keep_public_part(&body);
  message_of(&body)->DiscardUnknownFields();
  object->field_manager = k8s::take_field_manager(&body);
  k8s::ObjectMeta* metadata = mutable_metadata_of(&body);
  drop_copies(&body, metadata);
  drop_long_values(metadata->mutable_annotations());
  drop_long_values(metadata->mutable_labels());
  object->key = {kind, is_namespaced(kind) ? metadata->namespace_() : "", metadata->name()};
  const bool is_named = k8s::is_dns_subdomain(object->key.name) &&
                        (!is_namespaced(kind) || k8s::is_dns_subdomain(object->key.name_space));
  if (!is_named) {
    return k8s::Problem{Severity::error,
                        {},
                        std::string(to_text(kind)),
                        "the API server sent one with the name " +
                            k8s::quote(metadata->namespace_() + '/' + metadata->name()) +
                            ", which is no name; it is left out"};
  }
  object->body = k8s::Body(body);
  return std::nullopt;
}

k8s::Problem unreadable(Kind kind, size_t bytes) {
  return {Severity::error,
          {},
          std::string(to_text(kind)),
          "the API server sent one that cannot be read (" + std::to_string(bytes) +
              " bytes); it is left out"};
}

std::optional<k8s::Problem> read_object(Kind kind, Encoding encoding, std::string_view bytes,
                                        k8s::Object* object) {
  k8s::AnyObject body = k8s::empty_object(kind);
  const bool is_read = encoding == Encoding::json ? parse_json(bytes, message_of(&body))
                                                  : parse_wire(bytes, message_of(&body));
  if (!is_read) return unreadable(kind, bytes.size());
  return settle(kind, std::move(body), object);
}

void add_item(Kind kind, Encoding encoding, std::string_view bytes, DecodedList* list) {
  k8s::Object object;
  if (auto problem = read_object(kind, encoding, bytes, &object)) {
    list->problems.push_back(std::move(*problem));
  } else {
    list->objects.push_back(std::move(object));
  }
}

Result<DecodedList> decode_json_list(Kind kind, std::string_view body) {
  DecodedList list;
  ListMeta metadata;
  std::vector<std::string_view> items;
  const std::string_view array = json_member(body, "items");
  const std::string_view metadata_text = json_member(body, "metadata");
  if (metadata_text.empty() || !parse_json(metadata_text, &metadata)) {
    return Error{"the answer is no list: it has no metadata"};
  }
  // Go writes an empty list as null where it has not been made.
  if (array != "null" && !json_elements(array, &items)) {
    return Error{"the answer is no list: it has no items"};
  }
  list.resource_version = metadata.resource_version();
  list.continue_token = metadata.continue_();
  for (std::string_view item : items) add_item(kind, Encoding::json, item, &list);
  return list;
}

Result<DecodedList> decode_wire_list(Kind kind, std::string_view body) {
  const bool holds_secrets = kind == Kind::secret;
  std::string inside;
  const WipeAtEnd wiped_inside(&inside, holds_secrets);
  ObjectList wire;
  if (!open_envelope(body, holds_secrets, &inside) || !parse_wire(inside, &wire)) {
    return Error{"the answer is no list in protobuf"};
  }
  DecodedList list;
  list.resource_version = wire.metadata().resource_version();
  list.continue_token = wire.metadata().continue_();
  for (std::string& item : *wire.mutable_items()) {
    const WipeAtEnd wiped(&item, holds_secrets);
    add_item(kind, Encoding::protobuf, item, &list);
  }
  return list;
}

std::optional<WatchEventType> event_type_of(std::string_view text) {
  if (text == "ADDED") return WatchEventType::added;
  if (text == "MODIFIED") return WatchEventType::modified;
  if (text == "DELETED") return WatchEventType::deleted;
  if (text == "BOOKMARK") return WatchEventType::bookmark;
  if (text == "ERROR") return WatchEventType::error;
  return std::nullopt;
}

// `bytes`: the object of the event, out of its envelope.
void fill_event(Kind kind, Encoding encoding, std::string_view bytes, DecodedEvent* event) {
  if (event->type == WatchEventType::error) {
    const bool is_read = encoding == Encoding::json ? parse_json(bytes, &event->status)
                                                    : parse_wire(bytes, &event->status);
    if (!is_read) event->status.set_message("an error that cannot be read");
    return;
  }
  k8s::Object object;
  if (event->type == WatchEventType::bookmark) {
    k8s::AnyObject body = k8s::empty_object(kind);
    const bool is_read = encoding == Encoding::json ? parse_json(bytes, message_of(&body))
                                                    : parse_wire(bytes, message_of(&body));
    if (!is_read) return;
    const k8s::ObjectMeta& metadata = metadata_of(body);
    event->resource_version = metadata.resource_version();
    const auto mark = metadata.annotations().find(initial_events_end);
    event->ends_initial_events = mark != metadata.annotations().end() && mark->second == "true";
    return;
  }
  event->problem = read_object(kind, encoding, bytes, &object);
  if (event->problem) return;
  event->resource_version = object.body.resource_version();
  event->object = std::move(object);
}

}  // namespace

std::optional<Encoding> encoding_of(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find(';'));
  if (type == "application/json") return Encoding::json;
  if (type == protobuf_content_type) return Encoding::protobuf;
  return std::nullopt;
}

Result<DecodedList> decode_list(Kind kind, Encoding encoding, std::string_view body) {
  auto list =
      encoding == Encoding::json ? decode_json_list(kind, body) : decode_wire_list(kind, body);
  if (kind == Kind::secret) wipe_dead_stack();
  return list;
}

::millrace::Status WatchDecoder::feed(std::string_view bytes, std::vector<DecodedEvent>* events) {
  if (holds_secrets()) {
    append_wiping(&buffer_, bytes);
  } else {
    buffer_ += bytes;
  }
  const ::millrace::Status taken =
      encoding_ == Encoding::json ? take_lines(events) : take_frames(events);
  if (holds_secrets()) wipe_dead_stack();
  return taken;
}

::millrace::Status WatchDecoder::take_frames(std::vector<DecodedEvent>* events) {
  size_t at = 0;
  while (buffer_.size() - at >= frame_header_bytes) {
    size_t length = 0;
    for (size_t i = 0; i < frame_header_bytes; ++i) {
      length = length << 8 | static_cast<uint8_t>(buffer_[at + i]);
    }
    if (length > watch_event_bytes_max) return Error{"an event of more than 16 MiB"};
    if (buffer_.size() - at - frame_header_bytes < length) break;
    WatchEvent wire;
    if (!parse_wire(std::string_view(buffer_).substr(at + frame_header_bytes, length), &wire)) {
      return Error{"what came is no event of a watch in protobuf"};
    }
    const auto type = event_type_of(wire.type());
    std::string* const raw = wire.mutable_object()->mutable_raw();
    const WipeAtEnd wiped_raw(raw, holds_secrets());
    std::string inside;
    const WipeAtEnd wiped_inside(&inside, holds_secrets());
    const bool is_opened = open_envelope(*raw, holds_secrets(), &inside);
    if (!type) return Error{"an event of the unknown type " + k8s::quote(wire.type())};
    DecodedEvent& event = events->emplace_back();
    event.type = *type;
    if (is_opened) {
      fill_event(kind_, encoding_, inside, &event);
    } else if (*type != WatchEventType::bookmark && *type != WatchEventType::error) {
      event.problem = unreadable(kind_, raw->size());
    }
    at += frame_header_bytes + length;
  }
  drop_front(at);
  return Ok{};
}

void WatchDecoder::drop_front(size_t bytes) {
  if (!holds_secrets()) {
    buffer_.erase(0, bytes);
    return;
  }
  std::string rest = buffer_.substr(bytes);
  buffer_.swap(rest);
  wipe(&rest);
}

::millrace::Status WatchDecoder::take_lines(std::vector<DecodedEvent>* events) {
  size_t at = 0;
  while (true) {
    const size_t newline = buffer_.find('\n', std::max(at, searched_));
    if (newline == std::string::npos) break;
    const std::string_view line = std::string_view(buffer_).substr(at, newline - at);
    at = newline + 1;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    std::string_view name = json_member(line, "type");
    const std::string_view object = json_member(line, "object");
    if (name.size() < 2 || object.empty()) return Error{"what came is no event of a watch in JSON"};
    name = name.substr(1, name.size() - 2);
    const auto type = event_type_of(name);
    if (!type) return Error{"an event of the unknown type " + k8s::quote(name)};
    DecodedEvent& event = events->emplace_back();
    event.type = *type;
    fill_event(kind_, encoding_, object, &event);
  }
  drop_front(at);
  searched_ = buffer_.size();
  if (buffer_.size() > watch_event_bytes_max) return Error{"an event of more than 16 MiB"};
  return Ok{};
}

Status decode_status(int http_status, std::optional<Encoding> encoding, std::string_view body) {
  Status status;
  const bool is_read = encoding && decode_message(*encoding, body, &status);
  if (!is_read || status.message().empty()) {
    status.Clear();
    status.set_message(body.empty() ? "no reason given" : k8s::printable(body));
  }
  status.set_code(http_status);
  return status;
}

bool decode_message(Encoding encoding, std::string_view body, Message* message) {
  if (encoding == Encoding::json) return parse_json(body, message);
  std::string inside;
  return open_envelope(body, false, &inside) && parse_wire(inside, message);
}

std::string encode_message(std::string_view api_version, std::string_view kind,
                           const Message& message) {
  Unknown unknown;
  unknown.mutable_type_meta()->set_api_version(std::string(api_version));
  unknown.mutable_type_meta()->set_kind(std::string(kind));
  unknown.set_raw(message.SerializeAsString());
  return std::string(envelope_magic) + unknown.SerializeAsString();
}

}  // namespace millrace::cluster
