// What is read one behind the other lies anywhere in memory: the processor would wait for every
// piece. What is read soon is asked for while others are read, one step of what leads there at a
// time. Changes nothing but the time that it takes.
#pragma once

#include <algorithm>
#include <cstddef>

#include "controlplane/k8s/object.h"

namespace millrace::model {

// `bytes` from there on.
inline void fetch(const void* from, size_t bytes = 1) {
  constexpr size_t line_bytes = 64;
  const char* const first = static_cast<const char*>(from);
  for (size_t at = 0; at < bytes; at += line_bytes) __builtin_prefetch(first + at);
}

// Calls fetch_step(thing, step) for things ahead of things[at]: the nearest at its last step, which
// is steps - 1, the farthest at step 0. None at `end` or behind: those are another thread's, which
// may be writing them, and some steps read what leads on.
template <class Things, class FetchStep>
void fetch_ahead(const Things& things, size_t at, size_t end, size_t steps, FetchStep fetch_step) {
  constexpr size_t things_a_step = 2;
  for (size_t step = 0; step < steps; ++step) {
    const size_t ahead = at + (steps - step) * things_a_step;
    if (ahead < end) fetch_step(*things[ahead], step);
  }
}

// What is behind the first lines is asked for by the processor itself: it is read in order.
inline void fetch(const k8s::Body& body) {
  constexpr size_t bytes_max = 512;
  fetch(body.bytes().data(), std::min(body.bytes().size(), bytes_max));
}

constexpr size_t object_fetch_steps = 2;
inline void fetch_object(const k8s::Object& object, size_t step) {
  if (step == 0) return fetch(&object, sizeof object);
  fetch(object.body);
}

}  // namespace millrace::model
