// Paths with one reading, for the router here and for whoever answers behind it (H18; RFC 3986
// section 6.2.2): what is matched is what is sent on, and nothing in it is left that the next
// reader might still undo.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace millrace::http {

// Segments of a path that begin with a dot. No user has so many, and each costs more than the few
// octets that it takes to send.
inline constexpr size_t dotted_segments_max = 64;

struct PathOptions {
  // %2F and %5C: refused, or sent on as they are. Some readers take them for a slash, some for a
  // part of a name.
  bool passes_encoded_slash = false;
};

enum class PathVerdict : uint8_t { as_it_is, rewritten, refused };

struct NormalisedPath {
  PathVerdict verdict = PathVerdict::refused;
  size_t bytes = 0;                // written to the output: the path, unless it is refused
  bool has_encoded_slash = false;  // %2F or %5C stands in it; of a refused one, as far as was read
};

// False for nearly every path: there is nothing in it to normalise or to refuse. `path` begins with
// "/", and a head's remaining octets (RFC 9112 section 3: at least a space, a version and two line
// ends) can be read behind it.
bool may_need_normalising(std::string_view path);

// Decodes what is encoded without need (unreserved characters, RFC 3986 section 6.2.2.2) and
// resolves dot segments (section 5.2.4), once. Refused: a percent sign without two digits, encoded
// control octets, a backslash, an encoded slash or backslash (by the options), segments above the
// root, more than dotted_segments_max that begin with a dot, and dots with parameters ("..;x"),
// which some servers resolve after us. Empty segments stay: they are part of many a path. `output`
// has room for path.size().
NormalisedPath normalise_path(std::string_view path, const PathOptions& options,
                              std::span<char> output);

// Whether %2F or %5C stands in it, in either case.
bool has_encoded_slash(std::string_view path);

}  // namespace millrace::http
