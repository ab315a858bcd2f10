#include <array>

#include "tests/diff/endpoint.h"
#include "tests/stack_api/millrace_stack.h"

namespace millrace::diff {
namespace {

constexpr uint64_t start_ns = 1'000'000'000'000;
constexpr uint64_t delayed_ack_ns = 45'000'000;
// Beyond the limit of challenges (RFC 5961 section 7), which the kernel's side has not.
constexpr uint64_t challenge_gap_ns = 210'000'000;

class Millrace final : public Endpoint {
 public:
  ~Millrace() override {
    if (stack_ != nullptr) mr_destroy(stack_);
  }
  Millrace() = default;
  Millrace(const Millrace&) = delete;
  Millrace& operator=(const Millrace&) = delete;

  void begin(uint64_t seed) override {
    if (stack_ != nullptr) mr_destroy(stack_);
    mr_config config{};
    config.address = stack_address;
    config.prefix_length = 24;
    config.seed = seed;
    config.start_ns = start_ns;
    stack_ = mr_create(&config);
    socket_ = -1;
    now_ns_ = start_ns;
    mr_listen(stack_, listen_port);
  }
  void device_in(ByteView datagram) override {
    mr_device_in(stack_, datagram.data(), datagram.size());
  }
  std::vector<std::vector<uint8_t>> device_out() override {
    std::vector<std::vector<uint8_t>> out;
    take(&out);
    // What is only delayed goes now; but no other timer may run while something is in flight.
    if (!in_flight(0)) {
      advance(delayed_ack_ns);
      take(&out);
    }
    return out;
  }
  void rest() override {
    if (!in_flight(1)) advance(challenge_gap_ns);
  }
  int64_t challenges_withheld() override { return mr_counter(stack_, "tcp_challenge_ack_limited"); }
  bool accept() override {
    if (socket_ < 0) socket_ = mr_accept(stack_);
    return socket_ >= 0;
  }
  size_t read_all(std::string* text) override {
    if (socket_ < 0) return 0;
    std::array<uint8_t, 65'536> buffer;
    size_t total = 0;
    for (size_t count = 0;
         (count = mr_receive(stack_, socket_, buffer.data(), buffer.size())) > 0;) {
      text->append(reinterpret_cast<const char*>(buffer.data()), count);
      total += count;
    }
    return total;
  }
  size_t write(ByteView text) override {
    return socket_ < 0 ? 0 : mr_send(stack_, socket_, text.data(), text.size());
  }
  void shutdown() override {
    if (socket_ >= 0) mr_shutdown(stack_, socket_);
  }
  void close() override {
    if (socket_ >= 0) mr_close(stack_, socket_);
    socket_ = -1;
  }
  std::string state() override {
    if (socket_ < 0) return "NONE";
    mr_info info;
    mr_describe(stack_, socket_, &info);
    return info.state;
  }

 private:
  // Or queued: then the persist timer runs, which is no faster than a fifth of a second.
  bool in_flight(uint32_t queued_weight) {
    mr_info info{};
    return socket_ >= 0 && mr_describe(stack_, socket_, &info) == 0 &&
           info.in_flight + info.send_queue * queued_weight > 0;
  }
  void advance(uint64_t span_ns) {
    now_ns_ += span_ns;
    mr_advance(stack_, now_ns_);
  }
  void take(std::vector<std::vector<uint8_t>>* out) {
    std::array<uint8_t, 2'048> buffer;
    for (size_t count = 0; (count = mr_device_out(stack_, buffer.data(), buffer.size())) > 0;)
      out->emplace_back(buffer.begin(), buffer.begin() + static_cast<long>(count));
  }

  mr_stack* stack_ = nullptr;
  mr_socket socket_ = -1;
  uint64_t now_ns_ = start_ns;
};

}  // namespace

std::unique_ptr<Endpoint> make_millrace() {
  return std::make_unique<Millrace>();
}

}  // namespace millrace::diff
