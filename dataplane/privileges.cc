#include "dataplane/privileges.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <thread>

namespace millrace {
namespace {

constexpr std::chrono::milliseconds look_again_after{1};
constexpr int looks_max = 2'000;

std::atomic<int> threads_done{0};
std::atomic<int> threads_failed{0};

Error failed(const std::string& what) {
  return Error{"cannot give up rights: " + what + ": " + std::strerror(errno)};
}

// System calls only: a signal handler runs it too.
bool drop_in_this_thread() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  return syscall(SYS_capset, &header, none) == 0 &&
         prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) == 0;
}

void drop_in_interrupted_thread(int) {
  const int error = errno;
  (drop_in_this_thread() ? threads_done : threads_failed).fetch_add(1);
  errno = error;
}

// A capability belongs to a thread, and only the thread itself can give it up: each is interrupted
// and made to. (setresuid, in contrast, is done in all threads by the C library.)
Status drop_in_other_threads() {
  const int number = SIGRTMAX;
  struct sigaction ask {};
  struct sigaction before {};
  ask.sa_handler = drop_in_interrupted_thread;
  ask.sa_flags = SA_RESTART;
  if (sigaction(number, &ask, &before) != 0) return failed("sigaction");
  int asked = 0;
  std::error_code error;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task", error)) {
    const int id = std::stoi(thread.path().filename().string());
    if (id == gettid()) continue;
    if (syscall(SYS_tgkill, getpid(), id, number) == 0) ++asked;
  }
  int looks = 0;
  while (threads_done + threads_failed < asked && looks++ < looks_max) {
    std::this_thread::sleep_for(look_again_after);
  }
  if (error || threads_done < asked) {
    errno = error ? error.value() : EPERM;
    return failed("threads that do not give up theirs");
  }
  sigaction(number, &before, nullptr);
  return Ok{};
}

}  // namespace

Status drop_privileges(std::optional<uint32_t> user) {
  if (user) {
    if (setgroups(0, nullptr) != 0) return failed("setgroups");
    if (setresgid(*user, *user, *user) != 0) return failed("setresgid");
    if (setresuid(*user, *user, *user) != 0) return failed("setresuid");
  }
  if (!drop_in_this_thread()) return failed("capset");
  return drop_in_other_threads();
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
