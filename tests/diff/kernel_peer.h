// Linux: the kernel's TCP in a namespace of its own, spoken to through a TUN device, with ordinary
// sockets as its application.
#pragma once

#include "tests/diff/kernel_namespace.h"
#include "tests/diff/peer.h"

namespace millrace::diff {

class KernelPeer final : public Peer {
 public:
  // Opens the listening socket; the calling thread is in the namespace.
  explicit KernelPeer(KernelNamespace& kernel);
  KernelPeer(const KernelPeer&) = delete;
  KernelPeer& operator=(const KernelPeer&) = delete;
  ~KernelPeer() override;

  void begin(SocketAddress remote, bool listens) override;
  void end() override;
  void deliver(const Octets& datagram) override;
  Reading read() override;
  void write(ByteView octets) override;
  void shutdown() override;
  void close() override;
  void abort() override;
  void settle() override;
  bool has_connection() const override { return connection_ >= 0; }
  std::optional<uint32_t> owed_acknowledgment() const override { return std::nullopt; }
  std::string state() const override;
  std::vector<WireSegment> take_sent() override;

 private:
  void accept_next();
  void look_for_error();

  KernelNamespace& kernel_;
  int listener_ = -1;
  int connection_ = -1;
  SocketAddress remote_;
  bool broken_ = false;  // the kernel tells of an error only once
};

}  // namespace millrace::diff
