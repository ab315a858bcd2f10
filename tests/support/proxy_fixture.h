// The beginning and the end of every test of the proxy: a world with one service, and at the end
// nothing left of it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/support/proxy_world.h"

namespace millrace::proxy_world {

class ProxyFixture : public ::testing::Test {
 protected:
  static constexpr const char* host = "shop.example";

  void SetUp() override { start(Options()); }
  // Another world than the usual one.
  void start(const Options& options) {
    world_.reset();
    world_ = std::make_unique<ProxyWorld>(options);
    world_->install({{host, {{0, origin_port, true}}}});
  }
  void TearDown() override {
    if (!world_) return;
    EXPECT_EQ(world_->settle(), "");
  }

  ProxyWorld& world() { return *world_; }
  Origin& origin(uint32_t number = 0) { return world_->origin(number); }
  uint64_t count(Counter counter) const { return world_->count(counter); }

  static std::string get(std::string_view path = "/", std::string_view more = "") {
    return "GET " + std::string(path) + " HTTP/1.1\r\nHost: shop.example\r\n" + std::string(more) +
           "\r\n";
  }
  static std::string post(std::string_view body, std::string_view path = "/") {
    return "POST " + std::string(path) +
           " HTTP/1.1\r\nHost: shop.example\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + std::string(body);
  }
  static OriginReply reply(std::string bytes) {
    OriginReply made;
    made.bytes = std::move(bytes);
    return made;
  }
  static OriginReply reply_and(OriginReply::Then then, std::string bytes) {
    OriginReply made;
    made.bytes = std::move(bytes);
    made.then = then;
    return made;
  }
  void answer(std::string bytes, OriginReply::Then then = OriginReply::Then::keep) {
    origin().on_request = [bytes = std::move(bytes), then](const OriginRequest&) {
      return reply_and(then, bytes);
    };
  }
  // Sends on c, and runs until one more final response is whole, or the end.
  Message exchange(ClientConnection& c, std::string_view text) {
    const size_t before = finals(c);
    c.send(text);
    world().run_until([&] { return finals(c) > before || c.ended || c.broken; });
    const auto all = c.responses();
    return finals(c) > before ? all.back() : Message();
  }
  static size_t finals(const ClientConnection& c) {
    size_t number = 0;
    for (const Message& message : c.responses())
      number += message.whole && message.status() >= 200 ? 1 : 0;
    return number;
  }
  bool until_over(ClientConnection& c, Duration limit = Duration::seconds(20)) {
    return world().run_until([&c] { return c.ended || c.broken; }, limit);
  }
  // One request that takes everything there is along, as a warm-up of neighbors and pool.
  void warm_up() {
    EXPECT_EQ(read_message(world().fetch(get("/warm")), Kind::response).status(), 200);
    origin().forget();
  }

 private:
  std::unique_ptr<ProxyWorld> world_;
};

}  // namespace millrace::proxy_world
