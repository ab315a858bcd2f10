// A network namespace of this process's own, with one TUN device: the kernel's TCP as a machine at
// the other end of a file descriptor. It is gone with the process; nothing outside is touched.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "tests/diff/wire.h"

namespace millrace::diff {

class KernelNamespace {
 public:
  // Needs CAP_SYS_ADMIN. The calling thread stays in the new namespace.
  static Result<KernelNamespace> create();
  KernelNamespace(KernelNamespace&& other) noexcept : tun_(other.tun_) { other.tun_ = -1; }
  KernelNamespace(const KernelNamespace&) = delete;
  KernelNamespace& operator=(const KernelNamespace&) = delete;
  KernelNamespace& operator=(KernelNamespace&&) = delete;
  ~KernelNamespace();

  // The kernel answers within this call, in the context of the writer.
  void write(const Octets& datagram);
  // The next datagram that waits, or nothing.
  std::optional<Octets> read();

 private:
  explicit KernelNamespace(int tun) : tun_(tun) {}
  int tun_;
};

}  // namespace millrace::diff
