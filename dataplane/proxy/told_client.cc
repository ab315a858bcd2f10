// Connections that begin with a PROXY header: a balancer in front of us says on each, before
// anything else, who the client is. Never guessed: whoever opens a connection to such a listener
// sends one (section 2 of its document), and only trusted peers may open one.
#include "dataplane/proxy/proxy.h"
#include "dataplane/proxy/proxy_header.h"

namespace millrace::proxy {

bool Proxy::awaits_proxy_header(tcp::ConnId client) const {
  const SocketAddress local = tcp_.local(client);
  std::array<char, tcp::Tcp::address_text_bytes_max> text;
  const std::string_view address(text.data(), tcp_.write_address(local.address, text.data()));
  for (const ProxyHeaderListener& listener : proxy_header_listeners_) {
    if (listener.port == local.port && listener.address == address) return true;
  }
  return false;
}

bool Proxy::is_trusted_peer(tcp::ConnId client) const {
  std::array<char, tcp::Tcp::address_text_bytes_max> text;
  const size_t bytes = tcp_.write_address(tcp_.remote(client).address, text.data());
  return forwarding_.trusted.contains({text.data(), bytes});
}

// Trusted peers may have any number of connections, for they are other people's.
bool Proxy::admit_client(tcp::ConnId client) {
  if (!forwarding_.trusted.is_empty() && is_trusted_peer(client)) return true;
  return client_limits_.open(peer_key(client));
}

void Proxy::dismiss_client(tcp::ConnId client) {
  if (!client_limits_.limits_connections()) return;
  if (!forwarding_.trusted.is_empty() && is_trusted_peer(client)) return;
  client_limits_.close(peer_key(client));
}

void Proxy::close_client(tcp::ConnId client, const Turn& turn) {
  dismiss_client(client);
  tcp_.close(client, turn.now);
}

void Proxy::abort_client(tcp::ConnId client, const Turn& turn) {
  dismiss_client(client);
  tcp_.abort(client, turn.now);
}

// A trusted peer that speaks for itself (a health check, a balancer that names nobody) speaks for
// any number of clients.
bool Proxy::is_too_fast(const Session& session, const Turn& turn) {
  const uint64_t client = ClientLimits::key_of(provenance_.client);
  if (!forwarding_.trusted.is_empty() && client == peer_key(session.client) &&
      is_trusted_peer(session.client)) {
    return false;
  }
  return !client_limits_.take_request(client, turn.now);
}

uint64_t Proxy::peer_key(tcp::ConnId client) const {
  std::array<char, tcp::Tcp::address_text_bytes_max> text;
  const size_t bytes = tcp_.write_address(tcp_.remote(client).address, text.data());
  return ClientLimits::key_of({text.data(), bytes});
}

// By what its header has named, or by the connection's own end.
void Proxy::name_client(Session& session) const {
  const std::string_view told =
      told_clients_.is_empty() ? std::string_view{} : told_clients_.address(session.client.index);
  if (told.empty()) {
    const SocketAddress remote = tcp_.remote(session.client);
    session.client_port = remote.port;
    session.client_text_bytes =
        static_cast<uint8_t>(tcp_.write_address(remote.address, session.client_text));
  } else {
    session.client_port = told_clients_.port(session.client.index);
    session.client_text_bytes = static_cast<uint8_t>(told.size());
    std::memcpy(session.client_text, told.data(), told.size());
  }
  // A balancer that does not say for whom it speaks (UNKNOWN) speaks for a stranger.
  const bool is_stranger =
      told.empty() && !told_clients_.is_empty() && told_clients_.is_told(session.client.index);
  session.is_trusted =
      !is_stranger && !forwarding_.trusted.is_empty() &&
      forwarding_.trusted.contains({session.client_text, session.client_text_bytes});
}

Proxy::Progress Proxy::take_proxy_header(uint32_t index, const Turn& turn) {
  Session& session = at(index);
  ByteView input = tcp_.readable_run(session.client).text;
  ProxyHeader header;
  size_t consumed = 0;
  ProxyHeaderStatus status = read_proxy_header(input, header, consumed);
  if (status == ProxyHeaderStatus::partial && tcp_.has_more_than(session.client, input.size())) {
    input = gather(session.client);
    status = read_proxy_header(input, header, consumed);
  }
  if (status == ProxyHeaderStatus::partial && !tcp_.peer_has_ended(session.client)) {
    if (!session.head_partial) {
      session.head_partial = true;
      set_deadline(index, session, turn.now + timeouts_.request_head);
    }
    return Progress::blocked;
  }
  if (status != ProxyHeaderStatus::complete) {
    // Nothing is answered to what may speak another protocol.
    counters_.add(Counter::proxy_headers_refused);
    abort_session(index, turn);
    return Progress::session_gone;
  }
  tcp_.consume(session.client, consumed, turn.now);
  told_clients_.tell(session.client.index, header.client(), header.client_port);
  name_client(session);
  session.head_partial = false;
  session.phase = Phase::request_head;
  set_deadline(index, session, turn.now + std::min(timeouts_.client_idle, rest_after));
  return Progress::moved;
}

}  // namespace millrace::proxy
