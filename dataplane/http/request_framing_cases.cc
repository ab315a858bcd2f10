// H7 to H10: where a body ends.
#include "dataplane/http/request_cases.h"

namespace millrace::http::testing {

void add_content_lengths(RequestCases& to) {
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

void add_transfer_encodings(RequestCases& to) {
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

}  // namespace millrace::http::testing
