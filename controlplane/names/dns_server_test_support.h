// A DNS server on a loopback address that says what the test has written down, and counts who asks
// for what. What is too long for UDP it says by TCP. serve() answers whoever has asked until now.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/unique_fd.h"

namespace millrace::names::testing {

constexpr uint8_t rcode_server_failure = 2;
constexpr uint8_t rcode_no_such_name = 3;
constexpr uint8_t rcode_refused = 5;

struct ScriptedAnswer {
  std::vector<std::string> addresses{};
  uint32_t ttl_s = 60;
  uint8_t rcode = 0;
  bool is_silent = false;
  bool is_garbage = false;   // the question's id, then noise
  std::string alias{};       // the name leads to this one, which has the addresses
  uint32_t alias_ttl_s = 0;  // of that
};

class DnsServer {
 public:
  explicit DnsServer(Ipv4Address address = Ipv4Address::from_octets(127, 0, 0, 1),
                     uint16_t port = 0)
      : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
        listener_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(address.host_order());
    is_open_ = bind(socket_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0;
    socklen_t size = sizeof at;
    getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&at), &size);
    address_ = {address, ntohs(at.sin_port)};
    // The same number may be somebody else's for TCP; then long answers do not come.
    has_tcp_ = bind(listener_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0 &&
               listen(listener_.get(), 4) == 0;
  }

  bool has_tcp() const { return has_tcp_; }
  bool is_open() const { return is_open_; }  // the port may be somebody else's
  SocketAddress address() const { return address_; }
  int fd() const { return socket_.get(); }

  void serve() {
    std::array<uint8_t, 512> bytes;
    sockaddr_in from{};
    socklen_t size = sizeof from;
    for (ssize_t got = 0; (got = recvfrom(socket_.get(), bytes.data(), bytes.size(), 0,
                                          reinterpret_cast<sockaddr*>(&from), &size)) > 0;
         size = sizeof from) {
      std::string answer =
          answer_to(std::string(reinterpret_cast<char*>(bytes.data()), static_cast<size_t>(got)));
      if (answer.empty()) continue;
      if (answer.size() > udp_bytes_max) {
        answer.resize(head_bytes + question_bytes_);
        answer[2] = static_cast<char>(answer[2] | 2);  // truncated
        answer.replace(6, 2, 2, '\0');
      }
      sendto(socket_.get(), answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from),
             size);
    }
    serve_tcp();
  }

  std::map<std::string, ScriptedAnswer> script;  // by name; no such name otherwise
  std::map<std::string, int> asked;
  int by_tcp = 0;  // answers

 private:
  static constexpr size_t head_bytes = 12;
  static constexpr size_t udp_bytes_max = 512;  // RFC 1035 2.3.4

  struct Connection {
    UniqueFd socket;
    std::string received;
  };

  void serve_tcp() {
    for (int fd = 0; (fd = accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
      connections_.push_back({UniqueFd(fd), ""});
    }
    for (Connection& one : connections_) {
      std::array<char, 512> bytes;
      const ssize_t got = recv(one.socket.get(), bytes.data(), bytes.size(), 0);
      if (got <= 0) continue;
      one.received.append(bytes.data(), static_cast<size_t>(got));
      if (one.received.size() < 2) continue;
      const size_t length = static_cast<size_t>(static_cast<uint8_t>(one.received[0])) << 8 |
                            static_cast<uint8_t>(one.received[1]);
      if (one.received.size() < 2 + length) continue;
      const std::string answer = answer_to(one.received.substr(2, length));
      one.received.erase(0, 2 + length);
      std::string text;
      append_16(static_cast<unsigned>(answer.size()), &text);
      text += answer;
      EXPECT_EQ(send(one.socket.get(), text.data(), text.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(text.size()));
      ++by_tcp;
    }
  }

  static void append_16(unsigned value, std::string* text) {
    text->push_back(static_cast<char>(value >> 8));
    text->push_back(static_cast<char>(value));
  }
  static void append_name(const std::string& name, std::string* text) {
    for (size_t at = 0; at < name.size();) {
      const size_t end = std::min(name.find('.', at), name.size());
      text->push_back(static_cast<char>(end - at));
      text->append(name, at, end - at);
      at = end + 1;
    }
    text->push_back('\0');
  }
  static void append_record(const std::string& owner, unsigned type, uint32_t ttl_s,
                            const std::string& data, std::string* text) {
    append_name(owner, text);
    append_16(type, text);
    append_16(1, text);
    append_16(ttl_s >> 16, text);
    append_16(ttl_s & 0xffff, text);
    append_16(static_cast<unsigned>(data.size()), text);
    *text += data;
  }

  std::string answer_to(const std::string& question) {
    std::string name;
    size_t at = head_bytes;
    while (at < question.size() && question[at] != 0) {
      const size_t length = static_cast<uint8_t>(question[at]);
      if (!name.empty()) name += '.';
      name += question.substr(at + 1, length);
      at += 1 + length;
    }
    const std::string asked_part = question.substr(head_bytes, at + 5 - head_bytes);
    EXPECT_EQ(asked_part.substr(asked_part.size() - 4), std::string("\0\1\0\1", 4)) << "IN A";
    ++asked[name];
    question_bytes_ = asked_part.size();
    const auto known = script.find(name);
    ScriptedAnswer answer;
    answer.rcode = rcode_no_such_name;
    if (known != script.end()) answer = known->second;
    if (answer.is_silent) return "";
    std::string text = question.substr(0, 2);
    if (answer.is_garbage) return text + "\x81\x80 nothing of this is DNS";
    append_16(0x8180U | answer.rcode, &text);
    append_16(1, &text);
    append_16(static_cast<unsigned>(answer.addresses.size() + !answer.alias.empty()), &text);
    append_16(0, &text);
    append_16(0, &text);
    text += asked_part;
    if (!answer.alias.empty()) {
      std::string target;
      append_name(answer.alias, &target);
      append_record(name, 5, answer.alias_ttl_s, target, &text);
      name = answer.alias;
    }
    for (const std::string& address : answer.addresses) {
      std::string data(4, '\0');
      Ipv4Address::parse(address)->store(reinterpret_cast<uint8_t*>(data.data()));
      append_record(name, 1, answer.ttl_s, data, &text);
    }
    return text;
  }

  UniqueFd socket_;
  UniqueFd listener_;
  bool has_tcp_ = false;
  std::vector<Connection> connections_;
  size_t question_bytes_ = 0;  // of the newest question
  bool is_open_ = false;
  SocketAddress address_;
};

}  // namespace millrace::names::testing
