// Bodies as bytes, in pieces of every size, up against a guard page.
#include "dataplane/http/body_framing.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "dataplane/http/head_testing.h"
#include "tests/support/guard_page.h"

namespace millrace::http {
namespace {

using testing::decode;
using testing::DecodedBody;
using E = BodyError;
using Status = BodyDecoder::Status;

struct Case {
  std::string name;
  std::string in;
  Status status = Status::finished;
  std::string payload;
  BodyError error = E::none;
  size_t left = 0;  // octets behind the end of the body
};

Case ok(std::string name, std::string in, std::string payload, size_t left = 0) {
  return {name, in, Status::finished, payload, E::none, left};
}
Case bad(std::string name, std::string in, BodyError error, std::string payload = "") {
  return {name, in, Status::error, payload, error, 0};
}
Case open(std::string name, std::string in, std::string payload = "") {
  return {name, in, Status::need_more, payload, E::none, 0};
}

std::string ext(const std::string& text) {
  return "5" + text + "\r\nhello\r\n0\r\n\r\n";
}
std::string trailer(const std::string& lines) {
  return "0\r\n" + lines + "\r\n";
}

void add_chunks(std::vector<Case>& to) {
  to.push_back(ok("H11_one_chunk", "5\r\nhello\r\n0\r\n\r\n", "hello"));
  to.push_back(ok("H11_two_chunks", "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello"));
  to.push_back(ok("H11_empty", "0\r\n\r\n", ""));
  to.push_back(ok("H11_hexadecimal", "1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n",
                  "abcdefghijklmnopqrstuvwxyz"));
  to.push_back(ok("H11_upper_case", "A\r\n0123456789\r\n0\r\n\r\n", "0123456789"));
  to.push_back(
      ok("H11_16_digits", "0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello"));
  to.push_back(ok("H11_line_ends_in_data", "4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n"));
  to.push_back(ok("H11_data_like_an_end", "5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n"));
  to.push_back(ok("H11_next_message_is_left", "0\r\n\r\nGET / HTTP/1.1\r\n", "", 16));
  to.push_back(bad("H11_17_digits", "00000000000000005\r\nhello\r\n", E::chunk_size_too_large));
  to.push_back(bad("H11_overflow", "10000000000000005\r\nhello\r\n", E::chunk_size_too_large));
  to.push_back(bad("H11_all_ones", "ffffffffffffffff\r\nhello\r\n", E::chunk_size_too_large));
  to.push_back(bad("H11_two_to_the_63", "8000000000000000\r\nhello\r\n", E::chunk_size_too_large));
  to.push_back(open("H11_largest_size", "7fffffffffffffff\r\nhello\r\n", "hello\r\n"));
  int number = 0;
  for (const char* size :
       {"",   "+5", "-5",    "0x5", "5h",  " 5", "\t5",  "5 ",   "5\t",   "5_0",   "5.",
        "5,", "x",  "\"5\"", "5\v", "5\f", "g",  "five", "\xb2", "5\x85", "5\xa0", "5:"}) {
    to.push_back(bad("H11_size_refused_" + std::to_string(++number),
                     std::string(size) + "\r\nhello\r\n0\r\n\r\n", E::chunk_size_invalid));
  }
  to.push_back(bad("H2_bare_lf_after_size", "5\nhello\r\n0\r\n\r\n", E::chunk_size_invalid));
  to.push_back(bad("H2_bare_cr_after_size", "5\rhello\r\n0\r\n\r\n", E::chunk_size_invalid));
  to.push_back(bad("H2_cr_cr_lf_after_size", "5\r\r\nhello\r\n", E::chunk_size_invalid));
  to.push_back(bad("H2_bare_lf_after_last_size", "0\n\r\n", E::chunk_size_invalid));
  to.push_back(
      bad("H11_nul_after_size", std::string("5\0\r\nhello\r\n", 11), E::chunk_size_invalid));
  // Two octets skipped unseen behind the data: TERM.SPILL and its relatives.
  to.push_back(bad("H11_TERM_SPILL_xx", "5\r\nhelloxx0\r\n\r\n", E::chunk_end_invalid, "hello"));
  to.push_back(bad("H11_SPILL_TERM_lf", "5\r\nhello\n0\r\n\r\n", E::chunk_end_invalid, "hello"));
  to.push_back(bad("H11_x_lf", "5\r\nhelloX\n0\r\n\r\n", E::chunk_end_invalid, "hello"));
  to.push_back(bad("H11_cr_x", "5\r\nhello\rX0\r\n\r\n", E::chunk_end_invalid, "hello"));
  to.push_back(bad("H11_lf_cr", "5\r\nhello\n\r0\r\n\r\n", E::chunk_end_invalid, "hello"));
  to.push_back(
      bad("H11_data_longer_than_said", "4\r\nhello\r\n0\r\n\r\n", E::chunk_end_invalid, "hell"));
  to.push_back(bad("H11_data_shorter_than_said", "6\r\nhello\r\n0\r\n\r\n", E::chunk_end_invalid,
                   "hello\r"));
  to.push_back(
      bad("H11_ONE_TWO_no_line_end", "5\r\nhello0\r\n\r\n", E::chunk_end_invalid, "hello"));
  to.push_back(
      bad("H11_empty_line_between", "5\r\nhello\r\n\r\n0\r\n\r\n", E::chunk_size_invalid, "hello"));
  to.push_back(open("H24_cut_in_size", "5"));
  to.push_back(open("H24_cut_in_data", "5\r\nhel", "hel"));
  to.push_back(open("H24_cut_before_end", "5\r\nhello\r\n", "hello"));
  to.push_back(open("H24_cut_in_end", "5\r\nhello\r\n0\r\n\r", "hello"));
  to.push_back(open("H24_cut_in_trailer", "0\r\nX: y\r\n"));
}

void add_extensions(std::vector<Case>& to) {
  int number = 0;
  for (const char* text : {";a", ";a=b", ";a=\"b\"", ";a=\"\"", ";a=\"b c;d=e\tf\"", ";a=\"\\\"\"",
                           ";a=\"\\\\\"", ";a;b;c=d", "; a = b ; c", ";a=\"b\" ;c", ";\ta=\tb",
                           ";a=\"\xc3\xa4\"", ";a =b", ";a= b", ";!#$=%&'"}) {
    to.push_back(ok("H12_ext_dropped_" + std::to_string(++number), ext(text), "hello"));
  }
  number = 0;
  for (const char* text : {";",           ";;",
                           "; ",          ";a=",
                           ";a;",         ";=b",
                           ";a==b",       ";a=b=c",
                           ";a b",        ";a ",
                           ";a=b ",       ";a=\"b\" ",
                           ";a=\"b",      ";a=\"b\"c",
                           ";a=b\"c\"",   " ;a",
                           "\t;a",        ";a=\"\x01\"",
                           ";a=\"\x7f\"", ";\xff",
                           ";a(b)",       ";a=\"b\\\x01\"",
                           ";a\v",        ";a=,",
                           ";a,b",        ";a=\"b\";"}) {
    const bool before = text[0] != ';';
    to.push_back(bad("H12_ext_refused_" + std::to_string(++number), ext(text),
                     before ? E::chunk_size_invalid : E::chunk_ext_invalid));
  }
  // CVE-2025-55315 and TERM.EXT, EXT.TERM: an extension ends where some readers see a line end.
  to.push_back(bad("H12_CVE_2025_55315_lf_in_ext", ext(";a\nb"), E::chunk_ext_invalid));
  to.push_back(bad("H12_lf_behind_ext", "5;a\nhello\r\n0\r\n\r\n", E::chunk_ext_invalid));
  to.push_back(bad("H12_lf_right_behind_semicolon", "5;\nhello\r\n", E::chunk_ext_invalid));
  to.push_back(bad("H12_lf_in_quoted_ext", ext(";a=\"\n\""), E::chunk_ext_invalid));
  to.push_back(bad("H12_crlf_in_quoted_ext", ext(";a=\"\r\n\""), E::chunk_ext_invalid));
  to.push_back(bad("H12_quoted_pair_of_lf", ext(";a=\"\\\n\""), E::chunk_ext_invalid));
  to.push_back(bad("H12_bare_cr_in_ext", ext(";a\rb"), E::chunk_size_invalid));
  to.push_back(bad("H12_nul_in_ext", "5;a" + std::string(1, '\0') + "\r\n", E::chunk_ext_invalid));
  to.push_back(
      ok("H12_longest_ext", ext(";" + std::string(chunk_ext_bytes_max - 1, 'a')), "hello"));
  to.push_back(bad("H12_ext_too_long", ext(";" + std::string(chunk_ext_bytes_max, 'a')),
                   E::chunk_ext_too_long));
  // CVE-2023-39326: little payload under much extension.
  std::string drain;
  std::string payload;
  for (int i = 0; i < 64; ++i) {
    drain += "1;" + std::string(63, 'a') + "\r\nx\r\n";
    payload += "x";
  }
  to.push_back(ok("H12_CVE_2023_39326_at_the_cap", drain + "0\r\n\r\n", payload));
  to.push_back(bad("H12_CVE_2023_39326_beyond_the_cap", drain + "1;a\r\nx\r\n",
                   E::chunk_ext_too_long, payload));
}

void add_trailers(std::vector<Case>& to) {
  to.push_back(ok("H13_trailer_is_dropped", trailer("X-Sum: 1\r\n"), ""));
  to.push_back(ok("H13_trailers_of_every_kind",
                  trailer("Content-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: evil\r\n"
                          "Authorization: x\r\nempty:\r\nspaced: \t \r\n"),
                  ""));
  int number = 0;
  for (const char* line : {"X y: z\r\n", "X : z\r\n", ": z\r\n", "X\r\n", " X: z\r\n", "\tX: z\r\n",
                           "X: a\r\n b\r\n", "X: a\x01\r\n", "X: a\nY: b\r\n", "X: a\rY: b\r\n",
                           "X: a\r\r\n", "X\xff: a\r\n", "X: \x7f\r\n", "(: a\r\n", "\n"}) {
    to.push_back(
        bad("H13_trailer_refused_" + std::to_string(++number), trailer(line), E::trailer_invalid));
  }
  to.push_back(bad("H13_bare_lf_ends_trailers", "0\r\nX: y\r\n\n", E::trailer_invalid));
  to.push_back(bad("H13_cr_x_ends_trailers", "0\r\n\rX", E::trailer_invalid));
  to.push_back(bad("H13_no_second_line_end", "0\r\n\rGET / HTTP/1.1\r\n", E::trailer_invalid));
  to.push_back(
      bad("H13_smuggled_after_zero", "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", E::trailer_invalid));
  to.push_back(bad("H13_nul_in_trailer", trailer(std::string("X: \0\r\n", 6)), E::trailer_invalid));
  std::string many;
  for (size_t i = 0; i < trailer_fields_max; ++i) many += "a: b\r\n";
  to.push_back(ok("H13_64_trailers", trailer(many), ""));
  to.push_back(bad("H13_65_trailers", trailer(many + "c: d\r\n"), E::trailer_too_large));
  to.push_back(ok("H13_longest_trailer", trailer("a:" + std::string(8192 - 6, 'v') + "\r\n"), ""));
  to.push_back(bad("H13_trailer_too_long", trailer("a:" + std::string(8192 - 5, 'v') + "\r\n"),
                   E::trailer_too_large));
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  add_chunks(cases);
  add_extensions(cases);
  add_trailers(cases);
  return cases;
}

class ChunkedCase : public ::testing::TestWithParam<Case> {};

TEST_P(ChunkedCase, IsTakenApartTheSameInAnyPieces) {
  const Case& of = GetParam();
  millrace::testing::GuardPage page(16 * 1024);
  for (size_t piece = 1; piece <= of.in.size(); piece += piece < 40 ? 1 : 501) {
    const DecodedBody body = decode(BodyFraming::chunked(), page.place(of.in), piece);
    ASSERT_EQ(static_cast<int>(body.status), static_cast<int>(of.status)) << "pieces of " << piece;
    EXPECT_EQ(body.payload, of.payload) << "pieces of " << piece;
    EXPECT_EQ(sentence(body.error), sentence(of.error)) << "pieces of " << piece;
    if (of.status == Status::finished) {
      EXPECT_EQ(of.in.size() - body.consumed, of.left);
    }
  }
  const DecodedBody whole = decode(BodyFraming::chunked(), page.place(of.in), of.in.size());
  EXPECT_EQ(whole.payload, of.payload);
}

TEST_P(ChunkedCase, IsTakenApartTheSameAtEverySplit) {
  const Case& of = GetParam();
  const size_t stride = of.in.size() > 2000 ? 101 : 1;
  millrace::testing::GuardPage page(16 * 1024);
  for (size_t split = 0; split <= of.in.size(); split += stride) {
    BodyDecoder decoder;
    decoder.start(BodyFraming::chunked());
    DecodedBody body;
    const std::string_view in = of.in;
    testing::decode_piece(decoder, page.place(in.substr(0, split)), body);
    if (body.status == Status::need_more) {
      testing::decode_piece(decoder, page.place(in.substr(split)), body);
    }
    ASSERT_EQ(static_cast<int>(body.status), static_cast<int>(of.status)) << "split at " << split;
    EXPECT_EQ(body.payload, of.payload);
    EXPECT_EQ(decoder.is_whole_at_end_of_stream(), of.status == Status::finished);
  }
}

TEST_P(ChunkedCase, IsGatheredAsItIsTakenApart) {
  const Case& of = GetParam();
  const size_t stride = of.in.size() > 2000 ? 101 : 1;
  millrace::testing::GuardPage page(16 * 1024);
  std::vector<uint8_t> place(of.in.size());
  for (size_t split = 0; split <= of.in.size(); split += stride) {
    BodyDecoder decoder;
    decoder.start(BodyFraming::chunked());
    std::string payload;
    BodyDecoder::Step step;
    for (const auto& [at, octets] : {std::pair{size_t{0}, split}, {split, of.in.size() - split}}) {
      step = decoder.gather(page.place(std::string_view(of.in).substr(at, octets)), place.data());
      payload += as_text(step.payload);
      if (step.status != Status::need_more) break;
      ASSERT_EQ(step.consumed, octets) << split;
    }
    ASSERT_EQ(static_cast<int>(step.status), static_cast<int>(of.status)) << "split at " << split;
    EXPECT_EQ(payload, of.payload) << split;
    EXPECT_EQ(sentence(decoder.error()), sentence(of.error));
  }
}

// A chunk that is whole in the input is taken at once, up to the last octet of the input.
TEST(BodyDecoder, H11_WholeChunksAndTheirEndsAtTheInputsEnd) {
  for (const std::string_view in :
       {"1\r\na\r\n", "00001\r\na\r\n", "5\r\nhello\r\n", "A\r\n0123456789\r\n1\r\n.\r\n"}) {
    millrace::testing::GuardPage page(64);
    for (size_t octets = 1; octets <= in.size(); ++octets) {
      BodyDecoder decoder;
      decoder.start(BodyFraming::chunked());
      DecodedBody body;
      testing::decode_piece(decoder, page.place(in.substr(0, octets)), body);
      EXPECT_EQ(body.status, Status::need_more) << in << octets;
      EXPECT_EQ(body.consumed, octets);
    }
  }
}

// What is wrong behind whole chunks is found, and none of what is behind it is taken.
TEST(BodyDecoder, H11_MistakesBehindWholeChunks) {
  for (const std::string_view bad :
       {"1\r\naX\n", "1\r\na\rX", "1\raa\r\n", "1\n\na\r\n", "g\r\na\r\n", " 1\r\na\r\n",
        "-1\r\na\r\n", "0x1\r\na\r\n", "\r\na\r\n"}) {
    BodyDecoder decoder;
    decoder.start(BodyFraming::chunked());
    DecodedBody body;
    const std::string in = "1\r\na\r\n2\r\nbc\r\n" + std::string(bad) + "1\r\nz\r\n0\r\n\r\n";
    testing::decode_piece(decoder, as_bytes(in), body);
    EXPECT_EQ(body.status, Status::error) << bad;
    EXPECT_EQ(body.payload.substr(0, 3), "abc") << bad;
    EXPECT_EQ(body.payload.find('z'), std::string::npos) << bad;
  }
}

INSTANTIATE_TEST_SUITE_P(Wire, ChunkedCase, ::testing::ValuesIn(all_cases()),
                         [](const auto& param) { return param.param.name; });

TEST(BodyDecoder, H7_ContentLengthEndsExactly) {
  for (size_t piece = 1; piece <= 12; ++piece) {
    const DecodedBody body =
        decode(BodyFraming::content_length(5), as_bytes("helloGET / x"), piece);
    EXPECT_EQ(body.status, Status::finished);
    EXPECT_EQ(body.payload, "hello");
    EXPECT_EQ(body.consumed, 5U);
  }
  BodyDecoder decoder;
  decoder.start(BodyFraming::content_length(5));
  EXPECT_EQ(decoder.step(as_bytes("hell")).status, Status::need_more);
  EXPECT_FALSE(decoder.is_whole_at_end_of_stream());  // H24: truncated
  EXPECT_EQ(decoder.step(as_bytes("o")).status, Status::finished);
  EXPECT_TRUE(decoder.is_whole_at_end_of_stream());
}

TEST(BodyDecoder, H22_NothingBelongsToAnEmptyBody) {
  for (const BodyFraming framing : {BodyFraming::none(), BodyFraming::content_length(0)}) {
    BodyDecoder decoder;
    decoder.start(framing);
    EXPECT_TRUE(decoder.is_finished());
    const BodyDecoder::Step step = decoder.step(as_bytes("HTTP/1.1 200 OK"));
    EXPECT_EQ(step.status, Status::finished);
    EXPECT_EQ(step.consumed, 0U);
    EXPECT_TRUE(step.payload.empty());
  }
}

TEST(BodyDecoder, UntilCloseEndsWithTheStream) {
  BodyDecoder decoder;
  decoder.start(BodyFraming::until_close());
  EXPECT_EQ(as_text(decoder.step(as_bytes("hello")).payload), "hello");
  EXPECT_FALSE(decoder.is_finished());
  EXPECT_TRUE(decoder.is_whole_at_end_of_stream());
}

TEST(BodyDecoder, H11_ErrorsStay) {
  BodyDecoder decoder;
  decoder.start(BodyFraming::chunked());
  EXPECT_EQ(decoder.step(as_bytes("x")).status, Status::error);
  const BodyDecoder::Step again = decoder.step(as_bytes("5\r\nhello\r\n0\r\n\r\n"));
  EXPECT_EQ(again.status, Status::error);
  EXPECT_EQ(again.consumed, 0U);
  EXPECT_TRUE(again.payload.empty());
  EXPECT_FALSE(decoder.is_whole_at_end_of_stream());
  decoder.start(BodyFraming::chunked());
  EXPECT_EQ(decoder.step(as_bytes("0\r\n\r\n")).status, Status::finished);
}

using Encoding = BodyEncoder::Status;

// All of it, through rooms of `room` octets.
std::string encode_all(BodyFraming framing, std::string_view payload, size_t room) {
  BodyEncoder encoder;
  encoder.start(framing);
  millrace::testing::GuardPage page(4096);
  std::string wire;
  while (!payload.empty()) {
    const ByteSpan output = page.reserve(room);
    const BodyEncoder::Result result = encoder.encode(as_bytes(payload), output);
    EXPECT_EQ(result.status, Encoding::ok);
    if (result.status != Encoding::ok) return wire;
    EXPECT_LE(result.written, result.consumed + encoder.overhead_bytes());
    wire += as_text(ByteView(output).first(result.written));
    payload.remove_prefix(result.consumed);
  }
  const ByteSpan output = page.reserve(last_chunk_bytes);
  const BodyEncoder::Result result = encoder.finish(output);
  EXPECT_EQ(result.status, Encoding::ok);
  EXPECT_TRUE(encoder.is_finished());
  wire += as_text(ByteView(output).first(result.written));
  return wire;
}

TEST(BodyEncoder, H11_ChunksDecodeToTheSamePayloadInAnyRoom) {
  std::string payload;
  for (int i = 0; i < 1000; ++i) payload += static_cast<char>(i * 7);
  for (size_t room = 6; room <= 2000; room += room < 300 ? 1 : 97) {
    const std::string wire = encode_all(BodyFraming::chunked(), payload, room);
    const DecodedBody body = decode(BodyFraming::chunked(), as_bytes(wire), 64);
    ASSERT_EQ(body.status, Status::finished);
    ASSERT_EQ(body.payload, payload);
    ASSERT_EQ(body.consumed, wire.size());
  }
  EXPECT_EQ(encode_all(BodyFraming::chunked(), "hello", 100), "5\r\nhello\r\n0\r\n\r\n");
  EXPECT_EQ(encode_all(BodyFraming::chunked(), "", 100), "0\r\n\r\n");
}

TEST(BodyEncoder, OtherFramingsAddNothing) {
  EXPECT_EQ(encode_all(BodyFraming::content_length(5), "hello", 2), "hello");
  EXPECT_EQ(encode_all(BodyFraming::until_close(), "hello", 2), "hello");
  EXPECT_EQ(encode_all(BodyFraming::none(), "", 2), "");
}

TEST(BodyEncoder, NoRoomWritesNothing) {
  BodyEncoder encoder;
  encoder.start(BodyFraming::chunked());
  millrace::testing::GuardPage page(4096);
  for (size_t room = 0; room <= 5; ++room) {
    const BodyEncoder::Result result = encoder.encode(as_bytes("hello"), page.reserve(room));
    EXPECT_EQ(result.status, Encoding::no_room);
    EXPECT_EQ(result.consumed + result.written, 0U);
  }
  for (size_t room = 0; room < last_chunk_bytes; ++room) {
    EXPECT_EQ(encoder.finish(page.reserve(room)).status, Encoding::no_room);
  }
  EXPECT_FALSE(encoder.is_finished());
  // An empty payload is not the end.
  EXPECT_EQ(encoder.encode({}, page.reserve(100)).written, 0U);
}

// The declared length is held to where it is written, whatever the decoder believed.
TEST(BodyEncoder, H24_CVE_2026_33555_OverrunAndUnderrunAreErrors) {
  std::vector<uint8_t> room(100);
  BodyEncoder encoder;
  encoder.start(BodyFraming::content_length(5));
  EXPECT_EQ(encoder.encode(as_bytes("hello!"), room).status, Encoding::overrun);
  EXPECT_EQ(encoder.encode(as_bytes("hell"), room).status, Encoding::ok);
  EXPECT_EQ(encoder.payload_bytes_left(), 1U);
  EXPECT_EQ(encoder.encode(as_bytes("o!"), room).status, Encoding::overrun);
  EXPECT_EQ(encoder.finish(room).status, Encoding::underrun);
  EXPECT_EQ(encoder.encode(as_bytes("o"), room).status, Encoding::ok);
  EXPECT_EQ(encoder.finish(room).status, Encoding::ok);
  EXPECT_EQ(encoder.encode(as_bytes("x"), room).status, Encoding::overrun);
  encoder.start(BodyFraming::none());
  EXPECT_EQ(encoder.encode(as_bytes("x"), room).status, Encoding::overrun);
  encoder.start(BodyFraming::chunked());
  EXPECT_EQ(encoder.finish(room).written, last_chunk_bytes);
  EXPECT_EQ(encoder.finish(room).written, 0U);  // only one end
  EXPECT_EQ(encoder.encode(as_bytes("x"), room).status, Encoding::overrun);
}

TEST(BodyEncoder, PrefixAndSuffixFrameWhatTheCallerPlaces) {
  std::vector<uint8_t> room(100);
  BodyEncoder encoder;
  encoder.start(BodyFraming::chunked());
  const BodyEncoder::Result before = encoder.prefix(0x1f4, room);
  EXPECT_EQ(as_text(ByteView(room).first(before.written)), "1f4\r\n");
  const BodyEncoder::Result behind = encoder.suffix(room);
  EXPECT_EQ(as_text(ByteView(room).first(behind.written)), "\r\n");
  EXPECT_LE(before.written + behind.written, chunk_overhead_bytes_max);
  EXPECT_EQ(encoder.prefix(1, ByteSpan(room).first(2)).status, Encoding::no_room);
  EXPECT_EQ(encoder.suffix(ByteSpan(room).first(1)).status, Encoding::no_room);

  encoder.start(BodyFraming::content_length(5));
  EXPECT_EQ(encoder.prefix(5, {}).status, Encoding::ok);
  EXPECT_EQ(encoder.suffix({}).written, 0U);
  EXPECT_EQ(encoder.prefix(1, room).status, Encoding::overrun);
  EXPECT_EQ(encoder.finish({}).status, Encoding::ok);
}

}  // namespace
}  // namespace millrace::http
