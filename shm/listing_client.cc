#include "shm/listing_client.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cstring>

#include "shm/unix_socket.h"

namespace millrace::shm {
namespace {

// The data plane answers in milliseconds; a thread of its own that hangs should not hang us.
constexpr int answer_seconds_max = 10;

Error system_error(const std::string& what) {
  return Error{what + ": " + std::strerror(errno)};
}

// Places of a message's records: rising, from `next` on and below the header's own.
const char* records_fault(const ListingMessage& message, uint32_t next) {
  for (uint32_t i = 0; i < message.header.count; ++i) {
    const ConnectionRecord& record = message.records[i];
    if (record.place < next || record.place >= message.header.next) {
      return "a record's place is out of order";
    }
    if (record.state >= connection_state_names.size()) return "a record's state is unknown";
    next = record.place + 1;
  }
  return nullptr;
}

}  // namespace

const char* listing_fault(const ListingMessage& message, size_t size, uint32_t next,
                          uint32_t capacity) {
  const ListingHeader& header = message.header;
  if (size < sizeof header) return "a message is shorter than its header";
  if (header.magic != listing_magic) return "a message is of another protocol";
  if (header.abi != listing_abi) return "the data plane speaks another revision";
  if (header.kind == static_cast<uint16_t>(ListingKind::busy)) return "it has too many readers";
  if (header.kind != static_cast<uint16_t>(ListingKind::records))
    return "a message's kind is unknown";
  if (header.count > listing_records_max || size != message.bytes()) {
    return "a message's size is not that of its records";
  }
  if (header.capacity == 0 || header.capacity > listing_capacity_max ||
      (capacity != 0 && header.capacity != capacity)) {
    return "the table's capacity is out of bounds";
  }
  if (header.next <= next || header.next > header.capacity) return "the listing does not go on";
  return records_fault(message, next);
}

Result<std::unique_ptr<ListingClient>> ListingClient::connect(const std::string& path) {
  const Result<sockaddr_un> address = unix_address(path);
  if (!address.ok()) return Error{address.error()};
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return system_error("cannot create a socket");
  const timeval wait{answer_seconds_max, 0};
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) != 0 ||
      ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) != 0) {
    return system_error("cannot bound the wait for an answer");
  }
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
    return system_error(path);
  }
  return std::make_unique<ListingClient>(std::move(socket));
}

Result<ListingTotals> ListingClient::list(
    const std::function<void(const ConnectionRecord&)>& take) {
  ListingHeader request;
  request.kind = static_cast<uint16_t>(ListingKind::request);
  // A data plane that has too many readers may have closed already: then its answer says so.
  if (::send(socket_.get(), &request, sizeof request, MSG_NOSIGNAL) < 0 && errno != EPIPE) {
    return system_error("the data plane cannot be asked");
  }
  return receive_all(take);
}

Result<ListingTotals> ListingClient::receive_all(
    const std::function<void(const ConnectionRecord&)>& take) {
  const auto message = std::make_unique<ListingMessage>();
  ListingTotals totals;
  for (uint32_t next = 0; totals.capacity == 0 || next < totals.capacity;) {
    ssize_t size;
    do {
      size = ::recv(socket_.get(), message.get(), sizeof *message, MSG_TRUNC);
    } while (size < 0 && errno == EINTR);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return Error{"the data plane has not answered for " + std::to_string(answer_seconds_max) +
                   " s"};
    }
    if (size < 0) return system_error("the listing broke off");
    if (size == 0) return Error{"the listing broke off: the data plane closed the connection"};
    const char* fault = listing_fault(*message, static_cast<size_t>(size), next, totals.capacity);
    if (fault != nullptr) return Error{std::string("the listing is refused: ") + fault};
    for (uint32_t i = 0; i < message->header.count; ++i) take(message->records[i]);
    next = message->header.next;
    totals = {message->header.connections, message->header.time_wait, message->header.capacity};
  }
  return totals;
}

}  // namespace millrace::shm
