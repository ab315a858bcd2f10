// H3 to H6, H14, H21, H33: names and values, how many, and what ends at this hop.
#include "dataplane/http/request_cases.h"

#include <algorithm>

namespace millrace::http::testing {

void add_names(RequestCases& to) {
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

void add_values(RequestCases& to) {
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

void add_limits(RequestCases& to) {
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

// H21: what goes on is one protocol that is no HTTP, asked for without a body.
void add_upgrades(RequestCases& to) {
  const auto passed = [&to](const std::string& name, const std::string& lines,
                            const std::string& kept, const std::string& protocol) {
    to.push_back(ok("H21_" + name, get(lines), "GET /", "a", kept,
                    "Connection: Upgrade\r\nUpgrade: " + protocol + "\r\n"));
  };
  passed("websocket",
         "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k==\r\n",
         "Sec-WebSocket-Key: k==\r\n", "websocket");
  passed("with_version", "upgrade: SPDY/3.1\r\nconnection:upgrade\r\n", "", "SPDY/3.1");
  passed("named_twice_by_connection",
         "Connection: upgrade\r\nUpgrade: x\r\nConnection: Upgrade\r\n", "", "x");
  passed("31_octets", "Connection: upgrade\r\nUpgrade: " + std::string(31, 'p') + "\r\n", "",
         std::string(31, 'p'));
  to.push_back(ok("H21_with_an_empty_body",
                  get("Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 0\r\n"), "GET /", "a",
                  "", "Content-Length: 0\r\nConnection: Upgrade\r\nUpgrade: x\r\n"));
  const auto dropped = [&to](const std::string& name, const std::string& lines) {
    to.push_back(ok("H21_dropped_" + name, get(lines), "GET /", "a"));
  };
  dropped("without_the_option", "Upgrade: websocket\r\n");
  dropped("option_of_another_name", "Connection: upgraded\r\nUpgrade: websocket\r\n");
  dropped("without_a_protocol", "Connection: Upgrade\r\n");
  dropped("empty", "Connection: Upgrade\r\nUpgrade:\r\n");
  dropped("two_lines", "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n");
  dropped("list", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n");
  dropped("32_octets", "Connection: upgrade\r\nUpgrade: " + std::string(32, 'p') + "\r\n");
  dropped("no_token", "Connection: Upgrade\r\nUpgrade: web socket\r\n");
  dropped("empty_version", "Connection: Upgrade\r\nUpgrade: websocket/\r\n");
  dropped("two_versions", "Connection: Upgrade\r\nUpgrade: x/1/2\r\n");
  int number = 0;
  for (const std::string protocol : {"h2c", "H2C", "h2c/1", "HTTP/2.0", "http/1.1", "TLS/1.0", "h3",
                                     "h2c-14", "H2-16", "HTTP2", "HTTP-2.0", "tls"}) {
    dropped("ours_" + std::to_string(++number),
            "Connection: Upgrade\r\nUpgrade: " + protocol + "\r\n");
  }
  to.push_back(ok("H21_dropped_with_a_body",
                  "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n"
                  "Content-Length: 5\r\n\r\n",
                  "POST /", "a", "", "Content-Length: 5\r\n"));
  to.push_back(ok("H21_dropped_on_http_1_0",
                  "GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "GET /",
                  "a"));
}

void add_connections(RequestCases& to) {
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

}  // namespace millrace::http::testing
