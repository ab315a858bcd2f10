// Requests as bytes: what each is taken for, and what the origin gets to see. Every case runs
// whole, byte by byte, at every split and in front of further bytes, at every level of vector
// instructions, and up against a guard page or in front of octets that must not matter.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "dataplane/http/head_parser.h"
#include "dataplane/http/head_testing.h"
#include "dataplane/http/head_writer.h"
#include "tests/support/guard_page.h"

namespace millrace::http {
namespace {

using testing::all_manners;
using testing::Manner;
using testing::place_prefix;
using testing::RequestParser;

struct Case {
  std::string name;
  std::string in;
  HeadError error = HeadError::none;
  // If there is none:
  std::string line;     // of the canonical request
  std::string host;     // ditto
  std::string fields;   // ditto, with line ends
  std::string framing;  // ditto, with line end
};

const ForwardingFields forwarding{"192.0.2.7", "http", "203.0.113.1"};

std::string canonical(const Case& of) {
  return of.line + " HTTP/1.1\r\nHost: " + of.host + "\r\n" + of.fields +
         "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: " + of.host +
         "\r\nX-Real-IP: 192.0.2.7\r\n" + of.framing + "\r\n";
}

Case ok(std::string name, std::string in, std::string line = "GET /", std::string host = "a",
        std::string fields = "", std::string framing = "") {
  return {name, in, HeadError::none, line, host, fields, framing};
}
Case bad(std::string name, std::string in, HeadError error) {
  return {name, in, error, "", "", "", ""};
}
// A GET with these field lines besides Host.
std::string get(const std::string& lines) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n";
}
std::string post(const std::string& lines) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n";
}
std::string hosted(const std::string& value) {
  return "GET / HTTP/1.1\r\nHost:" + value + "\r\n\r\n";
}
std::string bytes(size_t count, char c) {
  return std::string(count, c);
}
std::string hex(unsigned value) {
  const char* digits = "0123456789abcdef";
  return {digits[value >> 4], digits[value & 15]};
}

using E = HeadError;

void add_start_lines(std::vector<Case>& to) {
  const std::string rest = " HTTP/1.1\r\nHost: a\r\n\r\n";
  to.push_back(ok("H1_get", "GET /" + rest));
  to.push_back(ok("H1_every_known_method_post", "POST /" + rest, "POST /", "a", "",
                  "Content-Length: 0\r\n"));
  for (const char* method : {"HEAD", "DELETE", "OPTIONS"}) {
    to.push_back(
        ok(std::string("H1_method_") + method, method + (" /" + rest), std::string(method) + " /"));
  }
  for (const char* method : {"PUT", "PATCH"}) {
    to.push_back(ok(std::string("H1_method_") + method, method + (" /" + rest),
                    std::string(method) + " /", "a", "", "Content-Length: 0\r\n"));
  }
  to.push_back(ok("H1_unknown_method_is_sent_on", "PROPFIND /" + rest, "PROPFIND /"));
  to.push_back(ok("H1_method_is_case_sensitive", "get /" + rest, "get /"));
  to.push_back(ok("H1_method_of_tchars", "M!#$%&'*+-.^_`|~9 /" + rest, "M!#$%&'*+-.^_`|~9 /"));
  to.push_back(ok("H1_longest_method", bytes(32, 'M') + " /" + rest, bytes(32, 'M') + " /"));
  to.push_back(bad("H1_method_too_long", bytes(33, 'M') + " /" + rest, E::method_too_long));
  to.push_back(bad("H1_method_with_separator", "G(T /" + rest, E::request_line_malformed));
  to.push_back(bad("H1_no_method", " /" + rest, E::request_line_malformed));
  to.push_back(bad("H1_two_spaces_before_target", "GET  /" + rest, E::request_line_malformed));
  to.push_back(bad("H1_tab_before_target", "GET\t/" + rest, E::request_line_malformed));
  to.push_back(bad("H1_tab_in_target", "GET /\t" + rest, E::target_invalid));
  to.push_back(bad("H1_two_spaces_before_version", "GET / " + rest, E::request_line_malformed));
  to.push_back(bad("H1_space_after_version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
                   E::request_line_malformed));
  to.push_back(bad("H1_http_0_9", "GET /\r\n\r\n", E::request_line_malformed));
  to.push_back(bad("H1_http_0_9_with_space", "GET / \r\n\r\n", E::request_line_malformed));
  to.push_back(
      bad("H1_version_lower_case", "GET / http/1.1\r\nHost: a\r\n\r\n", E::request_line_malformed));
  for (const char* version : {"HTTP/1", "HTTP/1.", "HTTP/.1", "HTTP/1.10", "HTTP/11.1", "HTTP/1,1",
                              "HTTP/01.1", "HTTP /1.1", "HTTP/1.1x", "XTTP/1.1", "HTTP/+1.1",
                              "HTTP/1.a", "HTTPS/1.1", "HTTP//1.1", "1.1"}) {
    to.push_back(bad("H1_version_" + std::to_string(to.size()),
                     std::string("GET / ") + version + "\r\nHost: a\r\n\r\n",
                     E::request_line_malformed));
  }
  for (const char* version : {"HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9"}) {
    to.push_back(bad("H1_major_version_" + std::to_string(to.size()),
                     std::string("GET / ") + version + "\r\nHost: a\r\n\r\n",
                     E::version_unsupported));
  }
  to.push_back(
      bad("H1_http_2_preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", E::version_unsupported));
  to.push_back(ok("H1_minor_version_above_ours", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"));
  to.push_back(bad("H1_tls_client_hello", std::string("\x16\x03\x01\x02\x00\x01\x00\n", 8),
                   E::request_line_malformed));
  to.push_back(ok("H1_target_of_8000_octets", "GET /" + bytes(7999, 'x') + rest,
                  "GET /" + bytes(7999, 'x')));
  to.push_back(ok("H1_target_of_8192_octets", "GET /" + bytes(8191, 'x') + rest,
                  "GET /" + bytes(8191, 'x')));
  to.push_back(
      bad("H1_target_of_8193_octets", "GET /" + bytes(8192, 'x') + rest, E::target_too_long));
  to.push_back(bad("H1_request_line_without_end", "GET /" + bytes(20000, 'x'), E::target_too_long));
}

void add_line_ends(std::vector<Case>& to) {
  to.push_back(ok("H2_one_empty_line_before", "\r\n" + get("")));
  to.push_back(bad("H2_two_empty_lines_before", "\r\n\r\n" + get(""), E::request_line_malformed));
  to.push_back(bad("H2_bare_lf_before", "\n" + get(""), E::line_end_invalid));
  to.push_back(bad("H2_bare_cr_before", "\r" + get(""), E::line_end_invalid));
  to.push_back(
      bad("H2_bare_lf_after_request_line", "GET / HTTP/1.1\nHost: a\r\n\r\n", E::line_end_invalid));
  to.push_back(bad("H2_bare_lf_after_1_0", "GET / HTTP/1.0\nHost: a\r\n\r\n", E::line_end_invalid));
  to.push_back(
      bad("H2_bare_cr_after_request_line", "GET / HTTP/1.1\rHost: a\r\n\r\n", E::line_end_invalid));
  to.push_back(bad("H2_cr_cr_lf_after_request_line", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
                   E::line_end_invalid));
  to.push_back(bad("H2_bare_lf_after_field", get("Foo: bar\n"), E::line_end_invalid));
  to.push_back(
      bad("H2_bare_lf_in_value", get("Foo: bar\nContent-Length: 5\r\n"), E::line_end_invalid));
  to.push_back(
      bad("H2_bare_cr_in_value", get("Foo: bar\rContent-Length: 5\r\n"), E::line_end_invalid));
  to.push_back(bad("H2_cr_cr_lf_after_field", get("Foo: bar\r\r\n"), E::line_end_invalid));
  to.push_back(bad("H2_bare_lf_ends_head", "GET / HTTP/1.1\r\nHost: a\r\n\n", E::line_end_invalid));
  to.push_back(bad("H2_all_bare_lf", "GET / HTTP/1.1\nHost: a\n\n", E::line_end_invalid));
  to.push_back(bad("H2_cr_then_text_ends_head", "GET / HTTP/1.1\r\nHost: a\r\n\rX\r\n\r\n",
                   E::line_end_invalid));
  to.push_back(
      bad("H2_cr_cr_lf_ends_head", "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n\r\n", E::line_end_invalid));
  to.push_back(bad("H2_lf_cr", "GET / HTTP/1.1\n\rHost: a\n\r\n\r", E::line_end_invalid));
  to.push_back(bad("H3_space_before_first_field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
                   E::field_line_folded));
  to.push_back(bad("H3_tab_before_first_field", "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n",
                   E::field_line_folded));
  to.push_back(bad("H3_obs_fold_space", get("Foo: bar\r\n baz\r\n"), E::field_line_folded));
  to.push_back(bad("H3_obs_fold_tab", get("Foo: bar\r\n\tbaz\r\n"), E::field_line_folded));
  to.push_back(bad("H3_folded_transfer_encoding", get("Transfer-Encoding:\r\n chunked\r\n"),
                   E::transfer_encoding_invalid));
  to.push_back(bad("H3_line_of_white_space", get(" \r\n"), E::field_line_folded));
  to.push_back(bad("H3_options_with_folded_expect",
                   "OPTIONS / HTTP/1.1\r\nHost: a\r\nFoo:\r\n Expect: 100-continue\r\n\r\n",
                   E::field_line_folded));
}

void add_names(std::vector<Case>& to) {
  to.push_back(bad("H4_space_before_colon", get("Foo : bar\r\n"), E::field_name_invalid));
  to.push_back(bad("H4_tab_before_colon", get("Foo\t: bar\r\n"), E::field_name_invalid));
  to.push_back(
      bad("H4_content_length_space_colon", post("Content-Length : 5\r\n"), E::field_name_invalid));
  to.push_back(bad("H4_transfer_encoding_space_colon", post("Transfer-Encoding : chunked\r\n"),
                   E::field_name_invalid));
  to.push_back(bad("H4_empty_name", get(": bar\r\n"), E::field_name_invalid));
  to.push_back(bad("H4_empty_name_first", "GET / HTTP/1.1\r\n: x\r\nHost: a\r\n\r\n",
                   E::field_name_invalid));
  to.push_back(bad("H4_only_colon", get(":\r\n"), E::field_name_invalid));
  to.push_back(bad("H4_no_colon", get("Foo\r\n"), E::field_name_invalid));
  to.push_back(bad("H4_no_colon_bare_lf", get("Foo\nBar: x\r\n"), E::field_name_invalid));
  for (unsigned c = 0; c < 256; ++c) {
    const bool token =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
        (c != 0 && std::string("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string::npos);
    if (token || c == ':') continue;
    // Behind the sixteenth octet as well, where a vector scan would hide a mistake of its first
    // turn.
    to.push_back(bad("H4_octet_" + hex(c) + "_in_name",
                     get(std::string("Content-Length-") + static_cast<char>(c) + "Padded: 5\r\n"),
                     E::field_name_invalid));
  }
  // Names like known ones but for one octet that differs in the bit that folds case.
  to.push_back(bad("H4_cr_for_hyphen", get("Content\rLength: 5\r\n"), E::field_name_invalid));
  to.push_back(ok("H4_tilde_for_caret", get("Accept: ~^\r\n"), "GET /", "a", "Accept: ~^\r\n"));
  to.push_back(bad("H4_at_for_backquote", get("Dat@: x\r\n"), E::field_name_invalid));
  to.push_back(ok("H4_names_keep_their_case", get("uSeR-aGeNt: x\r\nX-NeW: y\r\n"), "GET /", "a",
                  "uSeR-aGeNt: x\r\nX-NeW: y\r\n"));
  to.push_back(ok("H4_one_letter_names", get("a: x\r\nB:\r\n"), "GET /", "a", "a: x\r\nB: \r\n"));
  // CVE-2021-40346: a name whose length does not fit into eight bits hid a Content-Length.
  for (size_t size = 253; size <= 300; size += size < 260 ? 1 : 10) {
    const std::string name = bytes(size, 'n');
    to.push_back(ok("H6_CVE_2021_40346_name_of_" + std::to_string(size) + "_octets",
                    post(name + ": x\r\nContent-Length: 5\r\n"), "POST /", "a", name + ": x\r\n",
                    "Content-Length: 5\r\n"));
  }
  const std::string long_name = "Content-Length0" + bytes(256, 'a');
  to.push_back(ok("H6_CVE_2021_40346_as_published", post(long_name + ":\r\nContent-Length: 60\r\n"),
                  "POST /", "a", long_name + ": \r\n", "Content-Length: 60\r\n"));
}

void add_values(std::vector<Case>& to) {
  for (unsigned c = 0; c < 256; ++c) {
    const bool control = (c < 0x20 && c != '\t') || c == 0x7f;
    const std::string value = std::string("padding of x ") + static_cast<char>(c) + " octets";
    if (c == '\r' || c == '\n') continue;
    if (control) {
      to.push_back(bad("H5_octet_" + hex(c) + "_in_value", get("Foo: " + value + "\r\n"),
                       E::field_value_invalid));
    } else if (c >= 0x80 || c == '\t') {
      to.push_back(ok("H5_octet_" + hex(c) + "_in_value", get("Foo: " + value + "\r\n"), "GET /",
                      "a", "Foo: " + value + "\r\n"));
    }
  }
  to.push_back(ok("H5_white_space_is_trimmed", get("Foo: \t  bar baz \t \r\n"), "GET /", "a",
                  "Foo: bar baz\r\n"));
  to.push_back(ok("H5_no_space_after_colon", get("Foo:bar\r\n"), "GET /", "a", "Foo: bar\r\n"));
  to.push_back(ok("H5_empty_value", get("Foo:\r\n"), "GET /", "a", "Foo: \r\n"));
  to.push_back(ok("H5_value_of_white_space", get("Foo: \t \r\n"), "GET /", "a", "Foo: \r\n"));
  to.push_back(ok("H5_only_sp_and_htab_are_trimmed", get("Foo: \xa0 x \x85\r\n"), "GET /", "a",
                  "Foo: \xa0 x \x85\r\n"));
  to.push_back(ok("H5_colons_in_value", get("Foo: a:b:c\r\n"), "GET /", "a", "Foo: a:b:c\r\n"));
  to.push_back(bad("H5_vt_before_chunked", post("Transfer-Encoding: \vchunked\r\n"),
                   E::field_value_invalid));
  to.push_back(bad("H5_ff_after_length", post("Content-Length: 5\f\r\n"), E::field_value_invalid));
  to.push_back(bad("H5_nul_in_host", hosted(std::string(" a\0b", 4)), E::field_value_invalid));
  for (size_t size : {0, 1, 7, 8, 9, 14, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 200}) {
    const std::string value = bytes(size, 'v');
    to.push_back(ok("H5_value_of_" + std::to_string(size) + "_octets",
                    get("Foo: " + value + "\r\n"), "GET /", "a", "Foo: " + value + "\r\n"));
  }
}

void add_limits(std::vector<Case>& to) {
  std::string lines;
  for (size_t i = 1; i < fields_max; ++i) lines += "f" + std::to_string(i) + ": v\r\n";
  to.push_back(ok("H6_128_fields", get(lines), "GET /", "a", lines));
  to.push_back(bad("H6_129_fields", get(lines + "g: v\r\n"), E::fields_too_many));
  const std::string longest = "Foo: " + bytes(line_bytes_max - 7, 'v') + "\r\n";
  to.push_back(ok("H6_longest_line", get(longest), "GET /", "a", longest));
  to.push_back(bad("H6_line_too_long", get("Foo: " + bytes(line_bytes_max - 6, 'v') + "\r\n"),
                   E::field_line_too_long));
  to.push_back(bad("H6_line_without_end", "GET / HTTP/1.1\r\nFoo: " + bytes(20000, 'v'),
                   E::field_line_too_long));
  to.push_back(
      bad("H6_name_without_end", "GET / HTTP/1.1\r\n" + bytes(20000, 'n'), E::field_line_too_long));
  // Exactly 64 KiB, and one octet more.
  for (size_t over : {0, 1}) {
    std::string head = "GET / HTTP/1.1\r\nHost: a\r\n";
    std::string fields;
    for (int i = 0; i < 4; ++i) fields += "Foo: " + bytes(15000, 'v') + "\r\n";
    const size_t left = head_bytes_max + over - head.size() - fields.size() - 2;
    fields += "Foo: " + bytes(left - 7, 'v') + "\r\n";
    if (over == 0) {
      to.push_back(ok("H6_head_of_64_KiB", head + fields + "\r\n", "GET /", "a", fields));
    } else {
      to.push_back(bad("H6_head_of_64_KiB_and_1", head + fields + "\r\n", E::head_too_large));
    }
  }
  to.push_back(bad("H6_head_far_too_large",
                   get("a: " + bytes(16000, 'v') + "\r\nb: " + bytes(16000, 'v') +
                       "\r\nc: " + bytes(16000, 'v') + "\r\nd: " + bytes(16000, 'v') +
                       "\r\ne: " + bytes(16000, 'v') + "\r\n"),
                   E::head_too_large));
  to.push_back(bad("H6_offence_before_the_limit_wins",
                   get("a b: x\r\nc: " + bytes(20000, 'v') + "\r\n"), E::field_name_invalid));
}

void add_content_lengths(std::vector<Case>& to) {
  const auto length = [](const std::string& value) {
    return post("Content-Length:" + value + "\r\n");
  };
  to.push_back(ok("H7_zero", length(" 0"), "POST /", "a", "", "Content-Length: 0\r\n"));
  to.push_back(ok("H7_five", length(" 5"), "POST /", "a", "", "Content-Length: 5\r\n"));
  to.push_back(
      ok("H7_on_get", get("content-length: 5\r\n"), "GET /", "a", "", "Content-Length: 5\r\n"));
  to.push_back(ok("H7_leading_zeros_are_decimal", length(" 00010"), "POST /", "a", "",
                  "Content-Length: 10\r\n"));
  to.push_back(ok("H7_surrounding_white_space", length(" \t5 \t"), "POST /", "a", "",
                  "Content-Length: 5\r\n"));
  to.push_back(ok("H7_largest", length("9223372036854775807"), "POST /", "a", "",
                  "Content-Length: 9223372036854775807\r\n"));
  int number = 0;
  for (const char* value : {"",
                            " ",
                            " +5",
                            " -5",
                            " 0x5",
                            " 5h",
                            " 5 5",
                            " 5,",
                            " ,5",
                            " 5,5",
                            " 5, 5",
                            " 5;x",
                            " 1_0",
                            " 5.0",
                            " 5e1",
                            " \"5\"",
                            " five",
                            " \xb2",
                            " 9223372036854775808",
                            " 18446744073709551615",
                            " 18446744073709551616",
                            " 18446744073709551621",
                            " 99999999999999999999999999",
                            " 4\t2"}) {
    to.push_back(
        bad("H7_refused_" + std::to_string(++number), length(value), E::content_length_invalid));
  }
  to.push_back(bad("H7_CL_CL_different", post("Content-Length: 5\r\nContent-Length: 6\r\n"),
                   E::content_length_duplicate));
  to.push_back(bad("H7_CL_CL_equal", post("Content-Length: 5\r\nContent-Length: 5\r\n"),
                   E::content_length_duplicate));
  to.push_back(bad("H7_CL_CL_in_other_case", post("Content-Length: 5\r\ncONTENT-lENGTH: 5\r\n"),
                   E::content_length_duplicate));
  to.push_back(bad("H7_CL_CL_far_apart",
                   post("Content-Length: 5\r\nFoo: x\r\nContent-Length: 0\r\n"),
                   E::content_length_duplicate));
  to.push_back(
      bad("H7_CVE_2023_40225_empty", post("Content-Length: \r\n"), E::content_length_invalid));
  to.push_back(bad("H7_CL_empty_then_CL", post("Content-Length:\r\nContent-Length: 5\r\n"),
                   E::content_length_invalid));
}

void add_transfer_encodings(std::vector<Case>& to) {
  const auto coding = [](const std::string& value) {
    return post("Transfer-Encoding:" + value + "\r\n");
  };
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  to.push_back(ok("H8_chunked", coding(" chunked"), "POST /", "a", "", chunked));
  to.push_back(ok("H8_chunked_in_other_case", coding("ChUnKeD"), "POST /", "a", "", chunked));
  to.push_back(
      ok("H8_chunked_among_white_space", coding("\t chunked \t"), "POST /", "a", "", chunked));
  to.push_back(ok("H8_chunked_on_get", get(chunked), "GET /", "a", "", chunked));
  int number = 0;
  for (const char* value : {"",
                            " ",
                            " xchunked",
                            " chunkedx",
                            " chunked,",
                            " ,chunked",
                            " , chunked",
                            " chunked chunked",
                            " \"chunked\"",
                            " 'chunked'",
                            " chunked;q=1",
                            " chunked, chunked",
                            " chunked,chunked",
                            " identity",
                            " gzip",
                            " chunked, identity",
                            " chunked, gzip",
                            " x",
                            " chunk",
                            " chun ked",
                            " \x85"
                            "chunked",
                            " chunked\xa0",
                            " gzip,,chunked",
                            " g zip, chunked",
                            " =chunked",
                            " chunked, gzip, chunked",
                            " cow",
                            " CHUNKED,",
                            " chunKed\xe2\x84\xaa"}) {
    to.push_back(bad("H8_TE_TE_refused_" + std::to_string(++number), coding(value),
                     E::transfer_encoding_invalid));
  }
  to.push_back(bad("H8_gzip_chunked_is_not_implemented", coding(" gzip, chunked"),
                   E::transfer_encoding_unsupported));
  to.push_back(bad("H8_identity_chunked_is_not_implemented", coding(" identity, Chunked"),
                   E::transfer_encoding_unsupported));
  to.push_back(bad("H8_two_lines_equal", post(chunked + chunked), E::transfer_encoding_duplicate));
  to.push_back(bad("H8_two_lines_second_other", post(chunked + "Transfer-Encoding: x\r\n"),
                   E::transfer_encoding_duplicate));
  to.push_back(bad("H8_two_lines_first_other", post("Transfer-Encoding: x\r\n" + chunked),
                   E::transfer_encoding_invalid));
  to.push_back(bad("H8_two_lines_in_other_case", post(chunked + "transfer-encoding: identity\r\n"),
                   E::transfer_encoding_duplicate));
  to.push_back(bad("H9_CL_TE", post("Content-Length: 6\r\n" + chunked), E::framing_ambiguous));
  to.push_back(bad("H9_TE_CL", post(chunked + "Content-Length: 3\r\n"), E::framing_ambiguous));
  to.push_back(bad("H9_TE_0", post(chunked + "Content-Length: 0\r\n"), E::framing_ambiguous));
  to.push_back(
      bad("H9_CL_TE_on_get", get("Content-Length: 6\r\n" + chunked), E::framing_ambiguous));
  to.push_back(bad("H9_CL_TE_http_1_0",
                   "POST / HTTP/1.0\r\nContent-Length: 6\r\n" + chunked + "\r\n",
                   E::framing_ambiguous));
  to.push_back(bad("H10_TE_on_http_1_0", "POST / HTTP/1.0\r\nHost: a\r\n" + chunked + "\r\n",
                   E::transfer_encoding_in_http_1_0));
  to.push_back(bad("H10_TE_on_http_1_0_keep_alive",
                   "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n" + chunked + "\r\n",
                   E::transfer_encoding_in_http_1_0));
  to.push_back(ok("H10_post_without_length_has_no_body", post(""), "POST /", "a", "",
                  "Content-Length: 0\r\n"));
  to.push_back(ok("H33_underscore_transfer_encoding_is_dropped",
                  post("Transfer_Encoding: chunked\r\n"), "POST /", "a", "",
                  "Content-Length: 0\r\n"));
  to.push_back(ok("H33_underscore_content_length_is_dropped", post("Content_Length: 44\r\n"),
                  "POST /", "a", "", "Content-Length: 0\r\n"));
}

void add_connections(std::vector<Case>& to) {
  const auto gone = [&to](const std::string& name, const std::string& lines,
                          const std::string& kept = "") {
    to.push_back(ok("H14_" + name, get(lines), "GET /", "a", kept));
  };
  gone("connection_close", "Connection: close\r\n");
  gone("connection_keep_alive", "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n");
  gone("te", "TE: trailers\r\nConnection: TE\r\n");
  gone("trailer", "Trailer: X-Sum\r\n");
  gone("upgrade_h2c",
       "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n");
  gone("upgrade_websocket", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n");
  gone("proxy_fields",
       "Proxy-Connection: keep-alive\r\nProxy-Authorization: x\r\nProxy-Authenticate: y\r\n");
  gone("nominated", "Connection: X-Foo\r\nX-Foo: 1\r\nX-Bar: 2\r\n", "X-Bar: 2\r\n");
  gone("nominated_before", "x-foo: 1\r\nConnection: X-FOO\r\nX-Foo: 2\r\n");
  gone("nominated_known_name", "User-Agent: x\r\nConnection: user-agent\r\nAccept: y\r\n",
       "Accept: y\r\n");
  gone("nominated_in_two_lines",
       "Connection: a\r\na: 1\r\nb: 2\r\nc: 3\r\nConnection: close, b\r\n", "c: 3\r\n");
  gone("nominated_with_empty_elements", "Connection: ,, X-Foo ,\t, \r\nX-Foo: 1\r\n");
  gone("empty_connection", "Connection:\r\nFoo: x\r\n", "Foo: x\r\n");
  gone("nominated_name_is_no_prefix", "Connection: Foo\r\nFooo: 1\r\nFo: 2\r\n",
       "Fooo: 1\r\nFo: 2\r\n");
  // "^" and "~" differ in the bit that folds case.
  gone("nominated_folds_letters_only", "Connection: a^\r\na~: 1\r\nA^: 2\r\n", "a~: 1\r\n");
  for (const char* name :
       {"Host", "host", "Content-Length", "Transfer-Encoding", "transfer-encoding", "Authorization",
        "Cookie", "X-Forwarded-For", "x-forwarded-proto", "X-Forwarded-Host", "X-Forwarded-Port",
        "X-Forwarded-Prefix", "X-Real-Ip", "Forwarded"}) {
    to.push_back(bad(std::string("H14_refused_nomination_") + std::to_string(to.size()),
                     get(std::string("Connection: close, ") + name + "\r\n"),
                     E::connection_nominates_protected));
  }
  to.push_back(bad("H14_option_no_token", get("Connection: a b\r\n"), E::connection_invalid));
  to.push_back(bad("H14_option_quoted", get("Connection: \"close\"\r\n"), E::connection_invalid));
  to.push_back(bad("H14_option_non_ascii", get("Connection: \xff\r\n"), E::connection_invalid));
  gone("16_options", "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p\r\nq: 1\r\n", "q: 1\r\n");
  to.push_back(bad("H14_17_options", get("Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\r\n"),
                   E::connection_invalid));
  to.push_back(bad("H14_17_options_in_two_lines",
                   get("Connection: a,b,c,d,e,f,g,h,i\r\nConnection: j,k,l,m,n,o,p,q\r\n"),
                   E::connection_invalid));
  to.push_back(bad("H14_many_empty_options", get("Connection: " + bytes(100, ',') + "\r\n"),
                   E::connection_invalid));
  to.push_back(ok("H19_expect_is_not_sent_on",
                  post("Expect: 100-Continue\r\nContent-Length: 5\r\n"), "POST /", "a", "",
                  "Content-Length: 5\r\n"));
  for (const char* value : {"", " 200-ok", " 100-continue, x", " 100-continue=1", " 100 -continue",
                            " y 100-continue", " 100-continue\t100-continue"}) {
    to.push_back(bad("H19_other_expectation_" + std::to_string(to.size()),
                     post(std::string("Content-Length: 5\r\nExpect:") + value + "\r\n"),
                     E::expectation_unsupported));
  }
  const std::string stripped =
      "X-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 2.2.2.2\r\nX-Forwarded-Proto: https\r\n"
      "X-Forwarded-Host: evil\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Prefix: /x\r\n"
      "X-Forwarded-Server: s\r\nX-FORWARDED-ANYTHING: y\r\nX-Real-IP: 3.3.3.3\r\n"
      "Forwarded: for=4.4.4.4\r\n";
  to.push_back(ok("H33_forwarding_fields_are_replaced", get(stripped + "X-Forwarded: kept\r\n"),
                  "GET /", "a", "X-Forwarded: kept\r\n"));
  to.push_back(
      ok("H33_underscore_aliases_are_dropped",
         get("X_Forwarded_For: 1.1.1.1\r\nX-Forwarded_For: 2.2.2.2\r\nX_Real_IP: 3.3.3.3\r\n"
             "X_User: admin\r\nContent_Type: x\r\n_: y\r\n")));
}

void add_hosts(std::vector<Case>& to) {
  const auto as = [&to](const std::string& name, const std::string& value,
                        const std::string& host) {
    to.push_back(ok("H15_" + name, hosted(value), "GET /", host));
  };
  as("lower_case", " ExAmPlE.COM", "example.com");
  as("trailing_dot", " example.com.", "example.com");
  as("trailing_dot_and_port", " example.com.:8080", "example.com:8080");
  as("port", " example.com:8080", "example.com:8080");
  as("empty_port", " example.com:", "example.com");
  as("port_with_zeros", " example.com:00080", "example.com:80");
  as("highest_port", " example.com:65535", "example.com:65535");
  as("ipv4", " 192.0.2.1", "192.0.2.1");
  as("ipv4_port", " 192.0.2.1:80", "192.0.2.1:80");
  as("ipv6", " [2001:DB8::1]", "[2001:db8::1]");
  as("ipv6_port", " [::1]:8080", "[::1]:8080");
  as("ipv6_all_groups", " [1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8]");
  as("ipv6_with_ipv4", " [::ffff:192.0.2.1]", "[::ffff:192.0.2.1]");
  as("underscore_tilde_hyphen", " a_b~c-d.e", "a_b~c-d.e");
  as("longest", " " + bytes(255, 'h'), bytes(255, 'h'));
  as("longest_with_dot", " " + bytes(255, 'h') + ".", bytes(255, 'h'));
  to.push_back(bad("H15_missing", "GET / HTTP/1.1\r\nFoo: x\r\n\r\n", E::host_missing));
  to.push_back(bad("H15_no_fields", "GET / HTTP/1.1\r\n\r\n", E::host_missing));
  to.push_back(bad("H15_only_alias", "GET / HTTP/1.1\r\nH_ost: x\r\n\r\n", E::host_missing));
  to.push_back(bad("H15_two", get("Host: b\r\n"), E::host_duplicate));
  to.push_back(bad("H15_two_equal", get("hOST: a\r\n"), E::host_duplicate));
  to.push_back(
      bad("H15_two_on_1_0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", E::host_duplicate));
  int number = 0;
  for (const char* value : {"",
                            " ",
                            " .",
                            " ..",
                            " .a",
                            " a..b",
                            " a..",
                            " :80",
                            " a b",
                            " a\tb",
                            " a,b",
                            " a, a",
                            " a@b",
                            " user:pw@a",
                            " a/b",
                            " a/",
                            " http://a",
                            " a?b",
                            " a#b",
                            " a%2eb",
                            " a%00b",
                            " a\\b",
                            " a;b",
                            " a'b",
                            " a\"b",
                            " <a>",
                            " a:80:80",
                            " a:8o",
                            " a:+80",
                            " a:-1",
                            " a:0",
                            " a:65536",
                            " a:000080",
                            " a:99999999999",
                            " a: 80",
                            " \xc3\xa4",
                            " a\x80",
                            " [",
                            " []",
                            " [::1",
                            " ::1",
                            " [::1]x",
                            " [::1]:x",
                            " [::1]]",
                            " [::1%25eth0]",
                            " [v1.x]",
                            " [1:2:3:4:5:6:7]",
                            " [1:2:3:4:5:6:7:8:9]",
                            " [1::2::3]",
                            " [:1:2:3:4:5:6:7]",
                            " [1:2:3:4:5:6:7:]",
                            " [12345::]",
                            " [:::]",
                            " [1:2:3:4:5:6:7:8::]",
                            " [::1.2.3]",
                            " [::1.2.3.256]",
                            " [1.2.3.4]",
                            " [g::]",
                            " (a)",
                            " a*",
                            " *",
                            " a=b",
                            " a|b",
                            " {a}",
                            " a^b",
                            " a`b",
                            " a+b",
                            " a!b",
                            " $a",
                            " &a"}) {
    to.push_back(bad("H15_refused_" + std::to_string(++number), hosted(value), E::host_invalid));
  }
  to.push_back(bad("H15_too_long", hosted(" " + bytes(256, 'h')), E::host_invalid));
  to.push_back(bad("H15_far_too_long", hosted(" " + bytes(2000, 'h')), E::host_invalid));
  to.push_back(ok("H15_http_1_0_without_host", "GET / HTTP/1.0\r\n\r\n", "GET /", "203.0.113.1"));
  to.push_back(
      ok("H15_http_1_0_with_host", "GET / HTTP/1.0\r\nHost: b:81\r\n\r\n", "GET /", "b:81"));
}

void add_targets(std::vector<Case>& to) {
  const auto target = [](const std::string& text, const std::string& method = "GET") {
    return method + " " + text + " HTTP/1.1\r\nHost: a\r\n\r\n";
  };
  to.push_back(ok("H16_absolute", target("http://b/x?y"), "GET /x?y", "b"));
  to.push_back(
      ok("H16_absolute_beats_host", target("http://B.example.:81/"), "GET /", "b.example:81"));
  to.push_back(ok("H16_absolute_scheme_in_upper_case", target("HTTP://b/x"), "GET /x", "b"));
  to.push_back(ok("H16_absolute_empty_path", target("http://b"), "GET /", "b"));
  to.push_back(ok("H16_absolute_empty_path_and_query", target("http://b?x"), "GET /?x", "b"));
  to.push_back(ok("H16_absolute_query_with_slash", target("http://b?x/y"), "GET /?x/y", "b"));
  to.push_back(
      ok("H16_absolute_options_of_server", target("http://b", "OPTIONS"), "OPTIONS *", "b"));
  to.push_back(
      ok("H16_absolute_options_with_path", target("http://b/", "OPTIONS"), "OPTIONS /", "b"));
  to.push_back(ok("H16_absolute_ipv6", target("http://[::1]:80/x"), "GET /x", "[::1]:80"));
  to.push_back(
      bad("H16_absolute_without_host_field", "GET http://b/ HTTP/1.1\r\n\r\n", E::host_missing));
  to.push_back(bad("H16_absolute_with_bad_host_field",
                   "GET http://b/ HTTP/1.1\r\nHost: b@c\r\n\r\n", E::host_invalid));
  to.push_back(bad("H16_absolute_with_two_host_fields",
                   "GET http://b/ HTTP/1.1\r\nHost: b\r\nHost: b\r\n\r\n", E::host_duplicate));
  int number = 0;
  for (const char* text : {"http://user@b/",
                           "http://user:pw@b/",
                           "http://b@c/",
                           "https://b/",
                           "ftp://b/",
                           "http:/b/",
                           "http:b",
                           "http:",
                           "http://",
                           "http:///x",
                           "http://?x",
                           "http://b:x/",
                           "http://:80/",
                           "http://b,c/",
                           "http://b#x",
                           "ws://b/",
                           "javascript:x",
                           "http://b%2fc/",
                           "http://b\\c/",
                           "httpx://b/",
                           "b/x",
                           "x",
                           "?x",
                           "..",
                           "*",
                           "*x",
                           "%2f",
                           "b:80",
                           "b",
                           "@b"}) {
    to.push_back(
        bad("H16_H17_target_refused_" + std::to_string(++number), target(text), E::target_invalid));
  }
  to.push_back(bad("H17_fragment", target("/x#y"), E::target_invalid));
  to.push_back(
      bad("H17_CVE_2023_45539_fragment_after_path", target("/private#.png"), E::target_invalid));
  to.push_back(bad("H17_fragment_in_query", target("/x?y#z"), E::target_invalid));
  to.push_back(bad("H17_only_fragment", target("#"), E::target_invalid));
  for (unsigned c = 0; c < 256; ++c) {
    if ((c > 0x20 && c < 0x7f) || c == ' ' || c == '\r' || c == '\n') continue;
    to.push_back(bad("H17_octet_" + hex(c) + "_in_target",
                     target(std::string("/padding/of/octets/") + static_cast<char>(c) + "/x"),
                     E::target_invalid));
  }
  to.push_back(bad("H17_cr_in_target", target("/x\ry"), E::request_line_malformed));
  to.push_back(bad("H17_lf_in_target", target("/x\ny"), E::request_line_malformed));
  to.push_back(
      ok("H17_every_visible_octet",
         target("/!\"$%&'()*+,-.09:;<=>@AZ[\\]^_`az{|}~?!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
         "GET /!\"$%&'()*+,-.09:;<=>@AZ[\\]^_`az{|}~?!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~"));
  to.push_back(ok("H17_asterisk", target("*", "OPTIONS"), "OPTIONS *"));
  to.push_back(bad("H17_asterisk_with_query", target("*?x", "OPTIONS"), E::target_invalid));
  to.push_back(bad("H17_connect_authority", target("b:443", "CONNECT"), E::connect_unsupported));
  to.push_back(bad("H17_connect_path", target("/", "CONNECT"), E::connect_unsupported));
  to.push_back(bad("H17_trace", target("/", "TRACE"), E::method_not_allowed));
  to.push_back(ok("H18_query_is_kept_apart", target("/x??y?z"), "GET /x??y?z"));
  to.push_back(ok("H18_empty_query_is_kept", target("/x?"), "GET /x?"));
  to.push_back(ok("H18_path_of_slashes", target("//b//x"), "GET //b//x"));
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  add_start_lines(cases);
  add_line_ends(cases);
  add_names(cases);
  add_values(cases);
  add_limits(cases);
  add_content_lengths(cases);
  add_transfer_encodings(cases);
  add_connections(cases);
  add_hosts(cases);
  add_targets(cases);
  return cases;
}

class RequestHeadCase : public ::testing::TestWithParam<Case> {
 protected:
  millrace::testing::GuardPage page_{256 * 1024};
};

TEST_P(RequestHeadCase, IsTakenForWhatItIs) {
  const Case& of = GetParam();
  for (const Manner& manner : all_manners()) {
    const ByteView in = place_prefix(page_, of.in, of.in.size(), manner.readable);
    RequestHead head;
    size_t consumed = 0;
    const ParseStatus status =
        parse_request_head_at(manner.level, in, head, consumed, nullptr, manner.readable);
    if (of.error != HeadError::none) {
      ASSERT_EQ(status, ParseStatus::error);
      EXPECT_EQ(sentence(head.error), sentence(of.error));
      continue;
    }
    ASSERT_EQ(status, ParseStatus::complete)
        << (status == ParseStatus::error ? sentence(head.error) : "partial");
    EXPECT_EQ(consumed, of.in.size());
    // With all the room that the writer likes, and with none to spare.
    std::vector<uint8_t> output(of.in.size() + 3 * head_growth_bytes_max);
    size_t written = write_request_head(head, forwarding, output);
    EXPECT_EQ(as_text(ByteView(output).first(written)), canonical(of));
    output.assign(written, 0);
    written = write_request_head(head, forwarding, output);
    EXPECT_EQ(as_text(ByteView(output).first(written)), canonical(of));
  }
}

// Whole, byte by byte, at every split, in every manner; the answer may not depend on any of it.
TEST_P(RequestHeadCase, DoesNotDependOnHowItArrives) {
  const std::string& in = GetParam().in;
  const std::string whole = RequestParser{{VectorLevel::off, {}}}(page_.place(in));
  // Large inputs are many: every octet of them is tried at the seams, elsewhere one in 97.
  const size_t stride = in.size() > 4000 ? 97 : 1;
  for (const Manner& manner : all_manners()) {
    const RequestParser parse{manner};
    HeadScan by_byte;
    bool is_decided = false;
    for (size_t size = 0; size <= in.size();
         size += size + stride > in.size() && size != in.size() ? in.size() - size : stride) {
      const ByteView prefix = place_prefix(page_, in, size, manner.readable);
      const std::string answer = parse(prefix);
      is_decided = is_decided || answer != "partial";
      if (is_decided || size == in.size()) {
        ASSERT_EQ(answer, whole) << "prefix of " << size;
      }
      if (answer == "partial" || by_byte.bytes_seen != 0 || size == 0) {
        EXPECT_EQ(parse(prefix, &by_byte), answer) << "grown to " << size;
      }
      HeadScan split;
      EXPECT_EQ(parse(prefix, &split), answer);
      if (answer == "partial") {
        EXPECT_EQ(parse(place_prefix(page_, in, in.size(), manner.readable), &split), whole)
            << "split at " << size;
      }
    }
  }
}

TEST_P(RequestHeadCase, DoesNotDependOnWhatFollows) {
  const std::string& in = GetParam().in;
  const std::string whole = RequestParser{{VectorLevel::off, {}}}(page_.place(in));
  for (const Manner& manner : all_manners()) {
    for (const std::string& more : {std::string("x"), std::string("\r\n"), get(""),
                                    std::string("\0\xff\n", 3), bytes(20000, 'x')}) {
      const std::string both = in + more;
      EXPECT_EQ(RequestParser{manner}(place_prefix(page_, both, both.size(), manner.readable)),
                whole);
    }
  }
}

// Behind lines that fill whole vectors, so that each case also meets the code for them in the
// middle of a head: what is told about the head but for those lines is the same.
TEST_P(RequestHeadCase, DoesNotDependOnWhatStandsBefore) {
  const std::string& in = GetParam().in;
  const size_t line_end = in.find("\r\n");
  if (line_end == in.npos || line_end == 0 || in.size() > 2000) return;
  for (size_t filled = 0; filled < 34; ++filled) {
    std::string longer = in;
    longer.insert(line_end + 2, "Accept: " + bytes(filled, 'f') + "\r\nX-Unlisted: u\r\n");
    const std::string whole = RequestParser{{VectorLevel::off, {}}}(page_.place(longer));
    for (const Manner& manner : all_manners()) {
      const ByteView placed = place_prefix(page_, longer, longer.size(), manner.readable);
      ASSERT_EQ(RequestParser{manner}(placed), whole) << filled;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Wire, RequestHeadCase, ::testing::ValuesIn(all_cases()),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace millrace::http
