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

// One pass over a path: what is taken of it stands in the output.
//
//   path_    ... /a/%62/../c ...        output_  /a/
//                       |at_                        |kept_
class PathWalk {
 public:
  PathWalk(std::string_view path, const PathOptions& options, char* output)
      : path_(path), options_(options), output_(output) {}

  // RFC 3986 sections 6.2.2.2 and 5.2.4. False: it is refused.
  bool run() {
    output_[kept_++] = '/';
    for (at_ = 1; at_ < path_.size();) {
      // Nearly all of any path: a path may be nothing but slashes, and they are octets as others.
      const char octet = path_[at_];
      if (!is_in_class(static_cast<uint8_t>(octet), path_mark)) {
        output_[kept_++] = octet;
        ++at_;
        continue;
      }
      const size_t begin = kept_;
      if (!take()) return false;
      if (output_[begin] == '.' && output_[begin - 1] == '/' && !take_dots(begin)) return false;
    }
    return true;
  }

  size_t kept() const { return kept_; }
  bool has_encoded_slash() const { return has_encoded_slash_; }

 private:
  // An octet, or a percent sign and what is behind it: the octet itself where that is unreserved,
  // else as it is.
  bool take() {
    if (path_[at_] == '\\') return false;
    if (path_[at_] != '%') {
      output_[kept_++] = path_[at_++];
      return true;
    }
    if (path_.size() - at_ < 3) return false;
    const uint8_t high = hex_values[static_cast<uint8_t>(path_[at_ + 1])];
    const uint8_t low = hex_values[static_cast<uint8_t>(path_[at_ + 2])];
    if (high == 0xff || low == 0xff) return false;
    const auto octet = static_cast<uint8_t>(high << 4 | low);
    if (!is_in_class(octet, not_unreserved)) {
      output_[kept_++] = static_cast<char>(octet);
    } else {
      if (octet < 0x20 || octet == 0x7f) return false;
      if (octet == '/' || octet == '\\') {
        if (!options_.passes_encoded_slash) return false;
        has_encoded_slash_ = true;
      }
      std::memcpy(output_ + kept_, path_.data() + at_, 3);
      kept_ += 3;
    }
    at_ += 3;
    return true;
  }

  // A segment begins with a dot, which stands at output_[segment]: takes what tells whether it is
  // nothing but dots, and then does what it says.
  bool take_dots(size_t segment) {
    if (++dotted_segments_ > dotted_segments_max) return false;
    size_t dots = 1;
    for (; at_ < path_.size() && path_[at_] != '/'; ++dots) {
      const size_t next = kept_;
      if (!take()) return false;
      // A name. "..;x", of which some server will make ".." after us, is refused.
      if (output_[next] != '.' || dots == 2) return output_[next] != ';';
    }
    // Nothing but dots. The slash in front of what is left stays: what the dots have named is a
    // folder.
    kept_ = segment;
    if (dots == 2) {
      if (segment == 1) return false;
      do --kept_;
      while (output_[kept_ - 1] != '/');
    }
    ++at_;  // the slash behind them goes with them
    return true;
  }

  const std::string_view path_;
  const PathOptions options_;
  char* const output_;
  size_t at_ = 0;
  size_t kept_ = 0;
  size_t dotted_segments_ = 0;
  bool has_encoded_slash_ = false;
};

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

NormalisedPath normalise_path(std::string_view path, const PathOptions& options,
                              std::span<char> output) {
  CHECK(!path.empty() && path[0] == '/' && output.size() >= path.size());
  PathWalk walk(path, options, output.data());
  if (!walk.run()) return {PathVerdict::refused, 0, walk.has_encoded_slash()};
  const bool is_same = std::string_view(output.data(), walk.kept()) == path;
  return {is_same ? PathVerdict::as_it_is : PathVerdict::rewritten, walk.kept(),
          walk.has_encoded_slash()};
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
