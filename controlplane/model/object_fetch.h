// Objects that are read one behind the other lie anywhere in memory, each as a tree of small
// pieces: the processor would wait for every piece. What is read soon is asked for while others are
// read, one step down its tree at a time. Changes nothing but the time that it takes.
#pragma once

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

constexpr size_t ingress_fetch_steps = 13;
// What an Ingress with one rule says.
void fetch_ingress(const k8s::Object& object, size_t step);

constexpr size_t body_fetch_steps = 5;
// The addresses of a slice; the ports of a Service. Of other kinds nothing.
void fetch_body(const k8s::AnyObject* body, size_t step);

}  // namespace millrace::model
