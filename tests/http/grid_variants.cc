#include "tests/http/grid_variants.h"

#include <array>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace millrace::grid {
namespace {

// Octets that no name and no value of a framing field has: controls, space, DEL, everything above.
std::vector<uint8_t> odd_octets() {
  std::vector<uint8_t> octets;
  for (int octet = 0x00; octet <= 0x20; ++octet) octets.push_back(static_cast<uint8_t>(octet));
  for (int octet = 0x7f; octet <= 0xff; ++octet) octets.push_back(static_cast<uint8_t>(octet));
  return octets;
}

std::string hex(uint8_t octet) {
  std::array<char, 8> text;
  std::snprintf(text.data(), text.size(), "%02x", octet);
  return text.data();
}

// A field line with the octet in one of the places, without its line end.
struct Place {
  const char* name;
  std::string (*line)(const std::string& name, const std::string& value, const std::string& octet);
};

constexpr Place places[] = {
    {"before_name", [](const std::string& n, const std::string& v,
                       const std::string& o) { return o + n + ": " + v; }},
    {"in_name", [](const std::string& n, const std::string& v,
                   const std::string& o) { return n.substr(0, 4) + o + n.substr(4) + ": " + v; }},
    {"for_hyphen",
     [](const std::string& n, const std::string& v, const std::string& o) {
       std::string other = n;
       other.replace(other.find('-'), 1, o);
       return other + ": " + v;
     }},
    {"before_colon", [](const std::string& n, const std::string& v,
                        const std::string& o) { return n + o + ": " + v; }},
    {"for_colon",
     [](const std::string& n, const std::string& v, const std::string& o) { return n + o + v; }},
    {"before_value", [](const std::string& n, const std::string& v,
                        const std::string& o) { return n + ":" + o + v; }},
    {"in_value", [](const std::string& n, const std::string& v,
                    const std::string& o) { return n + ": " + v.substr(0, 1) + o + v.substr(1); }},
    {"behind_value", [](const std::string& n, const std::string& v,
                        const std::string& o) { return n + ": " + v + o; }},
    {"line_before", [](const std::string& n, const std::string& v,
                       const std::string& o) { return "X-Pad: a" + o + n + ": " + v; }},
    {"doubled", [](const std::string& n, const std::string& v,
                   const std::string& o) { return n + ": " + v + "\r\n" + n + ": " + o + v; }},
};

// What else there is beside the odd line, and the body.
struct Companion {
  const char* name;
  bool odd_is_transfer_encoding;  // else Content-Length
  const char* odd_value;
  std::string plain;  // a line of its own
  std::string body;
};

// Whoever goes by the chunks sees an empty body and then the hidden message; whoever goes by the
// length sees one body.
std::vector<Companion> companions(const std::string& hidden) {
  const std::string chunks_then_hidden = "0\r\n\r\n" + hidden;
  char size[24];
  std::snprintf(size, sizeof size, "%zx", hidden.size());
  const std::string hidden_in_chunk = std::string(size) + "\r\n" + hidden + "\r\n0\r\n\r\n";
  const std::string length = std::to_string(chunks_then_hidden.size());
  return {
      // The odd one is not seen: a length, and the hidden message is in the body.
      {"te_alone", true, "chunked", "", chunks_then_hidden},
      {"te_beside_length", true, "chunked", "Content-Length: " + length + "\r\n",
       chunks_then_hidden},
      {"te_beside_short_length", true, "chunked", "Content-Length: 4\r\n", hidden_in_chunk},
      {"te_beside_chunked", true, "identity", "Transfer-Encoding: chunked\r\n", chunks_then_hidden},
      {"length_alone", false, "5", "", "12345" + hidden},
      {"length_beside_chunked", false, "6", "Transfer-Encoding: chunked\r\n", chunks_then_hidden},
      {"length_beside_length", false, "5", "Content-Length: 0\r\n", "12345" + hidden},
      {"length_beside_longer", false, "0",
       "Content-Length: " + std::to_string(hidden.size()) + "\r\n", hidden},
  };
}

void each_variant_of(const std::string& begin, const std::string& hidden,
                     const std::function<void(const Variant&)>& visit) {
  const std::vector<uint8_t> octets = odd_octets();
  for (const Companion& companion : companions(hidden)) {
    const std::string name =
        companion.odd_is_transfer_encoding ? "Transfer-Encoding" : "Content-Length";
    for (const Place& place : places) {
      for (const uint8_t octet : octets) {
        const std::string odd =
            place.line(name, companion.odd_value, std::string(1, static_cast<char>(octet)));
        for (const bool odd_first : {true, false}) {
          const std::string lines =
              odd_first ? odd + "\r\n" + companion.plain : companion.plain + odd + "\r\n";
          visit({std::string(companion.name) + "/" + place.name + "/" + hex(octet) +
                     (odd_first ? "/first" : "/last"),
                 begin + lines + "\r\n" + companion.body});
        }
      }
    }
  }
}

}  // namespace

void each_variant(const std::function<void(const Variant&)>& visit) {
  each_variant_of("POST /attack HTTP/1.1\r\nHost: shop.example\r\n",
                  "GET " + smuggled_path + " HTTP/1.1\r\nHost: shop.example\r\nX: y\r\n\r\n",
                  visit);
}

void each_response_variant(const std::function<void(const Variant&)>& visit) {
  each_variant_of("HTTP/1.1 200 OK\r\n",
                  "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(forged_body.size()) +
                      "\r\n\r\n" + forged_body,
                  visit);
}

}  // namespace millrace::grid
