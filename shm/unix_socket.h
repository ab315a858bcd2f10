// A Unix SOCK_SEQPACKET socket in a folder: bound over what a dead predecessor left, readable for
// its user alone, removed in the end if it is still ours.
#pragma once

#include <sys/types.h>
#include <sys/un.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace millrace::shm {

// Error: the path has not 1 to 107 bytes.
Result<sockaddr_un> unix_address(const std::string& path);

class UnixListener {
 public:
  UnixListener() = default;
  UnixListener(UnixListener&& other) noexcept;
  UnixListener& operator=(UnixListener&& other) noexcept;
  ~UnixListener();

  // Non-blocking, mode 0600, given to owner_uid if there is one. Error: something else than a
  // socket that nobody listens on has the path.
  static Result<UnixListener> listen(const std::string& path, std::optional<uid_t> owner_uid,
                                     uint32_t backlog);

  int fd() const { return socket_.get(); }

 private:
  UniqueFd socket_;
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace millrace::shm
