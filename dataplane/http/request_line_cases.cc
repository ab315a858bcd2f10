// H1, H2, H15 to H17: line ends, start lines, targets, hosts.
#include "dataplane/http/request_cases.h"

namespace millrace::http::testing {

void add_start_lines(RequestCases& to) {
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

void add_line_ends(RequestCases& to) {
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

void add_hosts(RequestCases& to) {
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

void add_targets(RequestCases& to) {
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

}  // namespace millrace::http::testing
