// ToldClients: for each client connection that began with a PROXY header, the address that it
// named. A table beside TCP's, because a connection at rest has no session to keep it in; there is
// none where no listener wants such headers.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/check.h"
#include "base/ipv6_address.h"

namespace millrace::proxy {

class ToldClients {
 public:
  // connections: records of TCP; 0: no table.
  explicit ToldClients(uint32_t connections)
      : connections_(connections),
        clients_(connections == 0 ? nullptr : std::make_unique<Client[]>(connections)) {}

  bool is_empty() const { return connections_ == 0; }
  // The header of this connection was read.
  bool is_told(uint32_t connection) const { return at(connection).state != State::unknown; }
  void forget(uint32_t connection) { at(connection).state = State::unknown; }

  // address: as text; empty: the header named nobody, so that the connection's own address counts.
  void tell(uint32_t connection, std::string_view address, uint16_t port) {
    CHECK(address.size() <= Ipv6Address::text_bytes_max);
    Client& client = at(connection);
    client.state = address.empty() ? State::nobody : State::somebody;
    client.text_bytes = static_cast<uint8_t>(address.size());
    client.port = port;
    std::memcpy(client.text.data(), address.data(), address.size());
  }
  std::string_view address(uint32_t connection) const {
    const Client& client = at(connection);
    if (client.state != State::somebody) return {};
    return {client.text.data(), client.text_bytes};
  }
  uint16_t port(uint32_t connection) const { return at(connection).port; }

  size_t memory_bytes() const { return size_t{connections_} * sizeof(Client); }

 private:
  enum class State : uint8_t { unknown, nobody, somebody };
  struct Client {
    State state = State::unknown;
    uint8_t text_bytes = 0;
    uint16_t port = 0;
    std::array<char, Ipv6Address::text_bytes_max> text{};
  };
  const Client& at(uint32_t connection) const {
    CHECK(connection < connections_);
    return clients_[connection];
  }
  Client& at(uint32_t connection) {
    CHECK(connection < connections_);
    return clients_[connection];
  }

  uint32_t connections_;
  std::unique_ptr<Client[]> clients_;
};

}  // namespace millrace::proxy
