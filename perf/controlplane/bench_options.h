// What the programs here make of their command lines.
#pragma once

#include <cstdint>
#include <string>

namespace millrace::perf {

// One line on stderr, with the program's name, and exit code 2.
[[noreturn]] void refuse(const std::string& what);

// The value of an option, 1 to `most`; anything else is refused. `name`: "--changes".
uint32_t number(const char* name, const char* text, uint32_t most);

}  // namespace millrace::perf
