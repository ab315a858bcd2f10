// What an object says, kept as protobuf's wire format: in one piece and in a tenth of the memory
// that it takes as messages. Whoever wants to know something reads it into a message.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "base/check.h"
#include "controlplane/k8s/objects.pb.h"

namespace millrace::k8s {

// The order is that of AnyObject's alternatives.
enum class Kind : uint8_t {
  ingress,
  ingress_class,
  service,
  endpoint_slice,
  secret,
  node,
  name_space
};
using AnyObject =
    std::variant<Ingress, IngressClass, Service, EndpointSlice, Secret, Node, Namespace>;
constexpr size_t kind_count = std::variant_size_v<AnyObject>;

template <class Content, size_t at = 0>
constexpr Kind kind_of() {
  if constexpr (std::is_same_v<Content, std::variant_alternative_t<at, AnyObject>>) {
    return static_cast<Kind>(at);
  } else {
    return kind_of<Content, at + 1>();
  }
}

// The first field of this number that has a length (a text, a message, an entry of a map) in a
// message of the wire format; nothing when there is none. Reads no further.
std::optional<std::string_view> find_field(std::string_view message, int number);

// Never changed: whoever holds the object shares it.
class Body {
 public:
  // There is no such object.
  Body() = default;
  // The same bytes for the same content, whatever order it was read in.
  explicit Body(const AnyObject& content);

  explicit operator bool() const { return bytes_ != nullptr; }
  // Of one that is there.
  Kind kind() const { return kind_; }
  std::string_view bytes() const { return {bytes_.get(), size_}; }
  std::optional<std::string_view> field(int number) const { return find_field(bytes(), number); }

  // Instead of what `content` held. It keeps what it has allocated, so that of many bodies that are
  // read into one message all but the largest allocate little.
  template <class Content>
  void read(Content* content) const {
    CHECK(bytes_ != nullptr && kind_ == kind_of<Content>());
    parse(content);
  }
  template <class Content>
  Content as() const {
    Content content;
    read(&content);
    return content;
  }
  // The same without its metadata, which may be longer than all the rest.
  template <class Content>
  void read_without_metadata(Content* content) const {
    CHECK(bytes_ != nullptr && kind_ == kind_of<Content>());
    parse_rest(content);
  }
  // Of one that is there, without reading the rest.
  ObjectMeta metadata() const;
  // Of its metadata, by a look at the bytes; what it does not have is empty.
  std::string uid() const;
  std::string resource_version() const;
  std::optional<std::string> label(std::string_view name) const;

  // The same content. Two of the same kind, or none.
  bool operator==(const Body& other) const {
    return bytes_ == other.bytes_ || ((bytes_ == nullptr) == (other.bytes_ == nullptr) &&
                                      kind_ == other.kind_ && bytes() == other.bytes());
  }

 private:
  void parse(google::protobuf::Message* content) const;
  void parse_rest(google::protobuf::Message* content) const;
  // Empty when there is none.
  std::string_view metadata_bytes() const;

  std::shared_ptr<const char[]> bytes_;
  uint32_t size_ = 0;
  Kind kind_ = Kind::ingress;
};

}  // namespace millrace::k8s
