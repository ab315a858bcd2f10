#include "controlplane/manifests/yaml_message.h"

#include <array>
#include <cstdint>
#include <set>
#include <string_view>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/time_util.h>
#include <yaml-cpp/yaml.h>

#include "base/address.h"
#include "controlplane/k8s/object.h"
#include "controlplane/k8s/objects.pb.h"

namespace millrace::manifests {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// What a scalar is, by its tag and, if it is plain, by its look (YAML 1.2 core schema, and the
// yes/no/on/off of YAML 1.1 that Kubernetes' own reader knows).
enum class ScalarType { null, boolean, number, string };

bool is_one_of(std::string_view text, const auto& words) {
  for (std::string_view word : words) {
    if (text == word) return true;
  }
  return false;
}

constexpr std::array<std::string_view, 5> null_words = {"", "~", "null", "Null", "NULL"};
constexpr std::array<std::string_view, 9> true_words = {"true", "True", "TRUE", "yes", "Yes",
                                                        "YES",  "on",   "On",   "ON"};
constexpr std::array<std::string_view, 9> false_words = {"false", "False", "FALSE", "no", "No",
                                                         "NO",    "off",   "Off",   "OFF"};

size_t skip_digits(std::string_view text, size_t at) {
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
  return at;
}

// 12, -0.5, 1e3, .5, 0x1f, 0o17, .inf, .nan
bool looks_like_number(std::string_view text) {
  size_t at = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  const std::string_view magnitude = text.substr(at);
  constexpr std::array<std::string_view, 6> special = {".inf", ".Inf", ".INF",
                                                       ".nan", ".NaN", ".NAN"};
  if (is_one_of(magnitude, special)) return true;
  if (magnitude.size() > 2 && magnitude[0] == '0' && (magnitude[1] == 'x' || magnitude[1] == 'o')) {
    return magnitude.substr(2).find_first_not_of("0123456789abcdefABCDEF") ==
           std::string_view::npos;
  }
  const size_t whole_end = skip_digits(text, at);
  size_t digits = whole_end - at;
  at = whole_end;
  if (at < text.size() && text[at] == '.') {
    const size_t fraction_end = skip_digits(text, at + 1);
    digits += fraction_end - (at + 1);
    at = fraction_end;
  }
  if (digits == 0) return false;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    const size_t exponent_end = skip_digits(text, at);
    if (exponent_end == at) return false;
    at = exponent_end;
  }
  return at == text.size();
}

ScalarType type_of(const YAML::Node& node) {
  if (node.IsNull()) return ScalarType::null;
  const std::string& tag = node.Tag();
  const std::string& text = node.Scalar();
  if (tag == "!" || tag == "tag:yaml.org,2002:str") return ScalarType::string;
  if (is_one_of(text, null_words)) return ScalarType::null;
  if (is_one_of(text, true_words) || is_one_of(text, false_words)) return ScalarType::boolean;
  if (looks_like_number(text)) return ScalarType::number;
  return ScalarType::string;
}

// "the string "80"", "the number 80", "a list": what stands there, for a message.
std::string describe(const YAML::Node& node) {
  if (node.IsMap()) return "a mapping";
  if (node.IsSequence()) return "a list";
  switch (type_of(node)) {
    case ScalarType::null: return "null";
    case ScalarType::boolean: return "the boolean " + k8s::quote(node.Scalar());
    case ScalarType::number: return "the number " + k8s::quote(node.Scalar());
    case ScalarType::string: break;
  }
  return "the string " + k8s::quote(node.Scalar());
}

class Reader {
 public:
  Reader(ValueBudget* budget, FieldError* error) : budget_(budget), error_(error) {}

  bool read(const YAML::Node& node, Message* message, const std::string& path) {
    if (!node.IsMap()) return refuse(node, path, "a mapping is wanted, not " + describe(node));
    std::set<std::string> seen;
    for (const auto& entry : node) {
      if (!spend(entry.first, path)) return false;
      if (!entry.first.IsScalar()) continue;
      const std::string& name = entry.first.Scalar();
      const std::string field_path = path.empty() ? name : path + '.' + name;
      Message* owner = message;
      const FieldDescriptor* field = find_field(&owner, name);
      if (field == nullptr) continue;
      if (!seen.insert(name).second) {
        return refuse(entry.first, field_path, "stands there twice in one mapping");
      }
      if (!read_field(entry.second, owner, field, field_path)) return false;
    }
    return true;
  }

 private:
  // The field with this JSON name, in the message itself or in one of its inlined messages; `owner`
  // becomes the message that has it.
  static const FieldDescriptor* find_field(Message** owner, const std::string& json_name) {
    const Descriptor* descriptor = (*owner)->GetDescriptor();
    for (int i = 0; i < descriptor->field_count(); ++i) {
      const FieldDescriptor* field = descriptor->field(i);
      if (field->options().GetExtension(k8s::inlined)) {
        const Descriptor* inner = field->message_type();
        for (int j = 0; j < inner->field_count(); ++j) {
          if (inner->field(j)->json_name() != json_name) continue;
          *owner = (*owner)->GetReflection()->MutableMessage(*owner, field);
          return inner->field(j);
        }
      } else if (field->json_name() == json_name) {
        return field;
      }
    }
    return nullptr;
  }

  bool read_field(const YAML::Node& node, Message* message, const FieldDescriptor* field,
                  const std::string& path) {
    if (node.IsNull() || (node.IsScalar() && type_of(node) == ScalarType::null)) return true;
    if (field->is_map()) return read_map(node, message, field, path);
    if (!field->is_repeated()) return read_value(node, message, field, path);
    if (!node.IsSequence()) return refuse(node, path, "a list is wanted, not " + describe(node));
    size_t index = 0;
    for (const YAML::Node& item : node) {
      const std::string item_path = path + '[' + std::to_string(index++) + ']';
      if (item.IsNull()) return refuse(node, item_path, "is null");
      if (!read_value(item, message, field, item_path)) return false;
    }
    return true;
  }

  // The maps of metadata: string to string.
  bool read_map(const YAML::Node& node, Message* message, const FieldDescriptor* field,
                const std::string& path) {
    if (!node.IsMap()) return refuse(node, path, "a mapping is wanted, not " + describe(node));
    const FieldDescriptor* key = field->message_type()->map_key();
    const FieldDescriptor* value = field->message_type()->map_value();
    std::set<std::string> seen;
    for (const auto& entry : node) {
      const std::string name = entry.first.IsScalar() ? entry.first.Scalar() : std::string();
      const std::string entry_path = path + '[' + k8s::quote(name) + ']';
      if (!seen.insert(name).second) {
        return refuse(entry.first, entry_path, "stands there twice in one mapping");
      }
      Message* pair = message->GetReflection()->AddMessage(message, field);
      pair->GetReflection()->SetString(pair, key, name);
      if (entry.second.IsNull()) continue;
      if (!read_value(entry.second, pair, value, entry_path)) return false;
    }
    return true;
  }

  bool read_value(const YAML::Node& node, Message* message, const FieldDescriptor* field,
                  const std::string& path) {
    if (!spend(node, path)) return false;
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE: return read_submessage(node, message, field, path);
      case FieldDescriptor::CPPTYPE_STRING: return read_string(node, message, field, path);
      case FieldDescriptor::CPPTYPE_BOOL: return read_bool(node, message, field, path);
      case FieldDescriptor::CPPTYPE_INT32:
      case FieldDescriptor::CPPTYPE_INT64: return read_integer(node, message, field, path);
      default: break;
    }
    CHECK(false && "objects.proto declares a type that the reader does not know");
    return false;
  }

  bool read_submessage(const YAML::Node& node, Message* message, const FieldDescriptor* field,
                       const std::string& path) {
    const Reflection* reflection = message->GetReflection();
    Message* inner = field->is_repeated() ? reflection->AddMessage(message, field)
                                          : reflection->MutableMessage(message, field);
    if (field->message_type() == google::protobuf::Timestamp::descriptor()) {
      return read_timestamp(node, inner, path);
    }
    return read(node, inner, path);
  }

  bool read_timestamp(const YAML::Node& node, Message* message, const std::string& path) {
    google::protobuf::Timestamp stamp;
    if (!node.IsScalar() || !google::protobuf::util::TimeUtil::FromString(node.Scalar(), &stamp)) {
      return refuse(node, path,
                    "a time as in \"2024-01-31T12:00:00Z\" is wanted, not " + describe(node));
    }
    message->CopyFrom(stamp);
    return true;
  }

  bool read_string(const YAML::Node& node, Message* message, const FieldDescriptor* field,
                   const std::string& path) {
    if (!node.IsScalar() || type_of(node) != ScalarType::string) {
      return refuse(node, path,
                    "a string is wanted, not " + describe(node) +
                        (node.IsScalar() ? " (put it in quotes to make it one)" : ""));
    }
    const Reflection* reflection = message->GetReflection();
    if (field->is_repeated()) {
      reflection->AddString(message, field, node.Scalar());
    } else {
      reflection->SetString(message, field, node.Scalar());
    }
    return true;
  }

  bool read_bool(const YAML::Node& node, Message* message, const FieldDescriptor* field,
                 const std::string& path) {
    if (!node.IsScalar() || type_of(node) != ScalarType::boolean) {
      return refuse(node, path, "true or false is wanted, not " + describe(node));
    }
    message->GetReflection()->SetBool(message, field, is_one_of(node.Scalar(), true_words));
    return true;
  }

  bool read_integer(const YAML::Node& node, Message* message, const FieldDescriptor* field,
                    const std::string& path) {
    const bool wide = field->cpp_type() == FieldDescriptor::CPPTYPE_INT64;
    const uint64_t maximum = wide ? INT64_MAX : INT32_MAX;
    if (!node.IsScalar() || type_of(node) != ScalarType::number) {
      return refuse(node, path, "a whole number is wanted, not " + describe(node));
    }
    const std::string& text = node.Scalar();
    const bool negative = text[0] == '-';
    const auto value = parse_decimal(std::string_view(text).substr(negative ? 1 : 0), maximum);
    if (!value) return refuse(node, path, "a whole number is wanted, not " + describe(node));
    const int64_t number = negative ? -static_cast<int64_t>(*value) : static_cast<int64_t>(*value);
    if (wide) {
      message->GetReflection()->SetInt64(message, field, number);
    } else {
      message->GetReflection()->SetInt32(message, field, static_cast<int32_t>(number));
    }
    return true;
  }

  bool spend(const YAML::Node& node, const std::string& path) {
    if (budget_->left > 0) {
      --budget_->left;
      return true;
    }
    return refuse(node, path,
                  "the file holds more than " + std::to_string(file_values_max) +
                      " values once its aliases are followed");
  }

  bool refuse(const YAML::Node& node, const std::string& path, std::string sentence) {
    *error_ = FieldError{line_of(node), path, std::move(sentence)};
    return false;
  }

  ValueBudget* budget_;
  FieldError* error_;
};

}  // namespace

int line_of(const YAML::Node& node) {
  const YAML::Mark mark = node.Mark();
  return mark.is_null() ? 0 : mark.line + 1;
}

bool read_message(const YAML::Node& node, Message* message, ValueBudget* budget,
                  FieldError* error) {
  return Reader(budget, error).read(node, message, "");
}

}  // namespace millrace::manifests
