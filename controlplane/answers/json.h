// A message as JSON, the same way for the API and for the command line.
#pragma once

#include <google/protobuf/message.h>

#include <string>

namespace millrace::answer {

// One line with a newline behind it; every field is there, also where it is zero.
std::string to_json(const google::protobuf::Message& message);

// False: it is no such message. Fields that are not known are skipped: a newer server may say more.
bool from_json(const std::string& text, google::protobuf::Message* message);

}  // namespace millrace::answer
