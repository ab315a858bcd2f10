// hostile_cost: sends one kind of costly request through a whole worker, for a tool that counts
// (tests/http/hostile_cost).
//
//   hostile_cost --list              the kinds, a name and a sentence a line
//   hostile_cost NAME REPEATS        prints octets=N status=N arena_kib=N: what one of them is
//   long, how
//                                    it was answered at last, and the most packet memory in use
//
// Sender and worker are the same stack on the same link, so that their instructions can be
// compared: the sender makes nothing, its octets are there already.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/check.h"
#include "tests/support/proxy_world.h"

namespace millrace::proxy_world {
namespace {

struct Costly {
  const char* name;
  const char* sentence;
  std::string text;
  size_t segment = 0;           // octets of each segment; 0: as large as they come
  bool own_connection = false;  // each on a new one
  bool sticky = false;          // the route's Ingress asks for a sticky cookie
};

std::string head(const std::string& fields, const std::string& target = "/") {
  return "GET " + target + " HTTP/1.1\r\nHost: shop.example\r\n" + fields + "\r\n";
}

std::string repeated(const std::string& text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

std::vector<Costly> kinds() {
  const std::string large_fields = repeated("X-Field: " + std::string(490, 'v') + "\r\n", 120);
  const std::string chunked =
      "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n";
  return {
      {"plain", "a plain request, to compare", head("")},
      {"large_head", "120 fields of 500 octets", head(large_fields)},
      {"many_fields", "126 fields of one letter", head(repeated("a:b\r\n", 126))},
      {"bare_colons", "126 fields whose values have spaces around them",
       head(repeated("a: \t b \t \r\n", 126))},
      {"odd_names", "100 names that are nearly listed ones",
       head(repeated("Content-Lengti: 1\r\n", 100))},
      {"nominated", "16 nominated fields, and 100 to compare with them",
       head("Connection: a1, a2, a3, a4, a5, a6, a7, a8, a9, b1, b2, b3, b4, b5, b6, b7\r\n" +
            repeated("b8: x\r\n", 100))},
      {"encoded_path", "a path of 2,600 encoded letters", head("", "/" + repeated("%41", 2'600))},
      {"dotted_path", "a path of 1,600 segments up and down, which is refused",
       head("", repeated("/a/..", 1'600) + "/b")},
      {"dots_allowed", "a path with as many of them as may be, and 3,800 short segments",
       head("", repeated("/a/..", 64) + repeated("/b", 3'800))},
      {"marked_path", "a path of 4,000 segments, one of them encoded",
       head("", "/%41" + repeated("/a", 4'000))},
      {"deep_path", "a path of 4,000 segments", head("", repeated("/a", 4'000))},
      {"cookies", "16 KiB of cookies where one of them is looked for",
       head("Cookie: " + repeated("a=b; ", 3'200) + "c=d\r\n"), 0, false, true},
      {"tiny_chunks", "a body of 2,000 chunks of one octet",
       chunked + repeated("1\r\na\r\n", 2'000) + "0\r\n\r\n"},
      {"extensions", "4 KiB of chunk extensions",
       chunked + "1" + repeated(";a=\"b\"", 580) + "\r\na\r\n0\r\n\r\n"},
      {"trailers", "60 trailer fields",
       chunked + "0\r\n" + repeated("Trailer: value\r\n", 60) + "\r\n"},
      {"no_route", "a host that nobody has", "GET / HTTP/1.1\r\nHost: nobody.example\r\n\r\n"},
      {"pipelined", "100 requests at once", repeated(head(""), 100)},
      {"broken", "a head that breaks a rule, on a connection of its own",
       "GET / HTTP/1.1\r\nHost : x\r\n\r\n", 0, true},
      {"broken_late", "a head of 60 KB whose last field breaks a rule",
       "GET / HTTP/1.1\r\nHost: shop.example\r\n" + large_fields + "Bad : x\r\n\r\n", 0, true},
      {"by_octet", "a plain request, each octet in a segment of its own", head(""), 1},
      {"head_by_octet", "a head of 3,000 octets, each in a segment of its own",
       head(repeated("X-Field: " + std::string(50, 'v') + "\r\n", 48)), 1},
      {"head_by_twenty", "a head of 60 KB in segments of 20 octets", head(large_fields), 20},
      {"cut", "a head that is given up before its end",
       "GET / HTTP/1.1\r\nHost: shop.example\r\nX: y\r\n", 0, true},
  };
}

class Run {
 public:
  explicit Run(const Costly& kind) : kind_(kind), world_(options()) {
    Service service{"shop.example", {{0, origin_port, true}}};
    if (kind.sticky) {
      service.policy = {shm::ServiceBalance::unset, shm::HashSource::none,
                        shm::policy_sticky_cookie, "route"};
    }
    world_.install({service});
  }

  // So many, and what there is of connections and their ends besides.
  void run(uint32_t repeats) {
    ClientConnection* c = &world_.connect();
    c->send(head(""));
    wait_for(*c, 1);
    const uint32_t slots_before = slots();
    for (uint32_t i = 0; i < repeats; ++i) {
      if (kind_.own_connection || c->ended || c->broken) {
        world_.close(*c);
        c = &world_.connect();
      }
      c->received.clear();
      c->send(kind_.text, offsets());
      if (kind_.name == std::string_view("cut")) {
        c->shutdown();
      }
      wait_for(*c, kind_.name == std::string_view("pipelined") ? 100 : 1);
      const auto answers = c->responses();
      status_ = answers.empty() ? 0 : answers.back().status();
    }
    std::printf("octets=%zu status=%d arena_kib=%u\n", kind_.text.size(), status_,
                (slots_max_ - std::min(slots_max_, slots_before)) * 2);
  }

 private:
  static Options options() {
    Options options;
    options.limits = tcp::Limits();  // as the data plane has them
    options.limits.connections = 256;
    options.client_limits = options.limits;
    options.arena_slots = 16'384;
    return options;
  }
  std::vector<size_t> offsets() const {
    std::vector<size_t> made;
    for (size_t at = kind_.segment; kind_.segment > 0 && at < kind_.text.size();
         at += kind_.segment) {
      made.push_back(at);
    }
    return made;
  }
  uint32_t slots() {
    return static_cast<uint32_t>(world_.worker().arena().capacity() -
                                 world_.worker().arena().free_count());
  }
  void wait_for(ClientConnection& c, size_t answers) {
    world_.run_until(
        [&] {
          slots_max_ = std::max(slots_max_, slots());
          return c.ended || c.broken || (c.pieces.empty() && c.responses().size() >= answers);
        },
        Duration::seconds(30));
  }

  const Costly& kind_;
  ProxyWorld world_;
  uint32_t slots_max_ = 0;
  int status_ = 0;
};

}  // namespace
}  // namespace millrace::proxy_world

int main(int argc, char** argv) {
  using namespace millrace::proxy_world;
  const auto all = kinds();
  if (argc == 2 && std::string_view(argv[1]) == "--list") {
    for (const Costly& kind : all) std::printf("%s %s\n", kind.name, kind.sentence);
    return 0;
  }
  const auto kind = std::find_if(all.begin(), all.end(), [&](const Costly& one) {
    return argc == 3 && argv[1] == std::string_view(one.name);
  });
  if (kind == all.end()) {
    std::fprintf(stderr, "usage: hostile_cost --list | NAME REPEATS\n");
    return 2;
  }
  Run(*kind).run(static_cast<uint32_t>(std::strtoul(argv[2], nullptr, 10)));
  return 0;
}
