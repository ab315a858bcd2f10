#include "dataplane/http/path.h"

#include <cstring>

#include "base/check.h"
#include "dataplane/http/char_class.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace millrace::http {
namespace {

constexpr uint64_t every_octet(uint8_t octet) {
  return 0x0101010101010101U * octet;
}

// The top bit of each octet that is zero; sometimes of one above it as well, which costs a look.
constexpr uint64_t zeros(uint64_t word) {
  return (word - every_octet(1)) & ~word & every_octet(0x80);
}

uint64_t load(const char* from) {
  uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// A percent sign, a backslash, or a dot behind a slash.
uint64_t marks_in(uint64_t word) {
  const uint64_t dots = zeros(word ^ every_octet('.'));
  const uint64_t slashes = zeros(word ^ every_octet('/'));
  return zeros(word ^ every_octet('%')) | zeros(word ^ every_octet('\\')) | (dots & slashes << 8);
}

// The same of so many octets at a time.
#if defined(__SSE2__)
constexpr ptrdiff_t block_octets = 16;
bool has_marks(const char* from) {
  const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  const auto are = [block](char c) { return _mm_cmpeq_epi8(block, _mm_set1_epi8(c)); };
  const int dots = _mm_movemask_epi8(are('.'));
  const int slashes = _mm_movemask_epi8(are('/'));
  return (_mm_movemask_epi8(_mm_or_si128(are('%'), are('\\'))) | (dots & slashes << 1)) != 0;
}
#else
constexpr ptrdiff_t block_octets = 8;
bool has_marks(const char* from) {
  return marks_in(load(from)) != 0;
}
#endif

bool is_unreserved(uint8_t octet) {
  const uint8_t letter = octet | 0x20;
  return (letter >= 'a' && letter <= 'z') || (octet >= '0' && octet <= '9') || octet == '-' ||
         octet == '.' || octet == '_' || octet == '~';
}

constexpr size_t refused = SIZE_MAX;

// Octets written; unreserved characters are themselves afterwards.
size_t decode(std::string_view path, const PathOptions& options, char* to) {
  size_t bytes = 0;
  for (size_t at = 0; at < path.size(); ++at) {
    if (path[at] == '\\') return refused;
    if (path[at] != '%') {
      to[bytes++] = path[at];
      continue;
    }
    if (path.size() - at < 3) return refused;
    const uint8_t high = hex_values[static_cast<uint8_t>(path[at + 1])];
    const uint8_t low = hex_values[static_cast<uint8_t>(path[at + 2])];
    if (high == 0xff || low == 0xff) return refused;
    const auto octet = static_cast<uint8_t>(high << 4 | low);
    if (octet < 0x20 || octet == 0x7f) return refused;
    if ((octet == '/' || octet == '\\') && !options.passes_encoded_slash) return refused;
    if (is_unreserved(octet)) {
      to[bytes++] = static_cast<char>(octet);
    } else {
      std::memcpy(to + bytes, path.data() + at, 3);
      bytes += 3;
    }
    at += 2;
  }
  return bytes;
}

// "", ".", ".." or dots that some server will make of it; anything else is a name.
enum class Segment : uint8_t { name, here, up, disguised };
Segment kind_of(std::string_view segment) {
  const size_t dots = segment.substr(0, 2) == ".." ? 2 : segment.substr(0, 1) == "." ? 1 : 0;
  if (dots == 0) return Segment::name;
  if (segment.size() == dots) return dots == 1 ? Segment::here : Segment::up;
  return segment[dots] == ';' ? Segment::disguised : Segment::name;
}

// RFC 3986 section 5.2.4 in place; octets left.
size_t resolve(char* path, size_t size) {
  size_t kept = 0;  // path[0, kept) is done; a slash follows
  for (size_t at = 0; at < size;) {
    const std::string_view rest(path + at + 1, size - at - 1);
    const std::string_view segment = rest.substr(0, rest.find('/'));
    const size_t next = at + 1 + segment.size();
    const bool last = next == size;
    const Segment kind = kind_of(segment);
    if (kind == Segment::disguised) return refused;
    if (kind == Segment::up) {
      if (kept == 0) return refused;
      do --kept;
      while (path[kept] != '/');
    }
    if (kind == Segment::name) {
      std::memmove(path + kept, path + at, segment.size() + 1);
      kept += segment.size() + 1;
    } else if (last) {
      path[kept++] = '/';  // what the dots named is a folder
    }
    at = next;
  }
  return kept;
}

}  // namespace

bool may_need_normalising(std::string_view path) {
  if (path.size() < 2) return false;
  const char* const end = path.data() + path.size();
  if (path.size() <= 8) {
    // What is read of the octets behind must not count.
    const uint64_t behind = ~uint64_t{0} << (8 * (path.size() - 1)) << 8;
    return marks_in(load(path.data()) & ~behind) != 0;
  }
  if (path.size() < block_octets)
    return (marks_in(load(path.data())) | marks_in(load(end - 8))) != 0;
  // Each block begins with the last octet of the one before, so that no pair is torn.
  for (const char* at = path.data(); end - at > block_octets; at += block_octets - 1) {
    if (has_marks(at)) return true;
  }
  return has_marks(end - block_octets);
}

PathVerdict normalise_path(std::string_view path, const PathOptions& options,
                           std::span<char> output, size_t& bytes) {
  CHECK(!path.empty() && path[0] == '/' && output.size() >= path.size());
  bytes = decode(path, options, output.data());
  if (bytes == refused) return PathVerdict::refused;
  bytes = resolve(output.data(), bytes);
  if (bytes == refused) return PathVerdict::refused;
  return std::string_view(output.data(), bytes) == path ? PathVerdict::as_it_is
                                                        : PathVerdict::rewritten;
}

bool has_encoded_slash(std::string_view path) {
  for (size_t at = path.find('%'); at != std::string_view::npos; at = path.find('%', at + 1)) {
    if (path.size() - at < 3) return false;
    const char high = path[at + 1];
    const char low = static_cast<char>(path[at + 2] | 0x20);
    if ((high == '2' && low == 'f') || (high == '5' && low == 'c')) return true;
  }
  return false;
}

}  // namespace millrace::http
