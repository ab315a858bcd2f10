#include "dataplane/packet/arena.h"

namespace millrace::packet {

Arena::Arena(uint8_t* memory, uint32_t slot_count)
    : memory_(memory),
      capacity_(slot_count),
      free_count_(slot_count),
      free_(std::make_unique<SlotIndex[]>(slot_count)),
      state_(std::make_unique<uint8_t[]>(slot_count)) {
  // Last in, first out: the slot freed most recently is the one still in cache.
  for (uint32_t i = 0; i < slot_count; ++i) free_[i] = slot_count - 1 - i;
}

}  // namespace millrace::packet
