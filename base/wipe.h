// Memory that held a secret is overwritten before it goes back to the allocator, where it would
// wait for whoever reads what he was not given.
#pragma once

#include <string.h>

#include <string>
#include <string_view>

namespace millrace {

// Overwrites all that `text` holds, the octets behind its end included, and empties it. What the
// string held before it grew is not its any more; who appends to secrets uses append_wiping().
inline void wipe(std::string* text) {
  text->resize(text->capacity());
  explicit_bzero(text->data(), text->size());
  text->clear();
}

// Overwrites what functions that have returned left on the stack below the caller: their variables,
// and registers that the loader saves there when a library's function is called for the first time.
constexpr size_t dead_stack_bytes = size_t{64} << 10;
void wipe_dead_stack();

// text += bytes, and nothing of it stays where it lay before.
inline void append_wiping(std::string* text, std::string_view bytes) {
  if (text->capacity() - text->size() < bytes.size()) {
    std::string larger;
    larger.reserve(2 * (text->size() + bytes.size()));
    larger += *text;
    text->swap(larger);
    wipe(&larger);
  }
  *text += bytes;
}

// Wipes a string when the scope ends, if it is one that may hold secrets.
class WipeAtEnd {
 public:
  WipeAtEnd(std::string* text, bool holds_secrets) : text_(text), holds_secrets_(holds_secrets) {}
  WipeAtEnd(const WipeAtEnd&) = delete;
  WipeAtEnd& operator=(const WipeAtEnd&) = delete;
  ~WipeAtEnd() {
    if (holds_secrets_) wipe(text_);
  }

 private:
  std::string* text_;
  bool holds_secrets_;
};

}  // namespace millrace
