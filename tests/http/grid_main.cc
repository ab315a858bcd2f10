// grid: sends every variant of the grid through a whole worker on the simulated link, with two
// recording origins behind it, and an innocent client after each.
//
//   grid [--verbose]      prints variants=N responses=M discrepancies=0; exit code 1 if there are
//   any grid --forwarded FILE the same of the grid and of ordinary requests, and every different
//   request
//                         that an origin got into FILE, for tests/http/origins: each after its
//                         length as four octets, the lowest first
//
// What must hold for each: what the proxy says in its access log that it sent on is what the
// origins got, request for request; each request that an origin got has one framing, in the one
// form that everybody reads alike; after a refusal the connection ends; and the innocent client, on
// its own connection, gets its own answer.
//
// Then the same the other way: an origin's response has every variant of the framing, once with its
// connection kept and once ended. What the client gets is one answer with one framing that
// everybody reads alike, or 502, or no whole answer at all; and who uses the origin's connections
// afterwards gets his own answer.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/http/grid_variants.h"
#include "tests/support/proxy_world.h"

namespace millrace::grid {
namespace {

using proxy_world::ClientConnection;
using proxy_world::Kind;
using proxy_world::Message;
using proxy_world::OriginReply;
using proxy_world::OriginRequest;
using proxy_world::ProxyWorld;

constexpr Duration patience = Duration::milliseconds(60);

std::string only_letters(std::string_view text) {
  std::string letters;
  for (char c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
    if (c >= 'a' && c <= 'z') letters += c;
  }
  return letters;
}

// What is wrong with the framing of a head that an origin got, for the most lenient reader there
// is: one that looks at letters alone.
std::string framing_problem(const std::string& head) {
  size_t framings = 0;
  for (size_t at = head.find("\r\n") + 2; at < head.size() - 2;) {
    const size_t end = head.find("\r\n", at);
    const std::string line = head.substr(at, end - at);
    at = end + 2;
    for (const char c : line) {
      const auto octet = static_cast<uint8_t>(c);
      if ((octet < 0x20 && c != '\t') || octet == 0x7f) return "a control octet in: " + line;
    }
    const std::string letters = only_letters(line.substr(0, line.find(':')));
    const bool chunked = letters.find("transferencoding") != std::string::npos;
    const bool length = letters.find("contentlength") != std::string::npos;
    if (!chunked && !length) continue;
    ++framings;
    const bool plain = chunked ? line == "Transfer-Encoding: chunked"
                               : line.rfind("Content-Length: ", 0) == 0 &&
                                     line.find_first_not_of("0123456789", 16) == std::string::npos;
    if (!plain) return "an odd framing field: " + line;
  }
  return framings > 1 ? "two framings" : "";
}

class Grid {
 public:
  Grid() { start(); }

  void run(const Variant& variant) {
    if (++variants_ % variants_a_world == 0) {
      settle();
      start();
    }
    for (uint32_t number = 0; number < 2; ++number) world_->origin(number).forget();
    const uint64_t logged_before = world_->journal().total();
    ClientConnection& attacker = world_->connect();
    attacker.send(variant.text);
    world_->run_until([&] { return attacker.ended || attacker.broken; }, patience);
    const std::string path = "/innocent/" + std::to_string(variants_);
    ClientConnection& innocent = world_->connect();
    innocent.send("GET " + path + " HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    world_->run_until(
        [&] { return !innocent.responses().empty() && innocent.responses()[0].whole; }, patience);
    judge(variant, attacker, innocent, path, logged_before);
    // Resets, so that neither side has a port in TIME-WAIT for each variant.
    world_->abort(innocent);
    world_->abort(attacker);
    world_->run_for(Duration::milliseconds(2));
  }

  void run_response(const Variant& variant, bool ends) {
    if (++responses_ % variants_a_world == 0) {
      settle();
      start();
    }
    response_ = variant.text;
    response_ends_ = ends;
    ClientConnection& client = world_->connect();
    client.send("GET /attack HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    world_->run_until(
        [&] {
          return client.ended || client.broken ||
                 (!client.responses().empty() && client.responses()[0].whole);
        },
        patience);
    // Whoever is asked next, on whatever connection there is.
    const std::string path = "/innocent/" + std::to_string(responses_);
    ClientConnection& innocent = world_->connect();
    for (int i = 0; i < 2; ++i)
      innocent.send("GET " + path + " HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    world_->run_until([&] { return innocent.responses().size() == 2; }, patience);
    judge_response(variant, client, innocent, path);
    world_->abort(innocent);
    world_->abort(client);
    world_->run_for(Duration::milliseconds(2));
  }

  // Closes everything, and counts what is left behind.
  void settle() {
    const std::string left = world_->settle();
    if (left.empty()) return;
    ++discrepancies_;
    std::printf("LEFT BEHIND %s\n", left.c_str());
  }

  // False: it could not be written.
  bool write_forwarded(const char* path) const {
    std::FILE* file = std::fopen(path, "wb");
    if (file == nullptr) return false;
    bool written = true;
    for (const std::string& request : forwarded_) {
      const auto size = static_cast<uint32_t>(request.size());
      uint8_t length[4];
      for (int i = 0; i < 4; ++i) length[i] = static_cast<uint8_t>(size >> (8 * i));
      written = written && std::fwrite(length, 1, 4, file) == 4 &&
                std::fwrite(request.data(), 1, request.size(), file) == request.size();
    }
    return std::fclose(file) == 0 && written;
  }

  uint64_t variants() const { return variants_; }
  uint64_t responses() const { return responses_; }
  uint64_t discrepancies() const { return discrepancies_; }
  const std::map<int, uint64_t>& statuses() const { return statuses_; }

 private:
  void start() {
    world_ = std::make_unique<ProxyWorld>();
    world_->install({{"shop.example",
                      {{0, proxy_world::origin_port, true}, {1, proxy_world::origin_port, true}}}});
    for (uint32_t number = 0; number < 2; ++number) {
      world_->origin(number).on_request = [this](const OriginRequest& request) {
        OriginReply reply;
        if (!response_.empty() && request.message.first_line() == "GET /attack HTTP/1.1") {
          reply.bytes = response_;
          if (response_ends_) reply.then = OriginReply::Then::end;
          return reply;
        }
        reply.bytes = proxy_world::ok("answer to " + request.message.first_line());
        return reply;
      };
    }
  }

  void say(const Variant& variant, const std::string& what) {
    if (++discrepancies_ <= said_max) {
      std::printf("DISCREPANCY %s: %s\n", variant.name.c_str(), what.c_str());
    }
  }

  void judge(const Variant& variant, ClientConnection& attacker, ClientConnection& innocent,
             const std::string& path, uint64_t logged_before) {
    std::vector<std::string> seen;
    for (uint32_t number = 0; number < 2; ++number) {
      for (const OriginRequest& request : world_->origin(number).requests()) {
        const std::string line = request.message.first_line();
        const size_t first = line.find(' ') + 1;
        seen.push_back(line.substr(first, line.rfind(' ') - first));
        if (line.find("/innocent/") == std::string::npos) forwarded_.insert(request.raw);
        const std::string problem = framing_problem(request.message.head);
        if (!problem.empty()) say(variant, problem);
      }
    }
    std::vector<std::string> logged;
    const auto& lines = world_->journal().lines();
    const uint64_t fresh = world_->journal().total() - logged_before;
    if (fresh > lines.size()) return say(variant, "more lines in the log than are kept");
    for (size_t i = lines.size() - fresh; i < lines.size(); ++i) {
      if (lines[i].record.attempts > 0) logged.push_back(lines[i].target);
    }
    std::sort(seen.begin(), seen.end());
    std::sort(logged.begin(), logged.end());
    // A request whose body is still awaited is not logged yet, and not whole.
    if (variant.may_be_normalised ? seen.size() != logged.size() : seen != logged) {
      std::string both = "origins got";
      for (const std::string& target : seen) both += " " + target;
      both += ", the log has";
      for (const std::string& target : logged) both += " " + target;
      say(variant, both);
    }
    const auto answers = innocent.responses();
    if (answers.size() != 1 || answers[0].body != "answer to GET " + path + " HTTP/1.1") {
      say(variant, "the innocent client got: " + innocent.received);
    }
    const auto attack_answers = attacker.responses();
    const int status = attack_answers.empty() ? 0 : attack_answers[0].status();
    ++statuses_[status];
    if (status == 400 && !attacker.ended && !attacker.broken) {
      say(variant, "a refusal, and the connection goes on");
    }
  }

  void judge_response(const Variant& variant, ClientConnection& client, ClientConnection& innocent,
                      const std::string& path) {
    const auto answers = client.responses();
    if (answers.size() > 1) say(variant, "two answers to one request: " + client.received);
    if (!answers.empty()) {
      ++statuses_[answers[0].status()];
      const std::string problem = framing_problem(answers[0].head);
      if (!problem.empty()) say(variant, problem);
      if (answers[0].whole && client.received.size() != answers[0].bytes) {
        say(variant, "octets behind the answer: " + client.received);
      }
    }
    const auto own = innocent.responses();
    const std::string wanted = "answer to GET " + path + " HTTP/1.1";
    if (own.size() != 2 || own[0].body != wanted || own[1].body != wanted) {
      say(variant, "the next client got: " + innocent.received);
    }
  }

  static constexpr uint64_t said_max = 20;
  static constexpr uint64_t variants_a_world = 250;  // its hosts look at every connection they had
  std::unique_ptr<ProxyWorld> world_;
  std::string response_;  // to /attack; empty: as to everything else
  bool response_ends_ = false;
  uint64_t variants_ = 0;
  uint64_t responses_ = 0;
  uint64_t discrepancies_ = 0;
  std::map<int, uint64_t> statuses_;  // of the first answer to the variant
  std::set<std::string> forwarded_;
};

}  // namespace
}  // namespace millrace::grid

int main(int argc, char** argv) {
  const bool sample = argc == 2 && std::strcmp(argv[1], "--sample") == 0;
  const bool verbose = argc == 2 && std::strcmp(argv[1], "--verbose") == 0;
  const char* forwarded = argc == 3 && std::strcmp(argv[1], "--forwarded") == 0 ? argv[2] : nullptr;
  if (argc > 1 && !verbose && !sample && forwarded == nullptr) {
    std::fprintf(stderr, "usage: grid [--verbose | --sample | --forwarded FILE]\n");
    return 2;
  }
  millrace::grid::Grid grid;
  const auto run = [&](const millrace::grid::Variant& variant) { grid.run(variant); };
  millrace::grid::each_variant(run);
  if (forwarded != nullptr) millrace::grid::each_ordinary(run);
  if (forwarded == nullptr) {
    uint64_t number = 0;  // with --sample every seventh, which meets every place and octet
    for (const bool ends : {false, true}) {
      millrace::grid::each_response_variant([&](const millrace::grid::Variant& variant) {
        if (!sample || ++number % 7 == 0) grid.run_response(variant, ends);
      });
    }
  }
  grid.settle();
  if (forwarded != nullptr && !grid.write_forwarded(forwarded)) {
    std::fprintf(stderr, "%s: cannot be written\n", forwarded);
    return 2;
  }
  if (verbose) {
    for (const auto& [status, count] : grid.statuses()) {
      std::printf("first answer %d: %llu\n", status, static_cast<unsigned long long>(count));
    }
  }
  std::printf("variants=%llu responses=%llu discrepancies=%llu\n",
              static_cast<unsigned long long>(grid.variants()),
              static_cast<unsigned long long>(grid.responses()),
              static_cast<unsigned long long>(grid.discrepancies()));
  return grid.discrepancies() == 0 ? 0 : 1;
}
