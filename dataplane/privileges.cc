#include "dataplane/privileges.h"

#include <grp.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace millrace {
namespace {
Error failed(const char* what) {
  return Error{std::string("cannot give up rights: ") + what + ": " + std::strerror(errno)};
}
}  // namespace

Status drop_privileges(std::optional<uint32_t> user) {
  if (user) {
    if (setgroups(0, nullptr) != 0) return failed("setgroups");
    if (setresgid(*user, *user, *user) != 0) return failed("setresgid");
    if (setresuid(*user, *user, *user) != 0) return failed("setresuid");
  }
  cap_t none = cap_init();
  if (none == nullptr) return failed("cap_init");
  const int set = cap_set_proc(none);
  cap_free(none);
  if (set != 0) return failed("cap_set_proc");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) != 0) return failed("PR_SET_NO_NEW_PRIVS");
  return Ok{};
}

Status make_folder(const std::string& path, std::optional<uint32_t> user) {
  std::error_code error;
  const bool made = std::filesystem::create_directories(path, error);
  if (error) return Error{path + ": cannot be made: " + error.message()};
  // A folder that was there belongs to whoever made it: /run is not ours to give away.
  if (made && user && chown(path.c_str(), *user, *user) != 0)
    return Error{path + ": cannot be given to user " + std::to_string(*user) + ": " +
                 std::strerror(errno)};
  return Ok{};
}

}  // namespace millrace
