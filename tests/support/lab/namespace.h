// Network namespaces for tests: without a name, so nothing is left behind however a test ends. A
// namespace lives as long as its descriptor, a process or a veth end in it.
#pragma once

#include <cstdint>
#include <string>

namespace millrace::lab {

// Why tests with namespaces cannot run here; empty when they can.
std::string why_no_namespaces();

class Namespace {
 public:
  Namespace();  // aborts when it cannot: ask why_no_namespaces() first
  Namespace(const Namespace&) = delete;
  Namespace& operator=(const Namespace&) = delete;
  ~Namespace();

  int fd() const { return fd_; }
  // Runs a shell line in the namespace, its output into *output if given; returns the exit code.
  int run(const std::string& line, std::string* output = nullptr) const;
  // As run(), but the test aborts with the line when it fails.
  void must(const std::string& line) const;

  // The calling thread is in the namespace while this lives.
  class Entered {
   public:
    explicit Entered(const Namespace& inside);
    Entered(const Entered&) = delete;
    Entered& operator=(const Entered&) = delete;
    ~Entered();

   private:
    int outside_fd_;
  };

 private:
  int fd_;
};

// A veth pair between two namespaces, both ends up, IPv6 silent, with addresses ("10.0.0.1/24";
// empty for none).
struct VethEnd {
  const Namespace& inside;
  std::string name;
  std::string address;
};
void join(const VethEnd& a, const VethEnd& b);

// A BPF file system of the test's own on /sys/fs/bpf, in a mount namespace that nobody else sees
// and that ends with the process. Returns its path, or empty when it cannot be made. Call before
// starting threads.
std::string private_bpf_file_system();

// How much of a long run an emulated machine does: count divided by $MILLRACE_TEST_DIVISOR.
uint64_t scaled(uint64_t count);

}  // namespace millrace::lab
