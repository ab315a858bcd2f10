#include "controlplane/k8s/body.h"

#include <limits>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

namespace millrace::k8s {

namespace {

using google::protobuf::Message;

// Field 1, of the wire type for what has a length: the metadata of every kind, and what is written
// first.
constexpr uint32_t metadata_tag = 1 << 3 | 2;

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

ObjectMeta Body::metadata() const {
  CHECK(bytes_ != nullptr);
  ObjectMeta metadata;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes_.get()),
                                            static_cast<int>(size_));
  int length = 0;
  if (in.ReadTag() != metadata_tag || !in.ReadVarintSizeAsInt(&length)) return metadata;
  CHECK(metadata.ParseFromArray(bytes_.get() + in.CurrentPosition(), length));
  return metadata;
}

}  // namespace millrace::k8s
