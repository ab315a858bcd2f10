#include "controlplane/k8s/body.h"

#include <limits>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

namespace millrace::k8s {

namespace {

using google::protobuf::Message;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// Of every kind. Fields are written in the order of their numbers, so it is the first one.
constexpr int metadata_number = 1;
static_assert(Ingress::kMetadataFieldNumber == metadata_number &&
              IngressClass::kMetadataFieldNumber == metadata_number &&
              Service::kMetadataFieldNumber == metadata_number &&
              EndpointSlice::kMetadataFieldNumber == metadata_number &&
              Secret::kMetadataFieldNumber == metadata_number &&
              Node::kMetadataFieldNumber == metadata_number &&
              Namespace::kMetadataFieldNumber == metadata_number);

constexpr uint32_t tag_of(int number) {
  return static_cast<uint32_t>(number) << 3 | WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
}

const uint8_t* octets_of(std::string_view bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}

// Calls take(field) for the fields of this number that have a length, until it returns false.
template <class Take>
void for_fields(std::string_view message, int number, Take take) {
  CodedInputStream in(octets_of(message), static_cast<int>(message.size()));
  while (const uint32_t tag = in.ReadTag()) {
    if (tag != tag_of(number)) {
      if (!WireFormatLite::SkipField(&in, tag)) return;
      continue;
    }
    int length = 0;
    if (!in.ReadVarintSizeAsInt(&length)) return;
    const auto at = static_cast<size_t>(in.CurrentPosition());
    if (!in.Skip(length) || !take(message.substr(at, static_cast<size_t>(length)))) return;
  }
}

const Message& message_of(const AnyObject& content) {
  return std::visit([](const auto& one) -> const Message& { return one; }, content);
}

}  // namespace

Body::Body(const AnyObject& content) : kind_(static_cast<Kind>(content.index())) {
  const Message& message = message_of(content);
  const size_t size = message.ByteSizeLong();
  CHECK(size <= std::numeric_limits<int>::max());
  const auto bytes = std::make_shared_for_overwrite<char[]>(size);
  google::protobuf::io::ArrayOutputStream array(bytes.get(), static_cast<int>(size));
  google::protobuf::io::CodedOutputStream out(&array);
  out.SetSerializationDeterministic(true);  // or a map's order would differ from time to time
  message.SerializeWithCachedSizes(&out);
  CHECK(!out.HadError());
  bytes_ = bytes;
  size_ = static_cast<uint32_t>(size);
}

void Body::parse(Message* content) const {
  CHECK(content->ParseFromArray(bytes_.get(), static_cast<int>(size_)));
}

void Body::parse_rest(Message* content) const {
  const std::string_view metadata = metadata_bytes();
  const char* const rest = metadata.empty() ? bytes_.get() : metadata.data() + metadata.size();
  CHECK(content->ParseFromArray(rest, static_cast<int>(bytes_.get() + size_ - rest)));
}

std::string_view Body::metadata_bytes() const {
  CHECK(bytes_ != nullptr);
  CodedInputStream in(octets_of(bytes()), static_cast<int>(size_));
  int length = 0;
  if (in.ReadTag() != tag_of(metadata_number) || !in.ReadVarintSizeAsInt(&length)) return {};
  return bytes().substr(static_cast<size_t>(in.CurrentPosition()), static_cast<size_t>(length));
}

ObjectMeta Body::metadata() const {
  const std::string_view part = metadata_bytes();
  ObjectMeta metadata;
  CHECK(metadata.ParseFromArray(part.data(), static_cast<int>(part.size())));
  return metadata;
}

std::string Body::uid() const {
  return std::string(find_field(metadata_bytes(), ObjectMeta::kUidFieldNumber).value_or(""));
}

std::string Body::resource_version() const {
  return std::string(
      find_field(metadata_bytes(), ObjectMeta::kResourceVersionFieldNumber).value_or(""));
}

std::optional<std::string> Body::label(std::string_view name) const {
  // A map is a list of entries, a message each of a key and a value.
  constexpr int key_number = 1;
  constexpr int value_number = 2;
  std::optional<std::string> found;
  for_fields(metadata_bytes(), ObjectMeta::kLabelsFieldNumber, [&](std::string_view entry) {
    if (find_field(entry, key_number).value_or("") != name) return true;
    found.emplace(find_field(entry, value_number).value_or(""));
    return false;
  });
  return found;
}

std::optional<std::string_view> find_field(std::string_view message, int number) {
  std::optional<std::string_view> found;
  for_fields(message, number, [&](std::string_view field) {
    found = field;
    return false;
  });
  return found;
}

}  // namespace millrace::k8s
