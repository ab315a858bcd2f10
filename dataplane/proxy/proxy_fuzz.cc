// Any conversation of clients and origins through a whole worker on the simulated link: an input is
// a program of up to 120 steps. Judged: every request that an origin got has one framing; no client
// gets a whole answer more than it has asked for; each exchange has its record in the access log
// and its count; and at the end nothing is left of sessions, connections, slots and timers.
//
// Input: an octet of configuration, then steps: an octet of Step, and the step's own octets. What
// is missing at the end reads as 0.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "dataplane/http/char_class.h"
#include "tests/support/proxy_world.h"

namespace millrace::proxy_world {
namespace {

constexpr int steps_max = 120;
constexpr size_t clients_max = 4;
constexpr size_t raw_octets_max = 64;

enum class Step : uint8_t {
  connect,
  say,       // a text of the list
  say_raw,   // octets of the input
  say_long,  // a run of one octet
  shut,
  abort,
  stop_reading,
  wait,
  reply,      // what origins answer from now on, from the list
  reply_raw,  // with octets of the input put into it
  unasked,    // text on an origin's connection
  table,
};
constexpr uint8_t step_count = static_cast<uint8_t>(Step::table) + 1;

constexpr std::string_view client_texts[] = {
    "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n",
    "GET /a HTTP/1.1\r\n",
    "POST /b HTTP/1.1\r\n",
    "PUT /c%2fd/../e HTTP/1.1\r\n",
    "HEAD / HTTP/1.0\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "GET http://shop.example/x HTTP/1.1\r\n",
    "Host: shop.example\r\n",
    "Host: other.example\r\n",
    "Content-Length: 10\r\n",
    "Content-Length: 70000\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Expect: 100-continue\r\n",
    "Connection: close\r\n",
    "Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "Cookie: route=0123456789abcdef\r\n",
    "X-Forwarded-For: 1.2.3.4, 10.0.0.9\r\n",
    "CDN-Loop: millrace-fuzz\r\n",
    "Max-Forwards: 0\r\n",
    "\r\n",
    "0123456789",
    "5\r\nabcde\r\n",
    "0\r\n\r\n",
    "0\r\nX: y\r\n\r\n",
    "a;x=\"y\"\r\n0123456789\r\n",
};

constexpr std::string_view origin_texts[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\nuntil the end",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\ntunnel",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold",
    "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\nshort",
    "HTTP/1.1 500 Oh\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\n\r\nhelloHTTP/1.1 200 OK\r\n"
    "Content-Length: 6\r\n\r\nforged",
    "nonsense\r\n\r\n",
    "",
};

class Input {
 public:
  Input(const uint8_t* octets, size_t size) : left_(octets, size) {}
  bool empty() const { return left_.empty(); }
  uint8_t octet() {
    if (left_.empty()) return 0;
    const uint8_t value = left_[0];
    left_ = left_.subspan(1);
    return value;
  }
  std::string raw() {
    const size_t size = std::min<size_t>(octet() % (raw_octets_max + 1), left_.size());
    std::string text(as_text(left_.first(size)));
    left_ = left_.subspan(size);
    return text;
  }

 private:
  ByteView left_;
};

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::abort();
}

// How many lines of the head say how long the body is.
int framings_of(const std::string& head) {
  int framings = 0;
  for (size_t at = head.find("\r\n") + 2; at + 2 < head.size();) {
    const size_t end = head.find("\r\n", at);
    const std::string_view name = std::string_view(head).substr(at, head.find(':', at) - at);
    at = end + 2;
    if (http::equals_ignoring_case(name, "content-length") ||
        http::equals_ignoring_case(name, "transfer-encoding")) {
      ++framings;
    }
  }
  return framings;
}

class Conversation {
 public:
  explicit Conversation(Input& input) : input_(input), world_(options(input)) {
    install(0);
    for (uint32_t number = 0; number < 2; ++number) {
      world_.origin(number).on_request = [this](const OriginRequest& request) {
        // What goes through a tunnel may look like anything.
        if (world_.count(Counter::proxy_tunnels) == 0 && framings_of(request.message.head) > 1) {
          fail("two framings:\n" + request.raw);
        }
        return reply_;
      };
    }
    reply_.bytes = origin_texts[0];
  }

  void run() {
    for (int step = 0; step < steps_max && !input_.empty(); ++step) do_step();
    for (Client& client : clients_) client.connection->reading = true;
    world_.run_for(Duration::milliseconds(50));
    for (const Client& client : clients_) judge(client);
    if (const std::string left = world_.settle(); !left.empty()) fail(left);
  }

 private:
  struct Client {
    ClientConnection* connection;
    std::string said{};
  };

  static Options options(Input& input) {
    const uint8_t wanted = input.octet();
    Options options;
    options.arena_slots = (wanted & 1) != 0 ? 192 : 512;
    options.proxy.sessions = (wanted & 2) != 0 ? 2 : 64;
    if ((wanted & 4) != 0) options.proxy.clients = {3, 20};
    if ((wanted & 8) != 0)
      options.proxy.forwarding.trusted = {{*Ipv4Prefix::parse("10.0.0.0/8")}, {}};
    options.proxy.forwarding.writes_request_id = (wanted & 16) != 0;
    options.proxy.forwarding.writes_forwarded = (wanted & 16) != 0;
    options.proxy.forwarding.loop_id = "millrace-fuzz";
    if ((wanted & 32) != 0) options.proxy.request_body_bytes_max = 100;
    if ((wanted & 64) != 0) options.limits.send_slots_max = 8;
    return options;
  }

  void install(uint8_t which) {
    Service service{"shop.example", {{0, origin_port, true}, {1, origin_port, true}}};
    switch (which % 6) {
      case 1: service.endpoints = {{0, 9'999, true}, {1, origin_port, true}}; break;
      case 2: service.endpoints.clear(); break;
      case 3: service.policy = {shm::ServiceBalance::hash, shm::HashSource::path, 1, ""}; break;
      case 4:
        service.policy = {shm::ServiceBalance::unset, shm::HashSource::none,
                          shm::policy_sticky_cookie, "route"};
        break;
      case 5: service.host = "other.example"; break;
      default: break;
    }
    world_.install({service});
  }

  Client* client(uint8_t number) {
    return clients_.empty() ? nullptr : &clients_[number % clients_.size()];
  }
  void say(uint8_t number, std::string_view text) {
    Client* speaker = client(number);
    if (speaker == nullptr || text.empty() || speaker->connection->wants_end) return;
    speaker->connection->send(text);
    speaker->said += text;
  }

  void do_step() {
    const auto step = static_cast<Step>(input_.octet() % step_count);
    const uint8_t number = input_.octet();
    switch (step) {
      case Step::connect:
        if (clients_.size() < clients_max) clients_.push_back({&world_.connect()});
        break;
      case Step::say: say(number, client_texts[input_.octet() % std::size(client_texts)]); break;
      case Step::say_raw: say(number, input_.raw()); break;
      case Step::say_long: say(number, std::string(input_.octet() * 300U, 'x')); break;
      case Step::shut:
        if (Client* speaker = client(number)) speaker->connection->shutdown();
        break;
      case Step::abort:
        if (Client* speaker = client(number); speaker != nullptr && speaker->connection->live) {
          world_.abort(*speaker->connection);
        }
        break;
      case Step::stop_reading:
        if (Client* speaker = client(number)) speaker->connection->reading = (number & 16) != 0;
        break;
      case Step::wait: {
        constexpr int64_t spans_us[] = {10, 200, 5'000, 300'000, 3'000'000, 70'000'000};
        world_.run_for(Duration::microseconds(spans_us[number % std::size(spans_us)]));
        break;
      }
      case Step::reply:
        set_reply(number, std::string(origin_texts[input_.octet() % std::size(origin_texts)]));
        break;
      case Step::reply_raw: {
        std::string text(origin_texts[input_.octet() % std::size(origin_texts)]);
        const size_t at = text.empty() ? 0 : input_.octet() % text.size();
        set_reply(number, text.insert(at, input_.raw()));
        break;
      }
      case Step::unasked: {
        Origin& origin = world_.origin(number % 2);
        if (origin.connections().empty()) break;
        const uint32_t connection =
            number / 2U % static_cast<uint32_t>(origin.connections().size());
        if (!origin.connections()[connection].live) break;
        origin.say(connection, std::string(origin_texts[input_.octet() % std::size(origin_texts)]),
                   (number & 64) != 0 ? OriginReply::Then::end : OriginReply::Then::keep);
        break;
      }
      case Step::table: install(number); break;
    }
  }

  void set_reply(uint8_t number, std::string bytes) {
    constexpr OriginReply::Then then[] = {OriginReply::Then::keep, OriginReply::Then::end,
                                          OriginReply::Then::reset, OriginReply::Then::keep};
    reply_ = {};
    reply_.cut = (number & 4) != 0 ? number / 8U * bytes.size() / 32U : SIZE_MAX;
    reply_.bytes = std::move(bytes);
    reply_.then = then[number % 4];
    if ((number & 128) != 0) reply_.delay = Duration::milliseconds(20);
  }

  // A request has at least a method, a path and a version: so many answers can there be.
  static void judge(const Client& client) {
    if (client.said.find("HEAD") != std::string::npos)
      return;  // answers without the body they tell of
    size_t finals = 0;
    for (const Message& message : client.connection->responses()) {
      if (message.status() == 101) return;  // what follows is no answer
      if (message.whole && message.status() >= 200) ++finals;
    }
    constexpr size_t shortest_request = std::string_view("A / HTTP/1.0\r\n\r\n").size();
    // A broken one is answered once, however short it is.
    if (finals > client.said.size() / shortest_request + 1) fail("more answers than requests");
  }

  Input& input_;
  ProxyWorld world_;
  OriginReply reply_;
  std::vector<Client> clients_;
};

}  // namespace
}  // namespace millrace::proxy_world

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* octets, size_t size) {
  millrace::proxy_world::Input input(octets, size);
  millrace::proxy_world::Conversation(input).run();
  return 0;
}
