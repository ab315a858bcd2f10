// The reader's end of a listing of connections. Whoever sends is not believed: sizes, counts,
// places and states are checked, and places only rise, so that a listing ends.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "shm/listing_format.h"

namespace millrace::shm {

struct ListingTotals {
  uint32_t connections = 0;  // as the table had them in the end
  uint32_t time_wait = 0;
  uint32_t capacity = 0;
};

class ListingClient {
 public:
  static Result<std::unique_ptr<ListingClient>> connect(const std::string& path);
  // An end that is connected already.
  explicit ListingClient(UniqueFd socket) : socket_(std::move(socket)) {}

  // One listing, record by record. Error: a sentence; the records taken until then were whole.
  Result<ListingTotals> list(const std::function<void(const ConnectionRecord&)>& take);

 private:
  Result<ListingTotals> receive_all(const std::function<void(const ConnectionRecord&)>& take);

  UniqueFd socket_;
};

// What is wrong with a message of `size` octets that should go on from place `next` in a table of
// `capacity` places (0: any); nullptr when nothing is.
const char* listing_fault(const ListingMessage& message, size_t size, uint32_t next,
                          uint32_t capacity);

}  // namespace millrace::shm
