// Finds the values inside a JSON document without reading them: where the members of an object and
// the elements of an array begin and end. The values themselves are read by protobuf's parser, each
// alone, so that one that is not right, or nested too deeply for it, costs nothing but itself.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

namespace millrace::cluster {

// The value of the member `name` of the object `text`; empty when there is none, or when `text` is
// no well-formed object. When a member stands there twice, the first one. `name` is compared as it
// stands between the quotes.
std::string_view json_member(std::string_view text, std::string_view name);

// The elements of the array `text`, in order. False when it is no well-formed array; then
// `elements` is empty. Only what is needed to find borders is checked.
bool json_elements(std::string_view text, std::vector<std::string_view>* elements);

}  // namespace millrace::cluster
