// Runs a wire script against one stack behind the C interface.
#pragma once

#include <optional>

#include "tests/script/script.h"

namespace millrace::script {

// The first line that was not fulfilled, or nothing.
std::optional<Fault> run_script(const Script& script, bool fast_paths);

}  // namespace millrace::script
